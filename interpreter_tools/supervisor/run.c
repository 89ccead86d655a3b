/*
 * The runs: from IT_START to IT_EXIT. The main run is the first of the table, behind it are the side runs.
 *
 * A run is RUNNING; then, when the program itself has ended, ENDING, in which everything it left is killed; DRAINING, in which
 * what it wrote is passed on; LISTING, in which the files that it changed are told (of the main run only); and back to NONE
 * with IT_EXIT.
 *
 * ENDING and DRAINING have a deadline, and so has the death of a program that was killed. When it is over, the end is told
 * as unclean.
 *
 * The main run has no mark: its processes are those of no side run. So while no side run lives it ends with all processes of
 * its user, which one call of the kernel kills. Else they are looked for: members.c.
 */
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define KILL_GRACE_US 2000000  /* for what was killed to be gone */
#define DRAIN_GRACE_US 2000000 /* for a pipe to end that nothing comes from, when every process is dead */
#define RETRY_US 2000          /* between two looks at what must go away by itself */
#define MOST_FRAMES 8          /* of output, before the client and the clock have their turn again */
#define MOST_SPARED 64
#define OOM_LEADER 500 /* of 1000: behind the copies of it that are parked, when memory is short */
#define MARKS (IT_MARK_LAST - IT_MARK_FIRST + 1)

/*
 * What comes first is passed on at once. What follows within this time is passed on together, unless it is much:
 * every piece costs the Docker engine and the client as much as a large one.
 */
#define GATHER_US 250

enum phase { NONE, RUNNING, ENDING, DRAINING, LISTING };

struct run {
	enum phase phase;
	uint16_t number;                 /* 0: the main run */
	uint32_t uid, outcome, flags;
	uint32_t mark;                   /* the group of its processes; 0: they have none */
	pid_t pid, group;                /* the program; the group of processes that it began in */
	pid_t spared[MOST_SPARED];       /* processes that outlive the program, which can take its place */
	size_t spared_count;
	bool fell;                       /* the program has ended, and nothing has taken its place yet; to be told, or told */
	bool fall_told;
	bool exited, last, lists, gathers;
	bool alone;                      /* when it ended, nothing that it could have left was there */
	bool beside;                     /* other runs were there, so the container's counters do not speak of it */
	bool ready, writes;              /* something is to be read from it; from its pipes */
	bool err_first;                  /* stderr's turn: the last one was stdout's, and took all the room */
	int status;
	struct pipes pipes;
	struct feed feed;
	struct talk talk;
	int64_t room;                    /* bytes that the client takes; of the main run, all that there are */
	uint64_t limit, sent;            /* bytes of output; limit 0: none */
	uint32_t reset_ms, next_uid;     /* of the reset that follows; 0: none */
	uint64_t started_us, ended_us, deadline_us, kill_deadline_us, drain_deadline_us;
	uint64_t gather_us;              /* until when output is left in its pipe, to be passed on together */
	uint64_t retry_us;               /* when DRAINING looks again */
	uint64_t cpu_us, peak_bytes;     /* what wait4 told, where the control group does not */
	struct usage before;
};

static struct run runs[1 + IT_MAX_SIDE];
static struct run *const main_run = &runs[0];
static size_t side_count, used = 1; /* side runs that live; places of the table that are, or were, in use */
static size_t turn;                 /* the place whose output is looked at first */
static uint32_t last_mark;

#define EACH(place) struct run *place = runs; place < runs + used; place++

static void set_phase(struct run *run, enum phase phase)
{
	static const char *const names[] = {"NONE", "RUNNING", "ENDING", "DRAINING", "LISTING"};
	static const unsigned after[] = {
		[NONE] = 1u << RUNNING,
		[RUNNING] = 1u << ENDING | 1u << NONE, /* a reset forgets side runs, however far they are */
		[ENDING] = 1u << DRAINING | 1u << NONE,
		[DRAINING] = 1u << LISTING | 1u << NONE,
		[LISTING] = 1u << NONE,
	};
	if (!(after[run->phase] & 1u << phase))
		die("the run %u was %s and cannot be %s", run->number, names[run->phase], names[phase]);
	run->phase = phase;
}

bool run_active(void)
{
	return main_run->phase != NONE;
}

bool run_sides(void)
{
	return side_count > 0;
}

void run_forget(void)
{
	main_run->last = false;
}

bool run_was_last(void)
{
	return main_run->last;
}

static struct run *run_of(uint16_t number)
{
	if (!number)
		return run_active() ? main_run : NULL;
	for (EACH(run))
		if (run->number == number && run->phase != NONE)
			return run;
	return NULL;
}

bool run_marked(uint32_t group)
{
	for (struct run *run = runs + 1; run < runs + used; run++)
		if (run->phase != NONE && run->mark == group)
			return true;
	return false;
}

struct talk *run_of_peer(uint32_t uid, const uint32_t *groups, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		for (struct run *run = runs + 1; run < runs + used; run++)
			if (run->phase != NONE && run->mark == groups[i])
				return &run->talk;
		if (groups[i] >= IT_MARK_FIRST && groups[i] <= IT_MARK_LAST)
			return NULL; /* its run has ended */
	}
	return run_active() && main_run->uid == uid ? &main_run->talk : NULL;
}

/* Not the one of a moment ago: a process of it may not be gone yet. */
static uint32_t take_mark(void)
{
	do {
		last_mark = last_mark % MARKS + 1;
	} while (run_marked(IT_MARK_FIRST - 1 + last_mark));
	return IT_MARK_FIRST - 1 + last_mark;
}

/* ---- start ---- */

struct start {
	uint32_t uid, flags, timeout_ms, reset_ms, next_uid;
	uint64_t limit;
	bool ahead; /* what was sent before it is for it */
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
static void parse(uint16_t number, struct cursor *payload, struct start *start, char *space)
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
	if (start->uid < FIRST_UID || start->uid > LAST_UID || (start->flags & ~known) ||
	    (start->uid >= IT_MARK_FIRST && start->uid <= IT_MARK_LAST))
		die("protocol: a start as uid %u with flags %u", start->uid, start->flags);
	if (number && ((start->flags & (IT_FLAG_LAST | IT_FLAG_LIST)) || start->reset_ms))
		die("protocol: a start of a side run with flags %u", start->flags);
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

static bool directory_refused(uint16_t number, const struct start *start)
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
		send_refused(number, IT_WHY_CWD, error, start->directory, strlen(start->directory));
	return error != 0;
}

static size_t append(char *to, size_t at, const char *text)
{
	size_t length = strlen(text) + 1;
	memcpy(to + at, text, length);
	return at + length;
}

/* The program shall not see what its files have replaced; nor shall that be gone when it does not start. */
static void (*begins(const struct start *start))(void)
{
	return start->ahead && files_replace() ? files_keep : NULL;
}

/* False: refused, as the interpreter could not be booted, or died just now. */
static bool start_booted(struct run *run, const struct start *start)
{
	static char message[IT_MAX_PAYLOAD + 64];
	char count[16];
	size_t at = 12;
	snprintf(count, sizeof count, "%u", start->argc);
	at = append(message, at, start->directory);
	at = append(message, at, count);
	for (uint16_t i = 0; i < start->argc; i++)
		at = append(message, at, start->argv[i]);
	for (uint16_t i = 0; i < start->envc; i++)
		at = append(message, at, start->envp[i]);
	uint32_t merged = start->flags & IT_FLAG_MERGED ? IT_HAND_OVER_MERGED : 0;
	uint32_t head[3] = {(uint32_t)(at - 4), start->uid | merged, run->mark};
	memcpy(message, head, sizeof head);
	run->pid = boot_hand_over(message, at, &run->pipes, begins(start));
	if (run->pid < 0)
		send_refused(run->number, IT_WHY_RESOURCE, EAGAIN, start->argv[0], strlen(start->argv[0]));
	return run->pid >= 0;
}

static bool start_exec(struct run *run, const struct start *start)
{
	int theirs[3];
	uint32_t why = IT_WHY_RESOURCE;
	boot_retire();
	if (open_pipes(&run->pipes, theirs) < 0) {
		send_refused(run->number, why, errno, start->argv[0], strlen(start->argv[0]));
		return false;
	}
	struct program program = {.uid = start->uid, .mark = run->mark, .directory = start->directory, .argv = start->argv,
				  .envp = start->envp, .channel = -1, .begins = begins(start)};
	memcpy(program.stdio, theirs, sizeof theirs);
	if (start->flags & IT_FLAG_MERGED)
		program.stdio[2] = theirs[1];
	run->pid = spawn(&program, &why);
	int error = errno;
	for (int i = 0; i < 3; i++)
		close(theirs[i]);
	if (run->pid < 0) {
		close_pipes(&run->pipes);
		send_refused(run->number, why, error, start->argv[0], strlen(start->argv[0]));
		return false;
	}
	return true;
}

/* False: refused. Else it is RUNNING. */
static bool begin(struct run *run, uint16_t number, const struct start *start)
{
	bool booted = start->flags & IT_FLAG_BOOTED;
	*run = (struct run){.number = number, .uid = start->uid, .pipes = {-1, -1, -1}, .mark = number ? take_mark() : 0};
	run->beside = run_sides() || (number && run_active());
	run->before = cgroup_read();
	run->started_us = now_us();
	if (booted ? !start_booted(run, start) : !start_exec(run, start))
		return false;
	set_phase(run, RUNNING);
	run->group = run->pid;
	run->deadline_us = start->timeout_ms ? run->started_us + start->timeout_ms * 1000ull : 0;
	run->limit = start->limit;
	run->room = number ? IT_OUTPUT_WINDOW : INT64_MAX;
	run->outcome = IT_EXITED;
	run->last = start->flags & IT_FLAG_LAST;
	run->lists = start->flags & IT_FLAG_LIST;
	run->reset_ms = start->reset_ms;
	run->next_uid = start->next_uid;
	feed_begin(&run->feed, start->flags & IT_FLAG_STDIN, &run->pipes.in);
	messages_begin(&run->talk, number, &run->room);
	fcntl(run->pipes.out, F_SETPIPE_SZ, PIPE_SIZE); /* a program may end before its output is read; the kernel may decline */
	return true;
}

/* Sends the refusal; false when there is none. */
static bool refused(uint16_t number, const struct start *start)
{
	files_closed();
	return refusal_send(number) || directory_refused(number, start);
}

/* It does not begin: its files go, and the interpreter that was retired for it comes back. */
static void undo_start(void)
{
	files_undo();
	store_unlink();
	boot_ahead();
}

static void start_main(const struct start *start)
{
	if (refused(0, start)) {
		files_undo();
		store_unlink();
		return;
	}
	store_link(start->uid);
	files_home(start->uid);
	changes_mark();
	files_name_code(start->argv);
	filter_forget();
	if (begin(main_run, 0, start))
		files_keep();
	else
		undo_start();
}

static struct run *free_place(void)
{
	for (struct run *run = runs + 1; run < runs + 1 + IT_MAX_SIDE; run++)
		if (run->phase == NONE)
			return run;
	return NULL;
}

/* Beside a main run, or the file that is just coming, there is nothing that was sent for it ahead. */
static void start_side(uint16_t number, const struct start *start)
{
	struct run *run = free_place();
	if (!run)
		send_refused(number, IT_WHY_RESOURCE, EAGAIN, start->argv[0], strlen(start->argv[0]));
	if (!run || (start->ahead ? refused(number, start) : directory_refused(number, start))) {
		if (start->ahead)
			undo_start();
		return;
	}
	if (start->ahead) {
		store_link(start->uid);
		files_home(start->uid);
	}
	if (!begin(run, number, start)) {
		if (start->ahead)
			undo_start();
		return;
	}
	side_count++;
	used = run - runs >= (ptrdiff_t)used ? (size_t)(run - runs) + 1 : used;
	main_run->beside = true;
	if (start->ahead) {
		files_keep();
		store_keep_link();
		boot_ahead();
	}
}

void run_start(uint16_t number, struct cursor *payload)
{
	static struct start start;
	static char space[IT_MAX_PAYLOAD + MAX_STRINGS + 1];
	parse(number, payload, &start, space);
	if ((start.flags & IT_FLAG_BOOTED) && !boot_serves(start.uid, number))
		die("protocol: a start as uid %u for an interpreter that was not booted for it", start.uid);
	start.ahead = !number || (!run_active() && !files_put_open());
	if (number && run_of(number))
		die("protocol: a second run %u", number);
	if (number)
		start_side(number, &start);
	else
		start_main(&start);
}

/* ---- output ---- */

/* Kill what belongs to it. False when nothing was left. */
static bool kill_members(struct run *run)
{
	if (run->mark || run_sides() || boot_pending())
		return members_left(run->mark);
	return !kill_user(run->uid);
}

static void program_ended(struct run *run, int status, uint64_t cpu_us, uint64_t peak_kib);

static void end_by(struct run *run, uint32_t outcome)
{
	if (run->phase == RUNNING && run->outcome == IT_EXITED) {
		run->outcome = outcome;
		run->kill_deadline_us = now_us() + KILL_GRACE_US;
	}
	kill_members(run);
	if (run->fell && run->phase == RUNNING)
		program_ended(run, run->status, 0, 0);
	else if (!run->exited && !run->fell)
		kill(run->pid, SIGKILL); /* it may not have become that user yet */
}

/* When every process is dead, a pipe with nothing in it has ended. */
static bool close_ended(struct run *run)
{
	struct pollfd fds[2] = {{.fd = run->pipes.out, .events = POLLIN}, {.fd = run->pipes.err, .events = POLLIN}};
	poll(fds, 2, 0);
	if (fds[0].revents == POLLHUP)
		close_fd(&run->pipes.out);
	if (fds[1].revents == POLLHUP)
		close_fd(&run->pipes.err);
	return run->pipes.out < 0 && run->pipes.err < 0;
}

/* What lies beyond the limit is read and dropped, so that the end is reached. True when there is likely more. */
static bool forward(struct run *run, uint8_t type, int *fd)
{
	if (run->limit && run->sent == run->limit) {
		static uint8_t dropped[IT_MAX_PAYLOAD];
		ssize_t got = read(*fd, dropped, sizeof dropped);
		if (got > 0) {
			messages_output(&run->talk, type == IT_STDERR, (size_t)got);
			end_by(run, IT_OUTPUT_LIMIT);
			run->outcome = run->outcome == IT_EXITED ? IT_OUTPUT_LIMIT : run->outcome;
		}
		if (got == 0)
			close_fd(fd);
		return false;
	}
	ssize_t got = wire_forward(run->number, type, *fd, run->limit ? run->limit - run->sent : IT_MAX_PAYLOAD);
	if (got > 0) {
		run->sent += (uint64_t)got;
		run->room -= got;
		messages_output(&run->talk, type == IT_STDERR, (size_t)got);
		run->drain_deadline_us = 0; /* it is not stuck */
		run->gather_us = got < BULK_BYTES ? now_us() + GATHER_US : 0;
		if (run->phase != DRAINING || !close_ended(run)) /* else its end is one piece with that */
			wire_flush();
	} else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
		close_fd(fd);
	}
	return got >= BULK_BYTES;
}

/* What is still to be gathered; nothing is when the program has ended. */
static uint64_t gathering_us(const struct run *run)
{
	uint64_t now = now_us();
	return run->phase == RUNNING && now < run->gather_us ? run->gather_us - now : 0;
}

static void forward_some(struct run *run, uint8_t type, int *fd)
{
	for (int i = 0; i < MOST_FRAMES && !wire_pending() && run->room > 0 && *fd >= 0 && forward(run, type, fd); i++)
		;
}

/* What was read first has the room; when it took all of it, the other one is read first the next time. */
static void forward_both(struct run *run)
{
	bool err_first = run->err_first;
	if (run->phase == DRAINING && close_ended(run))
		return;
	if (err_first)
		forward_some(run, IT_STDERR, &run->pipes.err);
	else
		forward_some(run, IT_STDOUT, &run->pipes.out);
	run->err_first = !err_first && wire_pending();
	if (err_first)
		forward_some(run, IT_STDOUT, &run->pipes.out);
	else
		forward_some(run, IT_STDERR, &run->pipes.err);
}

/* ---- the end ---- */

/* The reset that follows by itself: when the end is on its way, so that who waits for that does not wait for this. */
static void reset_when_told(void)
{
	uint32_t deadline_ms = main_run->reset_ms;
	if (!deadline_ms)
		return;
	wire_flush();
	if (wire_pending())
		return;
	main_run->reset_ms = 0;
	wipe_reset(deadline_ms, main_run->next_uid);
}

/* It has no place in the table any more. */
static void forget(struct run *run)
{
	messages_end(&run->talk);
	feed_end(&run->feed);
	close_pipes(&run->pipes);
	set_phase(run, NONE);
	if (run->number)
		side_count--;
	while (used > 1 && runs[used - 1].phase == NONE)
		used--;
}

static void send_exit(struct run *run)
{
	struct usage after = cgroup_read();
	int status = run->status;
	struct {
		uint32_t outcome;
		int32_t code;
		uint32_t signal, flags;
		uint64_t wall_us, cpu_us, peak_bytes;
		uint32_t oom_kills, zero;
	} end = {
		.outcome = run->outcome,
		.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1,
		.signal = WIFSIGNALED(status) ? (uint32_t)WTERMSIG(status) : 0,
		.flags = run->flags,
		.wall_us = run->ended_us - run->started_us,
		.cpu_us = after.cpu_known && !run->beside ? after.cpu_us - run->before.cpu_us : run->cpu_us,
		/* the group's peak is of its whole life: it speaks of this run only when this run raised it */
		.peak_bytes = after.peak_known && !run->beside && after.peak_bytes > run->before.peak_bytes ? after.peak_bytes
													     : run->peak_bytes,
		.oom_kills = after.oom_kills - run->before.oom_kills,
	};
	_Static_assert(sizeof end == 48, "IT_EXIT is 48 bytes");
	if (end.oom_kills && end.signal == SIGKILL)
		for (EACH(other)) /* that kill was this run's, and no other's */
			other->before.oom_kills = after.oom_kills;
	send_of(run->number, IT_EXIT, &end, sizeof end);
	forget(run);
	if (run->number)
		return;
	if (run->reset_ms)
		reset_when_told();
	else if (!run->last)
		boot_ahead();
}

/* Every process of the run is dead, or the time for that is over. */
static bool all_ended(struct run *run)
{
	run_reap(); /* orphans that were killed are ours to bury */
	if (run->alone)
		return true;
	bool looks = run->mark || run_sides() || boot_pending();
	if (looks ? !members_left(run->mark) : !processes_left())
		return true;
	if (now_us() < run->kill_deadline_us) {
		if (!looks)
			kill_user(run->uid);
		return false;
	}
	run->flags |= IT_EXIT_UNCLEAN;
	return true;
}

/*
 * Every writer is dead, so both pipes end. After an unclean end they might not, and what is there is all there will
 * be. A descriptor of a pipe may be on its way between two sockets that hold each other. It has no process, and keeps
 * the pipe open until the kernel collects it. A process of another run may hold it, too: that is no fault of this one.
 */
static bool all_drained(struct run *run)
{
	if ((run->pipes.out < 0 && run->pipes.err < 0) || (run->flags & IT_EXIT_UNCLEAN))
		return true;
	uint64_t now = now_us();
	if (wire_pending() || run->room <= 0 || !run->drain_deadline_us) {
		run->drain_deadline_us = now + DRAIN_GRACE_US;
		run->retry_us = now + RETRY_US;
	}
	if (now < run->retry_us)
		return false;
	run->retry_us = now + RETRY_US;
	sockets_collect();
	if (now < run->drain_deadline_us)
		return false;
	if (!run->beside)
		run->flags |= IT_EXIT_UNCLEAN;
	return true;
}

/* What it left is killed, and what can take its place waits for IT_LEAD. False: there is nothing that can. */
static bool falls(struct run *run, int status)
{
	bool one_lives = false;
	if (run->outcome != IT_EXITED || run->phase != RUNNING)
		return false;
	for (size_t i = 0; i < run->spared_count && !one_lives; i++)
		one_lives = members_has(run->mark, run->spared[i]);
	if (!one_lives)
		return false;
	run->pid = 0;
	run->status = status;
	run->fell = true;
	run->fall_told = false;
	members_end_others(run->mark, run->spared, run->spared_count);
	return true;
}

static bool is_empty(int fd)
{
	int bytes = 0;
	return fd < 0 || ioctl(fd, FIONREAD, &bytes) < 0 || bytes == 0;
}

/* Behind all that it wrote and said. */
static void tell_fall(struct run *run)
{
	if (!is_empty(run->pipes.out) || !is_empty(run->pipes.err) || !wire_takes_answer())
		return;
	messages_accept();
	if (messages_pass(&run->talk, &run->pipes))
		return;
	struct usage after = cgroup_read();
	uint32_t end[4] = {(uint32_t)(WIFEXITED(run->status) ? WEXITSTATUS(run->status) : -1),
			   WIFSIGNALED(run->status) ? (uint32_t)WTERMSIG(run->status) : 0, after.oom_kills - run->before.oom_kills, 0};
	send_of(run->number, IT_FALLEN, end, sizeof end);
	run->before.oom_kills = after.oom_kills;
	run->fall_told = true;
}

static void advance(struct run *run)
{
	if (run->phase == RUNNING && run->fell && !run->fall_told)
		tell_fall(run);
	if (run->phase == ENDING && all_ended(run)) {
		close_fd(&run->pipes.in);
		set_phase(run, DRAINING);
	}
	if (run->phase == DRAINING && all_drained(run)) {
		close_pipes(&run->pipes); /* so nothing is before a message */
		messages_accept(); /* who connected, spoke and ended at once is heard as well */
		if (messages_pass(&run->talk, &run->pipes))
			return;
		if (!run->number) {
			store_unlink();
			files_remove_code();
			changes_list(false, run->lists);
		}
		set_phase(run, LISTING);
	}
	if (run->phase != LISTING)
		return;
	if (run->number ? wire_takes_answer() : changes_step())
		send_exit(run);
}

static void program_ended(struct run *run, int status, uint64_t cpu_us, uint64_t peak_kib)
{
	if (!run->fell && falls(run, status))
		return;
	run->exited = true;
	run->status = status;
	run->ended_us = now_us();
	run->cpu_us += cpu_us;
	if (peak_kib * 1024 > run->peak_bytes)
		run->peak_bytes = peak_kib * 1024;
	set_phase(run, ENDING);
	if (run->outcome == IT_EXITED)
		run->kill_deadline_us = run->ended_us + KILL_GRACE_US;
	run->alone = !kill_members(run);
	advance(run);
}

static struct run *running(pid_t pid)
{
	for (EACH(run))
		if (run->phase == RUNNING && run->pid == pid)
			return run;
	return NULL;
}

void run_exited(pid_t pid, int status, uint64_t cpu_us, uint64_t peak_kib)
{
	struct run *run = running(pid);
	if (run) /* a reset does not wait for the ends of side runs */
		program_ended(run, status, cpu_us, peak_kib);
}

void run_orphaned(bool ends)
{
	for (EACH(run))
		if (run->phase == RUNNING && (ends || (kill(run->pid, 0) < 0 && errno == ESRCH))) {
			kill(run->pid, SIGKILL);
			program_ended(run, SIGKILL, 0, 0);
		}
}

static void reaped(pid_t pid, int status, const struct rusage *usage)
{
	uint64_t cpu_us = (uint64_t)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1000000u +
			  (uint64_t)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec);
	if (boot_reaped(pid))
		return;
	struct run *run = running(pid);
	if (run)
		program_ended(run, status, cpu_us, (uint64_t)usage->ru_maxrss);
	else
		main_run->cpu_us += cpu_us;
}

void run_reap(void)
{
	struct rusage usage;
	int status;
	pid_t pid;
	while ((pid = wait4(-1, &status, WNOHANG, &usage)) > 0)
		reaped(pid, status, &usage);
}

/* All that they had to say is lost, as it is with the end of the container. Whether something outlives it, the reset finds. */
void run_end_sides(void)
{
	for (struct run *run = runs + 1; run < runs + used;) {
		if (run->phase == NONE) {
			run++;
			continue;
		}
		if (!run->exited) {
			run->status = SIGKILL;
			run->ended_us = now_us();
		}
		run->outcome = run->outcome == IT_EXITED ? IT_KILLED : run->outcome;
		send_exit(run);
	}
}

/* ---- what the client asks ---- */

static void send_signal(const struct run *run, struct cursor *payload)
{
	uint32_t number = take_u32(payload);
	if (number == 0 || number > 64)
		die("protocol: a signal %u", number);
	if (run->phase == RUNNING)
		kill(-run->group, (int)number); /* it led a group of processes: spawn.c, and so does a child of a zygote */
}

/* The process of another connection takes the place of the program: a parked copy of it, for one. */
static void lead(struct run *run, struct cursor *payload)
{
	uint32_t number = take_u32(payload);
	pid_t leader = number ? messages_peer(&run->talk, number) : 0, spared[MOST_SPARED + 1];
	size_t count = 0;
	while (payload->at < payload->end) {
		pid_t pid = messages_peer(&run->talk, take_u32(payload));
		if (count == MOST_SPARED)
			die("protocol: more connections are spared than there can be");
		if (pid > 1)
			spared[count++] = pid;
	}
	if (run->phase != RUNNING || (number && (leader <= 1 || !members_has(run->mark, leader))))
		return;
	run->spared_count = count;
	memcpy(run->spared, spared, count * sizeof *spared);
	for (size_t i = 0; i < count; i++)
		prefer_for_oom(spared[i], OOM_FIRST);
	if (number) {
		prefer_for_oom(leader, OOM_LEADER);
		spared[count++] = leader;
	}
	if (number && leader == run->pid)
		return;
	if (number) {
		run->pid = leader;
		run->fell = false;
	}
	members_end_others(run->mark, spared, count);
}

static void take_room(struct run *run, struct cursor *payload)
{
	run->room += take_u32(payload);
	if (run->room > IT_OUTPUT_WINDOW)
		die("protocol: more of the output was taken than was sent");
}

static void send_delay(const struct run *run, struct cursor *payload)
{
	take_end(payload);
	uint64_t delay_us = members_delay_us(run->mark);
	send_of(run->number, IT_DELAYED, &delay_us, sizeof delay_us);
}

bool run_frame(uint8_t type, uint16_t number, struct cursor *payload)
{
	struct run *run = run_of(number);
	if (type != IT_STDIN && type != IT_KILL && type != IT_SIGNAL && type != IT_TELL &&
	    ((type != IT_TAKEN && type != IT_LEAD && type != IT_DELAY) || !number))
		return false;
	if (!run) /* it raced with the end of the run */
		return true;
	if (type == IT_STDIN)
		feed_take(&run->feed, payload, &run->pipes.in);
	else if (type == IT_TELL)
		messages_tell(&run->talk, payload);
	else if (type == IT_SIGNAL)
		send_signal(run, payload);
	else if (type == IT_TAKEN)
		take_room(run, payload);
	else if (type == IT_LEAD)
		lead(run, payload);
	else if (type == IT_DELAY)
		send_delay(run, payload);
	else
		end_by(run, IT_KILLED);
	return true;
}

/* ---- the loop's view ---- */

static int fds_of(struct run *run, struct pollfd *fds)
{
	int count = 0;
	run->gathers = false;
	if (run->phase == NONE)
		return 0;
	if (feed_waits(&run->feed) && run->pipes.in >= 0)
		fds[count++] = (struct pollfd){.fd = run->pipes.in, .events = POLLOUT};
	if (run->room <= 0)
		return count;
	run->gathers = gathering_us(run) > 0;
	if (wire_pending() || run->gathers)
		return count;
	if (messages_fd(&run->talk) >= 0)
		fds[count++] = (struct pollfd){.fd = messages_fd(&run->talk), .events = POLLIN};
	if (run->pipes.out >= 0)
		fds[count++] = (struct pollfd){.fd = run->pipes.out, .events = POLLIN};
	if (run->pipes.err >= 0)
		fds[count++] = (struct pollfd){.fd = run->pipes.err, .events = POLLIN};
	return count;
}

int run_fds(struct pollfd *fds)
{
	int count = 0;
	if (!run_active() && !run_sides())
		return 0;
	if (messages_listener() >= 0)
		fds[count++] = (struct pollfd){.fd = messages_listener(), .events = POLLIN};
	if (messages_blocked() >= 0)
		fds[count++] = (struct pollfd){.fd = messages_blocked(), .events = POLLIN};
	for (EACH(run))
		count += fds_of(run, fds + count);
	return count;
}

/* The program was killed, but does not get the processor to die: no instruction of its own is left to it. */
static bool dies_slowly(const struct run *run)
{
	return run->phase == RUNNING && run->outcome != IT_EXITED && now_us() >= run->kill_deadline_us;
}

static void serve(struct run *run)
{
	if (run->phase == RUNNING && run->deadline_us && now_us() >= run->deadline_us)
		end_by(run, IT_TIMEOUT);
	if (dies_slowly(run))
		program_ended(run, SIGKILL, 0, 0);
	feed_on(&run->feed, &run->pipes.in);
	if (!gathering_us(run) && (run->writes || run->gathers || run->talk.waiting || run->phase != RUNNING))
		forward_both(run);
	if (run->phase != LISTING) {
		messages_pass(&run->talk, &run->pipes);
		feed_credit(&run->feed, run->number);
	}
	advance(run);
}

/* Something has come from it, or is due. What runs beside it costs it no call of the kernel. */
static bool has_work(const struct run *run)
{
	return run->phase != RUNNING || run->ready || (run->fell && !run->fall_told) || feed_waits(&run->feed) || run->feed.credit || run->talk.waiting ||
	       (run->deadline_us && now_us() >= run->deadline_us) || dies_slowly(run);
}

static void take_events(const struct pollfd *fds, int count)
{
	for (int i = 0; i < count; i++) {
		if (!fds[i].revents)
			continue;
		if (fds[i].fd == messages_listener())
			messages_accept();
		else if (fds[i].fd == messages_blocked())
			messages_unblock();
		for (EACH(run)) {
			run->writes = run->writes || fds[i].fd == run->pipes.out || fds[i].fd == run->pipes.err;
			run->ready = run->ready || run->writes || fds[i].fd == run->talk.events;
		}
	}
}

/* Each has its turn to be the first to find room on the wire. */
void run_event(const struct pollfd *fds, int count)
{
	take_events(fds, count);
	if (!run_active())
		reset_when_told();
	for (size_t i = 0, places = used; i < places; i++) {
		struct run *run = &runs[(turn + i) % places];
		if (run->phase == NONE || (run->number && !has_work(run)))
			continue;
		serve(run);
		run->ready = run->writes = false;
	}
	turn = used > 1 ? turn + 1 : 0;
}

static int64_t due_us(const struct run *run)
{
	switch (run->phase) {
	case NONE:
		return -1;
	case RUNNING:
		if (feed_waits(&run->feed) && run->pipes.in < 0)
			return 0; /* nobody reads it any more. It is dropped now, as no pipe is left whose event would wake us */
		if (run->fell && !run->fall_told)
			return wire_pending() || run->room <= 0 ? -1 : RETRY_US;
		if (run->outcome != IT_EXITED)
			return RETRY_US; /* killed, but not yet gone */
		return run->deadline_us ? us_until(run->deadline_us) : -1;
	case ENDING:
		return RETRY_US;
	case DRAINING:
		return wire_pending() || run->room <= 0 ? -1 : RETRY_US;
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
	int64_t us = -1;
	for (EACH(run)) {
		if (run->phase == NONE)
			continue;
		if (messages_ready(&run->talk, &run->pipes))
			return 0;
		us = sooner(us, sooner(due_us(run), run->gathers ? (int64_t)gathering_us(run) : -1));
	}
	return us;
}
