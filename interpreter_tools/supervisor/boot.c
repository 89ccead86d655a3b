/*
 * The interpreter booted ahead of need.
 *
 * IT_BOOT_FORK: a zygote, which is root without powers and never runs user code. When we ask, it forks a child that
 * waits (parked) for one hand-over. As the parent of all its children, the zygote tells how each ended. The parked child
 * is still root's, where no program reaches it. It switches to the run's user when it is handed the run.
 *
 * IT_BOOT_SINGLE: the parked process is our own child, booted for one run. It is the run's user from the start, as a
 * process with threads switches slowly. So no other program of that user may run beside it: such a program retires it.
 *
 * An interpreter that dies before its run is booted again: a program beside it may have filled the memory. After
 * MOST_LOST in a row something else is wrong, and the container is of no use.
 */
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST_LOST 3
#define BOX_VARIABLE "INTERPRETER_TOOLS_BOX="

enum state {
	NONE,    /* nothing is booted ahead in this container */
	BOOTING, /* an interpreter is on its way */
	PARKED,  /* it waits for its code */
	RETIRED, /* it was handed its code, or is dead; the next one is not on its way yet */
};

static struct {
	enum state state;
	uint8_t mode;
	char **argv, **envp;
	uint32_t uid;   /* of the next run */
	bool announced; /* the client has had its answer to IT_BOOT */
	unsigned lost;  /* interpreters in a row that died before they were handed a run */
} boot;

static struct { /* the interpreter that is on its way, or parked */
	pid_t pid;
	struct pipes pipes;
	int hand_over; /* -1: nobody has been asked for one */
} next = {.pipes = {-1, -1, -1}, .hand_over = -1};

static struct {
	uint8_t bytes[1024];
	size_t length;
} note; /* what the interpreter says of itself when it is ready */

static struct {
	pid_t pid;
	int control, errors; /* its packets; its stderr, read when it fails */
} zygote = {.control = -1, .errors = -1};

static void set_state(enum state state)
{
	static const char *const names[] = {"NONE", "BOOTING", "PARKED", "RETIRED"};
	static const unsigned after[] = {
		[NONE] = 1u << RETIRED,
		[BOOTING] = 1u << PARKED | 1u << RETIRED | 1u << NONE,
		[PARKED] = 1u << RETIRED,
		[RETIRED] = 1u << BOOTING,
	};
	if (!(after[boot.state] & 1u << state))
		die("the booted interpreter was %s and cannot be %s", names[boot.state], names[state]);
	boot.state = state;
}

bool boot_owns(pid_t pid)
{
	return pid == zygote.pid || pid == next.pid;
}

bool boot_pending(void)
{
	return boot.state == BOOTING;
}

bool boot_parks(void)
{
	return next.hand_over >= 0;
}

static void drop_next(void)
{
	close_fd(&next.hand_over);
	close_pipes(&next.pipes);
	next.pid = 0;
}

/*
 * An interpreter is dead, or was never made. The first boot that fails is told to the client; a later one is tried
 * again. Its stderr, if there is one, holds the reason.
 */
static void boot_failed(int error, int errors)
{
	char words[2048];
	bool first = !boot.announced;
	ssize_t length = 0;
	if ((first || ++boot.lost == MOST_LOST) && errors >= 0)
		length = read(errors, words, sizeof words);
	drop_next();
	if (boot.lost == MOST_LOST)
		die("the interpreter booted ahead is gone: %.*s", (int)(length > 0 ? length : 0), words);
	if (boot.state != RETIRED)
		set_state(first ? NONE : RETIRED);
	if (first && length > 0)
		send_refused(0, IT_WHY_PROGRAM, error, words, (size_t)length);
	else if (first)
		send_refused(0, IT_WHY_PROGRAM, error, boot.argv[0], strlen(boot.argv[0]));
	boot.announced = true;
}

/* Boot the next one at once, unless that would disturb a program, or nobody would use it. */
static void replace(void)
{
	if (!run_active() && !run_was_last())
		boot_ahead();
}

static void announce(void)
{
	if (boot.announced)
		return;
	boot.announced = true;
	sockets_booted();
	send_frame(IT_READY, note.bytes, note.length);
}

static char **copy_strings(struct cursor *payload, uint16_t count)
{
	char **strings = calloc((size_t)count + 1, sizeof *strings);
	for (uint16_t i = 0; strings && i < count; i++) {
		struct text text = take_text(payload);
		if (!(strings[i] = strndup(text.at, text.length)))
			die("out of memory");
	}
	if (!strings)
		die("out of memory");
	return strings;
}

void boot_configure(struct cursor *payload)
{
	boot.mode = take_u8(payload);
	uint8_t zero = take_u8(payload);
	uint16_t argc = take_u16(payload), envc = take_u16(payload);
	boot.uid = take_u32(payload);
	if (boot.uid < FIRST_UID || boot.uid > LAST_UID)
		die("protocol: a boot for the uid %u", boot.uid);
	if (boot.mode > IT_BOOT_SINGLE || zero || (boot.mode != IT_BOOT_NONE && argc == 0))
		die("protocol: a boot of mode %u with %u arguments", boot.mode, argc);
	boot.argv = copy_strings(payload, argc);
	boot.envp = copy_strings(payload, envc);
	take_end(payload);
}

/* The zygote's variables, and outside of a box the filter for those of its children that enter one. */
static char **zygote_variables(void)
{
	size_t count = 0, size;
	const uint8_t *filter = filter_of_boxes(&size);
	if (!box_asked() || box_inside())
		return boot.envp;
	while (boot.envp[count])
		count++;
	char **variables = calloc(count + 2, sizeof *variables), *more = malloc(sizeof BOX_VARIABLE + 2 * size), *at = more;
	if (!variables || !more)
		die("out of memory");
	at += sprintf(at, BOX_VARIABLE);
	for (size_t i = 0; i < size; i++)
		at += sprintf(at, "%02x", filter[i]);
	memcpy(variables, boot.envp, count * sizeof *variables);
	variables[count] = more;
	return variables;
}

/* Returns 0, or the errno with which it could not be started. */
static int start_zygote(void)
{
	int control[2] = {-1, -1}, words[2] = {-1, -1}, null = -1, error = 0;
	uint32_t why;
	close_fd(&zygote.errors);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) == 0 && pipe2(words, O_CLOEXEC | O_NONBLOCK) == 0 &&
	    (null = open("/dev/null", O_RDWR | O_CLOEXEC)) >= 0) {
		struct program program = {.directory = "/", .argv = boot.argv, .envp = zygote_variables(), .channel = control[1]};
		memcpy(program.stdio, (int[3]){null, null, words[1]}, sizeof program.stdio);
		zygote.pid = spawn(&program, &why);
		error = zygote.pid < 0 ? errno : 0;
	} else {
		error = errno;
	}
	close_fd(&control[1]);
	close_fd(&words[1]);
	close_fd(&null);
	zygote.control = control[0];
	zygote.errors = words[0];
	if (error) {
		zygote.pid = 0;
		close_fd(&zygote.control);
	}
	return error;
}

/* Makes the pipes and the hand-over of the next interpreter; theirs[3] is its end of that. */
static bool open_next(int theirs[4])
{
	int channel[2];
	if (open_pipes(&next.pipes, theirs) < 0)
		return false;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel) < 0) {
		int error = errno;
		for (int i = 0; i < 3; i++)
			close(theirs[i]);
		errno = error;
		return false;
	}
	next.hand_over = channel[0];
	theirs[3] = channel[1];
	return true;
}

/* A zygote that is not our child is outside of the box, and its children enter it. */
static void ask_for_child(void)
{
	int theirs[7];
	size_t entrances = 0;
	const int *entrance = box_entrance(&entrances);
	bool enters = box_inside() && !zygote.pid;
	if (!open_next(theirs)) {
		boot_failed(errno, -1);
		return;
	}
	if (enters)
		memcpy(theirs + 4, entrance, entrances * sizeof *theirs);
	size_t size = (4 + (enters ? entrances : 0)) * sizeof *theirs;
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof theirs)];
	} control = {0};
	struct iovec iov = {.iov_base = "f", .iov_len = 1};
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = (socklen_t)CMSG_SPACE(size)};
	control.header = (struct cmsghdr){.cmsg_len = (socklen_t)CMSG_LEN(size), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
	memcpy(CMSG_DATA(&control.header), theirs, size);
	(void)!sendmsg(zygote.control, &message, MSG_NOSIGNAL); /* it fails when the zygote is dead, and the loop notices that */
	for (int i = 0; i < 4; i++)
		close(theirs[i]);
}

static void start_single(void)
{
	int theirs[4];
	uint32_t why;
	if (!open_next(theirs)) {
		boot_failed(errno, -1);
		return;
	}
	struct program program = {.uid = boot.uid, .directory = "/", .argv = boot.argv, .envp = boot.envp, .channel = theirs[3]};
	memcpy(program.stdio, theirs, sizeof program.stdio);
	pid_t pid = spawn(&program, &why);
	int error = errno;
	for (int i = 0; i < 4; i++)
		close(theirs[i]);
	if (pid < 0)
		boot_failed(error, -1);
	else
		next.pid = pid;
}

void boot_now(void)
{
	int error;
	if (boot.state != RETIRED)
		return;
	set_state(BOOTING);
	if (boot.mode == IT_BOOT_SINGLE)
		start_single();
	else if (zygote.control >= 0)
		ask_for_child();
	else if ((error = start_zygote())) /* its 'r' asks for the first child */
		boot_failed(error, -1);
}

void boot_zygote(void)
{
	close_fd(&zygote.control);
	if (boot.mode == IT_BOOT_FORK)
		start_zygote(); /* if that failed, a supervisor tries it again, and tells the client */
}

void boot_begin(void)
{
	zygote.pid = 0;
	if (boot.mode == IT_BOOT_NONE) {
		announce();
	} else {
		set_state(RETIRED);
		if (zygote.control >= 0)
			set_state(BOOTING);
		else
			boot_ahead();
	}
	files_home(boot.uid);
}

/* What the zygote says of the box before comes ahead of what it says of a child for this one, and is of no run. */
void boot_take_over(void)
{
	boot.announced = true;
	zygote.pid = 0;
	if (box_has_no_entry())
		close_fd(&zygote.control);
	if (boot.mode != IT_BOOT_NONE)
		set_state(RETIRED);
	if (zygote.control >= 0 && box_zygote() == ZYGOTE_BOOTS)
		set_state(BOOTING); /* its 'r' asks for the first child */
}

/* A side run could reach a parked process of its own user. So such a process is then booted only for a start that waits. */
void boot_ahead(void)
{
	if (boot.mode != IT_BOOT_SINGLE || !run_sides())
		boot_now();
}

void boot_for(uint32_t next_uid)
{
	boot.uid = next_uid;
	boot_ahead();
	files_home(next_uid);
}

/* A process that is the user's from the start has no mark, and cannot take one later. */
bool boot_serves(uint32_t wanted_uid, bool side)
{
	return boot.mode == IT_BOOT_FORK || (boot.mode == IT_BOOT_SINGLE && boot.uid == wanted_uid && !side);
}

void boot_retire(void)
{
	if (boot.mode != IT_BOOT_SINGLE || boot.state == NONE || boot.state == RETIRED)
		return;
	kill(next.pid, SIGKILL);
	while (waitpid(next.pid, NULL, 0) < 0 && errno == EINTR)
		;
	drop_next();
	set_state(RETIRED);
}

int boot_fds(struct pollfd *fds)
{
	if (zygote.control >= 0)
		*fds = (struct pollfd){.fd = zygote.control, .events = POLLIN};
	else if (boot.state == BOOTING && next.hand_over >= 0)
		*fds = (struct pollfd){.fd = next.hand_over, .events = POLLIN};
	else
		return 0;
	return 1;
}

static void park(pid_t pid)
{
	next.pid = pid;
	set_state(PARKED);
	announce();
}

/*
 * Its children, which may run programs, become ours: the kernel tells us of their ends. Those of a zygote outside of the
 * box become nobody's here, so they end with it.
 */
static void zygote_gone(int error)
{
	bool was_outside = box_inside() && !zygote.pid;
	if (was_outside)
		box_note_zygote(ZYGOTE_GONE);
	close_fd(&zygote.control);
	zygote.pid = 0;
	boot_failed(error, zygote.errors);
	run_orphaned(was_outside);
	replace();
}

/* False when there was nothing to read. */
static bool zygote_event(void)
{
	uint8_t packet[1 + sizeof note.bytes];
	ssize_t length = recv(zygote.control, packet, sizeof packet, MSG_DONTWAIT);
	if (length < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (length >= 1 && packet[0] == 'r' && boot.state == BOOTING) {
		if (box_inside() && !zygote.pid)
			box_note_zygote(ZYGOTE_READY);
		note.length = (size_t)length - 1;
		memcpy(note.bytes, packet + 1, note.length);
		ask_for_child();
	} else if (length == 1 && packet[0] == 'n' && boot.state == BOOTING && box_inside() && !zygote.pid) {
		box_note_no_entry();
		close_fd(&zygote.control); /* which ends it */
		int error = start_zygote();
		if (error)
			boot_failed(error, -1);
	} else if (length == 5 && packet[0] == 'p' && boot.state == BOOTING) {
		int32_t pid;
		memcpy(&pid, packet + 1, sizeof pid);
		park(pid);
	} else if (length == 25 && packet[0] == 's') {
		int32_t pid, status;
		uint64_t cpu_us, peak_kib;
		memcpy(&pid, packet + 1, sizeof pid);
		memcpy(&status, packet + 5, sizeof status);
		memcpy(&cpu_us, packet + 9, sizeof cpu_us);
		memcpy(&peak_kib, packet + 17, sizeof peak_kib);
		if (boot.state == PARKED && pid == next.pid) {
			boot_failed(0, zygote.errors);
			replace();
		} else {
			run_exited(pid, status, cpu_us, peak_kib);
		}
	} else if (length == 5 && packet[0] == 'e' && boot.state == BOOTING) {
		int32_t error;
		memcpy(&error, packet + 1, sizeof error);
		boot_failed(error, zygote.errors); /* the next start tries it again */
	} else {
		zygote_gone(length < 0 ? errno : 0);
	}
	return true;
}

void boot_event(void)
{
	char word;
	if (zygote.control >= 0) {
		zygote_event();
		return;
	}
	if (boot.state != BOOTING || next.hand_over < 0)
		return; /* its end was noticed first */
	ssize_t length = recv(next.hand_over, &word, 1, MSG_DONTWAIT);
	if (length < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (length == 1 && word == 'r') {
		park(next.pid);
	} else {
		close_fd(&next.hand_over);
		kill(next.pid, SIGKILL); /* and the kernel tells us of its end */
	}
}

/* A socket takes far more than a frame's payload before it would block. False: nobody is there to take it. */
static bool hand(const char *at, size_t length)
{
	while (length > 0) {
		ssize_t done = send(next.hand_over, at, length, MSG_NOSIGNAL);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return false;
		at += done;
		length -= (size_t)done;
	}
	return true;
}

/* A run begins with the last byte. An interpreter that dies before that has not begun; one that dies then is told as killed. */
pid_t boot_hand_over(const char *message, size_t length, struct pipes *pipes, void (*begins)(void))
{
	size_t last = begins ? 1 : 0;
	pid_t pid = next.pid;
	if (boot.state != PARKED)
		return -1;
	if (boot.mode == IT_BOOT_FORK)
		prefer_for_oom(pid, OOM_FIRST); /* not before: it must outlive a program that runs beside it */
	if (!hand(message, length - last))
		return -1;
	if (begins) {
		begins();
		hand(message + length - last, last);
	}
	*pipes = next.pipes;
	next.pipes = (struct pipes){-1, -1, -1};
	drop_next();
	set_state(RETIRED);
	boot.lost = 0;
	return pid;
}

bool boot_reaped(pid_t pid)
{
	if (pid == zygote.pid && pid != 0) {
		while (zygote.control >= 0 && zygote_event()) /* it may have told of its child's end before its own */
			;
		if (zygote.control >= 0) /* the child still holds the other end */
			zygote_gone(0);
		return true;
	}
	if (boot.mode == IT_BOOT_SINGLE && pid == next.pid && pid != 0) {
		close_fd(&next.hand_over);
		boot_failed(0, next.pipes.err);
		replace();
		return true;
	}
	return false;
}
