/* What every other file stands on: the clock, the two ways to leave, descriptors, and the cursor over a payload. */
#include "supervisor.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void (*farewell)(const char *words, size_t length); /* sends the last words to the client */

void base_open(void (*sends_last_words)(const char *words, size_t length))
{
	farewell = sends_last_words;
}

uint64_t us_on(clockid_t clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

uint64_t now_us(void)
{
	return us_on(CLOCK_MONOTONIC);
}

bool is_before(struct timespec a, struct timespec b)
{
	return a.tv_sec < b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec < b.tv_nsec);
}

int64_t sooner(int64_t a, int64_t b)
{
	return a < 0 || (b >= 0 && b < a) ? b : a;
}

int64_t us_until(uint64_t time_us)
{
	uint64_t now = now_us();
	return time_us > now ? (int64_t)(time_us - now) : 0;
}

void leave(void)
{
	_exit(0);
}

void die(const char *format, ...)
{
	static bool dying;
	char words[2048];
	va_list arguments;
	if (dying)
		_exit(1);
	dying = true;
	va_start(arguments, format);
	int length = vsnprintf(words, sizeof words, format, arguments);
	va_end(arguments);
	farewell(words, length < 0 ? 0 : strnlen(words, sizeof words));
	_exit(1);
}

void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

DIR *open_directory(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);
	if (!directory)
		close_fd(&fd);
	return directory;
}

unsigned long take_number(const char **at)
{
	char *end;
	unsigned long number = strtoul(*at, &end, 10);
	*at = end;
	return number;
}

/* ---- the cursor ---- */

static const void *take(struct cursor *c, size_t length)
{
	if ((size_t)(c->end - c->at) < length)
		die("protocol: a frame is shorter than its fields");
	const void *at = c->at;
	c->at += length;
	return at;
}

uint8_t take_u8(struct cursor *c)
{
	return *(const uint8_t *)take(c, 1);
}

uint16_t take_u16(struct cursor *c)
{
	uint16_t value;
	memcpy(&value, take(c, sizeof value), sizeof value);
	return value;
}

uint32_t take_u32(struct cursor *c)
{
	uint32_t value;
	memcpy(&value, take(c, sizeof value), sizeof value);
	return value;
}

uint64_t take_u64(struct cursor *c)
{
	uint64_t value;
	memcpy(&value, take(c, sizeof value), sizeof value);
	return value;
}

struct text take_text(struct cursor *c)
{
	struct text text = {.length = take_u32(c)};
	text.at = take(c, text.length);
	if (memchr(text.at, 0, text.length))
		die("protocol: a string holds a NUL");
	return text;
}

void take_end(const struct cursor *c)
{
	if (c->at != c->end)
		die("protocol: a frame is longer than its fields");
}
