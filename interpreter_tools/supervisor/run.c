/*
 * One run: from IT_START to IT_EXIT.
 *
 * RUNNING; then, when the program itself has ended, ENDING, in which everything it left is killed; DRAINING, in which what it
 * wrote is passed on; and back to NONE with IT_EXIT.
 */
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define KILL_GRACE_US 2000000 /* for what was killed to be gone */
#define KILL_RETRY_US 2000
#define MOST_FRAMES 8 /* of output, before the client and the clock have their turn again */

/*
 * What comes first is passed on at once. What follows within this time is passed on together, unless it is much: every piece costs the Docker
 * engine and the client as much as a large one.
 */
#define GATHER_US 250

enum phase { NONE, RUNNING, ENDING, DRAINING };

static struct {
	enum phase phase;
	uint32_t uid, outcome, flags;
	pid_t pid;
	bool exited, last, gathers;
	int status;
	struct pipes pipes;
	uint64_t limit, sent;            /* bytes of output; limit 0: none */
	uint32_t reset_ms, next_uid;     /* of the reset that follows; 0: none */
	uint64_t started_us, ended_us, deadline_us, kill_deadline_us;
	uint64_t gather_us;              /* until when output is left in its pipe, to be passed on together */
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
	char *directory, *argv[MAX_STRINGS + 1], *envp[MAX_STRINGS + 1];
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
	if (start->uid < FIRST_UID || start->uid > LAST_UID || (start->flags & ~(IT_FLAG_STDIN | IT_FLAG_BOOTED | IT_FLAG_LAST)))
		die("protocol: a start as uid %u with flags %u", start->uid, start->flags);
	if (start->reset_ms && !(start->flags & IT_FLAG_LAST))
		die("protocol: a start with a reset that is not the last");
	if (start->argc == 0 || start->argc > MAX_STRINGS || start->envc > MAX_STRINGS)
		die("protocol: a start with %u arguments and %u variables", start->argc, start->envc);
	for (uint16_t i = 0; i < start->argc; i++)
		start->argv[i] = copy_text(payload, &space);
	for (uint16_t i = 0; i < start->envc; i++)
		start->envp[i] = copy_text(payload, &space);
	start->argv[start->argc] = start->envp[start->envc] = NULL;
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

static void start_booted(const struct start *start)
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
	uint32_t head[2] = {(uint32_t)(at - 4), start->uid};
	memcpy(message, head, sizeof head);
	run.pid = parked.pid;
	run.pipes = parked.pipes;
	parked.pipes = (struct pipes){-1, -1, -1};
	if (!boot_hand_over(message, at))
		die("the interpreter booted ahead is gone");
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
		.uid = start->uid, .directory = start->directory, .argv = (char **)start->argv, .envp = (char **)start->envp, .channel = -1};
	memcpy(program.stdio, theirs, sizeof theirs);
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

void run_start(struct cursor *payload)
{
	static struct start start;
	static char space[IT_MAX_PAYLOAD + 2 * MAX_STRINGS];
	parse(payload, &start, space);
	bool booted = start.flags & IT_FLAG_BOOTED;
	if (booted && !boot_serves(start.uid))
		die("protocol: a start as uid %u for an interpreter that was not booted for it", start.uid);
	if (store_refuse() || files_refuse() || directory_refused(&start)) {
		store_unlink();
		return;
	}
	store_link(start.uid);
	files_home(start.uid);
	changes_mark();
	filter_forget();
	run.before = cgroup_read();
	run.uid = start.uid;
	run.started_us = now_us();
	if (booted)
		start_booted(&start);
	else if (!start_exec(&start)) {
		store_unlink();
		return;
	}
	run.deadline_us = start.timeout_ms ? run.started_us + start.timeout_ms * 1000ull : 0;
	run.limit = start.limit;
	run.outcome = IT_EXITED;
	run.sent = run.cpu_us = run.peak_bytes = run.kill_deadline_us = run.gather_us = 0;
	run.flags = 0;
	run.exited = false;
	run.last = start.flags & IT_FLAG_LAST;
	run.reset_ms = start.reset_ms;
	run.next_uid = start.next_uid;
	run.phase = RUNNING;
	feed_begin(start.flags & IT_FLAG_STDIN, &run.pipes.in);
	messages_begin(run.uid);
	fcntl(run.pipes.out, F_SETPIPE_SZ, 262144); /* room for a program that ends before its reader has read; the kernel may decline */
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
		run.gather_us = got < MUCH ? now_us() + GATHER_US : 0;
		wire_flush();
	} else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
		close_fd(fd);
	}
	return got >= MUCH;
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
	store_unlink();
	changes_send();
	send_frame(IT_EXIT, &end, sizeof end);
	close_pipes(&run.pipes);
	messages_end();
	run.phase = NONE;
	if (run.reset_ms)
		reset_when_told();
	else if (!run.last)
		boot_ahead();
}

static void advance(void)
{
	if (run.phase == ENDING) {
		reap(); /* orphans that were killed are ours to bury */
		bool left = processes_left();
		if (left && now_us() < run.kill_deadline_us) {
			kill_user(run.uid);
			return;
		}
		if (left)
			run.flags |= IT_EXIT_UNCLEAN;
		close_fd(&run.pipes.in);
		run.phase = DRAINING;
	}
	/* Every writer is dead, so both pipes end; after an unclean end they might not, and what is there is all there will be. */
	bool drained = (run.pipes.out < 0 && run.pipes.err < 0) || (run.flags & IT_EXIT_UNCLEAN);
	if (run.phase == DRAINING && drained && !messages_pass(&run.pipes))
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

void run_reaped(pid_t pid, int status, const struct rusage *usage)
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
	if (!gathering_us()) {
		forward_some(IT_STDOUT, &run.pipes.out);
		forward_some(IT_STDERR, &run.pipes.err);
	}
	messages_pass(&run.pipes);
	if (!wire_pending())
		feed_credit();
	advance();
}

static int64_t due_us(void)
{
	if (run.phase == ENDING)
		return KILL_RETRY_US;
	if (run.phase == RUNNING && feed_waits() && run.pipes.in < 0)
		return 0; /* stdin that nobody reads any more is dropped now: there is no pipe whose event would tell us to */
	if (run.phase != RUNNING || !run.deadline_us)
		return -1;
	uint64_t now = now_us();
	if (run.outcome != IT_EXITED)
		return KILL_RETRY_US; /* killed, but not yet gone */
	return now >= run.deadline_us ? 0 : (int64_t)(run.deadline_us - now);
}

/*
 * Nothing watches the output while it is gathered, so that time must end the wait: also when it is over by now. And nothing watches a message that
 * waited for the output before it, which has been written since.
 */
int64_t run_timeout_us(void)
{
	if (messages_ready(&run.pipes))
		return 0;
	return sooner(due_us(), run.gathers ? (int64_t)gathering_us() : -1);
}
