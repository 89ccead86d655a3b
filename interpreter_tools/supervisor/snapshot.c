/*
 * The files of the workspace as a checkpoint of a shell holds them: copies in memory that has no name, and that is sealed.
 *
 * A file that has not changed since the checkpoint before is not copied again: both hold one copy. Whether it has changed
 * is told by its change time, which no program can set. So a file that was changed just before it was looked at, within the
 * same tick of the clock that change times are from, counts as changed.
 */
#include "cells.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <unistd.h>

#define MODE 07777 /* of a file: its permissions */
#define OWNER_WRITES 0600
#define OWNER_ENTERS 0700
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

struct copies { /* one behind the other */
	int fd;
	int64_t size, used; /* bytes; those that are of use for the next snapshot */
	unsigned users;
};

struct entry { /* one name below the workspace */
	char *path, *link; /* where a link leads; for a file that has several names, another one of them */
	struct stat about;
	struct copies *copies;
	int64_t start, size;
	bool recent;
};

struct snapshot {
	struct entry *entries; /* by their paths: a directory before what lies in it */
	size_t count, room;
	int64_t copied;
	struct timespec began; /* by the clock that change times are from: a later change has this time, or a later one */
};

static void *checked(void *memory)
{
	if (!memory)
		_exit(1);
	return memory;
}

static bool refuse(struct buffer *refusal, const char *what, const char *path, const char *why)
{
	add_format(refusal, "%s '", what);
	add_words(refusal, path);
	add_words(refusal, "'");
	add_words(refusal, why);
	return false;
}

static bool refuse_error(struct buffer *refusal, const char *what, const char *path)
{
	const char *error = strerror(errno);
	refuse(refusal, what, path, ": ");
	add_words(refusal, error);
	return false;
}

/* ---- what is there ---- */

static struct entry *new_entry(struct snapshot *found, const char *directory, const char *name)
{
	if (found->count == found->room)
		found->entries = checked(reallocarray(found->entries, found->room = found->room * 2 + 64, sizeof *found->entries));
	struct entry *entry = &found->entries[found->count];
	size_t size = strlen(directory) + strlen(name) + 2;
	*entry = (struct entry){.path = checked(malloc(size))};
	stpcpy(stpcpy(entry->path, directory), name);
	return entry;
}

/* Note what lies in a directory whose path ends with a slash. Other file systems are the caller's mounts, and no part of it. */
static bool list(struct snapshot *found, const char *directory, dev_t device, bool enter, struct buffer *refusal)
{
	DIR *opened = opendir(directory);
	if (!opened)
		return refuse_error(refusal, "directory", directory);
	for (struct dirent *each; (each = readdir(opened));) {
		if (!strcmp(each->d_name, ".") || !strcmp(each->d_name, ".."))
			continue;
		struct entry *entry = new_entry(found, directory, each->d_name);
		if (lstat(entry->path, &entry->about) < 0 || entry->about.st_dev != device) {
			free(entry->path);
			continue;
		}
		if (enter && S_ISDIR(entry->about.st_mode) && (entry->about.st_mode & OWNER_ENTERS) != OWNER_ENTERS)
			chmod(entry->path, OWNER_ENTERS);
		found->count++;
	}
	closedir(opened);
	return true;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->path, ((const struct entry *)b)->path);
}

static struct entry *find(const struct snapshot *snapshot, const char *path)
{
	struct entry wanted = {.path = (char *)path};
	return snapshot && snapshot->count ? bsearch(&wanted, snapshot->entries, snapshot->count, sizeof wanted, by_path) : NULL;
}

static bool walk(struct snapshot *found, bool enter, struct buffer *refusal)
{
	struct stat root;
	if (stat(WORKSPACE, &root) < 0)
		return refuse_error(refusal, "directory", WORKSPACE);
	if (!list(found, WORKSPACE, root.st_dev, enter, refusal))
		return false;
	for (size_t i = 0; i < found->count; i++) {
		if (!S_ISDIR(found->entries[i].about.st_mode))
			continue;
		size_t size = strlen(found->entries[i].path);
		char below[size + 2];
		stpcpy(stpcpy(below, found->entries[i].path), "/");
		if (!list(found, below, root.st_dev, enter, refusal))
			return false;
	}
	if (found->count)
		qsort(found->entries, found->count, sizeof *found->entries, by_path);
	return true;
}

void snapshot_drop(struct snapshot *snapshot)
{
	if (!snapshot)
		return;
	for (size_t i = 0; i < snapshot->count; i++) {
		struct copies *copies = snapshot->entries[i].copies;
		free(snapshot->entries[i].path);
		free(snapshot->entries[i].link);
		if (copies && --copies->users == 0) {
			close_fd(&copies->fd);
			free(copies);
		}
	}
	free(snapshot->entries);
	free(snapshot);
}

/* ---- a checkpoint ---- */

/* Surely not changed since. */
static bool is_as(const struct entry *entry, const struct stat *about)
{
	const struct stat *mine = &entry->about;
	return !entry->recent && mine->st_ino == about->st_ino && mine->st_size == about->st_size && mine->st_mode == about->st_mode &&
	       !memcmp(&mine->st_mtim, &about->st_mtim, sizeof mine->st_mtim) && !memcmp(&mine->st_ctim, &about->st_ctim, sizeof mine->st_ctim);
}

static int by_inode(const void *a, const void *b)
{
	const struct entry *one = *(struct entry *const *)a, *other = *(struct entry *const *)b;
	if (one->about.st_ino != other->about.st_ino)
		return one->about.st_ino < other->about.st_ino ? -1 : 1;
	return by_path(one, other);
}

/* The first name of a file has the copy; the others lead to it. */
static void note_names(struct snapshot *now)
{
	struct entry **several = checked(calloc(now->count + 1, sizeof *several));
	size_t count = 0;
	for (size_t i = 0; i < now->count; i++)
		if (S_ISREG(now->entries[i].about.st_mode) && now->entries[i].about.st_nlink > 1)
			several[count++] = &now->entries[i];
	qsort(several, count, sizeof *several, by_inode);
	for (size_t i = 1; i < count; i++)
		if (several[i]->about.st_ino == several[i - 1]->about.st_ino)
			several[i]->link = checked(strdup(several[i - 1]->link ? several[i - 1]->link : several[i - 1]->path));
	free(several);
}

static bool read_link(struct entry *entry, struct buffer *refusal)
{
	char target[MAX_PATH];
	ssize_t size = readlink(entry->path, target, sizeof target - 1);
	if (size < 0)
		return refuse_error(refusal, "link", entry->path);
	target[size] = 0;
	entry->link = checked(strdup(target));
	return true;
}

/* A file of ours need not let its owner read it. */
static int open_to_read(const struct entry *entry)
{
	int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, fd = open(entry->path, flags);
	if (fd >= 0 || errno != EACCES || chmod(entry->path, OWNER_WRITES) < 0)
		return fd;
	fd = open(entry->path, flags);
	int error = errno;
	chmod(entry->path, entry->about.st_mode & MODE);
	errno = error;
	return fd;
}

static bool copy(struct entry *entry, struct copies *copies, struct buffer *refusal)
{
	int64_t left = entry->about.st_size;
	int source = open_to_read(entry);
	if (source < 0)
		return refuse_error(refusal, "file", entry->path);
	entry->copies = copies;
	entry->start = copies->size;
	copies->users++;
	while (left > 0) {
		ssize_t done = sendfile(copies->fd, source, NULL, (size_t)left);
		if (done == 0)
			break; /* another program has cut it short */
		if (done < 0) {
			refuse_error(refusal, "file", entry->path);
			close_fd(&source);
			return false;
		}
		copies->size += done;
		left -= done;
	}
	entry->size = copies->size - entry->start;
	close_fd(&source);
	return true;
}

/* Copies of which less than half is of use are not kept for the rest. */
static void note_use(const struct snapshot *before)
{
	for (size_t i = 0; before && i < before->count; i++)
		if (before->entries[i].copies)
			before->entries[i].copies->used = 0;
	for (size_t i = 0; before && i < before->count; i++)
		if (before->entries[i].copies)
			before->entries[i].copies->used += before->entries[i].size;
}

/* Look at all entries. Those that must be copied have no copies afterwards, and a size. */
static bool look(struct snapshot *now, const struct snapshot *before, struct buffer *refusal)
{
	note_names(now);
	note_use(before);
	for (size_t i = 0; i < now->count; i++) {
		struct entry *entry = &now->entries[i];
		mode_t mode = entry->about.st_mode;
		if (S_ISLNK(mode) && !read_link(entry, refusal))
			return false;
		if (!S_ISREG(mode) && !S_ISLNK(mode) && !S_ISDIR(mode) && !S_ISFIFO(mode))
			return refuse(refusal, "", entry->path, ", which is neither a file nor a directory");
		if (!S_ISREG(mode) || entry->link)
			continue;
		entry->recent = !is_before(entry->about.st_ctim, now->began);
		const struct entry *old = find(before, entry->path);
		if (old && old->copies && 2 * old->copies->used >= old->copies->size && is_as(old, &entry->about)) {
			entry->copies = old->copies;
			entry->start = old->start;
			entry->size = old->size;
			entry->copies->users++;
		} else {
			now->copied += entry->about.st_size;
		}
	}
	return true;
}

struct snapshot *snapshot_take(const struct snapshot *before, int64_t most, struct buffer *refusal)
{
	struct snapshot *now = checked(calloc(1, sizeof *now));
	struct copies *copies = NULL;
	clock_gettime(CLOCK_REALTIME_COARSE, &now->began);
	bool held = walk(now, false, refusal) && look(now, before, refusal);
	if (held && now->copied > most) {
		add_format(refusal, "%lld bytes of files, where checkpoint_memory allows %lld", (long long)now->copied, (long long)most);
		held = false;
	}
	for (size_t i = 0; held && i < now->count; i++) {
		struct entry *entry = &now->entries[i];
		if (!S_ISREG(entry->about.st_mode) || entry->link || entry->copies)
			continue;
		if (!copies) {
			copies = checked(calloc(1, sizeof *copies));
			if ((copies->fd = memfd_create("checkpoint", MFD_CLOEXEC | MFD_ALLOW_SEALING)) < 0)
				_exit(1);
		}
		held = copy(entry, copies, refusal);
	}
	if (copies && held)
		fcntl(copies->fd, F_ADD_SEALS, SEALS);
	if (copies && !copies->users) {
		close_fd(&copies->fd);
		free(copies);
	}
	if (held)
		return now;
	snapshot_drop(now);
	return NULL;
}

int64_t snapshot_copied(const struct snapshot *snapshot)
{
	return snapshot->copied;
}

/* ---- the way back ---- */

static bool write_file(struct entry *entry, const struct entry *there, struct buffer *refusal)
{
	const struct timespec times[2] = {entry->about.st_atim, entry->about.st_mtim};
	off_t at = entry->start;
	if (there && there->about.st_nlink > 1) { /* its other names lead somewhere else now */
		unlink(entry->path);
		there = NULL;
	}
	if (there && (there->about.st_mode & OWNER_WRITES) != OWNER_WRITES)
		chmod(entry->path, OWNER_WRITES);
	int target = open(entry->path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, OWNER_WRITES);
	if (target < 0)
		return refuse_error(refusal, "file", entry->path);
	bool done = true;
	while (done && at < entry->start + entry->size)
		done = sendfile(target, entry->copies->fd, &at, (size_t)(entry->start + entry->size - at)) > 0;
	done = done && fchmod(target, entry->about.st_mode & MODE) == 0 && futimens(target, times) == 0 &&
	       fstat(target, &entry->about) == 0;
	if (!done)
		refuse_error(refusal, "file", entry->path);
	entry->recent = done;
	close_fd(&target);
	return done;
}

static bool put_back(struct entry *entry, const struct entry *there, struct buffer *refusal)
{
	mode_t mode = entry->about.st_mode;
	int done = 0;
	if (S_ISDIR(mode))
		done = there ? 0 : mkdir(entry->path, OWNER_ENTERS);
	else if (S_ISLNK(mode))
		done = symlink(entry->link, entry->path);
	else if (S_ISFIFO(mode))
		done = there ? 0 : mkfifo(entry->path, mode & MODE);
	else if (entry->link)
		done = link(entry->link, entry->path);
	else if (!there || !is_as(entry, &there->about))
		return write_file(entry, there, refusal);
	return done == 0 || refuse_error(refusal, "file", entry->path);
}

/* What is not as it was goes: all that is new, what has another kind, and links, which are made again. */
static bool take_away(const struct snapshot *snapshot, struct snapshot *now, struct buffer *refusal)
{
	for (size_t i = now->count; i-- > 0;) {
		struct entry *there = &now->entries[i];
		const struct entry *entry = find(snapshot, there->path);
		if (entry && !entry->link && (entry->about.st_mode & S_IFMT) == (there->about.st_mode & S_IFMT))
			continue;
		if ((S_ISDIR(there->about.st_mode) ? rmdir(there->path) : unlink(there->path)) < 0)
			return refuse_error(refusal, "file", there->path);
		there->size = -1; /* it is gone */
	}
	return true;
}

bool snapshot_restore(struct snapshot *snapshot, struct buffer *refusal)
{
	struct snapshot *now = checked(calloc(1, sizeof *now));
	bool done = walk(now, true, refusal) && take_away(snapshot, now, refusal);
	for (size_t i = 0; done && i < snapshot->count; i++) {
		const struct entry *there = find(now, snapshot->entries[i].path);
		done = put_back(&snapshot->entries[i], there && there->size >= 0 ? there : NULL, refusal);
	}
	for (size_t i = snapshot->count; done && i-- > 0;)
		if (S_ISDIR(snapshot->entries[i].about.st_mode)) /* those that lead to mounts are root's, and have kept their modes */
			chmod(snapshot->entries[i].path, snapshot->entries[i].about.st_mode & MODE);
	snapshot_drop(now);
	return done;
}
