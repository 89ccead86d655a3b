/*
 * A second system call filter, which every program inherits from us. The engine's profile (seccomp.json) says which
 * calls there are. This filter looks at their arguments. It bounds what the kernel charges to no control group, as a
 * run could take the host's memory with that, beyond its own limit.
 *
 * A netlink socket keeps 200 KB of answers that nobody reads, and a record lock takes 200 bytes. Everyday programs
 * need a few of both: Node's os.networkInterfaces asks netlink, SQLite locks its database. So the kernel asks us
 * before each of these calls, and we count what is held. The same goes for TCP and UDP where version 1 of control
 * groups does not charge what they hold.
 */
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS /* Linux 6.6 */
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif
#define X32_BIT 0x40000000u  /* a call of the x32 table, which the kernel may know and the rules below do not */
#define FLOW_LABELS 32       /* IPV6_FLOWLABEL_MGR of linux/in6.h, which goes ill with netinet/in.h */
#define UDP_ENCAP 100        /* of linux/udp.h, which goes ill with netinet/udp.h */
#define TCP_AO_ADD_KEY 38    /* of linux/tcp.h, since Linux 6.7 */
#define SOCKET_TYPE 0xf      /* SOCK_TYPE_MASK of linux/net.h; above it are SOCK_CLOEXEC and SOCK_NONBLOCK */
#define REFUSED_US 1000000u  /* until a table that is slow to read is read again */
#define PATIENCE_US 200000u  /* for the kernel to free sockets: it does so some time after they were closed (RCU) */
#define AGAIN_US 1000        /* until they are counted again */

#ifndef SO_ATTACH_REUSEPORT_CBPF
#define SO_ATTACH_REUSEPORT_CBPF 51
#define SO_ATTACH_REUSEPORT_EBPF 52
#endif

/* ---- what is counted ---- */

static int listener = -1; /* -1: the kernel does not ask */

/* What the lines of a table add up to; UINT32_MAX when there is no such table. */
static uint32_t sum_of(const char *path, bool (*is)(const char *line, unsigned *number))
{
	char line[512];
	unsigned number;
	uint32_t sum = 0;
	FILE *table = fopen(path, "re");
	if (!table)
		return UINT32_MAX;
	while (fgets(line, sizeof line, table))
		if (is(line, &number))
			sum += number;
	fclose(table);
	return sum;
}

static bool is_netlink_socket(const char *line, unsigned *number)
{
	return sscanf(line, "NETLINK %*u %u", number) == 1;
}

static bool is_unix_socket(const char *line, unsigned *number)
{
	return sscanf(line, "UNIX%*[^ ] %*u %u", number) == 1 || sscanf(line, "UNIX %*u %u", number) == 1;
}

/* Of the two families of a sandbox whose sockets are no way to a network. */
static bool is_local_socket(const char *line, unsigned *number)
{
	return is_unix_socket(line, number) || is_netlink_socket(line, number);
}

static bool is_total(const char *line, unsigned *number)
{
	return sscanf(line, "sockets: used %u", number) == 1;
}

static bool is_record_lock(const char *line, unsigned *number)
{
	*number = 1;
	return strstr(line, ": POSIX ") != NULL;
}

#define PROTOCOLS "/proc/net/protocols"

static uint32_t netlink_held(void)
{
	return sum_of(PROTOCOLS, is_netlink_socket);
}

/*
 * TCP, UDP, raw sockets, and what is built on them. The kernel counts those of each kind only when they have an address, and
 * they may all get one later: so all sockets are taken, but for the two other families that a sandbox has.
 */
static uint32_t inet_held(void)
{
	uint32_t all = sum_of("/proc/net/sockstat", is_total), local = sum_of(PROTOCOLS, is_local_socket);
	if (all == UINT32_MAX || local == UINT32_MAX)
		return UINT32_MAX;
	return all > local ? all - local : 0;
}

static uint32_t locks_held(void)
{
	return sum_of("/proc/locks", is_record_lock);
}

static struct counted {
	uint32_t (*held)(void);     /* in this network namespace, or in this process namespace */
	uint32_t most;              /* that may be held at once in this container */
	int refusal;
	bool slow;                  /* to count stops every lock of the host for a moment */
	uint32_t granted;           /* calls that need no counting; each may add two locks, or one socket */
	uint64_t refused_until_us;
	uint64_t impatient_until_us; /* refused at once until then: the kernel had the time to free what was closed */
} netlink_sockets = {.held = netlink_held, .most = 64, .refusal = ENFILE},
  inet_sockets = {.held = inet_held, .most = 512, .refusal = ENFILE},
  record_locks = {.held = locks_held, .most = 20000, .refusal = ENOLCK, .slow = true};

static uint32_t room(const struct counted *kind)
{
	uint32_t held = kind->held();
	return held < kind->most ? kind->most - held : 0;
}

static bool grants(struct counted *kind)
{
	if (!kind->granted && now_us() >= kind->refused_until_us) {
		uint32_t left = room(kind);
		if (kind->slow && left < kind->most / 2) {
			left = 0; /* rather than to count ever more often */
			kind->refused_until_us = now_us() + REFUSED_US;
		}
		kind->granted = kind->slow ? left / 2 : (left + 1) / 2;
	}
	if (!kind->granted)
		return false;
	kind->granted--;
	return true;
}

/* A call for which there was no room yet. Those behind it wait as well. */
static struct {
	struct counted *kind; /* NULL: none waits */
	uint64_t id, until_us;
} waiting;

void filter_forget(void)
{
	record_locks.refused_until_us = 0;
}

int filter_fd(void)
{
	return listener;
}

int64_t filter_due_us(void)
{
	return waiting.kind ? AGAIN_US : -1;
}

/* The process may have been killed meanwhile: then there is nobody to answer. */
static void answer(uint64_t id, int refusal)
{
	struct seccomp_notif_resp said = {
		.id = id, .error = -refusal, .flags = refusal ? 0 : SECCOMP_USER_NOTIF_FLAG_CONTINUE};
	ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &said);
}

void filter_event(void)
{
	union { /* what the kernel writes may have grown */
		struct seccomp_notif call;
		char room[512];
	} asked;
	memset(&asked, 0, sizeof asked);
	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &asked.call) < 0)
		return;
	bool locks = asked.call.data.nr != SYS_socket, netlink = (uint32_t)asked.call.data.args[0] == AF_NETLINK;
	if (!locks)
		box_note_socket();
	struct counted *kind = locks ? &record_locks : netlink ? &netlink_sockets : &inet_sockets;
	bool granted = (!locks && !netlink && cgroup_charges_sockets()) || grants(kind);
	if (granted || kind->slow || now_us() < kind->impatient_until_us) {
		answer(asked.call.id, granted ? 0 : kind->refusal);
		return;
	}
	waiting.kind = kind;
	waiting.id = asked.call.id;
	waiting.until_us = now_us() + PATIENCE_US;
}

void filter_step(void)
{
	if (!waiting.kind)
		return;
	bool granted = grants(waiting.kind);
	if (!granted && now_us() < waiting.until_us)
		return;
	if (!granted)
		waiting.kind->impatient_until_us = now_us() + PATIENCE_US;
	answer(waiting.id, granted ? 0 : waiting.kind->refusal);
	waiting.kind = NULL;
}

/* ---- the filter ---- */

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, field))
#define LOAD_HIGH(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, field) + 4)
#define IF(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(value), yes, no) /* how many statements are left out */
#define RETURN(action) BPF_STMT(BPF_RET | BPF_K, (uint32_t)(action))
#define REFUSE(error) RETURN(SECCOMP_RET_ERRNO | (error))
#define ALLOW RETURN(SECCOMP_RET_ALLOW)

/*
 * Arguments that are an int are compared by their low half, which is all that the kernel reads.
 *
 * - Socket filters and filters like this one are code that the kernel compiles into memory which all of the host
 *   shares. A kernel without seccomp answers as we do, and programs know such kernels.
 * - Of the protocols of a network there are TCP, UDP and the echo of ICMP. The others (MPTCP, SCTP, UDP-Lite, DCCP and
 *   what a kernel's modules bring) are much code for few programs. The answer is that of a kernel without them: programs
 *   that would like MPTCP go on with TCP.
 * - TLS inside the kernel (TCP_ULP), signatures of TCP and packets within UDP are much code for few programs, too. A
 *   library of TLS encrypts itself where the kernel does not.
 * - Line disciplines of a terminal (TIOCSETD): the kernel may load a module for one, and knows the number of none here.
 * - Two processes with one table of files: a lock's owner could be dead, and the lock would not be in /proc/locks.
 *   Threads share it, too, but die together. Locks of an open file (F_OFD_SETLK) say nothing of their owner.
 * - A larger buffer for what a socket has received is let pass as done, as one beyond the host's net.core.rmem_max
 *   is: that may be 4 MB each.
 * - A flow label of IPv6 lives on for seconds after its sockets, where the next program could read it. A kernel that
 *   knows no flow labels answers as we do.
 * - A limit of 1 for core dumps is the one that the kernel heeds also where core_pattern names a program (core(5)):
 *   setting another is let pass as done, and changes nothing.
 */
static bool install(unsigned flags, uint32_t counted)
{
	uint32_t more = box_asked() ? SECCOMP_RET_ALLOW : SECCOMP_RET_ERRNO; /* filter_close comes later, and refuses that */
	uint32_t inet = cgroup_charges_sockets() && !box_asked() ? SECCOMP_RET_ALLOW : counted; /* a box notes the first */
	struct sock_filter rules[] = {
		LOAD(nr),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1),
			REFUSE(ENOSYS),
		IF(SYS_socket, 0, 24),
			LOAD(args[0]), IF(AF_NETLINK, 0, 1), RETURN(counted),
			IF(AF_INET, 1, 0), IF(AF_INET6, 0, 18),
			LOAD(args[1]), BPF_STMT(BPF_ALU | BPF_AND | BPF_K, SOCKET_TYPE),
			IF(SOCK_STREAM, 0, 4),
				LOAD(args[2]), IF(0, 12, 0), IF(IPPROTO_TCP, 11, 0), REFUSE(EPROTONOSUPPORT),
			IF(SOCK_DGRAM, 0, 6),
				LOAD(args[2]), IF(0, 7, 0), IF(IPPROTO_UDP, 6, 0), IF(IPPROTO_ICMP, 5, 0), IF(IPPROTO_ICMPV6, 4, 0),
				REFUSE(EPROTONOSUPPORT),
			IF(SOCK_RAW, 0, 1), REFUSE(EPERM), REFUSE(ESOCKTNOSUPPORT), RETURN(inet), ALLOW,
		IF(SYS_fcntl, 0, 8),
			LOAD(args[1]), IF(F_SETLK, 1, 0), IF(F_SETLKW, 0, 1), RETURN(counted),
			IF(F_OFD_SETLK, 1, 0), IF(F_OFD_SETLKW, 0, 1), REFUSE(EINVAL), ALLOW,
		IF(SYS_clone, 0, 5),
			LOAD(args[0]), BPF_STMT(BPF_ALU | BPF_AND | BPF_K, CLONE_FILES | CLONE_THREAD),
			IF(CLONE_FILES, 0, 1), REFUSE(EPERM), ALLOW,
		IF(SYS_setsockopt, 0, 29),
			LOAD(args[1]), IF(IPPROTO_IPV6, 0, 4),
			LOAD(args[2]), IF(FLOW_LABELS, 0, 1), REFUSE(ENOPROTOOPT), ALLOW,
			IF(IPPROTO_TCP, 0, 7),
			LOAD(args[2]), IF(TCP_ULP, 3, 0), IF(TCP_MD5SIG, 2, 0), IF(TCP_MD5SIG_EXT, 1, 0), IF(TCP_AO_ADD_KEY, 0, 1),
			REFUSE(ENOPROTOOPT), ALLOW,
			IF(IPPROTO_UDP, 0, 4),
			LOAD(args[2]), IF(UDP_ENCAP, 0, 1), REFUSE(ENOPROTOOPT), ALLOW,
			IF(SOL_SOCKET, 0, 8),
			LOAD(args[2]), IF(SO_RCVBUF, 0, 1), REFUSE(0),
			IF(SO_ATTACH_FILTER, 3, 0), IF(SO_ATTACH_BPF, 2, 0), IF(SO_ATTACH_REUSEPORT_CBPF, 1, 0),
			IF(SO_ATTACH_REUSEPORT_EBPF, 0, 1), REFUSE(EPERM), ALLOW,
		IF(SYS_ioctl, 0, 4),
			LOAD(args[1]), IF(TIOCSETD, 0, 1), REFUSE(EINVAL), ALLOW,
		IF(SYS_seccomp, 0, 1),
			RETURN(more | ENOSYS),
		IF(SYS_prctl, 0, 4),
			LOAD(args[0]), IF(PR_SET_SECCOMP, 0, 1), RETURN(more | EINVAL), ALLOW,
		IF(SYS_setrlimit, 0, 4),
			LOAD(args[0]), IF(RLIMIT_CORE, 0, 1), REFUSE(0), ALLOW,
		IF(SYS_prlimit64, 0, 13),
			LOAD(args[1]), IF(RLIMIT_CORE, 0, 10),
			LOAD(args[2]), IF(0, 0, 2), LOAD_HIGH(args[2]), IF(0, 6, 0), /* asks only */
			LOAD(args[3]), IF(0, 0, 2), LOAD_HIGH(args[3]), IF(0, 1, 0), /* asks for the old one, too */
			REFUSE(EPERM), REFUSE(0), ALLOW,
		ALLOW,
	};
	struct sock_fprog program = {.len = sizeof rules / sizeof *rules, .filter = rules};
	int got = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
	listener = flags ? got : -1;
	return got >= 0;
}

/*
 * What the profile of a container with boxes allows beyond that of another one, which the keeper and the zygote need to
 * make and to enter boxes. And no further filter.
 */
#define NEW_NAMESPACES 0x7e020000u /* CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET */

static struct sock_filter closing[] = {
	LOAD(nr),
	IF(SYS_unshare, 8, 0), IF(SYS_setns, 7, 0), IF(SYS_mount, 6, 0), IF(SYS_umount2, 5, 0), IF(SYS_pivot_root, 4, 0),
	IF(SYS_clone, 0, 4),
		LOAD(args[0]), BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, NEW_NAMESPACES | CLONE_PARENT, 1, 0), ALLOW, REFUSE(EPERM),
	IF(SYS_seccomp, 0, 1),
		REFUSE(ENOSYS),
	IF(SYS_prctl, 0, 3),
		LOAD(args[0]), IF(PR_SET_SECCOMP, 0, 1), REFUSE(EINVAL),
	ALLOW,
};

const void *filter_of_boxes(size_t *size)
{
	*size = sizeof closing;
	return closing;
}

int filter_close(void)
{
	struct sock_fprog program = {.len = sizeof closing / sizeof *closing, .filter = closing};
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}

/* A kernel from before 5.5, or one of gVisor's, cannot be told to go on with a call: there, nothing is counted. */
static bool kernel_asks(void)
{
	struct utsname name;
	unsigned major, minor;
	if (uname(&name) < 0 || sscanf(name.release, "%u.%u", &major, &minor) != 2)
		return false;
	return major > 5 || (major == 5 && minor >= 5);
}

void filter_install(void)
{
	const struct rlimit no_core = {1, 1};
	setrlimit(RLIMIT_CORE, &no_core); /* the engine has set it, unless it could not */
	if (kernel_asks() && install(SECCOMP_FILTER_FLAG_NEW_LISTENER, SECCOMP_RET_USER_NOTIF))
		ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP); /* faster, since Linux 6.6 */
	else if (!install(0, SECCOMP_RET_ALLOW))
		die("cannot install the filter of system calls: %s", strerror(errno));
}
