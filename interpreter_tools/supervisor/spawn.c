/* One new process: its pipes, its identity, and the end of every process of a user. */
#include "supervisor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define NO_ID ((uid_t)-1) /* no id at all, which changes nothing: setfsuid(2) */
#define UNUSED_UID 1u     /* "daemon": the image's, below FIRST_UID, and nothing of the image is started but by us */

/*
 * We come before all programs of our control group: else the end of a fork bomb waits for our turn among hundreds, in a
 * container with little of a busy host's processor for seconds. Programs have no one else there to yield to.
 */
#define PROGRAM_NICE 10

void close_pipes(struct pipes *pipes)
{
	close_fd(&pipes->in);
	close_fd(&pipes->out);
	close_fd(&pipes->err);
}

/*
 * The pipes' inodes belong to root, so a program could not open /dev/stdout (a link to its own descriptor) without
 * the mode; nobody else gets at them, as /proc/PID/fd asks for more. gVisor refuses to change it.
 */
int open_pipes(struct pipes *ours, int theirs[3])
{
	int ends[3][2] = {{-1, -1}, {-1, -1}, {-1, -1}};
	for (int i = 0; i < 3; i++) {
		if (pipe2(ends[i], O_CLOEXEC) < 0 || (fchmod(ends[i][0], 0666) < 0 && errno != EPERM) ||
		    fcntl(ends[i][i == 0], F_SETFL, O_NONBLOCK) < 0) {
			int error = errno;
			for (int j = 0; j < 3; j++) {
				close_fd(&ends[j][0]);
				close_fd(&ends[j][1]);
			}
			errno = error;
			return -1;
		}
	}
	*ours = (struct pipes){.in = ends[0][1], .out = ends[1][0], .err = ends[2][0]};
	theirs[0] = ends[0][0];
	theirs[1] = ends[1][1];
	theirs[2] = ends[2][1];
	return 0;
}

/* gVisor has no file system identity. The effective one serves as well: the real id is root's, so no program reaches us. */
static int become_effectively(uint32_t uid)
{
	if (uid == 0)
		return setresuid(NO_ID, 0, NO_ID) < 0 || setresgid(NO_ID, 0, NO_ID) < 0 ? -1 : 0;
	return setresgid(NO_ID, uid, NO_ID) < 0 || setresuid(NO_ID, uid, NO_ID) < 0 ? -1 : 0;
}

/*
 * Leaving uid 0 also takes the capabilities that override file permissions, and coming back restores them: see
 * capabilities(7). Neither call tells whether it worked. But a call with an identity that does not exist changes
 * nothing, and returns the one that is in force.
 */
int become(uint32_t uid)
{
	static bool known, missing;
	if (!known)
		missing = syscall(SYS_setfsuid, NO_ID) < 0 && errno == ENOSYS;
	known = true;
	if (missing)
		return become_effectively(uid);
	setfsgid(uid);
	setfsuid(uid);
	return uid == 0 || ((uint32_t)setfsuid(NO_ID) == uid && (uint32_t)setfsgid(NO_ID) == uid) ? 0 : -1;
}

/*
 * kill(-1) reaches the processes whose real or saved id is our real or effective id. The effective id becomes the
 * user's, and the real id one that no process of a container has: so the booted interpreters, which are root's, are
 * not reached. The saved id stays 0, so that we can return. No id by which a signal could be sent to us becomes the
 * user's: neither the real nor the saved one, see kill(2). And as the three differ, the user cannot trace us, see
 * ptrace(2).
 *
 * The kernel walks the list of processes with forks shut out, so nothing is missed and a fork bomb ends at once.
 */
bool kill_user(uint32_t uid)
{
	if (syscall(SYS_setresuid, UNUSED_UID, uid, 0) < 0) /* libc's own would first tell threads, of which there are none */
		die("cannot take the uid %u: %s", uid, strerror(errno));
	bool alone = kill(-1, SIGKILL) < 0 && errno == ESRCH;
	if (syscall(SYS_setresuid, 0, 0, 0) < 0)
		_exit(1);
	return alone;
}

pid_t next_process(DIR **directory)
{
	if (!*directory && !(*directory = opendir("/proc")))
		die("cannot read /proc: %s", strerror(errno));
	for (struct dirent *entry; (entry = readdir(*directory));) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
		if (pid > 1)
			return pid;
	}
	rewinddir(*directory);
	return 0;
}

/* kill(-1, 0) would not tell: it also succeeds when every process there is refuses the signal. */
bool processes_left(void)
{
	static DIR *directory;
	bool left = false;
	for (pid_t pid; (pid = next_process(&directory));)
		if (!boot_owns(pid)) {
			kill(pid, SIGKILL);
			left = true;
		}
	return left;
}

/* A zygote keeps of root's powers only those to become somebody else, and to enter a box. */
static int keep_only_identity_switch(void)
{
	uint32_t enters = box_asked() && !box_inside() ? 1u << CAP_SYS_ADMIN | 1u << CAP_SYS_CHROOT : 0;
	return set_capabilities(1u << CAP_SETUID | 1u << CAP_SETGID | enters);
}

static int take_identity(uint32_t uid, gid_t mark)
{
	if (uid == 0)
		return keep_only_identity_switch();
	if (setgroups(mark ? 1 : 0, &mark) < 0 || setresgid(uid, uid, uid) < 0)
		return -1;
	return setresuid(uid, uid, uid);
}

static int processes = -1; /* /proc, where we may write: what programs see may be read-only */

void processes_open(void)
{
	if ((processes = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0)
		die("cannot open /proc: %s", strerror(errno));
}

/*
 * The process goes first when memory is short, and cannot change that: see landlock.c, and box.c. Not fatal: gVisor has
 * no such file.
 */
void prefer_for_oom(pid_t pid, unsigned points)
{
	char path[40], number[16];
	snprintf(path, sizeof path, "%d/oom_score_adj", (int)pid);
	int fd = openat(processes, path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		(void)!write(fd, number, (size_t)snprintf(number, sizeof number, "%u", points));
		close(fd);
	}
}

/* Puts the descriptors where the program expects them; everything else is closed by exec. */
static int place_descriptors(const struct program *program)
{
	int from[4] = {program->stdio[0], program->stdio[1], program->stdio[2], program->channel};
	for (int i = 0; i < 4; i++) /* out of the way of each other's targets */
		if (from[i] >= 0 && (from[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 4)) < 0)
			return -1;
	for (int i = 0; i < 4; i++)
		if (from[i] >= 0 && dup2(from[i], i) < 0)
			return -1;
	return 0;
}

/* Looks a name up in our own PATH, which is the image's: never in one that user code could have set. Returns with errno. */
static void exec_one(char **argv, char **envp)
{
	int found = ENOENT;
	const char *directory = getenv("PATH");
	if (!directory || !*directory)
		directory = DEFAULT_PATH;
	for (size_t length; *directory; directory += length + (directory[length] == ':')) {
		char path[4096];
		length = strcspn(directory, ":");
		if (*directory != '/' || length > 2048 ||
		    (size_t)snprintf(path, sizeof path, "%.*s/%s", (int)length, directory, argv[0]) >= sizeof path)
			continue;
		execve(path, argv, envp);
		if (errno != ENOENT && errno != ENOTDIR)
			found = errno;
	}
	errno = found;
}

void exec_by_name(char **argv, char **envp)
{
	if (strchr(argv[0], '/')) {
		execve(argv[0], argv, envp);
		return;
	}
	for (char *colon; (colon = strchr(argv[0], ':')); argv[0] = colon + 1) {
		*colon = 0;
		exec_one(argv, envp);
		if (errno != ENOENT)
			return;
	}
	exec_one(argv, envp);
}

/* Our own file is root's alone, as who could read it could watch the starts of all sandboxes: its program starts from a copy. */
static int copy_of_ourselves(void)
{
	char bytes[65536];
	ssize_t size = -1;
	off_t at = 0;
	int from = box_asked() ? box_executable() : open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int to = memfd_create(CELLS_PROGRAM, MFD_CLOEXEC);
	for (; from >= 0 && to >= 0 && (size = pread(from, bytes, sizeof bytes, at)) > 0; at += size)
		if (write(to, bytes, (size_t)size) != size)
			return -1;
	return size == 0 && fchmod(to, 0555) == 0 ? fcntl(to, F_DUPFD_CLOEXEC, 8) : -1;
}

static void exec_program(const struct program *program, int ourselves)
{
	if (ourselves >= 0)
		syscall(SYS_execveat, ourselves, "", program->argv, program->envp, AT_EMPTY_PATH);
	else
		exec_by_name(program->argv, program->envp);
}

#define UNHELD 0 /* no failure: the kernel has refused the trace */

struct failure {
	uint32_t why;
	int error;
};

static _Noreturn void child(const struct program *program, int report)
{
	struct failure failure = {.why = IT_WHY_PROGRAM};
	bool is_ours = !strcmp(program->argv[0], CELLS_PROGRAM) || !strcmp(program->argv[0], TOOL_PROGRAM);
	int ourselves = is_ours ? copy_of_ourselves() : -1;
	struct sigaction defaults = {.sa_handler = SIG_DFL};
	sigset_t none;
	sigemptyset(&none);
	for (int number = 1; number < NSIG; number++)
		sigaction(number, &defaults, NULL);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	umask(022);
	setpriority(PRIO_PROCESS, 0, PROGRAM_NICE);
	if (program->begins && ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0) {
		struct failure unheld = {.why = UNHELD};
		(void)!write(report, &unheld, sizeof unheld);
	}
	if (program->uid) {
		prctl(PR_SET_DUMPABLE, 1); /* the files of /proc/self are ours; in a user namespace they were nobody's */
		prefer_for_oom(getpid(), 1000);
		prctl(PR_SET_DUMPABLE, 0);
	}
	if (is_ours == (ourselves >= 0) && place_descriptors(program) == 0 && landlock_enter() == 0 &&
	    take_identity(program->uid, program->mark) == 0) {
		if (chdir(program->directory) == 0)
			exec_program(program, ourselves);
		else
			failure.why = IT_WHY_CWD;
	}
	failure.error = errno;
	(void)!write(report, &failure, sizeof failure);
	_exit(127);
}

/*
 * Calls what must be done when no exec can fail any more, and before the program's first instruction. There is only one
 * place between the two: a traced process stops there.
 */
static void begin(const struct program *program, pid_t pid, bool held)
{
	siginfo_t stop = {0};
	while (held && waitid(P_PID, (id_t)pid, &stop, WSTOPPED | WEXITED | WNOWAIT) < 0 && errno == EINTR)
		;
	program->begins();
	if (stop.si_code == CLD_TRAPPED) /* else it is dead, and reaped like any other */
		ptrace(PTRACE_DETACH, pid, NULL, NULL);
}

pid_t spawn(const struct program *program, uint32_t *why)
{
	int report[2];
	*why = IT_WHY_RESOURCE;
	if (pipe2(report, O_CLOEXEC) < 0)
		return -1;
	pid_t pid = fork();
	if (pid == 0) {
		/* above the descriptors that are about to be placed */
		int above = fcntl(report[1], F_DUPFD_CLOEXEC, 8);
		child(program, above < 0 ? report[1] : above);
	}
	int error = errno;
	close(report[1]);
	struct failure failure;
	bool held = program->begins;
	while (pid > 0 && read(report[0], &failure, sizeof failure) == (ssize_t)sizeof failure) {
		held = false;
		if (failure.why == UNHELD)
			continue;
		*why = failure.why;
		error = failure.error;
		pid = -1; /* the child itself is reaped like any orphan */
	}
	close(report[0]);
	if (pid > 0 && program->begins)
		begin(program, pid, held);
	errno = error;
	return pid;
}
