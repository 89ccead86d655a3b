/* The files of the workspace, and which of them a run has changed. */
#include "supervisor.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define MAX_DEPTH 128       /* directories; what lies deeper is not listed, and the list says that it is partial */
#define MAX_LISTED 100000   /* files */
#define WALK_US 2000000     /* time for one walk */
#define REMEMBERED 512      /* files put in one tick of the clock */

struct remembered {
	ino_t inode;
	off_t size;
	struct timespec changed, modified;
};

/*
 * Files put lately, as they were left. Change times are the kernel's and cannot be forged, but within one tick of its clock they cannot tell a
 * program's write from ours; the modification time can, as ours is set back.
 */
static struct remembered put_lately[REMEMBERED];
static size_t put_count;

static struct timespec mark;         /* what has a change time before this was there before the run */
static struct timespec last_change;  /* the latest that a walk has seen */

static bool before(struct timespec a, struct timespec b)
{
	return a.tv_sec < b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec < b.tv_nsec);
}

static bool same(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

void changes_put(const struct stat *status)
{
	put_lately[put_count++ % REMEMBERED] = (struct remembered){status->st_ino, status->st_size, status->st_ctim, status->st_mtim};
}

void changes_mark(void)
{
	const struct timespec tick = {.tv_nsec = 500000};
	/* Change times come from the coarse clock: what an earlier run wrote must lie before the mark, not at it. */
	clock_gettime(CLOCK_REALTIME_COARSE, &mark);
	for (int i = 0; i < 100 && (!before(last_change, mark) || put_count > REMEMBERED); i++) {
		if (i == 20)
			put_count = 0; /* 10 ms: every put lies before the mark by now */
		nanosleep(&tick, NULL);
		clock_gettime(CLOCK_REALTIME_COARSE, &mark);
	}
}

static bool changed_since_mark(const struct stat *status)
{
	if (before(status->st_ctim, mark))
		return false;
	size_t count = put_count < REMEMBERED ? put_count : REMEMBERED;
	for (size_t i = 0; i < count; i++) {
		const struct remembered *was = &put_lately[i];
		if (was->inode == status->st_ino && was->size == status->st_size && same(was->changed, status->st_ctim) &&
		    same(was->modified, status->st_mtim))
			return false;
	}
	return true;
}

static struct {
	uint8_t frame[IT_MAX_PAYLOAD];
	size_t used;
	uint16_t count;
	uint32_t total;
	bool partial;
	uint64_t deadline;
	char path[MAX_PATH];
} list;

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

/*
 * Walks without recursion; every directory on the way down is held open, so a swapped one leads nowhere. What is mounted beneath the
 * workspace is left out: it may be a large directory of the host, where others write as well.
 */
static void walk(bool only_changed)
{
	struct stat root;
	DIR *stack[MAX_DEPTH];
	uint32_t lengths[MAX_DEPTH], depth = 1, steps = 0;
	list.used = 4;
	list.count = 0;
	list.total = 0;
	list.deadline = now_us() + WALK_US;
	lengths[0] = 0;
	stack[0] = open_directory(files_workspace(), ".");
	list.partial = !stack[0] || fstat(dirfd(stack[0]), &root) < 0;
	if (list.partial && stack[0])
		closedir(stack[0]);
	if (list.partial)
		depth = 0;
	while (depth > 0) {
		DIR *directory = stack[depth - 1];
		struct dirent *entry = readdir(directory);
		if (!entry || list.total >= MAX_LISTED || (++steps % 64 == 0 && now_us() > list.deadline)) {
			list.partial = list.partial || entry;
			closedir(directory);
			depth--;
			continue;
		}
		size_t length = strlen(entry->d_name), base = lengths[depth - 1];
		struct stat status;
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
		    fstatat(dirfd(directory), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0 || status.st_dev != root.st_dev)
			continue;
		if (base + length + 1 >= MAX_PATH) {
			list.partial = true;
			continue;
		}
		memcpy(list.path + base, entry->d_name, length);
		if (S_ISREG(status.st_mode)) {
			if (before(last_change, status.st_ctim))
				last_change = status.st_ctim;
			if (!only_changed || changed_since_mark(&status))
				list_add((uint64_t)status.st_size, (uint32_t)(base + length));
		} else if (S_ISDIR(status.st_mode)) {
			DIR *below = depth < MAX_DEPTH ? open_directory(dirfd(directory), entry->d_name) : NULL;
			list.partial = list.partial || !below;
			if (below) {
				list.path[base + length] = '/';
				lengths[depth] = (uint32_t)(base + length + 1);
				stack[depth++] = below;
			}
		}
	}
	list_send(true);
}

void changes_send(void)
{
	walk(true);
	put_count = 0;
}

void changes_send_all(void)
{
	walk(false);
	send_frame(IT_READY, NULL, 0);
}

void changes_forget(void)
{
	put_count = 0;
	last_change = (struct timespec){0};
}
