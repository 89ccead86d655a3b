/*
 * One run: from IT_START to IT_EXIT.
 *
 * RUNNING; then, when the program itself has ended, ENDING, in which everything it left is killed; DRAINING, in which what it
 * wrote is passed on; LISTING, in which the files that it changed are told; and back to NONE with IT_EXIT.
 *
 * ENDING and DRAINING have a deadline. When it is over, the end is told as unclean.
 */
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define KILL_GRACE_US 2000000  /* for what was killed to be gone */
#define DRAIN_GRACE_US 2000000 /* for a pipe to end that nothing comes from, when every process is dead */
#define RETRY_US 2000          /* between two looks at what must go away by itself */
#define MOST_FRAMES 8          /* of output, before the client and the clock have their turn again */

/*
 * What comes first is passed on at once. What follows within this time is passed on together, unless it is much:
 * every piece costs the Docker engine and the client as much as a large one.
 */
#define GATHER_US 250

enum phase { NONE, RUNNING, ENDING, DRAINING, LISTING };

static struct {
	enum phase phase;
	uint32_t uid, outcome, flags;
	pid_t pid;
	bool exited, last, lists, gathers;
	bool err_first;                  /* stderr's turn: the last one was stdout's, and took all the room */
	int status;
	struct pipes pipes;
	uint64_t limit, sent;            /* bytes of output; limit 0: none */
	uint32_t reset_ms, next_uid;     /* of the reset that follows; 0: none */
	uint64_t started_us, ended_us, deadline_us, kill_deadline_us, drain_deadline_us;
	uint64_t gather_us;              /* until when output is left in its pipe, to be passed on together */
	uint64_t retry_us;               /* when DRAINING looks again */
	uint64_t cpu_us, peak_bytes;     /* what wait4 told, where the control group does not */
	struct usage before;
} run = {.pipes = {-1, -1, -1}};

bool run_active(void)
{
	return run.phase != NONE;
}

void run_forget(void)
{
	run.last = false;
}

bool run_was_last(void)
{
	return run.last;
}

/* ---- start ---- */

struct start {
	uint32_t uid, flags, timeout_ms, reset_ms, next_uid;
	uint64_t limit;
	uint16_t argc, envc;
	char *directory, *strings[MAX_STRINGS + 2], **argv, **envp;
};

static char *copy_text(struct cursor *payload, char **space)
{
	struct text text = take_text(payload);
	char *copy = *space;
	memcpy(copy, text.at, text.length);
	copy[text.length] = 0;
	*space += text.length + 1;
	return copy;
}

/* The strings lie one after another, terminated: as exec wants them, and as the hand-over does. */
static void parse(struct cursor *payload, struct start *start, char *space)
{
	start->uid = take_u32(payload);
	start->flags = take_u32(payload);
	start->timeout_ms = take_u32(payload);
	start->limit = take_u64(payload);
	start->reset_ms = take_u32(payload);
	start->next_uid = take_u32(payload);
	start->directory = copy_text(payload, &space);
	start->argc = take_u16(payload);
	start->envc = take_u16(payload);
	const uint32_t known = IT_FLAG_STDIN | IT_FLAG_BOOTED | IT_FLAG_LAST | IT_FLAG_LIST | IT_FLAG_MERGED;
	if (start->uid < FIRST_UID || start->uid > LAST_UID || (start->flags & ~known))
		die("protocol: a start as uid %u with flags %u", start->uid, start->flags);
	if (start->reset_ms && !(start->flags & IT_FLAG_LAST))
		die("protocol: a start with a reset that is not the last");
	if (start->argc == 0)
		die("protocol: a start without a program");
	start->argv = start->strings;
	start->envp = start->argv + start->argc + 1;
	for (uint16_t i = 0; i < start->argc; i++) /* the frame is over before there is no room */
		start->argv[i] = copy_text(payload, &space);
	start->argv[start->argc] = NULL;
	for (uint16_t i = 0; i < start->envc; i++)
		start->envp[i] = copy_text(payload, &space);
	start->envp[start->envc] = NULL;
	take_end(payload);
}

static bool directory_refused(const struct start *start)
{
	int error = 0;
	if (become(start->uid) < 0)
		die("cannot take the uid %u", start->uid);
	int fd = open(start->directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int inside = fd < 0 ? -1 : openat(fd, ".", O_PATH | O_CLOEXEC); /* asks for the permission to search */
	if (inside < 0)
		error = errno;
	become(0);
	close_fd(&inside);
	close_fd(&fd);
	if (error)
		send_refused(IT_WHY_CWD, error, start->directory, strlen(start->directory));
	return error != 0;
}

static size_t append(char *to, size_t at, const char *text)
{
	size_t length = strlen(text) + 1;
	memcpy(to + at, text, length);
	return at + length;
}

/* The program shall not see what its files have replaced; nor shall that be gone when it does not start. */
static void (*begins(void))(void)
{
	return files_replace() ? files_keep : NULL;
}

/* False: refused, as the interpreter could not be booted, or died just now. */
static bool start_booted(const struct start *start)
{
	static char message[IT_MAX_PAYLOAD + 64];
	char count[16];
	size_t at = 8;
	snprintf(count, sizeof count, "%u", start->argc);
	at = append(message, at, start->directory);
	at = append(message, at, count);
	for (uint16_t i = 0; i < start->argc; i++)
		at = append(message, at, start->argv[i]);
	for (uint16_t i = 0; i < start->envc; i++)
		at = append(message, at, start->envp[i]);
	uint32_t merged = start->flags & IT_FLAG_MERGED ? IT_HAND_OVER_MERGED : 0;
	uint32_t head[2] = {(uint32_t)(at - 4), start->uid | merged};
	memcpy(message, head, sizeof head);
	run.pid = boot_hand_over(message, at, &run.pipes, begins());
	if (run.pid < 0)
		send_refused(IT_WHY_RESOURCE, EAGAIN, start->argv[0], strlen(start->argv[0]));
	return run.pid >= 0;
}

static bool start_exec(const struct start *start)
{
	int theirs[3];
	uint32_t why = IT_WHY_RESOURCE;
	boot_retire();
	if (open_pipes(&run.pipes, theirs) < 0) {
		send_refused(why, errno, start->argv[0], strlen(start->argv[0]));
		return false;
	}
	struct program program = {
		.uid = start->uid, .directory = start->directory, .argv = start->argv, .envp = start->envp, .channel = -1, .begins = begins()};
	memcpy(program.stdio, theirs, sizeof theirs);
	if (start->flags & IT_FLAG_MERGED)
		program.stdio[2] = theirs[1];
	run.pid = spawn(&program, &why);
	int error = errno;
	for (int i = 0; i < 3; i++)
		close(theirs[i]);
	if (run.pid < 0) {
		close_pipes(&run.pipes);
		send_refused(why, error, start->argv[0], strlen(start->argv[0]));
		return false;
	}
	return true;
}

/* Sends the refusal; false when there is none. */
static bool refused(const struct start *start)
{
	files_closed();
	return refusal_send() || directory_refused(start);
}

void run_start(struct cursor *payload)
{
	static struct start start;
	static char space[IT_MAX_PAYLOAD + MAX_STRINGS + 1];
	parse(payload, &start, space);
	bool booted = start.flags & IT_FLAG_BOOTED;
	if (booted && !boot_serves(start.uid))
		die("protocol: a start as uid %u for an interpreter that was not booted for it", start.uid);
	if (refused(&start)) {
		files_undo();
		store_unlink();
		return;
	}
	store_link(start.uid);
	files_home(start.uid);
	changes_mark();
	files_name_code(start.argv);
	filter_forget();
	struct usage before = cgroup_read();
	uint64_t started_us = now_us();
	if (booted ? !start_booted(&start) : !start_exec(&start)) {
		files_undo();
		store_unlink();
		boot_ahead(); /* the one that was parked may have been retired for it */
		return;
	}
	files_keep();
	pid_t pid = run.pid;
	struct pipes pipes = run.pipes;
	memset(&run, 0, sizeof run);
	run.phase = RUNNING;
	run.pid = pid;
	run.pipes = pipes;
	run.before = before;
	run.uid = start.uid;
	run.started_us = started_us;
	run.deadline_us = start.timeout_ms ? started_us + start.timeout_ms * 1000ull : 0;
	run.limit = start.limit;
	run.outcome = IT_EXITED;
	run.last = start.flags & IT_FLAG_LAST;
	run.lists = start.flags & IT_FLAG_LIST;
	run.reset_ms = start.reset_ms;
	run.next_uid = start.next_uid;
	feed_begin(start.flags & IT_FLAG_STDIN, &run.pipes.in);
	messages_begin(run.uid);
	fcntl(run.pipes.out, F_SETPIPE_SZ, 262144); /* a program may end before its output is read; the kernel may decline */
}

void run_stdin(struct cursor *payload)
{
	if (run_active())
		feed_take(payload, &run.pipes.in);
}

/* ---- output ---- */

static void end_by(uint32_t outcome)
{
	if (run.phase == RUNNING && run.outcome == IT_EXITED)
		run.outcome = outcome;
	kill_user(run.uid);
	if (!run.exited)
		kill(run.pid, SIGKILL); /* it may not have become that user yet */
}

/* What lies beyond the limit is read and dropped, so that the end is reached. True when there is likely more. */
static bool forward(uint8_t type, int *fd)
{
	if (run.limit && run.sent >= run.limit) {
		char dropped[65536];
		ssize_t got = read(*fd, dropped, sizeof dropped);
		if (got > 0) {
			messages_output(type == IT_STDERR, (size_t)got);
			end_by(IT_OUTPUT_LIMIT);
			run.outcome = run.outcome == IT_EXITED ? IT_OUTPUT_LIMIT : run.outcome;
		}
		if (got == 0)
			close_fd(fd);
		return false;
	}
	ssize_t got = wire_forward(type, *fd, run.limit ? run.limit - run.sent : IT_MAX_PAYLOAD);
	if (got > 0) {
		run.sent += (uint64_t)got;
		messages_output(type == IT_STDERR, (size_t)got);
		run.drain_deadline_us = 0; /* it is not stuck */
		run.gather_us = got < BULK_BYTES ? now_us() + GATHER_US : 0;
		wire_flush();
	} else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
		close_fd(fd);
	}
	return got >= BULK_BYTES;
}

/* What is still to be gathered; nothing is when the program has ended. */
static uint64_t gathering_us(void)
{
	uint64_t now = now_us();
	return run.phase == RUNNING && now < run.gather_us ? run.gather_us - now : 0;
}

static void forward_some(uint8_t type, int *fd)
{
	for (int i = 0; i < MOST_FRAMES && !wire_pending() && *fd >= 0 && forward(type, fd); i++)
		;
}

/* What was read first has the room; when it took all of it, the other one is read first the next time. */
static void forward_both(void)
{
	bool err_first = run.err_first;
	if (err_first)
		forward_some(IT_STDERR, &run.pipes.err);
	else
		forward_some(IT_STDOUT, &run.pipes.out);
	run.err_first = !err_first && wire_pending();
	if (err_first)
		forward_some(IT_STDOUT, &run.pipes.out);
	else
		forward_some(IT_STDERR, &run.pipes.err);
}

/* ---- the end ---- */

/* The reset that follows by itself: when the end is on its way, so that who waits for that does not wait for this. */
static void reset_when_told(void)
{
	uint32_t deadline_ms = run.reset_ms;
	wire_flush();
	if (!deadline_ms || wire_pending())
		return;
	run.reset_ms = 0;
	wipe_reset(deadline_ms, run.next_uid);
}

static void send_exit(void)
{
	struct usage after = cgroup_read();
	int status = run.status;
	struct {
		uint32_t outcome;
		int32_t code;
		uint32_t signal, flags;
		uint64_t wall_us, cpu_us, peak_bytes;
		uint32_t oom_kills, zero;
	} end = {
		.outcome = run.outcome,
		.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1,
		.signal = WIFSIGNALED(status) ? (uint32_t)WTERMSIG(status) : 0,
		.flags = run.flags,
		.wall_us = run.ended_us - run.started_us,
		.cpu_us = after.cpu_known ? after.cpu_us - run.before.cpu_us : run.cpu_us,
		/* the group's peak is of its whole life: it speaks of this run only when this run raised it */
		.peak_bytes = after.peak_known && after.peak_bytes > run.before.peak_bytes ? after.peak_bytes : run.peak_bytes,
		.oom_kills = after.oom_kills - run.before.oom_kills,
	};
	_Static_assert(sizeof end == 48, "IT_EXIT is 48 bytes");
	send_frame(IT_EXIT, &end, sizeof end);
	run.phase = NONE;
	if (run.reset_ms)
		reset_when_told();
	else if (!run.last)
		boot_ahead();
}

/* Every process of the run is dead, or the time for that is over. */
static bool all_ended(void)
{
	run_reap(); /* orphans that were killed are ours to bury */
	if (!processes_left())
		return true;
	if (now_us() < run.kill_deadline_us) {
		kill_user(run.uid);
		return false;
	}
	run.flags |= IT_EXIT_UNCLEAN;
	return true;
}

/*
 * Every writer is dead, so both pipes end. After an unclean end they might not, and what is there is all there will
 * be. A descriptor of a pipe may be on its way between two sockets that hold each other. It has no process, and keeps
 * the pipe open until the kernel collects it.
 */
static bool all_drained(void)
{
	if ((run.pipes.out < 0 && run.pipes.err < 0) || (run.flags & IT_EXIT_UNCLEAN))
		return true;
	uint64_t now = now_us();
	if (wire_pending() || !run.drain_deadline_us) {
		run.drain_deadline_us = now + DRAIN_GRACE_US;
		run.retry_us = now + RETRY_US;
	}
	if (now < run.retry_us)
		return false;
	run.retry_us = now + RETRY_US;
	sockets_collect();
	if (now < run.drain_deadline_us)
		return false;
	run.flags |= IT_EXIT_UNCLEAN;
	return true;
}

static void advance(void)
{
	if (run.phase == ENDING && all_ended()) {
		close_fd(&run.pipes.in);
		run.phase = DRAINING;
	}
	if (run.phase == DRAINING && all_drained()) {
		close_pipes(&run.pipes); /* so nothing is before a message */
		if (messages_pass(&run.pipes))
			return;
		messages_end();
		store_unlink();
		files_remove_code();
		changes_list(false, run.lists);
		run.phase = LISTING;
	}
	if (run.phase == LISTING && changes_step())
		send_exit();
}

void run_exited(int status, uint64_t cpu_us, uint64_t peak_kib)
{
	if (run.phase != RUNNING)
		die("a program ended that was not running");
	run.exited = true;
	run.status = status;
	run.ended_us = now_us();
	run.cpu_us += cpu_us;
	if (peak_kib * 1024 > run.peak_bytes)
		run.peak_bytes = peak_kib * 1024;
	run.phase = ENDING;
	run.kill_deadline_us = run.ended_us + KILL_GRACE_US;
	kill_user(run.uid);
	advance();
}

void run_adopted(void)
{
	if (run.phase == RUNNING && kill(run.pid, 0) < 0 && errno == ESRCH)
		run_exited(SIGKILL, 0, 0); /* the zygote died before it could tell the end of its child */
}

static void reaped(pid_t pid, int status, const struct rusage *usage)
{
	uint64_t cpu_us = (uint64_t)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1000000u +
			  (uint64_t)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec);
	if (boot_reaped(pid))
		return;
	if (run.phase == RUNNING && pid == run.pid)
		run_exited(status, cpu_us, (uint64_t)usage->ru_maxrss);
	else
		run.cpu_us += cpu_us;
}

void run_reap(void)
{
	struct rusage usage;
	int status;
	pid_t pid;
	while ((pid = wait4(-1, &status, WNOHANG, &usage)) > 0)
		reaped(pid, status, &usage);
}

void run_kill(void)
{
	if (run_active())
		end_by(IT_KILLED);
}

/* ---- the loop's view ---- */

int run_fds(struct pollfd *fds)
{
	int count = 0;
	run.gathers = false;
	if (run.phase == NONE)
		return 0;
	if (feed_waits() && run.pipes.in >= 0)
		fds[count++] = (struct pollfd){.fd = run.pipes.in, .events = POLLOUT};
	run.gathers = gathering_us() > 0;
	if (wire_pending() || run.gathers)
		return count;
	if (messages_fd() >= 0)
		fds[count++] = (struct pollfd){.fd = messages_fd(), .events = POLLIN};
	if (run.pipes.out >= 0)
		fds[count++] = (struct pollfd){.fd = run.pipes.out, .events = POLLIN};
	if (run.pipes.err >= 0)
		fds[count++] = (struct pollfd){.fd = run.pipes.err, .events = POLLIN};
	return count;
}

void run_event(void)
{
	if (run.phase == NONE) {
		reset_when_told();
		return;
	}
	if (run.phase == RUNNING && run.deadline_us && now_us() >= run.deadline_us)
		end_by(IT_TIMEOUT);
	feed_on(&run.pipes.in);
	if (!gathering_us())
		forward_both();
	if (run.phase != LISTING) {
		messages_pass(&run.pipes);
		feed_credit();
	}
	advance();
}

static int64_t due_us(void)
{
	switch (run.phase) {
	case NONE:
		return -1;
	case RUNNING:
		if (feed_waits() && run.pipes.in < 0)
			return 0; /* nobody reads it any more. It is dropped now, as no pipe is left whose event would wake us */
		if (!run.deadline_us)
			return -1;
		return run.outcome != IT_EXITED ? RETRY_US : us_until(run.deadline_us); /* killed, but not yet gone */
	case ENDING:
		return RETRY_US;
	case DRAINING:
		return wire_pending() ? -1 : RETRY_US;
	case LISTING:
		return wire_takes_bulk() ? 0 : -1;
	}
	return -1;
}

/*
 * Nothing watches the output while it is gathered. So the wait must end when the time for that is over. Nothing watches
 * a message either that waited for the output before it, when that has been written since.
 */
int64_t run_due_us(void)
{
	if (messages_ready(&run.pipes))
		return 0;
	return sooner(due_us(), run.gathers ? (int64_t)gathering_us() : -1);
}
