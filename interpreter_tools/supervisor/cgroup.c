/* What the kernel counted for this container: version 2 of control groups, or the separate trees of version 1. */
#include "supervisor.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int cpu = -1, peak = -1, oom = -1;
static bool version_2;

static int open_counter(const char *path)
{
	return open(path, O_RDONLY | O_CLOEXEC);
}

void cgroup_open(void)
{
	oom = open_counter("/sys/fs/cgroup/memory.events");
	version_2 = oom >= 0;
	if (version_2) {
		cpu = open_counter("/sys/fs/cgroup/cpu.stat");
		peak = open_counter("/sys/fs/cgroup/memory.peak"); /* since Linux 5.19 */
		return;
	}
	oom = open_counter("/sys/fs/cgroup/memory/memory.oom_control");
	cpu = open_counter("/sys/fs/cgroup/cpuacct/cpuacct.usage");
	peak = open_counter("/sys/fs/cgroup/memory/memory.max_usage_in_bytes");
}

/* The number that follows a key at the start of a line; with an empty key, the number the file begins with. */
static bool read_number(int fd, const char *key, uint64_t *value)
{
	char text[4096];
	ssize_t length = fd < 0 ? -1 : pread(fd, text, sizeof text - 1, 0);
	if (length <= 0)
		return false;
	text[length] = 0;
	size_t key_length = strlen(key);
	for (char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, key_length) == 0 && (key_length == 0 || line[key_length] == ' ')) {
			*value = strtoull(line + key_length, NULL, 10);
			return true;
		}
	}
	return false;
}

bool cgroup_charges_sockets(void)
{
	return version_2;
}

struct usage cgroup_read(void)
{
	struct usage usage = {0};
	uint64_t kills = 0;
	usage.cpu_known = read_number(cpu, version_2 ? "usage_usec" : "", &usage.cpu_us);
	if (!version_2)
		usage.cpu_us /= 1000;
	usage.peak_known = read_number(peak, "", &usage.peak_bytes);
	if (read_number(oom, "oom_kill", &kills))
		usage.oom_kills = (uint32_t)kills;
	return usage;
}
