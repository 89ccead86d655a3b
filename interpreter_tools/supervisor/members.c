/*
 * Which processes belong to a side run: those in its supplementary group, its mark. They inherited it, and no process of a
 * user can leave a group. What is in no side run's group belongs to the main run.
 *
 * kill(-1) cannot tell them apart, so they are looked for in /proc. What forks faster than we look is first made to stand
 * still: a process that stands keeps its place among those that the container may have, so the rest soon cannot fork.
 */
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST_LOOKS 16 /* before those that still move are killed as they are */
#define ANY UINT32_MAX /* in place of a mark: whatever it is */

static struct {
	const pid_t *pids;
	size_t count;
} spared; /* while others are killed */

struct process {
	char state;
	uint32_t uid, mark;
};

static const char *line_of(const char *status, const char *name)
{
	const char *at = strstr(status, name);
	return at ? at + strlen(name) : NULL;
}

/* From proc_pid_status(5), in which a program's name holds no newline of its own. False: it has just ended. */
static bool look(pid_t pid, struct process *process)
{
	char path[32], status[4096];
	snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t size = fd < 0 ? -1 : read(fd, status, sizeof status - 1);
	close_fd(&fd);
	if (size <= 0)
		return false;
	status[size] = 0;
	const char *state = line_of(status, "\nState:\t"), *uid = line_of(status, "\nUid:\t"), *groups = line_of(status, "\nGroups:\t");
	if (!state || !uid)
		return false;
	*process = (struct process){.state = *state, .uid = (uint32_t)strtoul(uid, NULL, 10)};
	while (groups && *groups && *groups != '\n') {
		uint32_t group = (uint32_t)take_number(&groups);
		if (run_marked(group))
			process->mark = group;
		while (*groups == ' ')
			groups++;
	}
	return true;
}

static bool is_spared(pid_t pid)
{
	for (size_t i = 0; i < spared.count; i++)
		if (spared.pids[i] == pid)
			return true;
	return false;
}

bool members_has(uint32_t mark, pid_t pid)
{
	struct process process;
	return look(pid, &process) && process.mark == mark;
}

/*
 * From /proc/PID/schedstat: ns on a processor, ns of waiting for one, slices. It speaks of the first thread, which is the
 * one that takes signals in every interpreter. 0: it has just ended, or the kernel does not count.
 */
static uint64_t delay_ns(pid_t pid)
{
	char path[32], line[96];
	unsigned long long delay = 0;
	snprintf(path, sizeof path, "/proc/%d/schedstat", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t size = fd < 0 ? -1 : read(fd, line, sizeof line - 1);
	close_fd(&fd);
	if (size <= 0)
		return 0;
	line[size] = 0;
	return sscanf(line, "%*u %llu", &delay) == 1 ? delay : 0;
}

uint64_t members_delay_us(uint32_t mark)
{
	static DIR *directory;
	struct process process;
	uint64_t ns = 0;
	for (pid_t pid; (pid = next_process(&directory));)
		if (!boot_owns(pid) && look(pid, &process) && process.mark == mark)
			ns += delay_ns(pid);
	return ns / 1000;
}

/* Send a signal to all of them. How many there were; and how many of them did not stand still. */
static unsigned signal_all(uint32_t mark, int number, unsigned *moving)
{
	static DIR *directory;
	struct process process;
	unsigned count = 0;
	*moving = 0;
	for (pid_t pid; (pid = next_process(&directory));) {
		if (boot_owns(pid) || is_spared(pid) || !look(pid, &process))
			continue;
		/* root's is the zygote, or a child of it that has not become a user yet; what is dead waits for its parent */
		if (process.uid == 0 || (mark != ANY && process.mark != mark) || strchr("ZX", process.state))
			continue;
		count++;
		*moving += !strchr("Tt", process.state);
		kill(pid, number);
	}
	return count;
}

bool members_left(uint32_t mark)
{
	unsigned moving, count = signal_all(mark, SIGSTOP, &moving);
	if (count == 0)
		return false;
	for (int i = 0; i < MOST_LOOKS && moving; i++)
		signal_all(mark, SIGSTOP, &moving);
	signal_all(mark, SIGKILL, &moving);
	return true;
}

void members_pause(bool paused)
{
	unsigned moving;
	signal_all(ANY, paused ? SIGSTOP : SIGCONT, &moving);
	for (int i = 0; i < MOST_LOOKS && paused && moving; i++)
		signal_all(ANY, SIGSTOP, &moving);
}

void members_end_others(uint32_t mark, const pid_t *pids, size_t count)
{
	spared.pids = pids;
	spared.count = count;
	members_left(mark);
	spared.count = 0;
}
