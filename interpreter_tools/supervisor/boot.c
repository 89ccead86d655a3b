/*
 * The interpreter booted ahead of need.
 *
 * IT_BOOT_FORK: a zygote, root without powers, never runs user code; at our word it forks a child that waits (parked) for one hand-over, and
 * as its parent it tells how the child ended.
 * The child is still root's, out of every program's reach, and switches to the run's user when it is handed the run.
 *
 * IT_BOOT_SINGLE: the parked process is our own child, booted for one run and as that run's user, as a process with threads switches
 * slowly. So it must not live beside another program of that user: such a program retires it first.
 */
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST_LOST 3

struct parked parked = {.pipes = {-1, -1, -1}, .hand_over = -1};

static uint8_t mode;
static char **argv, **envp;
static uint32_t uid; /* of the next run */
static struct {
	uint8_t bytes[1024];
	size_t length;
} note; /* what the interpreter says of itself when it is ready */
static bool announced; /* the client has had its answer to IT_BOOT */
static unsigned lost;  /* children in a row that died before they were handed a run */

static struct {
	pid_t pid;
	int control, errors; /* its packets; its stderr, read when it fails */
	bool idle;           /* it waits for a command */
} zygote = {.control = -1, .errors = -1};

pid_t boot_zygote(void)
{
	return zygote.pid;
}

bool boot_pending(void)
{
	return mode != IT_BOOT_NONE && !parked.ready;
}

/* The last words of a boot that failed reach the client; after that the container is of no use. */
static void boot_failed(int error, int errors)
{
	char words[2048];
	ssize_t length = errors < 0 ? 0 : read(errors, words, sizeof words);
	if (announced)
		die("the interpreter booted ahead is gone: %.*s", (int)(length > 0 ? length : 0), words);
	if (length > 0)
		send_refused(IT_WHY_PROGRAM, error, words, (size_t)length);
	else
		send_refused(IT_WHY_PROGRAM, error, argv[0], strlen(argv[0]));
	announced = true;
	mode = IT_BOOT_NONE;
}

size_t boot_sockets(void)
{
	return parked.hand_over >= 0 ? 2 : 0;
}

static void announce(void)
{
	if (announced)
		return;
	announced = true;
	wipe_booted();
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
	mode = take_u8(payload);
	uint8_t zero = take_u8(payload);
	uint16_t argc = take_u16(payload), envc = take_u16(payload);
	uid = take_u32(payload);
	if (uid < FIRST_UID || uid > LAST_UID)
		die("protocol: a boot for the uid %u", uid);
	if (mode > IT_BOOT_SINGLE || zero || (mode != IT_BOOT_NONE && argc == 0))
		die("protocol: a boot of mode %u with %u arguments", mode, argc);
	argv = copy_strings(payload, argc);
	envp = copy_strings(payload, envc);
	take_end(payload);
	if (mode == IT_BOOT_NONE)
		announce();
	else
		boot_ahead();
	files_home(uid);
}

static void start_zygote(void)
{
	int control[2], words[2] = {-1, -1}, null = -1;
	uint32_t why;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) < 0 || pipe2(words, O_CLOEXEC | O_NONBLOCK) < 0 ||
	    (null = open("/dev/null", O_RDWR | O_CLOEXEC)) < 0)
		die("cannot boot an interpreter: %s", strerror(errno));
	struct program program = {.directory = "/", .argv = argv, .envp = envp, .stdio = {null, null, words[1]}, .channel = control[1]};
	zygote.pid = spawn(&program, &why);
	int error = errno;
	close(control[1]);
	close(words[1]);
	close(null);
	zygote.control = control[0];
	zygote.errors = words[0];
	if (zygote.pid < 0) {
		zygote.pid = 0;
		close_fd(&zygote.control);
		boot_failed(error, -1);
	}
}

static void ask_for_child(void)
{
	int theirs[4], channel[2];
	if (open_pipes(&parked.pipes, theirs) < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel) < 0)
		die("cannot park an interpreter: %s", strerror(errno));
	theirs[3] = channel[1];
	parked.hand_over = channel[0];
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof theirs)];
	} control = {0};
	struct iovec iov = {.iov_base = "f", .iov_len = 1};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control.space};
	control.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof theirs), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
	memcpy(CMSG_DATA(&control.header), theirs, sizeof theirs);
	if (sendmsg(zygote.control, &message, MSG_NOSIGNAL) < 0)
		boot_failed(errno, zygote.errors);
	zygote.idle = false;
	for (int i = 0; i < 4; i++)
		close(theirs[i]);
}

static void start_single(void)
{
	int theirs[3], channel[2];
	uint32_t why;
	if (open_pipes(&parked.pipes, theirs) < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel) < 0)
		die("cannot park an interpreter: %s", strerror(errno));
	struct program program = {.uid = uid, .directory = "/", .argv = argv, .envp = envp, .channel = channel[1]};
	memcpy(program.stdio, theirs, sizeof theirs);
	parked.pid = spawn(&program, &why);
	int error = errno;
	for (int i = 0; i < 3; i++)
		close(theirs[i]);
	close(channel[1]);
	parked.hand_over = channel[0];
	if (parked.pid < 0) {
		parked.pid = 0;
		close_fd(&parked.hand_over);
		boot_failed(error, -1);
	}
}

void boot_ahead(void)
{
	if (mode == IT_BOOT_NONE || parked.hand_over >= 0)
		return;
	if (mode == IT_BOOT_SINGLE)
		start_single();
	else if (zygote.control < 0)
		start_zygote(); /* its 'r' asks for the first child */
	else if (zygote.idle)
		ask_for_child();
}

void boot_for(uint32_t next_uid)
{
	uid = next_uid;
	boot_ahead();
	files_home(uid);
}

bool boot_serves(uint32_t wanted_uid)
{
	return mode == IT_BOOT_FORK || (mode == IT_BOOT_SINGLE && uid == wanted_uid);
}

void boot_retire(void)
{
	if (mode != IT_BOOT_SINGLE || parked.hand_over < 0)
		return;
	kill(parked.pid, SIGKILL);
	while (waitpid(parked.pid, NULL, 0) < 0 && errno == EINTR)
		;
	close_fd(&parked.hand_over);
	close_pipes(&parked.pipes);
	parked.pid = 0;
	parked.ready = false;
}

int boot_fds(struct pollfd *fds)
{
	if (zygote.control >= 0)
		*fds = (struct pollfd){.fd = zygote.control, .events = POLLIN};
	else if (parked.hand_over >= 0 && !parked.ready)
		*fds = (struct pollfd){.fd = parked.hand_over, .events = POLLIN};
	else
		return 0;
	return 1;
}

static void park(pid_t pid)
{
	parked.pid = pid;
	parked.ready = true;
	announce();
}

/* The child died before it was handed anything: memory was short, perhaps, while a program ran beside it. The next is forked when it is needed. */
static void lose_child(void)
{
	if (++lost == MOST_LOST)
		boot_failed(0, zygote.errors);
	close_fd(&parked.hand_over);
	close_pipes(&parked.pipes);
	parked.pid = 0;
	parked.ready = false;
	if (!run_active() && !run_was_last())
		boot_ahead();
}

static void zygote_event(void)
{
	uint8_t packet[1 + sizeof note.bytes];
	ssize_t length = recv(zygote.control, packet, sizeof packet, MSG_DONTWAIT);
	if (length < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (length >= 1 && packet[0] == 'r') {
		note.length = (size_t)length - 1;
		memcpy(note.bytes, packet + 1, note.length);
		zygote.idle = true;
		boot_ahead();
	} else if (length == 5 && packet[0] == 'p') {
		int32_t pid;
		memcpy(&pid, packet + 1, sizeof pid);
		park(pid);
	} else if (length == 21 && packet[0] == 's') {
		int32_t status;
		uint64_t cpu_us, peak_kib;
		memcpy(&status, packet + 1, sizeof status);
		memcpy(&cpu_us, packet + 5, sizeof cpu_us);
		memcpy(&peak_kib, packet + 13, sizeof peak_kib);
		zygote.idle = true;
		if (parked.ready)
			lose_child();
		else
			run_exited(status, cpu_us, peak_kib);
	} else if (length == 5 && packet[0] == 'e') {
		int32_t error;
		memcpy(&error, packet + 1, sizeof error);
		die("the booted interpreter could not fork: %s", strerror(error));
	} else {
		close_fd(&zygote.control);
		zygote.pid = 0;
		boot_failed(length < 0 ? errno : 0, zygote.errors);
	}
}

void boot_event(void)
{
	char word;
	if (zygote.control >= 0) {
		zygote_event();
		return;
	}
	if (parked.hand_over < 0)
		return; /* its end was noticed first */
	ssize_t length = recv(parked.hand_over, &word, 1, MSG_DONTWAIT);
	if (length < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (length == 1 && word == 'r') {
		park(parked.pid);
		return;
	}
	close_fd(&parked.hand_over);
	boot_failed(0, parked.pipes.err);
}

bool boot_hand_over(const void *message, size_t length)
{
	const char *at = message;
	if (zygote.pid)
		prefer_for_oom(parked.pid); /* not before: it must outlive a program that runs beside it */
	while (length > 0) { /* a socket takes far more than a frame's payload before it would block */
		ssize_t done = send(parked.hand_over, at, length, MSG_NOSIGNAL);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			break;
		at += done;
		length -= (size_t)done;
	}
	close_fd(&parked.hand_over);
	parked.ready = false;
	parked.pid = 0;
	lost = 0;
	return length == 0;
}

bool boot_reaped(pid_t pid)
{
	if (pid == zygote.pid && pid != 0) {
		close_fd(&zygote.control);
		zygote.pid = 0;
		boot_failed(0, zygote.errors);
		return true;
	}
	if (parked.hand_over >= 0 && pid == parked.pid && mode == IT_BOOT_SINGLE) {
		close_fd(&parked.hand_over);
		boot_failed(0, parked.pipes.err);
		return true;
	}
	return false;
}
