/*
 * PID 1: sets itself up, then one loop over the client's stream, the signals, the interpreter booted ahead and the run.
 *
 * It fails closed: whatever it does not understand, or cannot set up, ends it, and with it every process of the container.
 */
#include "supervisor.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define CLOCK_US 500 /* between two looks at the clock that a start waits for */

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#elif defined(__aarch64__)
#define MACHINE EM_AARCH64
#endif

static struct {
	bool greeted;   /* IT_BOOT has come */
	bool held_back; /* a frame waits for the interpreter that is on its way, */
	bool for_clock; /* or also for the clock */
} client;

/* ---- set-up ---- */

static void drop_inheritable(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];
	if (syscall(SYS_capget, &header, data) < 0)
		die("cannot read the capabilities: %s", strerror(errno));
	data[0].inheritable = data[1].inheritable = 0;
	if (syscall(SYS_capset, &header, data) < 0)
		die("cannot drop the inheritable capabilities: %s", strerror(errno));
}

/*
 * SIGCHLD is the only signal that is listened to. All others keep their defaults, which the kernel does not apply to
 * PID 1 when they come from inside; one that is blocked would be delivered all the same.
 */
static int open_signals(void)
{
	sigset_t wanted;
	sigemptyset(&wanted);
	sigaddset(&wanted, SIGCHLD);
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR || sigprocmask(SIG_SETMASK, &wanted, NULL) < 0)
		die("cannot set up signals: %s", strerror(errno));
	int fd = signalfd(-1, &wanted, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		die("cannot set up signals: %s", strerror(errno));
	return fd;
}

static void send_hello(uint32_t step, int error)
{
	uint32_t hello[5] = {IT_VERSION, MACHINE, (uint32_t)getpid(), step, (uint32_t)error};
	send_frame(IT_HELLO, hello, sizeof hello);
}

/* The keeper's life until the client has said what to boot. Returns in each supervisor of a box, when its turn has come. */
static void keep_boxes(char **mounts)
{
	uint8_t type;
	uint16_t run;
	struct cursor payload;
	uint32_t step = launch();
	if (step == IT_BOX_MADE)
		step = box_prepare(mounts);
	send_hello(step, step == IT_BOX_MADE ? 0 : errno);
	if (step != IT_BOX_MADE)
		die("no sandbox can be made here: step %u, %s", step, strerror(errno));
	for (wire_flush(); !wire_next(&type, &run, &payload); wire_receive(), wire_flush()) {
		struct pollfd fds[2] = {{.fd = STDIN_FILENO, .events = POLLIN},
					{.fd = STDOUT_FILENO, .events = wire_pending() ? POLLOUT : 0}};
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			die("poll: %s", strerror(errno));
	}
	if (type != IT_BOOT || run)
		die("protocol: a frame of type 0x%02x before the boot", type);
	boot_configure(&payload);
	boot_zygote();
	uint32_t next_uid = box_keep();
	client.greeted = true;
	if (next_uid)
		wipe_passed(next_uid);
	else
		boot_begin();
}

static int set_up(char **mounts)
{
	base_open(wire_farewell);
	if (getpid() != 1)
		die("the supervisor must be PID 1 of a container");
	umask(022);
	if (prctl(PR_SET_DUMPABLE, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || setgroups(0, NULL) < 0 ||
	    chdir("/") < 0)
		die("cannot drop what is not needed: %s", strerror(errno));
	drop_inheritable();
	mounts += box_open(mounts[0]);
	mounts += box_choose_network(mounts[0]);
	if (fcntl(STDIN_FILENO, F_SETFL, O_RDONLY | O_NONBLOCK) < 0 || fcntl(STDOUT_FILENO, F_SETFL, O_WRONLY | O_NONBLOCK) < 0)
		die("stdin and stdout must be open: %s", strerror(errno));
	fcntl(STDIN_FILENO, F_SETPIPE_SZ, PIPE_SIZE); /* fewer turns for the same bytes; the kernel may decline */
	fcntl(STDOUT_FILENO, F_SETPIPE_SZ, PIPE_SIZE);
	cgroup_open();
	if (mounts[0] && strncmp(mounts[0], "store=", 6) == 0)
		store_open(*mounts++ + 6);
	if (!mounts[0])
		die("the supervisor needs the writable mounts as arguments");
	if (box_asked()) {
		keep_boxes(mounts);
		return open_signals();
	}
	processes_open();
	files_open(mounts);
	messages_open();
	wipe_baseline(mounts);
	landlock_open();
	filter_install();
	send_hello(IT_BOX_NONE, 0);
	return open_signals();
}

/* ---- the client ---- */

static void reset(struct cursor *payload)
{
	uint32_t deadline_ms = take_u32(payload), next_uid = take_u32(payload);
	take_end(payload);
	wipe_reset(deadline_ms, next_uid);
}

static void list(struct cursor *payload)
{
	bool changed = payload->at < payload->end;
	if (changed && take_u32(payload) != 1)
		die("protocol: a list of what is unknown");
	take_end(payload);
	changes_list(!changed, false);
}

static void dispatch_idle(uint8_t type, struct cursor *payload)
{
	switch (type) {
	case IT_PUT:
		files_put(payload);
		break;
	case IT_DATA:
		files_data(payload);
		break;
	case IT_DONE:
		take_end(payload);
		files_done();
		break;
	case IT_DROP:
		take_end(payload);
		files_drop();
		break;
	case IT_SYNC:
		take_end(payload);
		files_closed();
		if (!refusal_send(0))
			send_frame(IT_READY, NULL, 0);
		break;
	case IT_START:
		run_start(0, payload);
		break;
	case IT_MARK:
		take_end(payload);
		changes_mark();
		break;
	case IT_RESET:
		reset(payload);
		break;
	case IT_LIST:
		list(payload);
		break;
	case IT_GET:
		files_get(payload);
		break;
	case IT_NEED:
		store_need(payload);
		break;
	case IT_STAGE:
		store_stage(payload);
		break;
	case IT_PUBLISH:
		store_publish(payload);
		break;
	case IT_EVICT:
		store_evict(payload);
		break;
	case IT_ENTRIES:
		take_end(payload);
		store_entries();
		break;
	default:
		die("protocol: a frame of type 0x%02x while idle", type);
	}
}

static bool still_waits(void)
{
	return boot_pending() || (client.for_clock && !changes_settled());
}

/*
 * A start waits for the interpreter that is on its way; one of the main run, and a mark, also until the clock tells the files of
 * now from those of the run before. A reset must not meet an interpreter that is half way.
 */
static bool hold_back(uint8_t type, uint16_t run, const struct cursor *payload)
{
	uint32_t flags = 0;
	client.for_clock = type == IT_MARK || (type == IT_START && !run);
	if (type == IT_RESET)
		return !run_was_last() && boot_pending();
	if (type == IT_MARK)
		return still_waits();
	if (payload->end - payload->at >= 8)
		memcpy(&flags, payload->at + 4, sizeof flags);
	if (flags & IT_FLAG_BOOTED)
		boot_now(); /* if it was not booted ahead */
	else
		boot_ahead(); /* if the last try could not be made */
	return still_waits();
}

static void dispatch(uint8_t type, uint16_t run, struct cursor *payload)
{
	if (!client.greeted) {
		if (type != IT_BOOT || run)
			die("protocol: a frame of type 0x%02x before the boot", type);
		client.greeted = true;
		boot_configure(payload);
		boot_begin();
		return;
	}
	if (type == IT_PAUSE && !run) {
		members_pause(take_u32(payload));
		take_end(payload);
		return;
	}
	if (run_frame(type, run, payload))
		return;
	if (run ? type != IT_START : run_active())
		die("protocol: a frame of type 0x%02x of the run %u while %s", type, run, run_active() ? "running" : "idle");
	if (type == IT_START && run_was_last())
		die("protocol: a start after the last run");
	client.held_back = (type == IT_START || type == IT_RESET || type == IT_MARK) && hold_back(type, run, payload);
	if (client.held_back)
		wire_unread();
	else if (run)
		run_start(run, payload);
	else
		dispatch_idle(type, payload);
}

/* A request is under way, and the frames behind it wait for its answer. */
static bool phase_busy(void)
{
	return files_reading() || wipe_busy() || store_busy() || (changes_listing() && !run_active());
}

static bool input_waits(void)
{
	return (client.held_back && still_waits()) || phase_busy() || !wire_takes_answer();
}

/* Does the next step of what is under way. */
static void step(void)
{
	wipe_step();
	store_step();
	if (changes_listing() && !run_active() && changes_step())
		send_frame(IT_READY, NULL, 0);
	while (files_reading() && !wire_pending()) {
		files_event();
		wire_flush();
	}
}

static void serve_client(bool readable)
{
	uint8_t type;
	uint16_t run;
	struct cursor payload;
	bool more = true;
	while (more) {
		while (!input_waits() && wire_next(&type, &run, &payload))
			dispatch(type, run, &payload);
		bool waited = input_waits();
		more = readable && !waited && wire_receive();
		wire_flush(); /* an answer before it keeps a file from being read on */
		step();
		wire_flush();
		more = more || (waited && !input_waits()); /* for what came behind the request */
	}
}

/* Until the next step is due; -1: nothing is under way that time moves on. */
static int64_t due_us(void)
{
	int64_t us = sooner(run_due_us(), wipe_due_us());
	if (client.held_back && !boot_pending())
		us = sooner(us, still_waits() ? CLOCK_US : 0);
	if ((store_busy() || (changes_listing() && !run_active())) && wire_takes_bulk())
		us = 0;
	return us;
}

/* ---- the loop ---- */

static void take_signals(int fd)
{
	struct signalfd_siginfo info;
	while (read(fd, &info, sizeof info) == (ssize_t)sizeof info)
		;
	run_reap();
}

int main(int argc, char **argv)
{
	if (argc == 1 && !strcmp(argv[0], CELLS_PROGRAM)) /* a program in the sandbox, and not PID 1 */
		cells_run();
	if (argc > 1 && !strcmp(argv[0], TOOL_PROGRAM))
		tool_start(argv + 1);
	const char *name = strrchr(argv[0], '/');
	if (!strcmp(name ? name + 1 : argv[0], TOOL_COMMAND))
		tool_run(argc, argv);
	int signals = set_up(argv + 1);
	for (;;) {
		struct pollfd fds[5 + RUN_FDS];
		fds[2] = (struct pollfd){.fd = signals, .events = POLLIN};
		int64_t rest_us = wire_fds(fds, !input_waits(), wire_pending() || files_reading());
		int boot = boot_fds(fds + 3);
		struct pollfd *asked = &fds[3 + boot], *of_runs = asked + 1;
		*asked = (struct pollfd){.fd = filter_due_us() < 0 ? filter_fd() : -1, .events = POLLIN};
		int run_count = run_fds(of_runs), count = 4 + boot + run_count;
		int64_t us = sooner(sooner(rest_us, due_us()), filter_due_us());
		struct timespec timeout = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
		if (ppoll(fds, (nfds_t)count, us < 0 ? NULL : &timeout, NULL) < 0 && errno != EINTR)
			die("poll: %s", strerror(errno));
		if ((fds[1].revents & (POLLERR | POLLHUP | POLLNVAL)) || (fds[0].revents & (POLLERR | POLLNVAL)))
			leave();
		if ((fds[0].revents & POLLHUP) && !(fds[0].revents & POLLIN))
			leave();
		wire_flush();
		if (fds[2].revents)
			take_signals(signals);
		if (boot && fds[3].revents)
			boot_event();
		filter_step();
		if (asked->revents)
			filter_event();
		run_event(of_runs, run_count);
		serve_client(fds[0].revents & POLLIN);
	}
}
