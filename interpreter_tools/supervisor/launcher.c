/*
 * The launcher: what PID 1 of a container does first where programs run in boxes (box.c).
 *
 * Such a container is started without the masks of the container engine: the kernel allows a new /proc only to who
 * sees all of the old one. There, the host's root could write to the host. So PID 1 stops to be that: it makes a user
 * namespace, of which it is root, and is an id outside that nobody else has and that owns nothing. It reads no byte of
 * the client before that.
 *
 * Then it has done its part: a child of its goes on as the keeper of boxes, in a namespace of processes that belongs to
 * that user namespace, as who enters boxes must be able to come back. PID 1 itself drops all that is left, and waits.
 *
 * The kernel charges what a user namespace takes to the user who made it: inotify instances, for one. So it is that id
 * which makes the namespace, and each container has another one. The ids of the namespace are mapped by a child that
 * is still the host's root, and ends with that.
 */
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST_OPEN 64 /* descriptors; there are far fewer */
#define KEEP_ID ((uid_t)-1)
#define SPARSE_FIRST 0x50000000u /* ids of the host that nobody uses: 2^27 of them */
#define DENSE_FIRST 60000u       /* where the engine has but 65,536 ids: above those of the programs */
#define DENSE_COUNT 5000u
#define ROOT_GROUP 65533u
#define OTHER_ID 65532u          /* outside of what is UNUSED_UID inside: see kill_user */

int set_capabilities(uint32_t low)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{.effective = low, .permitted = low}};
	return (int)syscall(SYS_capset, &header, data);
}

/* True when this process may mount: the second way, where the engine keeps its masks. */
static bool may_mount(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}};
	return syscall(SYS_capget, &header, data) == 0 && (data[0].effective & 1u << CAP_SYS_ADMIN);
}

/* The groups of side runs take the dense range. */
static uint32_t root_group(uint32_t root)
{
	return root >= SPARSE_FIRST ? root : ROOT_GROUP;
}

static uint32_t choose_id(void)
{
	unsigned first = 0, outside = 0, count = 0;
	uint32_t random;
	FILE *map = fopen("/proc/self/uid_map", "re");
	if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
		random = (uint32_t)now_us();
	bool sparse = map && fscanf(map, "%u %u %u", &first, &outside, &count) == 3 && first == 0 && count >= 2 * SPARSE_FIRST;
	if (map)
		fclose(map);
	return sparse ? SPARSE_FIRST | (random & 0x07ffffff) : DENSE_FIRST + random % DENSE_COUNT;
}

/* The ids of programs are the same inside and outside: so are the owners of the caller's files. */
static int write_map(const char *which, uint32_t root, uint32_t end)
{
	char path[64], text[128];
	snprintf(path, sizeof path, "/proc/%d/%s", (int)getppid(), which);
	int length = snprintf(text, sizeof text, "0 %u 1\n1 %u 1\n%u %u %u\n", root, OTHER_ID, FIRST_UID, FIRST_UID, end - FIRST_UID);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t done = fd < 0 ? -1 : write(fd, text, (size_t)length);
	close_fd(&fd);
	return done == length ? 0 : -1;
}

/* The child that maps the ids. Its effective id is that of the namespace's owner, as only that one may. */
static _Noreturn void map_ids(uint32_t root, int made)
{
	char word;
	int failed = 0;
	if (read(made, &word, 1) != 1 || setresuid(KEEP_ID, root, 0) < 0 ||
	    set_capabilities(1u << CAP_SETUID | 1u << CAP_SETGID | 1u << CAP_DAC_OVERRIDE) < 0 ||
	    write_map("uid_map", root, DENSE_FIRST) < 0 ||
	    write_map("gid_map", root_group(root), IT_MARK_LAST + 1) < 0)
		failed = errno ? errno : EIO;
	_exit(failed);
}

/* PID 1, when the keeper has begun: without a power, and without a stream. It ends with the keeper. */
static _Noreturn void wait_for(pid_t keeper)
{
	int status = 0;
	if (set_capabilities(0) < 0)
		_exit(1);
	for (int fd = 0; fd < MOST_OPEN; fd++)
		close(fd);
	for (pid_t ended; (ended = waitpid(-1, &status, 0)) != keeper;)
		if (ended < 0 && errno != EINTR)
			_exit(1);
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

/* Returns in the keeper. */
static uint32_t begin_keeper(void)
{
	pid_t keeper = unshare(CLONE_NEWPID) < 0 ? -1 : fork();
	if (keeper > 0)
		wait_for(keeper);
	return keeper < 0 ? IT_BOX_NAMESPACES : IT_BOX_MADE;
}

static uint32_t become_nobody(uint32_t root)
{
	int made[2], status = 0;
	if (pipe2(made, O_CLOEXEC) < 0)
		return IT_BOX_IDS;
	pid_t mapper = fork();
	if (mapper == 0) {
		close(made[1]);
		map_ids(root, made[0]);
	}
	close(made[0]);
	if (mapper < 0 || setresgid(root_group(root), root_group(root), root_group(root)) < 0 || setresuid(root, root, root) < 0)
		return IT_BOX_IDS;
	uint32_t step = IT_BOX_MADE;
	int error = 0;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0) {
		step = IT_BOX_USER;
		error = errno;
	} else if (write(made[1], "m", 1) != 1) {
		step = IT_BOX_IDS;
		error = errno;
	}
	close(made[1]);
	while (waitpid(mapper, &status, 0) < 0 && errno == EINTR)
		;
	if (step == IT_BOX_MADE && (!WIFEXITED(status) || WEXITSTATUS(status))) {
		step = IT_BOX_IDS;
		error = WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
	}
	errno = error;
	return step;
}

uint32_t launch(void)
{
	if (may_mount() && (unshare(CLONE_NEWNS) < 0 || mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0))
		return IT_BOX_PROC;
	uint32_t step = become_nobody(choose_id());
	return step == IT_BOX_MADE ? begin_keeper() : step;
}
