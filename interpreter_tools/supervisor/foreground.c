/*
 * What runs in the foreground of bash, and how an interrupt reaches it. A terminal would send the signal to its foreground
 * group all at once; bash has no terminal, and `timeout`, `setsid` and `set -m` give programs groups of their own. So:
 *
 * - The foreground is the processes of bash's own group, with all that they have started. (Background jobs are among them:
 *   bash has them ignore interrupts.) Where nothing of that group is left, and bash waits, it is the youngest of the
 *   other groups that this cell has started.
 * - All of them are stopped, and get the signal and go on one after another, bash as the last one. So no one sees the end of
 *   another one, and goes on from there, before it has been interrupted itself, and bash does not see that they were stopped.
 */
#include "cells.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MOST_LOOKS 16      /* for what has begun while the others were stopped */
#define PATIENCE_US 100000 /* for what bash has just forked to settle, and for all to look at their interrupts */
#define NEW_NS 2000000     /* of processor time: the handlers of a new process are not its own yet */

struct process {
	pid_t pid, parent, group;
	pid_t job; /* the child of bash that it comes from; 0: none */
	char state;
	unsigned long long started; /* ticks of the clock since the machine began */
	bool is_foreground;         /* and does not ignore interrupts */
	bool catches;               /* interrupts; else one ends it */
};

struct processes {
	struct process *at;
	size_t count, room;
};

struct pids {
	pid_t *at;
	size_t count, room;
};

static struct pids told; /* that the last interrupt has reached */

static bool has(const struct pids *pids, pid_t pid)
{
	for (size_t i = 0; i < pids->count; i++)
		if (pids->at[i] == pid)
			return true;
	return false;
}

static void put(struct pids *pids, pid_t pid)
{
	if (pids->count == pids->room) {
		pids->room = pids->room * 2 + 16;
		if (!(pids->at = realloc(pids->at, pids->room * sizeof *pids->at)))
			_exit(1);
	}
	pids->at[pids->count++] = pid;
}

static struct process *find(const struct processes *all, pid_t pid)
{
	for (size_t low = 0, high = all->count; low < high;) {
		size_t middle = (low + high) / 2;
		if (all->at[middle].pid == pid)
			return &all->at[middle];
		if (all->at[middle].pid < pid)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static int by_pid(const void *one, const void *other)
{
	return ((const struct process *)one)->pid - ((const struct process *)other)->pid;
}

static void read_all(struct processes *all)
{
	struct buffer line = {0};
	DIR *directory = opendir("/proc");
	all->count = 0;
	for (struct dirent *each; directory && (each = readdir(directory));) {
		struct process it = {.pid = (pid_t)strtol(each->d_name, NULL, 10)};
		if (it.pid <= 1 || !read_about(it.pid, "stat", &line))
			continue;
		const char *rest = strrchr(line.at, ')'); /* its name may hold anything */
		if (!rest || sscanf(rest, ") %c %d %d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", &it.state, &it.parent,
				    &it.group, &it.started) != 4)
			continue;
		if (all->count == all->room) {
			all->room = all->room * 2 + 64;
			if (!(all->at = realloc(all->at, all->room * sizeof *all->at)))
				_exit(1);
		}
		all->at[all->count++] = it;
	}
	if (directory)
		closedir(directory);
	free(line.at);
	if (all->count)
		qsort(all->at, all->count, sizeof *all->at, by_pid);
}

static pid_t job_of(const struct processes *all, const struct process *it)
{
	for (size_t i = 0; it && i < all->count; i++, it = find(all, it->parent))
		if (it->parent == cells.bash)
			return it->pid;
	return 0;
}

/* When the cell began, in the ticks in which the kernel tells when a process did. */
static unsigned long long cell_began(void)
{
	uint64_t lasted_us = now_us() - cells.began_us;
	return (us_on(CLOCK_BOOTTIME) - lasted_us) / (1000000u / (unsigned)sysconf(_SC_CLK_TCK));
}

static bool has_signal(const struct buffer *status, const char *which, int number)
{
	const char *at = strstr(status->at, which);
	return at && strtoull(at + strlen(which), NULL, 16) & 1ull << (number - 1);
}

/* Take it into the foreground, unless it ignores interrupts. */
static bool take(struct process *it)
{
	struct buffer status = {0};
	bool there = read_about(it->pid, "status", &status);
	it->catches = there && has_signal(&status, "\nSigCgt:\t", SIGINT);
	it->is_foreground = !there || !has_signal(&status, "\nSigIgn:\t", SIGINT);
	free(status.at);
	return it->is_foreground;
}

/* It has not looked at its interrupt yet. */
static bool is_pending(pid_t pid)
{
	struct buffer status = {0};
	bool pending = read_about(pid, "status", &status) && !strstr(status.at, "\nState:\tZ") && has_signal(&status, "\nShdPnd:\t", SIGINT) &&
		       !has_signal(&status, "\nSigBlk:\t", SIGINT);
	free(status.at);
	return pending;
}

/*
 * What has just been forked is not yet what it is to be, and has the handlers of its parent: an interrupt would be forgotten, or
 * told by an exit status; a bash would go back to reading commands, and read ours. A child of ours ignores SIGQUIT until it
 * has reset SIGINT. Others are told by what they have computed as the program that their parents are.
 */
static bool is_new(const struct process *it)
{
	struct buffer parents = {0}, its = {0}, status = {0}, times = {0};
	bool new = read_about(it->parent, "cmdline", &parents) && read_about(it->pid, "cmdline", &its) && parents.size == its.size &&
		   !memcmp(parents.at, its.at, its.size) && read_about(it->pid, "status", &status) && has_signal(&status, "\nSigCgt:\t", SIGINT) &&
		   ((it->parent == cells.bash && has_signal(&status, "\nSigIgn:\t", SIGQUIT)) ||
		    (!strstr(status.at, "\nState:\tS") && read_about(it->pid, "schedstat", &times) && strtoull(times.at, NULL, 10) < NEW_NS));
	free(parents.at);
	free(its.at);
	free(status.at);
	free(times.at);
	return new;
}

/* Mark the foreground. `waits`: bash does. */
static void mark(struct processes *all, bool waits)
{
	unsigned long long began = cell_began();
	const struct process *youngest = NULL;
	bool own = false;
	for (size_t i = 0; i < all->count; i++)
		all->at[i].job = job_of(all, &all->at[i]);
	for (size_t i = 0; i < all->count; i++) {
		struct process *it = &all->at[i];
		const struct process *job = it->job ? find(all, it->job) : NULL;
		if (it->pid == cells.bash || it->state == 'Z')
			continue;
		if (it->group == cells.bash || (job && job->group == cells.bash && job->started >= began))
			own |= take(it);
		if (it->job == it->pid && it->group != cells.bash && it->started >= began &&
		    (!youngest || it->started > youngest->started || (it->started == youngest->started && it->pid > youngest->pid)))
			youngest = it;
	}
	for (size_t i = 0; i < all->count && !own && waits && youngest; i++) {
		const struct process *job = all->at[i].job ? find(all, all->at[i].job) : NULL;
		if (job && job->group == youngest->group && job->started >= began && all->at[i].state != 'Z')
			take(&all->at[i]);
	}
}

/* For a program, or what one prints: not for a line of input, or its next command. */
static bool bash_waits(void)
{
	struct buffer call = {0}, status = {0};
	long number = -1, argument = 0;
	bool waits = read_about(cells.bash, "status", &status) && strstr(status.at, "\nState:\tS");
	if (waits && read_about(cells.bash, "syscall", &call) && sscanf(call.at, "%ld %li", &number, &argument) >= 1)
		waits = number == SYS_wait4 || (number == SYS_read && argument != 0);
	free(call.at);
	free(status.at);
	return waits;
}

/* Where it has jobs of its own (`set -m`), it must not see that they are stopped. */
static void stop_bash(uint64_t until)
{
	struct buffer status = {0};
	kill(cells.bash, SIGSTOP);
	while (read_about(cells.bash, "status", &status) && !strstr(status.at, "\nState:\tT") && now_us() < until)
		usleep(50);
	free(status.at);
}

/* Stop the foreground that is still to be interrupted, and bash. False: something new did not settle. */
static bool stop(struct pids *stopped)
{
	struct processes all = {0};
	uint64_t until = now_us() + PATIENCE_US;
	bool waits = bash_waits(), more = true, settled = true;
	for (int look = 0; look < MOST_LOOKS && more && settled; look++) {
		more = false;
		read_all(&all);
		mark(&all, waits);
		for (size_t i = 0; i < all.count; i++) {
			const struct process *it = &all.at[i];
			bool is_told = has(&told, it->pid) && it->catches; /* else it has become another program since */
			if (!it->is_foreground || is_told || it->state == 'T' || has(stopped, it->pid))
				continue; /* what the program has stopped itself stays so */
			if (!stopped->count)
				stop_bash(until);
			bool new;
			while ((new = is_new(it)) && now_us() < until) /* the others wait for it */
				usleep(100);
			settled = settled && !new;
			kill(it->pid, SIGSTOP);
			put(stopped, it->pid);
			more = true;
		}
	}
	free(all.at);
	return settled;
}

void foreground_begin(void)
{
	told.count = 0;
}

void foreground_interrupt(bool insists)
{
	struct pids stopped = {0};
	bool settled = stop(&stopped);
	/* One after another, as they began: SIGPIPE would end the programs of a pipeline otherwise, and bash would go on. */
	uint64_t until = now_us() + PATIENCE_US;
	for (size_t i = 0; i < stopped.count; i++) {
		if (settled) { /* all of them, or the next call finds what became of them */
			put(&told, stopped.at[i]);
			kill(stopped.at[i], SIGINT);
		}
		kill(stopped.at[i], SIGCONT);
		while (is_pending(stopped.at[i]) && now_us() < until)
			usleep(50);
	}
	/* Bash goes on where a program that it waited for has ended by itself: it is told again then. */
	if ((settled && !has(&told, cells.bash)) || insists) {
		put(&told, cells.bash);
		kill(cells.bash, SIGINT);
	}
	if (stopped.count)
		kill(cells.bash, SIGCONT);
	free(stopped.at);
}
