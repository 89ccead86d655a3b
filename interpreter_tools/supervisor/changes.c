/*
 * The files of the workspace, and which of them a run has changed.
 *
 * A file is changed when its change time lies after the mark that was set at the start of the run. A directory that
 * was moved changes the paths of files, but not their times. So the place of each directory is remembered, and
 * everything below one that has moved is changed.
 */
#include "supervisor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define MAX_DEPTH 128       /* directories; what lies deeper is not listed, and the list says that it is partial */
#define MAX_LISTED 100000   /* files */
#define WALK_US 2000000     /* time for one walk, without what the client takes */
#define SETTLE_US 50000     /* for the clock to tick; it was set back if it does not */
#define REMEMBERED 512      /* files put in one tick of the clock */
#define MAX_PLACES 4096     /* directories whose place is remembered; a power of two */

struct remembered {
	ino_t inode;
	off_t size;
	struct timespec changed, modified;
};

struct place {
	ino_t directory, parent;
	uint64_t name; /* its hash */
};

static struct {
	/*
	 * Files put lately, as they were left. Change times are the kernel's and cannot be forged, but within one tick of
	 * its clock they cannot tell a program's write from ours; the modification time can, as ours is set back.
	 */
	struct remembered put_lately[REMEMBERED];
	size_t put_count;
	struct timespec mark;        /* what has a change time before this was there before the run */
	struct timespec last_change; /* the latest that a walk has seen */
	struct timespec last_put;
	uint64_t settled_us;         /* when the wait for the clock is over in any case; 0: nobody waits */
	struct place places[2][MAX_PLACES]; /* after the last run, and as the walk under way finds them; hash tables */
	size_t place_counts[2];
	uint8_t current;             /* of the two: after the last run */
} seen;

static bool same(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

void changes_put(const struct stat *status)
{
	seen.put_lately[seen.put_count++ % REMEMBERED] =
		(struct remembered){status->st_ino, status->st_size, status->st_ctim, status->st_mtim};
	seen.last_put = status->st_ctim;
}

/* Change times come from the coarse clock: what was written before the run must lie before the mark, not at it. */
bool changes_settled(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	bool ticked = is_before(seen.last_change, now) && (seen.put_count <= REMEMBERED || is_before(seen.last_put, now));
	if (ticked)
		seen.settled_us = 0;
	else if (!seen.settled_us)
		seen.settled_us = now_us() + SETTLE_US;
	return ticked || now_us() >= seen.settled_us;
}

void changes_mark(void)
{
	clock_gettime(CLOCK_REALTIME_COARSE, &seen.mark);
	seen.settled_us = 0;
	if (is_before(seen.last_put, seen.mark))
		seen.put_count = 0;
}

static bool changed_since_mark(const struct stat *status)
{
	if (is_before(status->st_ctim, seen.mark))
		return false;
	size_t count = seen.put_count < REMEMBERED ? seen.put_count : REMEMBERED;
	for (size_t i = 0; i < count; i++) {
		const struct remembered *was = &seen.put_lately[i];
		if (was->inode == status->st_ino && was->size == status->st_size && same(was->changed, status->st_ctim) &&
		    same(was->modified, status->st_mtim))
			return false;
	}
	return true;
}

struct level { /* a directory on the way down, held open, so that a swapped one leads nowhere */
	DIR *directory;
	ino_t inode;
	uint32_t length; /* of its path */
	bool moved;      /* it, or one above it */
	bool same;       /* it holds the names that it held before the run */
};

static struct {
	bool busy, all, unchanged, partial;
	struct level stack[MAX_DEPTH];
	uint32_t depth, total;
	uint64_t spent_us;
	dev_t device;
	uint8_t frame[IT_MAX_PAYLOAD];
	size_t used;
	uint16_t count;
	char path[MAX_PATH];
} list;

/* ---- places ---- */

static uint64_t hash(const char *name) /* FNV-1a */
{
	uint64_t value = 0xcbf29ce484222325u;
	for (; *name; name++)
		value = (value ^ (uint8_t)*name) * 0x100000001b3u;
	return value;
}

/* Its slot, or the free one where it would be; there always is one. */
static struct place *find_place(struct place *places, ino_t directory)
{
	size_t at = (size_t)((uint64_t)directory * 0x9e3779b97f4a7c15u >> 32) % MAX_PLACES;
	while (places[at].directory && places[at].directory != directory)
		at = (at + 1) % MAX_PLACES;
	return &places[at];
}

static void remember_place(uint8_t table, struct place place)
{
	if (seen.place_counts[table] >= MAX_PLACES / 2)
		return;
	struct place *slot = find_place(seen.places[table], place.directory);
	seen.place_counts[table] += !slot->directory;
	*slot = place;
}

void changes_put_directory(int parent, int directory, const char *name)
{
	struct stat above, status;
	int error = errno;
	if (directory >= 0 && fstat(parent, &above) == 0 && fstat(directory, &status) == 0)
		remember_place(seen.current, (struct place){status.st_ino, above.st_ino, hash(name)});
	errno = error;
}

static void forget_places(uint8_t table)
{
	if (seen.place_counts[table])
		memset(seen.places[table], 0, sizeof seen.places[table]);
	seen.place_counts[table] = 0;
}

/*
 * A run has moved it here. One that is not remembered, as there are too many, was moved when its change time is new and its
 * modification time is not: what is made in a directory changes both.
 */
static bool was_moved(struct place place, const struct stat *status)
{
	const struct place *was = find_place(seen.places[seen.current], place.directory);
	if (was->directory)
		return was->parent != place.parent || was->name != place.name;
	return !is_before(status->st_ctim, seen.mark) && is_before(status->st_mtim, seen.mark);
}

/* ---- the list ---- */

static void list_send(bool last)
{
	uint16_t head[2] = {list.count, list.partial && last};
	if (list.count == 0 && !head[1])
		return;
	memcpy(list.frame, head, sizeof head);
	send_frame(IT_FILES, list.frame, list.used);
	list.used = sizeof head;
	list.count = 0;
}

static void list_add(uint64_t size, uint32_t length)
{
	if (list.used + 12 + length > sizeof list.frame)
		list_send(false);
	memcpy(list.frame + list.used, &size, sizeof size);
	memcpy(list.frame + list.used + 8, &length, sizeof length);
	memcpy(list.frame + list.used + 12, list.path, length);
	list.used += 12 + length;
	list.count++;
	list.total++;
}

static void leave_directory(void)
{
	closedir(list.stack[--list.depth].directory);
}

/* A name that comes or goes changes the change time of its directory. */
static void push_level(struct level level, const struct stat *status)
{
	level.same = !level.moved && is_before(status->st_ctim, seen.mark);
	list.stack[list.depth++] = level;
	if (!list.unchanged || !level.same)
		return;
	if (level.length == 0)
		list.path[0] = '/';
	list_add(IT_FILES_UNCHANGED, level.length ? level.length : 1);
}

static void enter_directory(const struct level *level, const char *name, size_t length, const struct stat *status)
{
	struct place place = {.directory = status->st_ino, .parent = level->inode, .name = hash(name)};
	bool moved = level->moved || was_moved(place, status);
	DIR *below = list.depth < MAX_DEPTH ? open_directory(dirfd(level->directory), name) : NULL;
	list.partial = list.partial || !below;
	if (!below)
		return;
	if (!list.all)
		remember_place(!seen.current, place);
	uint32_t end = level->length + (uint32_t)length;
	list.path[end] = '/';
	push_level((struct level){.directory = below, .inode = status->st_ino, .length = end + 1, .moved = moved}, status);
}

/* What is mounted beneath the workspace is left out: it may be a large directory of the host, where others write as well. */
static void take_entry(const struct level *level, const char *name)
{
	struct stat status;
	size_t length = strlen(name);
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
	    fstatat(dirfd(level->directory), name, &status, AT_SYMLINK_NOFOLLOW) < 0 || status.st_dev != list.device)
		return;
	if (level->length + length + 1 >= MAX_PATH) {
		list.partial = true;
		return;
	}
	memcpy(list.path + level->length, name, length);
	if (S_ISDIR(status.st_mode)) {
		enter_directory(level, name, length, &status);
	} else if (S_ISREG(status.st_mode)) {
		if (is_before(seen.last_change, status.st_ctim))
			seen.last_change = status.st_ctim;
		if (list.all || level->moved || changed_since_mark(&status))
			list_add((uint64_t)status.st_size, level->length + (uint32_t)length);
		else if (list.unchanged && !level->same)
			list_add((uint64_t)status.st_size | IT_FILES_UNCHANGED, level->length + (uint32_t)length);
	}
}

void changes_list(bool all, bool unchanged)
{
	struct stat root;
	DIR *top = open_directory(files_workspace(), ".");
	list.busy = true;
	list.all = all;
	list.unchanged = unchanged;
	list.used = 4;
	list.count = 0;
	list.total = list.depth = 0;
	list.spent_us = 0;
	list.partial = !top || fstat(dirfd(top), &root) < 0;
	if (!list.partial) {
		list.device = root.st_dev;
		push_level((struct level){.directory = top, .inode = root.st_ino}, &root);
	} else if (top) {
		closedir(top);
	}
}

bool changes_listing(void)
{
	return list.busy;
}

/* Walks without recursion, until the list is complete, the step is over, or the client has to take what there is. */
bool changes_step(void)
{
	uint64_t began = now_us();
	for (uint32_t entries = 1; list.depth > 0 && wire_takes_bulk(); entries++) {
		uint64_t spent = entries % 64 ? 0 : now_us() - began;
		if (spent > STEP_US)
			break;
		const struct level *level = &list.stack[list.depth - 1];
		const struct dirent *entry = readdir(level->directory);
		bool enough = list.total >= MAX_LISTED || list.spent_us + spent > WALK_US;
		if (entry && !enough) {
			take_entry(level, entry->d_name);
			continue;
		}
		list.partial = list.partial || entry;
		leave_directory();
	}
	list.spent_us += now_us() - began;
	if (list.depth > 0 || !list.busy || !wire_takes_bulk())
		return !list.busy;
	list.busy = false;
	list_send(true);
	if (!list.all) {
		forget_places(seen.current);
		seen.current = !seen.current;
		seen.put_count = 0;
	}
	return true;
}

void changes_forget(void)
{
	forget_places(0);
	forget_places(1);
	seen.put_count = 0;
	seen.last_change = (struct timespec){0};
}
