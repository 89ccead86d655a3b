/*
 * The proof that a run has left no socket. It has four parts:
 *
 * - the kernel's counters of the network namespace;
 * - where they differ, its tables, which tell what is meant to be there;
 * - the names of unix sockets;
 * - what outlives a socket: TIME_WAIT, and the flow labels of IPv6. The next user could read them, and they would be
 *   in its way.
 */
#include "supervisor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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
	unsigned long all, waiting;       /* sockets; connections that ended lately, in TIME_WAIT */
	size_t known;
} counts_at_start, counts_when_booted;

/*
 * The kernel's counters of sockets of this network namespace: "TCP: inuse 2 orphan 0 ...". The tables of TCP have a
 * hash slot for each socket that the whole host could ever hold, and are walked from end to end: 9 ms where there are
 * 262144 slots, and nothing in them.
 */
static struct counts read_counts(void)
{
	static struct table tables[] = {{.path = "/proc/net/sockstat"}, {.path = "/proc/net/sockstat6"}};
	struct counts counts = {.known = 0};
	char line[512];
	for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
		FILE *file = read_again(&tables[i]);
		while (file && counts.known < MAX_COUNTS && fgets(line, sizeof line, file))
			if (sscanf(line, "%*[^:]: inuse %lu %*s %*u tw %lu", &counts.in_use[counts.known], &counts.waiting) >= 1)
				counts.known++;
			else if (sscanf(line, "sockets: used %lu", &counts.all) == 1 && boot_parks())
				counts.all -= 2; /* both ends of the hand-over to come */
	}
	return counts;
}

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

void sockets_baseline(void)
{
	counts_at_start = read_counts();
}

void sockets_booted(void)
{
	counts_when_booted = read_counts();
}

/*
 * Sockets that were sent through each other and never received live on without a process, and with them all that was
 * sent along: memory, too, and pipes. The kernel collects them when a socket of that family is closed, of whoever it
 * may be.
 */
void sockets_collect(void)
{
	int ends[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return; /* and the verdict will not change */
	close(ends[0]);
	close(ends[1]);
}

static bool any_line(const char *line)
{
	return *line != 0;
}

const char *sockets_in_use(void)
{
	static struct table tables[] = {{.path = "/proc/net/tcp"}, {.path = "/proc/net/tcp6"}, {.path = "/proc/net/udp"},
					{.path = "/proc/net/udp6"}, {.path = "/proc/net/raw"}, {.path = "/proc/net/raw6"}};
	static struct table names = {.path = "/proc/net/unix"}, labels = {.path = "/proc/net/ip6_flowlabel"};
	struct counts now = read_counts();
	for (size_t i = 0; i < sizeof tables / sizeof *tables && !counts_as_at_start(&now); i++)
		if (table_bound(&tables[i], socket_line_bound))
			return tables[i].path;
	if (now.all > counts_when_booted.all)
		return "a socket";
	if (now.waiting > counts_at_start.waiting)
		return "a connection in TIME_WAIT";
	if (table_bound(&labels, any_line))
		return labels.path;
	return table_bound(&names, unix_line_bound) ? names.path : NULL;
}
