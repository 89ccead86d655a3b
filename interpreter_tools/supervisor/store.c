/*
 * The dependency store: one directory a key, shared by every sandbox of a Docker host, which see it read-only.
 *
 * In a sandbox the client asks for entries by their key, and a run may see one through a link in its workspace. In an
 * installer an entry is staged, filled by a program of an unprivileged user, and published by a rename. So nobody sees
 * an entry that is half done. Names: "KEY" is an entry, ".KEY" one being filled, "-KEY" one being removed.
 *
 * Two things here are one step, however large the entry is: to settle it when it is published, and to measure it for a
 * list. Neither can delay a run: the client asks for them in installers only, where no run of a user ever is, and
 * between the programs of the installer. Neither takes memory for what it finds. A client that leaves meanwhile is
 * noticed after the step, and its engine kills the container from outside without asking us.
 */
#include "supervisor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY 64                /* hexadecimal digits */
#define MAX_DEPTH 128         /* directories; an entry that is deeper is not published */
#define REMOVE_US 600000000ull /* time for the removal of one entry */
#define MAX_MANIFEST 32768    /* bytes */
#define MANIFEST ".interpreter-tools.json"

static struct {
	int fd; /* -1: this container has none */
	const char *path;
} store = {.fd = -1, .path = ""};

void store_open(const char *path)
{
	store.path = path;
	store.fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (store.fd < 0)
		die("cannot open the dependency store %s: %s", path, strerror(errno));
}

/* ---- names ---- */

static bool is_key(const char *at, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (!strchr("0123456789abcdef", at[i]))
			return false;
	return length == KEY;
}

/* A name of an entry, or of what is left of one. */
static bool is_name(const char *at, size_t length)
{
	bool marked = length > 0 && (at[0] == '.' || at[0] == '-');
	return is_key(at + marked, length - marked);
}

static void take_key(struct cursor *payload, char key[KEY + 1])
{
	struct text text = take_text(payload);
	if (!is_key(text.at, text.length))
		die("protocol: what is not a key");
	memcpy(key, text.at, KEY);
	key[KEY] = 0;
}

static void take_short(struct cursor *payload, char *to, size_t size)
{
	struct text text = take_text(payload);
	if (text.length >= size)
		die("protocol: a string of %u bytes", text.length);
	memcpy(to, text.at, text.length);
	to[text.length] = 0;
}

static void marked(char name[KEY + 2], char mark, const char *key)
{
	name[0] = mark;
	memcpy(name + 1, key, KEY + 1);
}

static int open_at(int at, const char *name, int how)
{
	return openat(at, name, how | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* ---- what a run needs ---- */

static struct {
	char name[NAME_SIZE], target[512]; /* no name: no link */
	uint32_t uid;
	bool made;
} link_of_run;

void store_need(struct cursor *payload)
{
	char key[KEY + 1], name[NAME_SIZE], below[NAME_SIZE];
	take_key(payload, key);
	take_short(payload, name, sizeof name);
	take_short(payload, below, sizeof below);
	take_end(payload);
	if (strchr(name, '/') || !strcmp(name, ".") || !strcmp(name, "..") || strstr(below, ".."))
		die("protocol: a link %s to %s", name, below);
	int fd = open_at(store.fd, key, O_PATH);
	if (fd < 0)
		refuse_later(IT_WHY_NEED, store.fd < 0 ? ENOENT : errno, key, KEY);
	close_fd(&fd);
	if (*name) {
		memcpy(link_of_run.name, name, sizeof name);
		snprintf(link_of_run.target, sizeof link_of_run.target, "%s/%s/%s", store.path, key, below);
	}
}

/* As the user, who may remove it like any other file. What is there already stays: it is the user's own. */
void store_link(uint32_t uid)
{
	if (!link_of_run.name[0] || become(uid) < 0)
		return;
	link_of_run.made = symlinkat(link_of_run.target, files_workspace(), link_of_run.name) == 0;
	link_of_run.uid = uid;
	become(0);
}

void store_keep_link(void)
{
	link_of_run.made = false;
	link_of_run.name[0] = 0;
}

void store_unlink(void)
{
	char target[sizeof link_of_run.target];
	if (link_of_run.made) {
		ssize_t length = -1;
		if (become(link_of_run.uid) == 0)
			length = readlinkat(files_workspace(), link_of_run.name, target, sizeof target);
		if (length == (ssize_t)strlen(link_of_run.target) && !memcmp(target, link_of_run.target, (size_t)length))
			unlinkat(files_workspace(), link_of_run.name, 0);
		become(0);
	}
	link_of_run.made = false;
	link_of_run.name[0] = 0;
}

/* ---- trees ---- */

struct tree {
	bool settle;     /* make it root's, readable by all and writable by nobody else */
	uint64_t bytes;  /* on disk */
	int error;
};

static void settle_file(struct tree *tree, int at, const char *name, const struct stat *status)
{
	mode_t mode = S_ISDIR(status->st_mode) ? 0755 : status->st_mode & 0111 ? 0755 : 0644;
	int failed = 0;
	if (!S_ISREG(status->st_mode) && !S_ISDIR(status->st_mode) && !S_ISLNK(status->st_mode))
		failed = unlinkat(at, name, 0);
	else if ((failed = fchownat(at, name, 0, 0, AT_SYMLINK_NOFOLLOW)) == 0 && !S_ISLNK(status->st_mode))
		failed = fchmodat(at, name, mode, 0);
	if (failed)
		tree->error = errno;
}

/* Walks without recursion; nobody else changes the tree meanwhile, as every process of its user is dead. */
static void walk(struct tree *tree, int top)
{
	DIR *stack[MAX_DEPTH];
	int fd = open_at(top, ".", O_RDONLY), depth = 0;
	stack[0] = fd < 0 ? NULL : fdopendir(fd);
	if (!stack[0])
		tree->error = errno;
	else
		depth = 1;
	while (depth > 0) {
		DIR *directory = stack[depth - 1];
		struct dirent *entry = readdir(directory);
		struct stat status;
		if (!entry) {
			closedir(directory);
			depth--;
			continue;
		}
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") ||
		    fstatat(dirfd(directory), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		tree->bytes += (uint64_t)status.st_blocks * 512u;
		if (tree->settle)
			settle_file(tree, dirfd(directory), entry->d_name, &status);
		if (!S_ISDIR(status.st_mode))
			continue;
		fd = depth < MAX_DEPTH ? open_at(dirfd(directory), entry->d_name, O_RDONLY) : -1;
		DIR *below = fd < 0 ? NULL : fdopendir(fd);
		if (below)
			stack[depth++] = below;
		else
			tree->error = depth < MAX_DEPTH ? errno : ELOOP;
	}
}

/* ---- an installer's requests ---- */

enum work { NOTHING, STAGING, PUBLISHING, EVICTING, ENTRIES };

static struct {
	enum work work;
	char key[KEY + 2];      /* as the answer names it */
	char removing[KEY + 2]; /* empty: nothing is */
	uint64_t deadline_us;   /* of that */
	uint32_t uid;
	int error;
	DIR *root;              /* of ENTRIES */
} job;

static void answer(int error, const char *name)
{
	if (error)
		send_refused(0, IT_WHY_STORE, error, name, strlen(name));
	else
		send_frame(IT_READY, NULL, 0);
}

static void begin(enum work work, const char *key)
{
	job.work = work;
	job.error = 0;
	memcpy(job.key, key, strlen(key) + 1);
	job.removing[0] = 0;
}

static void begin_removal(const char *name)
{
	memcpy(job.removing, name, strlen(name) + 1);
	job.deadline_us = now_us() + REMOVE_US;
}

/* One step of it. False: there is more. Else it is gone, or the job has the error. */
static bool remove_tree(void)
{
	int fd = open_at(store.fd, job.removing, O_RDONLY);
	if (fd >= 0 && !wipe_directory(fd) && now_us() < job.deadline_us) {
		close_fd(&fd);
		return false;
	}
	if (unlinkat(store.fd, job.removing, fd >= 0 ? AT_REMOVEDIR : 0) < 0 && errno != ENOENT && !job.error)
		job.error = errno;
	close_fd(&fd);
	job.removing[0] = 0;
	return true;
}

static int make_stage(const char *name, uint32_t uid)
{
	if (mkdirat(store.fd, name, 0700) < 0)
		return -1;
	int fd = open_at(store.fd, name, O_RDONLY);
	int done = fd < 0 ? -1 : 0;
	for (int i = 0; i < 2 && done == 0; i++) {
		const char *below = i == 0 ? "target" : "tmp";
		done = mkdirat(fd, below, 0700) < 0 ? -1 : fchownat(fd, below, uid, uid, AT_SYMLINK_NOFOLLOW);
	}
	if (done == 0)
		done = fchown(fd, uid, uid);
	int error = errno;
	close_fd(&fd);
	errno = error;
	return done;
}

void store_stage(struct cursor *payload)
{
	char key[KEY + 1], name[KEY + 2];
	uint32_t uid = take_u32(payload);
	take_key(payload, key);
	take_end(payload);
	if (uid < FIRST_UID || uid > LAST_UID)
		die("protocol: a stage as uid %u", uid);
	marked(name, '.', key);
	begin(STAGING, key);
	job.uid = uid;
	if (fchmod(store.fd, 0711) < 0)
		job.error = errno;
	begin_removal(name);
}

static void finish_stage(void)
{
	char name[KEY + 2];
	marked(name, '.', job.key);
	if (!job.error && make_stage(name, job.uid) < 0)
		job.error = errno;
	answer(job.error, job.key);
}

static int write_manifest(int target, struct text manifest)
{
	int fd = openat(target, MANIFEST, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	ssize_t done = fd < 0 ? -1 : write(fd, manifest.at, manifest.length);
	int error = done < 0 ? errno : ENOSPC;
	close_fd(&fd);
	errno = error;
	return done == (ssize_t)manifest.length ? 0 : -1;
}

/*
 * Whoever else has published the same key meanwhile has published the same thing. Most of the time is the kernel's, in
 * syncfs, which cannot be cut into steps.
 */
static int publish(const char *key, const char *name, struct text manifest)
{
	struct tree tree = {.settle = true};
	int staging = open_at(store.fd, name, O_RDONLY);
	int target = staging < 0 ? -1 : open_at(staging, "target", O_RDONLY);
	tree.error = target < 0 ? errno : 0;
	if (!tree.error) {
		walk(&tree, target);
		if (!tree.error && (fchown(target, 0, 0) < 0 || fchmod(target, 0755) < 0 ||
				    write_manifest(target, manifest) < 0 || syncfs(store.fd) < 0))
			tree.error = errno;
		if (!tree.error && renameat(staging, "target", store.fd, key) < 0 && errno != EEXIST && errno != ENOTEMPTY)
			tree.error = errno;
	}
	close_fd(&target);
	close_fd(&staging);
	return tree.error;
}

void store_publish(struct cursor *payload)
{
	char key[KEY + 1], name[KEY + 2];
	take_key(payload, key);
	struct text manifest = take_text(payload);
	take_end(payload);
	if (manifest.length > MAX_MANIFEST)
		die("protocol: a manifest of %u bytes", manifest.length);
	marked(name, '.', key);
	begin(PUBLISHING, key);
	job.error = publish(key, name, manifest);
	begin_removal(name);
}

/* An entry first loses its name, so that it is never seen half removed. */
void store_evict(struct cursor *payload)
{
	char name[KEY + 2], going[KEY + 2];
	take_short(payload, name, sizeof name);
	take_end(payload);
	if (!is_name(name, strlen(name)))
		die("protocol: what is not a name in the store");
	begin(EVICTING, name);
	if (is_key(name, strlen(name)))
		marked(going, '-', name); /* what an earlier removal has left comes first */
	else
		memcpy(going, name, sizeof going);
	begin_removal(going);
}

static void finish_evict(void)
{
	char going[KEY + 2];
	if (job.error || !is_key(job.key, strlen(job.key))) {
		answer(job.error, job.key);
		return;
	}
	marked(going, '-', job.key);
	if (renameat(store.fd, job.key, store.fd, going) < 0) {
		answer(errno == ENOENT ? 0 : errno, going);
		return;
	}
	begin(EVICTING, going);
	begin_removal(going);
}

static void send_entry(const char *name, int fd, const struct stat *status)
{
	static uint8_t payload[16 + 4 + KEY + 1 + 4 + MAX_MANIFEST];
	struct tree tree = {0};
	walk(&tree, fd);
	uint64_t head[2] = {tree.bytes, (uint64_t)status->st_mtim.tv_sec};
	uint32_t length = (uint32_t)strlen(name);
	memcpy(payload, head, sizeof head);
	memcpy(payload + 16, &length, sizeof length);
	memcpy(payload + 20, name, length);
	uint8_t *at = payload + 20 + length;
	int manifest = openat(fd, MANIFEST, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	ssize_t got = manifest < 0 || *name == '.' ? 0 : read(manifest, at + 4, MAX_MANIFEST);
	close_fd(&manifest);
	uint32_t said = got < 0 ? 0 : (uint32_t)got;
	memcpy(at, &said, sizeof said);
	send_frame(IT_STORED, payload, (size_t)(at - payload) + 4 + said);
}

void store_entries(void)
{
	int fd = open_at(store.fd, ".", O_RDONLY);
	job.root = fd < 0 ? NULL : fdopendir(fd);
	if (job.root)
		begin(ENTRIES, "");
	else
		answer(store.fd < 0 ? ENOENT : errno, "");
}

/* One entry a step, when the client has taken those before it. */
static bool entries_step(void)
{
	const struct dirent *entry;
	if (!wire_takes_bulk())
		return false;
	while ((entry = readdir(job.root)) && !is_name(entry->d_name, strlen(entry->d_name)))
		;
	if (!entry) {
		closedir(job.root);
		send_frame(IT_READY, NULL, 0);
		return true;
	}
	struct stat status;
	int fd = open_at(store.fd, entry->d_name, O_RDONLY);
	if (fd >= 0 && fstat(fd, &status) == 0)
		send_entry(entry->d_name, fd, &status);
	close_fd(&fd);
	return false;
}

bool store_busy(void)
{
	return job.work != NOTHING;
}

void store_step(void)
{
	enum work work = job.work;
	if (work == NOTHING || (job.removing[0] && !remove_tree()))
		return;
	if (work == ENTRIES && !entries_step())
		return;
	job.work = NOTHING;
	if (work == STAGING)
		finish_stage();
	else if (work == PUBLISHING)
		answer(job.error, job.key);
	else if (work == EVICTING)
		finish_evict(); /* which may begin another removal */
}
