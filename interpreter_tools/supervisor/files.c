/*
 * The workspace: files written into it and read from it as the sandbox user.
 *
 * A path is walked one component at a time, by descriptors and never through a symbolic link. So nothing that a program
 * plants, or swaps meanwhile, leads out of the workspace. Files are opened with the user's own identity. So such a link
 * would gain nothing.
 */
#include "supervisor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BACKDATE 1          /* seconds */

static int workspace = -1;

void files_open(char **mounts)
{
	workspace = open(mounts[0], O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (workspace < 0)
		die("cannot open the workspace %s: %s", mounts[0], strerror(errno));
}

int files_workspace(void)
{
	return workspace;
}

/* ---- paths ---- */

static bool component_allowed(const char *name, size_t length)
{
	bool itself = length == 1 && name[0] == '.', parent = length == 2 && name[0] == '.' && name[1] == '.';
	return length > 0 && length < NAME_SIZE && !itself && !parent;
}

/*
 * What the files of the run to come have changed so far, the latest first: a START that is refused undoes it.
 * What was in the place of a file lies aside until then, under another name in the same directory.
 */
struct deed {
	struct deed *before;
	uint32_t uid, length;
	bool directory;
	char aside[NAME_SIZE]; /* empty: nothing was there */
	char path[];
};

static struct deed *deeds;
static uint32_t noting; /* the user whose file belongs to the run to come; 0: what is written is there to stay */

static void note(struct text path, const char *aside, bool directory)
{
	if (!noting)
		return;
	struct deed *deed = malloc(sizeof *deed + path.length);
	if (!deed)
		die("no memory for the files of a run");
	*deed = (struct deed){.before = deeds, .uid = noting, .length = path.length, .directory = directory};
	snprintf(deed->aside, sizeof deed->aside, "%s", aside);
	memcpy(deed->path, path.at, path.length);
	deeds = deed;
}

/*
 * Opens the directory that holds the last component of a path, and returns that component in name. With create, it makes the
 * directories that are missing. The caller closes the descriptor; -1 and errno on failure.
 */
static int open_parent(struct text path, bool create, char name[NAME_SIZE])
{
	const char *at = path.at, *end = path.at + path.length;
	int directory = openat(workspace, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	while (directory >= 0) {
		const char *slash = memchr(at, '/', (size_t)(end - at));
		size_t length = (size_t)((slash ? slash : end) - at);
		if (path.length >= MAX_PATH || !component_allowed(at, length)) {
			close(directory);
			errno = EINVAL;
			return -1;
		}
		memcpy(name, at, length);
		name[length] = 0;
		if (!slash)
			return directory;
		at = slash + 1;
		int next = openat(directory, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (next < 0 && errno == ENOENT && create && mkdirat(directory, name, 0777) == 0) {
			next = openat(directory, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			changes_put_directory(directory, next, name);
			note((struct text){path.at, (uint32_t)(slash - path.at)}, "", true);
		}
		int error = errno;
		close(directory);
		errno = error;
		directory = next;
	}
	return -1;
}

/* O_NONBLOCK: a FIFO must not make us wait; it is refused like everything that is not a regular file. */
static int open_file(uint32_t uid, struct text path, int flags, mode_t mode)
{
	char name[NAME_SIZE];
	int fd = -1;
	if (become(uid) < 0) {
		errno = EPERM;
	} else {
		int parent = open_parent(path, flags & O_CREAT, name);
		if (parent >= 0) {
			fd = openat(parent, name, flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, mode);
			int error = errno;
			close(parent);
			errno = error;
		}
	}
	int error = errno;
	become(0);
	errno = error;
	struct stat status;
	if (fd >= 0 && fstat(fd, &status) == 0 && !S_ISREG(status.st_mode)) {
		close(fd);
		errno = S_ISDIR(status.st_mode) ? EISDIR : ENXIO;
		fd = -1;
	}
	return fd;
}

/* ---- files in ---- */

static struct {
	int fd;
	bool open;    /* between IT_PUT and IT_DONE or IT_DROP, also when the file could not be opened */
	bool refused; /* its error is the one that is told next */
	bool is_code;
	mode_t mode;
	uint32_t uid;
	char path[MAX_PATH];
	uint32_t length;
} put = {.fd = -1};

static void put_failed(int error)
{
	put.refused = !refusal_waits();
	refuse_later(IT_WHY_PUT, error, put.path, put.length);
	close_fd(&put.fd);
}

/* Half a file would be taken for a whole one, and holds room that the next ones need. */
static void put_remove(void)
{
	char name[NAME_SIZE];
	if (become(put.uid) == 0) {
		int parent = open_parent((struct text){put.path, put.length}, false, name);
		if (parent >= 0) {
			(void)unlinkat(parent, name, 0);
			close(parent);
		}
	}
	become(0);
}

static struct {
	bool there, aside;
	uint32_t uid;
	char path[MAX_PATH + 1], place[MAX_PATH + 2]; /* as the client names it, and where it is */
	uint32_t length;
	struct stat status;                           /* as we have left it */
} code;

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
	       a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* The end of the run: its code goes, and a file that the program has made of it stays. */
void files_remove_code(void)
{
	char name[NAME_SIZE];
	struct stat status;
	if (!code.there)
		return;
	code.there = false;
	if (become(code.uid) == 0) {
		int parent = open_parent((struct text){code.place, (uint32_t)strlen(code.place)}, false, name);
		if (parent >= 0 && fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && same_file(&status, &code.status))
			(void)unlinkat(parent, name, 0);
		close_fd(&parent);
	}
	become(0);
}

static bool is_taken(uint32_t uid, struct text path)
{
	char name[NAME_SIZE];
	struct stat status;
	int parent = become(uid) < 0 ? -1 : open_parent(path, false, name);
	bool taken = parent >= 0 && fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
	close_fd(&parent);
	become(0);
	return taken;
}

/* Returns where the code goes. */
static struct text place_code(uint32_t uid, struct text path)
{
	files_remove_code(); /* of a run that was given up before it began */
	code.uid = uid;
	code.length = path.length < MAX_PATH ? path.length : MAX_PATH;
	memcpy(code.path, path.at, code.length);
	code.path[code.length] = 0;
	const char *last = strrchr(code.path, '/');
	int before = last ? (int)(last + 1 - code.path) : 0;
	code.aside = is_taken(uid, path);
	snprintf(code.place, sizeof code.place, "%.*s%s%s", before, code.path, code.aside ? "." : "", code.path + before);
	return (struct text){code.place, (uint32_t)strlen(code.place)};
}

void files_name_code(char **argv)
{
	static char changed[2 * MAX_PATH];
	if (!code.there || !code.aside)
		return;
	for (; *argv; argv++) {
		size_t length = strlen(*argv), before = length - code.length;
		if (length <= code.length || length >= MAX_PATH || (*argv)[before - 1] != '/' || strcmp(*argv + before, code.path) != 0)
			continue;
		snprintf(changed, sizeof changed, "%.*s%s", (int)before, *argv, code.place);
		*argv = changed;
		return;
	}
}

/*
 * Moves away what stands where a file of a run must go: a regular file; with any also a link, a directory, or another kind of
 * file. It gets another name in the same directory, until the run begins or is refused. A directory keeps that other name.
 * True when something was there.
 */
static bool make_way(struct text path, bool any)
{
	char name[NAME_SIZE], aside[NAME_SIZE];
	struct stat status;
	bool moved = false;
	if (become(noting) == 0) {
		int parent = open_parent(path, false, name);
		if (parent >= 0 && fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && (any || S_ISREG(status.st_mode))) {
			snprintf(aside, sizeof aside, "%.200s.%llu", name, (unsigned long long)now_us()); /* no two have the same time */
			moved = renameat(parent, name, parent, aside) == 0;
			if (moved)
				note(path, aside, false);
			else
				put_failed(errno);
		}
		close_fd(&parent);
	}
	become(0);
	return moved;
}

static void undo(int parent, const char *name, const struct deed *deed)
{
	struct stat status;
	(void)unlinkat(parent, name, deed->directory ? AT_REMOVEDIR : 0);
	if (*deed->aside && renameat(parent, deed->aside, parent, name) == 0 &&
	    fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(status.st_mode))
		changes_put(&status); /* its change time is new, and no run's doing */
}

/* The run is refused: what was there before its files is there again. */
void files_undo(void)
{
	for (struct deed *deed; (deed = deeds); free(deed)) {
		char name[NAME_SIZE];
		deeds = deed->before;
		if (become(deed->uid) == 0) {
			int parent = open_parent((struct text){deed->path, deed->length}, false, name);
			if (parent >= 0)
				undo(parent, name, deed);
			close_fd(&parent);
		}
		become(0);
	}
}

bool files_replace(void)
{
	for (const struct deed *deed = deeds; deed; deed = deed->before)
		if (*deed->aside)
			return true;
	return false;
}

/* The run begins: what its files replaced is removed, and nothing can be undone any more. */
void files_keep(void)
{
	for (struct deed *deed; (deed = deeds); free(deed)) {
		char name[NAME_SIZE];
		deeds = deed->before;
		if (*deed->aside && become(deed->uid) == 0) {
			int parent = open_parent((struct text){deed->path, deed->length}, false, name);
			if (parent >= 0)
				(void)unlinkat(parent, deed->aside, 0); /* a directory stays */
			close_fd(&parent);
		}
		become(0);
	}
}

/*
 * No file is written after one that was refused, or after an entry of the store that is missing. So the client knows
 * which files are there, and is told one refusal.
 */
void files_put(struct cursor *payload)
{
	uint32_t mode = take_u32(payload), uid = take_u32(payload);
	struct text path = take_text(payload);
	take_end(payload);
	if (put.open)
		die("protocol: a put inside a put");
	bool code_alone = (mode & (IT_PUT_RUN | IT_PUT_CODE)) == IT_PUT_CODE;
	if (uid < FIRST_UID || uid > LAST_UID || (mode & ~(07777u | IT_PUT_RUN | IT_PUT_CODE)) || code_alone)
		die("protocol: a put as uid %u with mode %o", uid, mode);
	put.open = true;
	put.refused = false;
	put.mode = mode & 07777u;
	put.uid = uid;
	put.is_code = mode & IT_PUT_CODE;
	if (put.is_code)
		path = place_code(uid, path);
	put.length = path.length < MAX_PATH ? path.length : MAX_PATH;
	memcpy(put.path, path.at, put.length);
	noting = mode & IT_PUT_RUN && !refusal_waits() ? uid : 0;
	bool is_free = put.is_code && !code.aside; /* place_code has just looked */
	bool replaces = noting && !is_free && make_way(path, put.is_code);
	if (!refusal_waits() && (put.fd = open_file(uid, path, O_WRONLY | O_CREAT | O_TRUNC, 0600)) < 0)
		put_failed(errno);
	if (put.fd >= 0 && !replaces)
		note(path, "", false);
	noting = 0;
}

void files_data(struct cursor *payload)
{
	if (!put.open)
		die("protocol: data without a put");
	while (put.fd >= 0 && payload->at < payload->end) {
		ssize_t done = write(put.fd, payload->at, (size_t)(payload->end - payload->at));
		if (done >= 0) {
			payload->at += done;
		} else if (errno != EINTR) {
			put_failed(errno);
			put_remove();
		}
	}
}

void files_done(void)
{
	if (!put.open)
		die("protocol: done without a put");
	put.open = false;
	if (put.fd < 0)
		return;
	struct timespec times[2];
	struct stat status;
	clock_gettime(CLOCK_REALTIME, &times[0]);
	times[0].tv_sec -= BACKDATE;
	times[1] = times[0];
	if (fchmod(put.fd, put.mode) < 0 || futimens(put.fd, times) < 0 || fstat(put.fd, &status) < 0) {
		put_failed(errno);
		put_remove();
	} else {
		changes_put(&status);
		code.there = code.there || put.is_code;
		if (put.is_code)
			code.status = status;
	}
	close_fd(&put.fd);
}

void files_drop(void)
{
	if (!put.open)
		die("protocol: a drop without a put");
	put.open = false;
	if (put.refused) /* who gives a file up does not ask what became of it */
		refusal_forget();
	if (put.fd < 0)
		return;
	close_fd(&put.fd);
	put_remove();
}

bool files_put_open(void)
{
	return put.open;
}

void files_closed(void)
{
	if (put.open)
		die("protocol: a put is still open");
}

/* ---- files out ---- */

static struct {
	int fd;
	uint64_t left;
	char path[MAX_PATH];
	uint32_t length;
} get = {.fd = -1};

static void get_refused(int error)
{
	close_fd(&get.fd);
	send_refused(0, IT_WHY_GET, error, get.path, get.length);
}

void files_get(struct cursor *payload)
{
	uint32_t uid = take_u32(payload);
	uint64_t offset = take_u64(payload), count = take_u64(payload);
	struct text path = take_text(payload);
	take_end(payload);
	if (uid < FIRST_UID || uid > LAST_UID || offset > INT64_MAX)
		die("protocol: a get as uid %u from %llu", uid, (unsigned long long)offset);
	struct stat status;
	get.length = path.length < MAX_PATH ? path.length : MAX_PATH;
	memcpy(get.path, path.at, get.length);
	get.fd = open_file(uid, path, O_RDONLY, 0);
	if (get.fd < 0 || fstat(get.fd, &status) < 0 || lseek(get.fd, (off_t)offset, SEEK_SET) < 0) {
		get_refused(errno);
		return;
	}
	get.left = (off_t)offset < status.st_size ? count : 0; /* so far out a read is an error, not the end */
}

bool files_reading(void)
{
	return get.fd >= 0;
}

void files_event(void)
{
	ssize_t got = get.left == 0 ? 0 : wire_forward(0, IT_CONTENT, get.fd, get.left < IT_MAX_PAYLOAD ? get.left : IT_MAX_PAYLOAD);
	if (got > 0) {
		get.left -= (uint64_t)got;
	} else if (got == 0) {
		send_frame(IT_CONTENT, NULL, 0);
		close_fd(&get.fd);
	} else if (errno != EINTR) {
		get_refused(errno); /* of a disk or a server that fails: this file's trouble, and no other's */
	}
}

void files_home(uint32_t uid)
{
	struct stat status;
	if (lstat("/tmp/home", &status) == 0 && status.st_uid == uid)
		return;
	rmdir("/tmp/home"); /* it was made for the user that was expected */
	if (become(uid) == 0)
		mkdir("/tmp/home", 0700);
	become(0);
}
