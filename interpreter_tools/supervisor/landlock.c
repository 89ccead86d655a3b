/*
 * A wall around the zygote and every program, see landlock(7): they open nothing below /proc for writing. A box needs
 * none, as its /proc is read-only.
 *
 * A process may lower its own oom_score_adj there. The kernel then kills a small program last, though that fills the
 * memory with files that are in no directory (memfd_create). The zygote and the supervisor would go before it.
 *
 * Everything outside of /proc is as it was. A kernel without Landlock has no such wall. Nor has one with its first
 * version, which forbids every move of a file to another directory.
 */
#include "supervisor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef LANDLOCK_ACCESS_FS_REFER /* Linux 5.19 */
#define LANDLOCK_ACCESS_FS_REFER (1ULL << 13)
#endif

static int ruleset = -1; /* -1: the kernel has no such wall, or there is none here */

/* Allow it for the file, or for all below the directory. A link needs no rule: where it leads to, there is one. */
static void allow(int root, const char *name, uint64_t access)
{
	struct landlock_path_beneath_attr rule = {.allowed_access = access};
	struct stat status;
	int fd = openat(root, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	rule.parent_fd = fd;
	if (fd < 0 || fstat(fd, &status) < 0 ||
	    (!S_ISLNK(status.st_mode) && syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0))
		die("cannot let programs write to /%s: %s", name, strerror(errno));
	close_fd(&fd);
}

/* A rule holds for all that is below its directory. So the root has none for writing: each name in it has one, but /proc. */
void landlock_open(void)
{
	struct landlock_ruleset_attr attributes = {.handled_access_fs = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REFER};
	if (syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) < 2)
		return;
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes.handled_access_fs, 0);
	DIR *root = opendir("/");
	if (ruleset < 0 || !root)
		die("cannot build the wall before /proc: %s", strerror(errno));
	allow(dirfd(root), ".", LANDLOCK_ACCESS_FS_REFER);
	for (struct dirent *entry; (entry = readdir(root));)
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..") && strcmp(entry->d_name, "proc"))
			allow(dirfd(root), entry->d_name, LANDLOCK_ACCESS_FS_WRITE_FILE);
	closedir(root);
}

int landlock_enter(void)
{
	return ruleset < 0 ? 0 : (int)syscall(SYS_landlock_restrict_self, ruleset, 0);
}
