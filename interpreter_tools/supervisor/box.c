/*
 * Boxes: a box is a set of namespaces for the programs of one user, made inside a running container and thrown away
 * whole. It has files, processes and a network of its own.
 *
 * Three kinds of processes take part:
 *
 * - The keeper is PID 1 of the container and root of a user namespace only (launcher.c). It greets the client, starts
 *   the zygote, makes boxes, one ahead of need, and waits.
 * - A supervisor is PID 1 of a box. It is a fork of the keeper, and does all that this program does: it holds the
 *   conversation with the client, runs programs, and ends them. A reset is its end: with it the kernel kills every
 *   process of the box, and then its files, sockets and names are gone. So nothing has to be wiped and proved.
 * - The zygote stays outside of all boxes. Each child that it forks enters the box before it runs anything. When it
 *   dies, the keeper boots another one for the next box.
 *
 * The supervisors take turns. What the client has sent and nobody has read, and what the client has not taken yet,
 * lies in memory that all of them share. The next supervisor answers the reset when the keeper has buried the one
 * before, so when nothing of its box is left.
 */
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_MOUNTS 16
#define MAX_BOUND 64
#define SETTINGS 3
#define MAX_PRIVATE 8
#define PRIVATE "/.interpreter-tools" /* where the supervisor itself lies, and files that only root reads */
#define NO_FILES (MS_NOSUID | MS_NODEV | MS_NOEXEC)

/* Powers over the user namespace: those that a supervisor needs, as it has in a container of its own; and to make boxes. */
#define SUPERVISOR_POWERS (1u << CAP_SETUID | 1u << CAP_SETGID | 1u << CAP_KILL | 1u << CAP_DAC_OVERRIDE | 1u << CAP_FOWNER)
#define KEEPER_POWERS (SUPERVISOR_POWERS | 1u << CAP_SYS_ADMIN | 1u << CAP_SYS_CHROOT | 1u << CAP_NET_ADMIN)

static struct turn { /* in memory that the keeper and all supervisors share */
	bool no_entry;     /* the zygote outside cannot enter boxes */
	enum zygote zygote;
	bool passes;       /* a supervisor has ended for the next one; else the conversation is over */
	bool used_network; /* a program of the active box has asked for a socket that is not a local one */
	uint32_t next_uid;
	struct outcome {
		uint32_t step; /* the one that failed, or IT_BOX_MADE */
		int error;
	} outcomes[2];     /* of the boxes that are alive together: the one in use, and the next */
	struct wire_state wire;
} *turn;

static struct {
	bool asked, inside;      /* this container has boxes; this is a supervisor of one */
	bool shared_workspace;   /* the first mount is a volume that other containers have, too */
	enum { CHECKED, NEW, CONTAINERS } network; /* the container's own; a new one; that of the box before, if it may stay */
	char **mounts;
	char *options[MAX_MOUNTS];
	unsigned long flags[MAX_MOUNTS];
	char *bound[MAX_BOUND];  /* mounts of the caller below those */
	size_t mount_count, bound_count;
	int sockets;             /* that are ours, in the network of the box that was made last */
	char settings[SETTINGS][128]; /* of the container's network */
	const char *empty;       /* a directory with nothing in it; NULL: there is none yet */
	int executable;          /* our own file, which only the host's root can open */
	int entrance[3];         /* of a supervisor's box: its namespaces of processes, files, and of a network of its own */
} box;

static struct private_file {
	char name[64];
	int fd;
} private_files[MAX_PRIVATE];

/* How much a connection may hold unread, and how many may keep their ports when they are over. */
static const char *const settings[SETTINGS] = {"/proc/sys/net/ipv4/tcp_rmem", "/proc/sys/net/ipv4/tcp_wmem",
					       "/proc/sys/net/ipv4/tcp_max_tw_buckets"};

bool box_asked(void)
{
	return box.asked;
}

bool box_inside(void)
{
	return box.inside;
}

int box_executable(void)
{
	return box.executable;
}

void box_note_no_entry(void)
{
	turn->no_entry = true;
}

bool box_has_no_entry(void)
{
	return box.inside && turn->no_entry;
}

void box_note_zygote(enum zygote state)
{
	turn->zygote = state;
}

enum zygote box_zygote(void)
{
	return turn->zygote;
}

void box_note_socket(void)
{
	if (turn)
		turn->used_network = true;
}

bool box_choose_network(const char *argument)
{
	if (!box.asked || !argument || strncmp(argument, "network=", 8))
		return false;
	box.network = strcmp(argument + 8, "new") ? CONTAINERS : NEW;
	if (box.network == CONTAINERS && strcmp(argument + 8, "container"))
		die("no network of boxes is called %s", argument + 8);
	return true;
}

const int *box_entrance(size_t *count)
{
	*count = box.network == CONTAINERS ? 2 : 3;
	return box.entrance;
}

/* ---- the keeper's set-up ---- */

/* What only the host's root may read is opened while this process is that. */
static void open_private_files(void)
{
	size_t count = 0;
	struct stat status;
	DIR *directory = open_directory(AT_FDCWD, PRIVATE);
	for (struct dirent *entry; directory && (entry = readdir(directory));) {
		if (count == MAX_PRIVATE || fstatat(dirfd(directory), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
		    (status.st_mode & (S_IFMT | 0777)) != (S_IFREG | 0600))
			continue;
		struct private_file *file = &private_files[count];
		file->fd = openat(dirfd(directory), entry->d_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		if (file->fd >= 0 && (size_t)snprintf(file->name, sizeof file->name, "%s", entry->d_name) < sizeof file->name)
			count++;
	}
	if (directory)
		closedir(directory);
}

bool box_open(const char *argument)
{
	if (!argument || strncmp(argument, "box", 3) || (argument[3] && strcmp(argument + 3, "=shared")))
		return false;
	box.asked = true;
	box.shared_workspace = argument[3];
	turn = mmap(NULL, sizeof *turn, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (turn == MAP_FAILED || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		die("cannot set up a sandbox: %s", strerror(errno));
	box.executable = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	open_private_files();
	return true;
}

static bool below(const char *path, const char *directory)
{
	size_t length = strlen(directory);
	return strncmp(path, directory, length) == 0 && path[length] == '/';
}

static void note_bound(const char *point)
{
	bool covered = false;
	for (size_t i = 0; i < box.mount_count; i++) {
		if (strcmp(box.mounts[i], point) == 0)
			return; /* a box has one of its own there */
		covered = covered || (below(point, box.mounts[i]) && !(i == 0 && box.shared_workspace));
	}
	struct stat status;
	if (!covered || (lstat(point, &status) < 0 && errno == ENOENT))
		return; /* what is not there is below another mount */
	if (box.bound_count == MAX_BOUND || !(box.bound[box.bound_count++] = strdup(point)))
		die("too many mounts: %s", point);
}

/* What a box must have, as the container has it: sizes, numbers of files, and what the caller has mounted below. */
static void describe(char **mounts)
{
	struct statvfs status;
	box.mounts = mounts;
	for (; mounts[box.mount_count]; box.mount_count++) {
		size_t i = box.mount_count;
		if (i == MAX_MOUNTS || statvfs(mounts[i], &status) < 0)
			die("cannot read the size of %s: %s", mounts[i], strerror(errno));
		unsigned long long size = (unsigned long long)status.f_blocks * status.f_frsize, inodes = status.f_files;
		if (asprintf(&box.options[i], "mode=1777,size=%llu,nr_inodes=%llu", size, inodes) < 0)
			die("out of memory");
		box.flags[i] = MS_NOSUID | MS_NODEV | (status.f_flag & ST_NOEXEC ? MS_NOEXEC : 0);
	}
	each_mount(note_bound);
	for (int i = 0; i < SETTINGS; i++) {
		int fd = open(settings[i], O_RDONLY | O_CLOEXEC);
		if (fd >= 0)
			(void)!read(fd, box.settings[i], sizeof box.settings[i] - 1);
		close_fd(&fd);
	}
}

/* The place for a mount in a directory that is new; the way there is root's. */
static int make_place(const char *path, bool directory)
{
	char way[MAX_PATH];
	if ((size_t)snprintf(way, sizeof way, "%s", path) >= sizeof way)
		return -1;
	for (char *slash = way; (slash = strchr(slash + 1, '/'));) {
		*slash = 0;
		(void)mkdir(way, 0755); /* it is there, or cannot be: the last step tells */
		*slash = '/';
	}
	if (directory)
		return mkdir(way, 0755) < 0 && errno != EEXIST ? -1 : 0;
	int fd = open(way, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
	close_fd(&fd);
	return 0;
}

/* The same files in the same place, for the root of the user namespace. */
static uint32_t copy_private_files(void)
{
	char path[128], bytes[65536];
	if (mount("tmpfs", PRIVATE, "tmpfs", NO_FILES, "mode=700") < 0 && errno != ENOENT)
		return IT_BOX_FILES;
	for (struct private_file *file = private_files; file < private_files + MAX_PRIVATE && file->name[0]; file++) {
		snprintf(path, sizeof path, PRIVATE "/%s", file->name);
		int to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		ssize_t got;
		while ((got = read(file->fd, bytes, sizeof bytes)) > 0 && to >= 0 && write(to, bytes, (size_t)got) == got)
			;
		if (to < 0 || got != 0)
			return IT_BOX_FILES;
		close_fd(&to);
		close_fd(&file->fd);
	}
	return IT_BOX_MADE;
}

/* ---- masks: what container engines hide ---- */

/* An empty directory; the keeper's own where there is one, which costs less. */
static int mask_directory(const char *path)
{
	int done = box.empty ? mount(box.empty, path, NULL, MS_BIND, NULL)
			     : mount("tmpfs", path, "tmpfs", MS_RDONLY | NO_FILES, "size=4096,nr_inodes=2,mode=555");
	return done < 0 && errno != ENOENT && errno != ENOTDIR ? -1 : 0;
}

static int mask_file(const char *path)
{
	return mount("/dev/null", path, NULL, MS_BIND, NULL) < 0 && errno != ENOENT ? -1 : 0;
}

static int mask_all(int (*mask)(const char *path), const char *const *paths)
{
	for (; *paths; paths++)
		if (mask(*paths) < 0)
			return -1;
	return 0;
}

static int mask_system(void)
{
	static const char *const directories[] = {"/sys/firmware", "/sys/devices/virtual/powercap", NULL};
	int done = mask_all(mask_directory, directories);
	if (done == 0 && access(directories[0], F_OK) == 0)
		box.empty = directories[0];
	return done;
}

static int mask_processes(void)
{
	static const char *const files[] = {"/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
					    "/proc/timer_stats", "/proc/sched_debug", "/proc/interrupts", NULL};
	static const char *const directories[] = {"/proc/acpi", "/proc/asound", "/proc/scsi", NULL};
	return mask_all(mask_file, files) < 0 || mask_all(mask_directory, directories) < 0 ? -1 : 0;
}

/*
 * Container engines make some parts of /proc read-only. In a box that is all of it: so no program lowers its own
 * oom_score_adj, and a kernel without Landlock serves as well. What we write there goes through a descriptor that was
 * opened before.
 */
static int make_processes_read_only(void)
{
	return mount("/proc", "/proc", NULL, MS_BIND, NULL) < 0 ||
			       mount(NULL, "/proc", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | NO_FILES, NULL) < 0
		       ? -1
		       : 0;
}

/* ---- a box, from inside ---- */

/*
 * The kernel mounts nothing again that has lost its name on the host: a file that was replaced there, and that the mount still
 * leads to. So such a container has had its last box.
 */
static uint32_t mount_files(void)
{
	int bound[MAX_BOUND];
	char source[40];
	struct stat status;
	for (size_t i = 0; i < box.bound_count; i++)
		if ((bound[i] = open(box.bound[i], O_PATH | O_CLOEXEC)) < 0)
			return IT_BOX_MOUNT;
	for (size_t i = box.shared_workspace; i < box.mount_count; i++)
		if (make_place(box.mounts[i], true) < 0 ||
		    mount("tmpfs", box.mounts[i], "tmpfs", box.flags[i], box.options[i]) < 0)
			return IT_BOX_FILES;
	for (size_t i = 0; i < box.bound_count; i++) {
		snprintf(source, sizeof source, "/proc/self/fd/%d", bound[i]);
		if (fstat(bound[i], &status) < 0 || make_place(box.bound[i], S_ISDIR(status.st_mode)) < 0 ||
		    mount(source, box.bound[i], NULL, MS_BIND | MS_REC, NULL) < 0)
			return IT_BOX_MOUNT;
		close(bound[i]);
	}
	return IT_BOX_MADE;
}

/*
 * The name by which programs for other sandboxes know their home. In an image where it is a link to the workspace, a box
 * has the workspace itself there: behind a link, getcwd would tell another directory than the one that was entered.
 */
static int mount_home(void)
{
	static const char above[] = "/home", home[] = "/home/user";
	const char *workspace = box.mounts[0];
	char target[MAX_PATH];
	ssize_t length = readlink(home, target, sizeof target);
	if (length != (ssize_t)strlen(workspace) || memcmp(target, workspace, (size_t)length))
		return 0;
	return mount("tmpfs", above, "tmpfs", NO_FILES, "size=4096,nr_inodes=2,mode=755") < 0 || mkdir(home, 0755) < 0 ||
			       mount(workspace, home, NULL, MS_BIND | MS_REC, NULL) < 0 ||
			       mount(NULL, above, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | NO_FILES, NULL) < 0
		       ? -1
		       : 0;
}

static int open_namespaces(void)
{
	static const char *const paths[] = {"/proc/self/ns/pid", "/proc/self/ns/mnt", "/proc/self/ns/net"};
	for (int i = 0; i < 3; i++)
		if ((box.entrance[i] = open(paths[i], O_RDONLY | O_CLOEXEC)) < 0)
			return -1;
	return 0;
}

/* Each step is checked. The first that fails is returned, with errno. */
static uint32_t set_up_box(void)
{
	uint32_t step = mount_files();
	if (step != IT_BOX_MADE)
		return step;
	if (mount_home() < 0)
		return IT_BOX_FILES;
	if (mount("proc", "/proc", "proc", NO_FILES, NULL) < 0)
		return IT_BOX_PROC;
	processes_open();
	if (open_namespaces() < 0 || make_processes_read_only() < 0 || mask_processes() < 0 || chdir("/") < 0)
		return IT_BOX_MASKS;
	files_open(box.mounts);
	if (set_capabilities(SUPERVISOR_POWERS) < 0)
		return IT_BOX_POWERS;
	return filter_close() < 0 ? IT_BOX_FILTER : IT_BOX_MADE;
}

/* The conversation is another's: this one ends without a word, and the keeper sees that. */
static void say_nothing(const char *words, size_t length)
{
	(void)words;
	(void)length;
}

/* A supervisor whose turn has come is told the uid of its first run; 0: it is the first. */
static void become_supervisor(int from, struct outcome *outcome, uint32_t *next_uid)
{
	base_open(say_nothing);
	outcome->step = IT_BOX_SUPERVISOR; /* until a step says otherwise */
	uint32_t step = set_up_box();
	outcome->error = errno;
	outcome->step = step;
	if (step != IT_BOX_MADE || read(from, next_uid, sizeof *next_uid) != (ssize_t)sizeof *next_uid)
		_exit(1);
	close(from);
	box.inside = true;
	messages_open(); /* not before: the box that shared the network had a socket of that name */
	base_open(wire_farewell);
	wire_take_over(&turn->wire);
	if (*next_uid)
		boot_take_over();
}

/* ---- the network of boxes ---- */

/*
 * A network namespace costs as much as all the rest of a box. What a program leaves in one, it leaves by a socket: the
 * system calls that could change anything else in it are refused. So a box has a new one, unless no program of the box
 * before has asked the kernel for a socket but a local one (filter.c sees that), and no local one is left: that network
 * is as it was when it was made. The keeper lives in the network of the box that it made last. The client may ask for a
 * new one for each box ("network=new").
 *
 * In a container with a network, boxes are in that one ("network=container"): it belongs to the host, so nobody here may
 * enter or change it, and all of us are in it from the start. Such a container serves one user.
 */
/* The socket is a local one, as the filter asks us before it allows another. */
static int renew_network(void)
{
	struct ifreq loopback = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	int fd = unshare(CLONE_NEWNET) < 0 ? -1 : socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	box.sockets = 0;
	int done = fd < 0 ? -1 : ioctl(fd, SIOCSIFFLAGS, &loopback);
	close_fd(&fd);
	for (int i = 0; i < SETTINGS && done == 0; i++) {
		size_t length = strlen(box.settings[i]);
		if (!length)
			continue;
		fd = open(settings[i], O_WRONLY | O_CLOEXEC);
		done = fd >= 0 && write(fd, box.settings[i], length) == (ssize_t)length ? 0 : -1;
		close_fd(&fd);
	}
	return done;
}

/* In the keeper's network; -1: the kernel does not tell. */
static int count_sockets(void)
{
	int count = -1;
	FILE *table = fopen("/proc/net/sockstat", "re"); /* anew: it is that of the network of who opens it */
	if (table && fscanf(table, "sockets: used %d", &count) != 1)
		count = -1;
	if (table)
		fclose(table);
	return count;
}

/* True when the last box may have left something in its network, or no box is to follow another in one. */
static bool network_is_over(void)
{
	return box.network == NEW || turn->used_network || filter_fd() < 0 || count_sockets() != box.sockets;
}

/* ---- the keeper ---- */

struct made {
	pid_t pid;  /* 0: none */
	int baton;
	struct outcome *outcome;
};

/* True in the supervisor, when its turn has come. The box is in the network of the one before, or in a new one. */
static bool make(struct made *made, uint32_t *next_uid, bool new_network)
{
	static unsigned count;
	int ends[2];
	*made = (struct made){.baton = -1, .outcome = &turn->outcomes[count++ % 2]};
	if (new_network && box.network != CONTAINERS && renew_network() < 0) {
		*made->outcome = (struct outcome){.step = IT_BOX_NETWORK, .error = errno};
		return false;
	}
	made->outcome->step = IT_BOX_NAMESPACES;
	if (pipe2(ends, O_CLOEXEC) == 0) {
		made->pid = (pid_t)syscall(SYS_clone, CLONE_NEWNS | CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
		if (made->pid == 0) {
			close(ends[1]);
			become_supervisor(ends[0], made->outcome, next_uid);
			return true;
		}
		made->outcome->error = errno;
		close(ends[0]);
		made->baton = ends[1];
	} else {
		made->outcome->error = errno;
	}
	if (made->pid < 0) {
		close_fd(&made->baton);
		made->pid = 0;
	}
	return false;
}

/* Prepare the container, and make a box to see whether that can be done. Return the step that failed, with errno. */
uint32_t box_prepare(char **mounts)
{
	uint32_t next_uid;
	struct made made;
	describe(mounts);
	uint32_t step = copy_private_files();
	if (step != IT_BOX_MADE)
		return step;
	if (mask_system() < 0)
		return IT_BOX_MASKS;
	if (set_capabilities(KEEPER_POWERS) < 0)
		return IT_BOX_POWERS;
	filter_install();
	if (make(&made, &next_uid, true))
		_exit(1); /* nobody gives it a turn */
	close_fd(&made.baton);
	while (made.pid > 0 && waitpid(made.pid, NULL, 0) < 0 && errno == EINTR)
		;
	errno = made.outcome->error;
	return made.outcome->step;
}

/* The end of a box whose turn does not come. */
static void drop(struct made *made)
{
	close_fd(&made->baton);
	if (made->pid > 0)
		kill(made->pid, SIGKILL);
	while (made->pid > 0 && waitpid(made->pid, NULL, 0) < 0 && errno == EINTR)
		;
	made->pid = 0;
}

/* Wait for the end of a supervisor, and return how it ended. Others may end meanwhile. */
static int bury(pid_t active, struct made *next)
{
	int status = 0;
	for (pid_t ended; (ended = waitpid(-1, &status, 0)) != active;) {
		if (ended < 0 && errno != EINTR)
			_exit(1);
		if (ended == next->pid && ended > 0) {
			close_fd(&next->baton);
			next->pid = 0;
		}
	}
	return status;
}

/* There is no box for the next run. */
static _Noreturn void fail_for(const struct made *made, uint32_t next_uid)
{
	wire_take_over(&turn->wire);
	if (next_uid && made->outcome->step == IT_BOX_MOUNT)
		wipe_refuse(IT_CLEAN_MOUNT, "a file or directory that is mounted has lost its name on the host");
	die("cannot make a sandbox: step %u, %s", made->outcome->step, strerror(made->outcome->error));
}

/* Give the next supervisor its turn, time and again. Return in each supervisor; the keeper leaves with the last one. */
uint32_t box_keep(void)
{
	uint32_t next_uid = 0;
	struct made next = {.baton = -1}, active;
	box.sockets = count_sockets(); /* those to the zygote */
	for (bool used = box.network == NEW, apart;;) {
		if (!next.pid && make(&next, &next_uid, used))
			return next_uid;
		turn->passes = turn->used_network = false;
		if (!next.pid || write(next.baton, &next_uid, sizeof next_uid) != (ssize_t)sizeof next_uid)
			fail_for(&next, next_uid);
		close_fd(&next.baton);
		active = next;
		next.pid = 0;
		apart = used; /* who has used the network will do it again: then the next box has one of its own from the start */
		if (next_uid && make(&next, &next_uid, apart)) /* who has asked for a reset will ask for another */
			return next_uid;
		int status = bury(active.pid, &next);
		if (active.outcome->step != IT_BOX_MADE)
			fail_for(&active, next_uid);
		if (!turn->passes || !WIFEXITED(status))
			_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
		next_uid = turn->next_uid;
		used = network_is_over();
		if (turn->zygote == ZYGOTE_GONE && !turn->no_entry) {
			drop(&next); /* which knows the old one */
			boot_zygote();
			turn->zygote = ZYGOTE_BOOTS;
			used = true; /* our sockets there have changed in number */
		} else if (used && !apart) {
			drop(&next);
		}
	}
}

void box_pass(uint32_t next_uid)
{
	if (box.network == CONTAINERS)
		die("protocol: a reset of a container whose network is not reset");
	turn->next_uid = next_uid;
	wire_leave(&turn->wire);
	turn->passes = true;
	_exit(0);
}
