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
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#define MAX_MOUNTS 16
#define MAX_KEPT 64
#define TMPFS 0x01021994 /* TMPFS_MAGIC, statfs(2) */

static struct mount {
	const char *path;
	DIR *root;
	uint64_t blocks, inodes; /* in use when nothing had run yet */
} mounts[MAX_MOUNTS];
static size_t mount_count;
static uint64_t deadline_us;

/*
 * Names in the root of a writable mount that are, or lead to, another mount: a directory of the host, perhaps, in which nothing must ever be
 * removed. The directories that lead there are root's, so a program can neither move them nor leave anything in them; and what is another
 * writable mount is wiped as such.
 */
static struct kept {
	const DIR *root;
	char name[256];
} kept[MAX_KEPT];
static size_t kept_count;

static bool late(void)
{
	return now_us() > deadline_us;
}

static void in_use(const struct mount *mount, uint64_t *blocks, uint64_t *inodes)
{
	struct statfs status;
	if (fstatfs(dirfd(mount->root), &status) < 0 || status.f_type != TMPFS)
		die("%s must be a tmpfs: this runtime shows it as something else, which cannot be limited and wiped", mount->path);
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
	for (size_t i = 0; i < kept_count; i++)
		if (kept[i].root == mount->root && strcmp(kept[i].name, name) == 0)
			return true;
	return false;
}

static void keep_way_to(const char *point)
{
	for (size_t i = 0; i < mount_count; i++) {
		size_t length = strlen(mounts[i].path);
		if (strncmp(point, mounts[i].path, length) || point[length] != '/')
			continue;
		const char *name = point + length + 1;
		size_t size = strcspn(name, "/");
		if (kept_count == MAX_KEPT || size >= sizeof kept->name)
			die("too many mounts beneath %s", mounts[i].path);
		kept[kept_count].root = mounts[i].root;
		memcpy(kept[kept_count].name, name, size);
		kept[kept_count++].name[size] = 0;
	}
}

static void find_kept(void)
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
		keep_way_to(point);
		free(point);
	}
	free(line);
	fclose(table);
}

/* A file of /proc that each reset reads: opened once. */
struct table {
	const char *path;
	FILE *file;
};

/* From its beginning, which the kernel writes anew; NULL and errno when there is none. */
static FILE *read_again(struct table *table)
{
	if (table->file)
		rewind(table->file);
	else
		table->file = fopen(table->path, "re");
	return table->file;
}

#define MAX_COUNTS 32

static struct counts {
	unsigned long in_use[MAX_COUNTS]; /* of each protocol */
	unsigned long all;
	size_t known;
} counts_at_start, counts_when_booted;

/*
 * The kernel's counters of sockets of this network namespace: "TCP: inuse 2 orphan 0 ...". The tables of TCP have a hash slot for each
 * socket that the whole host could ever hold, and are walked from end to end: 9 ms where there are 262144 slots, and nothing in them.
 */
static struct counts read_counts(void)
{
	static struct table tables[] = {{.path = "/proc/net/sockstat"}, {.path = "/proc/net/sockstat6"}};
	struct counts counts = {.known = 0};
	char line[512];
	for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
		FILE *file = read_again(&tables[i]);
		while (file && counts.known < MAX_COUNTS && fgets(line, sizeof line, file))
			if (sscanf(line, "%*[^:]: inuse %lu", &counts.in_use[counts.known]) == 1)
				counts.known++;
			else if (sscanf(line, "sockets: used %lu", &counts.all) == 1)
				counts.all -= boot_sockets();
	}
	return counts;
}

/*
 * runc gives a mount the mode of the image's directory of that name, where there is one. A volume has the right mode from its beginning, and where
 * the engine has user ids of its own, its root belongs to nobody here.
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
		if (mount_count == MAX_MOUNTS)
			die("more than %d writable mounts", MAX_MOUNTS);
		struct mount *mount = &mounts[mount_count++];
		mount->path = *paths;
		mount->root = opendir(*paths);
		if (!mount->root)
			die("cannot open the writable mount %s: %s", *paths, strerror(errno));
		in_use(mount, &mount->blocks, &mount->inodes);
		open_to_everybody(mount);
	}
	find_kept();
	counts_at_start = read_counts();
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
	for (struct dirent *entry; (entry = readdir(directory)) && !late();)
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..") && !removed(dirfd(directory), entry->d_name))
			lift(dirfd(directory), entry->d_name, root);
	closedir(directory);
}

/* True when the mount's root holds nothing but the way to other mounts. */
static bool wipe_mount(const struct mount *mount)
{
	int root = dirfd(mount->root);
	bool anything = true;
	while (anything && !late()) {
		anything = false;
		rewinddir(mount->root);
		for (struct dirent *entry; (entry = readdir(mount->root)) && !late();) {
			if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 || is_kept(mount, entry->d_name))
				continue;
			anything = true;
			if (!removed(root, entry->d_name)) {
				empty(root, entry->d_name);
				removed(root, entry->d_name);
			}
		}
	}
	return !anything;
}

bool wipe_directory(int fd, uint32_t deadline_ms)
{
	const struct mount mount = {.root = open_directory(fd, ".")};
	deadline_us = now_us() + deadline_ms * 1000ull;
	bool emptied = mount.root && wipe_mount(&mount);
	if (mount.root)
		closedir(mount.root);
	return emptied;
}

static const struct mount *mount_in_use(void)
{
	for (size_t i = 0; i < mount_count; i++) {
		uint64_t blocks, inodes;
		if (!wipe_mount(&mounts[i]))
			return &mounts[i];
		in_use(&mounts[i], &blocks, &inodes);
		if (blocks != mounts[i].blocks || inodes != mounts[i].inodes)
			return &mounts[i];
	}
	return NULL;
}

/* ---- sockets and queues ---- */

#define STATE_TIME_WAIT 6
#define RESOLVER 0x0b00007fu /* 127.0.0.11: the Docker engine's own, in networks that have a name */

/* A line of proc_net_tcp(5), which the tables of the other protocols share: "sl: address:port address:port state ..." */
static bool socket_line_bound(const char *line)
{
	unsigned address, state;
	if (sscanf(line, "%*[^:]: %8X:%*X %*[0-9A-F]:%*X %X", &address, &state) != 2) {
		if (sscanf(line, "%*[^:]: %*[0-9A-F]:%*X %*[0-9A-F]:%*X %X", &state) != 1)
			return false;
		address = 0;
	}
	return state != STATE_TIME_WAIT && address != RESOLVER;
}

/* A line of proc_net_unix(5) has an eighth column when the socket has a name. Ours is no program's. */
static bool unix_line_bound(const char *line)
{
	int columns = 0;
	while (*line && columns < 7) {
		line += strspn(line, " \n");
		columns += *line != 0;
		line += strcspn(line, " \n");
	}
	line += strspn(line, " \n");
	return *line && strcmp(line, "@" IT_MESSAGES "\n") != 0;
}

static bool table_bound(struct table *table, bool (*bound)(const char *))
{
	char line[512];
	FILE *file = read_again(table);
	bool found = false;
	if (!file)
		return errno != ENOENT;
	(void)!fgets(line, sizeof line, file); /* the headings */
	while (fgets(line, sizeof line, file)) /* to its end: from anywhere else, rewind may lead back into the buffer */
		found = found || bound(line);
	return found;
}

static bool counts_as_at_start(const struct counts *now)
{
	return now->known > 0 && now->known == counts_at_start.known &&
	       memcmp(now->in_use, counts_at_start.in_use, now->known * sizeof *now->in_use) == 0;
}

void wipe_booted(void)
{
	counts_when_booted = read_counts();
}

/*
 * Sockets that were sent through each other and never received live on without a process, and with them all that was sent along: memory, too. The
 * kernel collects them when a socket of that family is closed, of whoever it may be.
 */
static void collect_sockets(void)
{
	int ends[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return; /* and the verdict will not change */
	close(ends[0]);
	close(ends[1]);
}

static const char *socket_in_use(void)
{
	static struct table tables[] = {{.path = "/proc/net/tcp"}, {.path = "/proc/net/tcp6"}, {.path = "/proc/net/udp"},
					{.path = "/proc/net/udp6"}, {.path = "/proc/net/raw"}, {.path = "/proc/net/raw6"}};
	static struct table names = {.path = "/proc/net/unix"};
	struct counts now = read_counts();
	for (size_t i = 0; i < sizeof tables / sizeof *tables && !counts_as_at_start(&now); i++)
		if (table_bound(&tables[i], socket_line_bound))
			return tables[i].path;
	if (now.all > counts_when_booted.all)
		return "a socket";
	return table_bound(&names, unix_line_bound) ? names.path : NULL;
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
	if ((*left = socket_in_use())) { /* before the files, which a socket may hold */
		collect_sockets();
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

void wipe_reset(uint32_t deadline_ms, uint32_t next_uid)
{
	const struct timespec pause = {.tv_nsec = 1000000}; /* what a killed process held is let go a little later */
	const char *left;
	deadline_us = now_us() + deadline_ms * 1000ull;
	boot_retire(); /* one that waits for the user before, as no run has taken it */
	uint32_t verdict = verify(&left);
	while (verdict != IT_CLEAN_OK) {
		nanosleep(&pause, NULL);
		if (late())
			break; /* the last verdict stands */
		reap();
		verdict = verify(&left);
	}
	changes_forget();
	run_forget();
	uint8_t answer[8 + 256];
	uint32_t head[2] = {verdict, (uint32_t)strnlen(left, 256)};
	memcpy(answer, head, sizeof head);
	memcpy(answer + sizeof head, left, head[1]);
	send_frame(IT_CLEAN, answer, sizeof head + head[1]);
	wire_flush();
	boot_for(next_uid);
}
