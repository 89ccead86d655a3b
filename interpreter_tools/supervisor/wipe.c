/*
 * The reset of a container that is to be used again, and the proof that nothing of the last run is left: no process, no file, no
 * socket, no name. Everything has one deadline; any doubt is a verdict that makes the client discard the container.
 */
#include "supervisor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define MAX_MOUNTS 16
#define MAX_KEPT 64
#define PAUSE_US 1000     /* what a killed process held is let go a little later */
#define TMPFS 0x01021994 /* TMPFS_MAGIC, statfs(2) */

struct mount {
	const char *path;
	DIR *root;
	uint64_t blocks, inodes; /* in use when nothing had run yet */
};

/*
 * Names in the root of a writable mount that are, or lead to, another mount: a directory of the host, perhaps, in
 * which nothing must ever be removed. The directories that lead there are root's, so a program can neither move them
 * nor leave anything in them; and what is another writable mount is wiped as such.
 */
struct kept {
	const DIR *root;
	char name[NAME_SIZE];
};

static struct {
	struct mount mounts[MAX_MOUNTS];
	struct kept kept[MAX_KEPT];
	size_t mount_count, kept_count;
} layout;

static struct {
	bool busy;
	uint32_t next_uid;
	uint64_t deadline_us, due_us; /* of the reset; of its next step */
	uint64_t step_end_us;         /* until then, files are removed */
} wipe;

static bool step_over(void)
{
	return now_us() > wipe.step_end_us;
}

static void in_use(const struct mount *mount, uint64_t *blocks, uint64_t *inodes)
{
	struct statfs status;
	if (fstatfs(dirfd(mount->root), &status) < 0 || status.f_type != TMPFS)
		die("%s must be a tmpfs: this runtime shows it as something else, which cannot be limited and wiped",
		    mount->path);
	*blocks = status.f_blocks - status.f_bfree;
	*inodes = status.f_files - status.f_ffree;
}

/* proc_pid_mountinfo(5) writes blanks, newlines and backslashes of a path as three octal digits. */
static void unescape(char *path)
{
	char *to = path;
	for (; *path; to++) {
		if (path[0] == '\\' && path[1] && path[2] && path[3]) {
			*to = (char)((path[1] - '0') << 6 | (path[2] - '0') << 3 | (path[3] - '0'));
			path += 4;
		} else {
			*to = *path++;
		}
	}
	*to = 0;
}

static bool is_kept(const struct mount *mount, const char *name)
{
	for (size_t i = 0; i < layout.kept_count; i++)
		if (layout.kept[i].root == mount->root && strcmp(layout.kept[i].name, name) == 0)
			return true;
	return false;
}

static void keep_way_to(const char *point)
{
	for (size_t i = 0; i < layout.mount_count; i++) {
		size_t length = strlen(layout.mounts[i].path);
		if (strncmp(point, layout.mounts[i].path, length) || point[length] != '/')
			continue;
		const char *name = point + length + 1;
		size_t size = strcspn(name, "/");
		if (layout.kept_count == MAX_KEPT || size >= sizeof layout.kept->name)
			die("too many mounts beneath %s", layout.mounts[i].path);
		layout.kept[layout.kept_count].root = layout.mounts[i].root;
		memcpy(layout.kept[layout.kept_count].name, name, size);
		layout.kept[layout.kept_count++].name[size] = 0;
	}
}

void each_mount(void (*take)(const char *point))
{
	char *line = NULL, *point = NULL;
	size_t size = 0;
	FILE *table = fopen("/proc/self/mountinfo", "re");
	if (!table)
		die("cannot read the mounts: %s", strerror(errno));
	while (getline(&line, &size, table) > 0) {
		if (sscanf(line, "%*s %*s %*s %*s %ms", &point) != 1)
			die("cannot understand the mounts: %s", line);
		unescape(point);
		take(point);
		free(point);
	}
	free(line);
	fclose(table);
}

/*
 * runc gives a mount the mode of the image's directory of that name, where there is one. A volume has the right mode
 * from its beginning, and where the engine has user ids of its own, its root belongs to nobody here.
 */
static void open_to_everybody(const struct mount *mount)
{
	struct stat status;
	if (fstat(dirfd(mount->root), &status) == 0 && (status.st_mode & 07777) == 01777)
		return;
	if (fchmod(dirfd(mount->root), 01777) < 0)
		die("cannot open %s to everybody: %s", mount->path, strerror(errno));
}

void wipe_baseline(char **paths)
{
	for (; *paths; paths++) {
		if (layout.mount_count == MAX_MOUNTS)
			die("more than %d writable mounts", MAX_MOUNTS);
		struct mount *mount = &layout.mounts[layout.mount_count++];
		mount->path = *paths;
		mount->root = opendir(*paths);
		if (!mount->root)
			die("cannot open the writable mount %s: %s", *paths, strerror(errno));
		in_use(mount, &mount->blocks, &mount->inodes);
		open_to_everybody(mount);
	}
	each_mount(keep_way_to);
	sockets_baseline();
}

/* ---- files ---- */

static bool removed(int at, const char *name)
{
	return unlinkat(at, name, 0) == 0 || unlinkat(at, name, AT_REMOVEDIR) == 0 || errno == ENOENT;
}

/* A directory that is not empty moves up to the root of the mount: so no depth makes us recurse or run out of descriptors. */
static void lift(int from, const char *name, int root)
{
	static uint32_t counter;
	char lifted[24];
	for (int i = 0; i < 64; i++) {
		snprintf(lifted, sizeof lifted, "\1%u", counter++);
		if (renameat(from, name, root, lifted) == 0 || errno == ENOENT)
			return;
	}
}

static void empty(int root, const char *name)
{
	DIR *directory = open_directory(root, name);
	if (!directory)
		return;
	for (struct dirent *entry; (entry = readdir(directory)) && !step_over();)
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..") && !removed(dirfd(directory), entry->d_name))
			lift(dirfd(directory), entry->d_name, root);
	closedir(directory);
}

/* True when the mount's root holds nothing but the way to other mounts. */
static bool wipe_mount(const struct mount *mount)
{
	int root = dirfd(mount->root);
	for (bool anything = true; anything;) {
		anything = false;
		rewinddir(mount->root);
		for (struct dirent *entry; (entry = readdir(mount->root));) {
			if (step_over())
				return false; /* the names that were not looked at may be anything */
			if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 || is_kept(mount, entry->d_name))
				continue;
			anything = true;
			if (!removed(root, entry->d_name)) {
				empty(root, entry->d_name);
				removed(root, entry->d_name);
			}
		}
	}
	return true;
}

bool wipe_directory(int fd)
{
	const struct mount mount = {.root = open_directory(fd, ".")};
	wipe.step_end_us = now_us() + STEP_US;
	bool emptied = mount.root && wipe_mount(&mount);
	if (mount.root)
		closedir(mount.root);
	return emptied;
}

static const struct mount *mount_in_use(void)
{
	for (size_t i = 0; i < layout.mount_count; i++) {
		uint64_t blocks, inodes;
		if (!wipe_mount(&layout.mounts[i]))
			return &layout.mounts[i];
		in_use(&layout.mounts[i], &blocks, &inodes);
		if (blocks != layout.mounts[i].blocks || inodes != layout.mounts[i].inodes)
			return &layout.mounts[i];
	}
	return NULL;
}

static bool queues_exist(void)
{
	DIR *directory = opendir("/dev/mqueue");
	bool found = false;
	if (!directory)
		return false;
	for (struct dirent *entry; (entry = readdir(directory));)
		found = found || (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."));
	closedir(directory);
	return found;
}

/* ---- the reset ---- */

static uint32_t verify(const char **left)
{
	const struct mount *mount;
	*left = "";
	if (processes_left()) {
		*left = "a process";
		return IT_CLEAN_PROCESSES;
	}
	if ((*left = sockets_in_use())) { /* before the files, which a socket may hold */
		sockets_collect();
		return IT_CLEAN_SOCKETS;
	}
	if ((mount = mount_in_use())) {
		*left = mount->path;
		return IT_CLEAN_FILES;
	}
	*left = "/dev/mqueue";
	if (queues_exist())
		return IT_CLEAN_FILES;
	*left = "";
	return IT_CLEAN_OK;
}

static void answer(uint32_t verdict, const char *left)
{
	uint8_t payload[8 + 256];
	uint32_t head[2] = {verdict, (uint32_t)strnlen(left, 256)};
	memcpy(payload, head, sizeof head);
	memcpy(payload + sizeof head, left, head[1]);
	send_frame(IT_CLEAN, payload, sizeof head + head[1]);
	wire_flush();
}

static void finish(uint32_t verdict, const char *left)
{
	wipe.busy = false;
	changes_forget();
	run_forget();
	answer(verdict, left);
	boot_for(wipe.next_uid);
}

/* The answer of the keeper, which has no box for the next run. */
void wipe_refuse(uint32_t verdict, const char *why)
{
	answer(verdict, why);
}

/* The answer of the first supervisor after a box; the keeper has seen the end of all that was in it. */
void wipe_passed(uint32_t next_uid)
{
	wipe.next_uid = next_uid;
	finish(IT_CLEAN_OK, "");
}

/* Until nothing is left, or the deadline is over: then the last verdict stands. */
void wipe_step(void)
{
	const char *left;
	uint64_t now = now_us();
	if (!wipe.busy || now < wipe.due_us)
		return;
	if (boot_pending()) { /* it must not meet an interpreter that is half way */
		wipe.due_us = now + PAUSE_US;
		return;
	}
	wipe.step_end_us = now + STEP_US;
	run_reap();
	uint32_t verdict = verify(&left);
	now = now_us();
	if (verdict == IT_CLEAN_OK || now > wipe.deadline_us)
		finish(verdict, left);
	else
		wipe.due_us = step_over() ? now : now + PAUSE_US;
}

/* In a box, the reset is the end of the box. */
void wipe_reset(uint32_t deadline_ms, uint32_t next_uid)
{
	run_end_sides();
	if (box_inside())
		box_pass(next_uid);
	boot_retire(); /* one that waits for the user before, as no run has taken it */
	files_undo();
	wipe.busy = true;
	wipe.next_uid = next_uid;
	wipe.due_us = now_us();
	wipe.deadline_us = wipe.due_us + deadline_ms * 1000ull;
	wipe_step();
}

bool wipe_busy(void)
{
	return wipe.busy;
}

int64_t wipe_due_us(void)
{
	return wipe.busy ? us_until(wipe.due_us) : -1;
}
