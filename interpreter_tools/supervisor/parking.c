/*
 * Checkpoints of a shell ("Cells" in docs/protocol.md). Bash writes down what it holds, as it does when it leaves, and the
 * cell runner forks: the fork is the checkpoint. It has what bash held, the files of the workspace and the descriptors of
 * bash, and no bash. Who wakes it gets a fork of it, which starts a bash of its own; so it can be woken any number of times.
 *
 * The forks are children of the sandbox's first process: bash knows nothing of them.
 */
#include "cells.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_US 5000000 /* that the processes of the time after the checkpoint may take to be gone */
#define MOST_FILES 4096     /* descriptors of bash */
#define KEPT (O_ACCMODE | O_APPEND | O_NONBLOCK)

static struct {
	int64_t number, most; /* of the exchange; bytes that copies of files may have */
	pid_t parked[MOST_PARKED];
	size_t parked_count;
	pid_t in_the_way; /* 0: none */
	struct buffer name;  /* of that */
	struct traits traits;
	struct snapshot *snapshot; /* the last one: of this checkpoint, where it is parked */
	sigset_t signals;          /* of bash */
} parking = {.number = -1};

static void say(const char *event, const char *more)
{
	struct buffer said = {0};
	add_format(&said, "{\"event\":\"%s\",\"id\":%lld", event, (long long)parking.number);
	add_words(&said, more);
	add_words(&said, "}");
	send_message(&said, 0);
	free(said.at);
}

static void refuse(const struct buffer *reason)
{
	struct buffer more = {0};
	add_words(&more, ",\"reason\":");
	add_json(&more, reason->at, reason->size);
	say("refused", more.at);
	free(more.at);
	parking.number = -1;
}

static void refuse_error(const char *what)
{
	struct buffer reason = {0};
	add_format(&reason, "%s (%s)", what, strerror(errno));
	refuse(&reason);
	free(reason.at);
}

/* ---- other processes of the context ---- */

static bool is_left_out(pid_t pid)
{
	for (size_t i = 0; i < parking.parked_count; i++)
		if (parking.parked[i] == pid)
			return true;
	return pid == getpid() || pid == cells.bash;
}

/* It has a group of ours, and memory: one that has ended, or does just now, has none. */
static bool is_one_of_us(const char *status)
{
	gid_t ours[64];
	int count = getgroups(64, ours);
	const char *at = strstr(status, "\nGroups:\t");
	if (!at || !strstr(status, "\nVmRSS:"))
		return false;
	for (at += strlen("\nGroups:\t"); *at && *at != '\n';) {
		gid_t group = (gid_t)take_number(&at);
		for (int i = 0; i < count; i++)
			if (ours[i] == group)
				return true;
		while (*at == ' ')
			at++;
	}
	return false;
}

/* Another process of the context; 0: there is none. */
static pid_t find_other(void)
{
	struct buffer status = {0};
	pid_t found = 0;
	DIR *all = opendir("/proc");
	for (struct dirent *each; all && !found && (each = readdir(all));) {
		pid_t pid = (pid_t)strtol(each->d_name, NULL, 10);
		if (pid > 0 && !is_left_out(pid) && read_about(pid, "status", &status) && is_one_of_us(status.at))
			found = pid;
	}
	if (all)
		closedir(all);
	free(status.at);
	return found;
}

/* The line of its arguments. */
static void read_name(pid_t pid, struct buffer *name)
{
	if (!read_about(pid, "cmdline", name))
		read_about(pid, "comm", name);
	while (name->size > 0 && (name->at[name->size - 1] == 0 || name->at[name->size - 1] == '\n'))
		name->size--;
	for (size_t i = 0; i < name->size; i++)
		if (!name->at[i])
			name->at[i] = ' ';
}

/* ---- what bash has open ---- */

static int stream_of(const struct stat *about)
{
	struct stat ours;
	for (int i = 1; i < 4; i++) /* stdin last: it may be the same as another one */
		if (fstat(i % 3, &ours) == 0 && ours.st_ino == about->st_ino && ours.st_dev == about->st_dev)
			return i % 3;
	return -1;
}

/* A descriptor that was copied from another one shares its place in the file. */
static int same_as(const struct traits *traits, const struct open_file *file)
{
	for (size_t i = 0; i < traits->file_count; i++) {
		const struct open_file *other = &traits->files[i];
		if (other->stream < 0 && other->same < 0 && other->flags == file->flags && (file->flags & O_ACCMODE) != O_RDONLY &&
		    other->position == file->position && !strcmp(other->path, file->path))
			return other->fd;
	}
	return -1;
}

static bool note_file(int fd, struct traits *traits, struct buffer *reason)
{
	char name[64], path[MAX_PATH];
	struct stat about;
	struct buffer info = {0};
	snprintf(name, sizeof name, "/proc/%d/fd/%d", (int)cells.bash, fd);
	ssize_t size = readlink(name, path, sizeof path - 1);
	if (size < 0 || stat(name, &about) < 0)
		return true; /* it was closed just now */
	path[size] = 0;
	struct open_file file = {.fd = fd, .stream = stream_of(&about), .same = -1};
	const char *what = S_ISSOCK(about.st_mode) ? "socket" : S_ISFIFO(about.st_mode) ? "pipe" : S_ISREG(about.st_mode) && !about.st_nlink ? "deleted file" : NULL;
	bool can_be_opened = S_ISREG(about.st_mode) || S_ISDIR(about.st_mode) || S_ISCHR(about.st_mode);
	if (file.stream < 0 && (what || !can_be_opened)) {
		add_format(reason, "%s ", what ? what : "open");
		if (S_ISREG(about.st_mode) || !what) {
			add_words(reason, "'");
			add_words(reason, path);
			add_words(reason, "' ");
		}
		add_format(reason, "(descriptor %d)", fd);
		return false;
	}
	snprintf(name, sizeof name, "fdinfo/%d", fd);
	if (read_about(cells.bash, name, &info)) {
		const char *position = strstr(info.at, "pos:\t"), *flags = strstr(info.at, "flags:\t");
		file.position = position ? strtoll(position + 5, NULL, 10) : 0;
		file.flags = flags ? (int)strtol(flags + 7, NULL, 8) & KEPT : O_RDONLY;
	}
	free(info.at);
	file.path = path;
	file.same = same_as(traits, &file);
	if (!(file.path = strdup(path)) || !(traits->files = reallocarray(traits->files, traits->file_count + 1, sizeof file)))
		_exit(1);
	traits->files[traits->file_count++] = file;
	return true;
}

static bool note_files(struct traits *traits, struct buffer *reason)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/fd", (int)cells.bash);
	DIR *all = opendir(path);
	bool noted = all;
	if (!all)
		add_format(reason, "%s: %s", path, strerror(errno));
	for (struct dirent *each; noted && (each = readdir(all));) {
		if (*each->d_name == '.' || !strcmp(each->d_name, "0")) /* 0 is our pipe of commands */
			continue;
		noted = traits->file_count < MOST_FILES && note_file((int)strtol(each->d_name, NULL, 10), traits, reason);
	}
	if (all)
		closedir(all);
	return noted;
}

static bool note_directory(struct traits *traits, struct buffer *reason)
{
	static const char removed[] = " (deleted)";
	char link[64], path[MAX_PATH];
	snprintf(link, sizeof link, "/proc/%d/cwd", (int)cells.bash);
	ssize_t size = readlink(link, path, sizeof path - 1);
	path[size > 0 ? size : 0] = 0;
	if (size < 0 || ((size_t)size >= sizeof removed && !strcmp(path + size - (sizeof removed - 1), removed))) {
		add_words(reason, "working directory, which was removed");
		return false;
	}
	traits->directory = strdup(path);
	return traits->directory;
}

/* A builtin that came with `enable -f` is code in the process. */
static bool has_loaded(struct buffer *reason)
{
	struct buffer maps = {0};
	const char *found = read_about(cells.bash, "maps", &maps) ? strstr(maps.at, "/lib/bash/") : NULL;
	if (found) {
		add_words(reason, "loaded builtin '");
		add(reason, found + strlen("/lib/bash/"), strcspn(found + strlen("/lib/bash/"), "\n"));
		add_words(reason, "'");
	}
	free(maps.at);
	return found;
}

static void drop_traits(struct traits *traits)
{
	for (size_t i = 0; i < traits->file_count; i++)
		free(traits->files[i].path);
	free(traits->files);
	free(traits->directory);
	free(traits->state.at);
	free(traits->options.at);
	*traits = (struct traits){0};
}

static bool note_traits(struct traits *traits, struct buffer *reason)
{
	struct buffer status = {0};
	drop_traits(traits);
	if (has_loaded(reason) || !note_directory(traits, reason) || !note_files(traits, reason))
		return false;
	const char *mask = read_about(cells.bash, "status", &status) ? strstr(status.at, "\nUmask:\t") : NULL;
	traits->umask = mask ? (unsigned)strtoul(mask + strlen("\nUmask:\t"), NULL, 8) : 022;
	free(status.at);
	for (int i = 0; i < RLIM_NLIMITS; i++)
		prlimit(cells.bash, i, NULL, &traits->limits[i]);
	return true;
}

/* ---- a checkpoint ---- */

bool parking_is_under_way(void)
{
	return parking.number >= 0;
}

void parking_begin(const sigset_t *signals)
{
	parking.signals = *signals;
}

static void note_exchange(const struct request *request)
{
	parking.number = request->id;
	parking.most = request->bytes;
	parking.parked_count = request->parked_count;
	memcpy(parking.parked, request->parked, sizeof parking.parked);
}

void parking_save(const struct request *request)
{
	struct buffer reason = {0};
	note_exchange(request);
	bash_wait();
	parking.in_the_way = find_other();
	if (parking.in_the_way)
		command("{ builtin jobs -rl; builtin jobs -sl; builtin printf '\\0'; } 2>/dev/null >/proc/%d/fd/%d\n", (int)getpid(), cells.report[1]);
	else if (note_traits(&parking.traits, &reason))
		bash_hold();
	else
		refuse(&reason);
	free(reason.at);
}

/* Lines of `jobs -l`: "[1]+   123 Running                 sleep 100 &". */
static void refuse_other(const char *jobs)
{
	struct buffer name = {0}, reason = {0};
	bool is_job = false;
	for (const char *line = jobs; *line && !is_job; line += strcspn(line, "\n"), line += *line == '\n') {
		const char *at = line + strcspn(line, " \n");
		at += strspn(at, " ");
		if (strtol(at, NULL, 10) != parking.in_the_way)
			continue;
		at += strcspn(at, " \n");
		at += strspn(at, " ");
		at += strcspn(at, " \n"); /* its state */
		at += strspn(at, " ");
		size_t size = strcspn(at, "\n");
		while (size > 0 && strchr(" &", at[size - 1]))
			size--;
		add(&name, at, size);
		is_job = size > 0;
	}
	if (!is_job)
		read_name(parking.in_the_way, &name);
	add_words(&reason, is_job ? "background job '" : "process '");
	add(&reason, name.size ? name.at : "", name.size);
	add_format(&reason, "' (process %d)", (int)parking.in_the_way);
	refuse(&reason);
	free(name.at);
	free(reason.at);
}

/* Fork a process that is no child of this one. -1: it cannot be; 0: this is the new one. */
static int fork_away(void)
{
	int status;
	pid_t child = fork();
	if (child == 0) {
		pid_t between = getpid();
		pid_t away = fork();
		if (away != 0)
			_exit(away < 0 ? errno & 0x7f : 0);
		while (getppid() == between) /* who is told of this process may end all others */
			usleep(100);
		return 0;
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		return -1;
	errno = WIFEXITED(status) ? WEXITSTATUS(status) : EAGAIN;
	return errno ? -1 : 1;
}

/* Be a process of its own, with a conversation of its own. */
static void begin_anew(enum stage stage)
{
	cells.stage = stage;
	cells.told.size = cells.message.size = cells.said.size = 0;
	cells.unanswered = 0;
	close_fd(&cells.socket);
	connect_client();
}

static void park(void)
{
	char more[32];
	signal(SIGINT, SIG_IGN);
	bash_forget();
	begin_anew(PARKED);
	snprintf(more, sizeof more, ",\"pid\":%d", (int)getpid());
	say("parked", more);
}

/* The memory that a parked process holds, with its share of what several have. */
static int64_t held_by(pid_t pid)
{
	struct buffer rollup = {0};
	const char *found = read_about(pid, "smaps_rollup", &rollup) ? strstr(rollup.at, "\nPss:") : NULL;
	int64_t held = found ? strtoll(found + strlen("\nPss:"), NULL, 10) * 1024 : 0;
	free(rollup.at);
	return held;
}

static void tell_saved(void)
{
	char more[40];
	snprintf(more, sizeof more, ",\"bytes\":%lld", (long long)snapshot_copied(parking.snapshot));
	say("saved", more);
	parking.number = -1;
}

static void save(void)
{
	struct buffer reason = {0};
	bash_held(&parking.traits.state, &parking.traits.options);
	struct snapshot *before = parking.snapshot, *now = snapshot_take(before, parking.most, &reason);
	if (!now) {
		refuse(&reason);
		free(reason.at);
		return;
	}
	parking.snapshot = now;
	int forked = fork_away();
	if (forked == 0) {
		park();
		return;
	}
	drop_traits(&parking.traits);
	if (forked < 0) {
		refuse_error("lack of memory or processes");
		parking.snapshot = before;
		snapshot_drop(now);
	} else {
		snapshot_drop(before);
		tell_saved();
	}
}

/* ---- the way back ---- */

static void wake(const struct request *request)
{
	parking.number = request->id;
	int forked = fork_away();
	if (forked < 0) {
		refuse_error("lack of memory or processes");
	} else if (forked == 0) {
		begin_anew(WOKEN);
		say("woken", "");
	}
}

static _Noreturn void give_up(const struct buffer *reason)
{
	refuse(reason);
	_exit(1);
}

/* The client has made this the program of the run: what ran after the checkpoint is gone, or about to be. */
static void restore(const struct request *request)
{
	struct buffer reason = {0}, seed = {0};
	uint64_t began = now_us();
	pid_t left;
	note_exchange(request);
	while ((left = find_other())) {
		if (now_us() - began > PATIENCE_US) {
			add_format(&reason, "process %d, which does not end", (int)left);
			give_up(&reason);
		}
		usleep(500);
	}
	if (!snapshot_restore(parking.snapshot, &reason))
		give_up(&reason);
	if (request->diverges) {
		add_format(&seed, "RANDOM=%d\n", (int)getpid() ^ (int)(now_us() & 0x7fff));
		add(&parking.traits.state, seed.at, seed.size);
		free(seed.at);
	}
	if (!bash_start(&parking.traits, &parking.signals)) {
		add_format(&reason, "lack of memory or processes (%s)", strerror(errno));
		give_up(&reason);
	}
	cells.stage = RUNS;
	cells_listen();
	clock_gettime(CLOCK_REALTIME, &cells.ended); /* what came back is no doing of the next cell */
	cells.has_changed = true;
}

static void weigh(const struct request *request)
{
	struct buffer said = {0};
	add_words(&said, "{\"event\":\"weighed\",\"held\":{");
	for (size_t i = 0; i < request->parked_count; i++)
		add_format(&said, "%s\"%d\":%lld", i ? "," : "", (int)request->parked[i], (long long)held_by(request->parked[i]));
	add_words(&said, "}}");
	send_message(&said, 0);
	free(said.at);
}

void parking_told(const struct request *request)
{
	const char *op = request->op.size ? request->op.at : "";
	if (!strcmp(op, "drop") && cells.stage == PARKED)
		_exit(0);
	if (!strcmp(op, "wake") && cells.stage == PARKED)
		wake(request);
	else if (!strcmp(op, "weigh") && cells.stage == PARKED)
		weigh(request);
	else if (!strcmp(op, "restore") && cells.stage == WOKEN)
		restore(request);
}

void parking_reported(const char *report)
{
	if (parking.in_the_way) {
		refuse_other(report);
		parking.in_the_way = 0;
	} else if (!strcmp(report, "held")) {
		save();
	} else if (!strcmp(report, "again")) {
		drop_traits(&parking.traits);
		say("rewound", "");
		parking.number = -1;
	}
}
