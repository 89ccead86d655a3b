/*
 * Frames in and out.
 *
 * Input: one buffer that holds at least one whole frame; frames are handed out in place.
 *
 * Output: one buffer with room for one frame of program output and some control frames. Program output is only read when the buffer is empty, so a
 * client that does not read stops the program by its own full pipe, and nothing here grows.
 *
 * In bulk, both pipes are given rests. Whoever copies them on moves one page at a time, and to be woken for each page costs more than to move it: a pipe
 * that has just run full, or has brought but a little of a large frame, is left alone until there is more to do.
 */
#include "supervisor.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the wire is little-endian, and so is every machine this is built for");

#define REST_US 200

static uint8_t in[IT_HEADER_SIZE + IT_MAX_PAYLOAD];
static size_t in_start, in_end, in_last;
static uint64_t in_rest_us; /* until then; 0: it does not rest */

static uint8_t out[2 * (IT_HEADER_SIZE + IT_MAX_PAYLOAD)];
static size_t out_start, out_end;
static uint64_t out_rest_us;

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

/* What is left of a rest; -1: nothing. */
static int64_t rest_us(uint64_t until_us)
{
	uint64_t now = until_us ? now_us() : 0;
	return until_us > now ? (int64_t)(until_us - now) : -1;
}

int64_t wire_fds(struct pollfd fds[2], bool reads, bool writes)
{
	int64_t in_us = reads ? rest_us(in_rest_us) : -1, out_us = writes ? rest_us(out_rest_us) : -1;
	fds[0] = (struct pollfd){.fd = STDIN_FILENO, .events = reads && in_us < 0 ? POLLIN : 0};
	fds[1] = (struct pollfd){.fd = STDOUT_FILENO, .events = writes && out_us < 0 ? POLLOUT : 0};
	return sooner(in_us, out_us);
}

/* A small frame is whole when its beginning has come, or as good as. */
static bool large_frame(void)
{
	uint32_t length = 0;
	if (in_end >= IT_HEADER_SIZE)
		memcpy(&length, in, sizeof length);
	return length == IT_MAX_PAYLOAD;
}

bool wire_receive(void)
{
	if (rest_us(in_rest_us) >= 0)
		return false;
	if (in_start > 0) {
		memmove(in, in + in_start, in_end - in_start);
		in_end -= in_start;
		in_start = 0;
	}
	ssize_t got = read(STDIN_FILENO, in + in_end, sizeof in - in_end);
	if (got < 0) {
		if (errno == EINTR || errno == EAGAIN)
			return false;
		leave();
	}
	if (got == 0)
		leave();
	in_end += (size_t)got;
	in_rest_us = got < MUCH && large_frame() ? now_us() + REST_US : 0;
	return true;
}

bool wire_next(uint8_t *type, struct cursor *payload)
{
	if (in_end - in_start < IT_HEADER_SIZE)
		return false;
	const uint8_t *frame = in + in_start;
	uint32_t length;
	memcpy(&length, frame, sizeof length);
	if (length > IT_MAX_PAYLOAD)
		die("protocol: a frame of %u bytes", length);
	if (frame[5] || frame[6] || frame[7])
		die("protocol: a reserved field is not zero");
	if (in_end - in_start < IT_HEADER_SIZE + (size_t)length)
		return false;
	in_last = in_start;
	in_start += IT_HEADER_SIZE + length;
	*type = frame[4];
	*payload = (struct cursor){frame + IT_HEADER_SIZE, frame + IT_HEADER_SIZE + length};
	return true;
}

void wire_unread(void)
{
	in_start = in_last;
}

static void put_header(uint8_t *at, uint8_t type, size_t length)
{
	uint32_t value = (uint32_t)length;
	memcpy(at, &value, sizeof value);
	at[4] = type;
	at[5] = at[6] = at[7] = 0;
}

void send_frame(uint8_t type, const void *payload, size_t length)
{
	if (out_end + IT_HEADER_SIZE + length > sizeof out && !wire_drain(-1))
		leave();
	put_header(out + out_end, type, length);
	if (length > 0) /* memcpy must not be given NULL, even for nothing */
		memcpy(out + out_end + IT_HEADER_SIZE, payload, length);
	out_end += IT_HEADER_SIZE + length;
}

void send_u32(uint8_t type, uint32_t value)
{
	send_frame(type, &value, sizeof value);
}

void send_refused(uint32_t why, int error, const char *subject, size_t length)
{
	uint8_t payload[12 + 4096];
	uint32_t head[3] = {why, (uint32_t)error, (uint32_t)(length < 4096 ? length : 4096)};
	memcpy(payload, head, sizeof head);
	memcpy(payload + sizeof head, subject, head[2]);
	send_frame(IT_REFUSED, payload, sizeof head + head[2]);
}

bool wire_pending(void)
{
	return out_start < out_end;
}

static void write_out(void)
{
	while (out_start < out_end) {
		ssize_t done = write(STDOUT_FILENO, out + out_start, out_end - out_start);
		if (done < 0) {
			if (errno == EINTR)
				continue;
			if (errno != EAGAIN)
				leave();
			out_rest_us = now_us() + REST_US;
			return;
		}
		out_start += (size_t)done;
	}
	out_start = out_end = 0;
	out_rest_us = 0;
}

void wire_flush(void)
{
	if (rest_us(out_rest_us) < 0)
		write_out();
}

bool wire_drain(int patience_ms)
{
	for (write_out(); wire_pending(); write_out()) {
		struct pollfd fds[2] = {{.fd = STDOUT_FILENO, .events = POLLOUT}, {.fd = STDIN_FILENO}};
		int count = poll(fds, 2, patience_ms);
		if (count == 0 || (count < 0 && errno != EINTR) || (fds[1].revents & (POLLHUP | POLLERR)))
			return false;
	}
	return true;
}

ssize_t wire_forward(uint8_t type, int fd, size_t most)
{
	size_t size = IT_MAX_PAYLOAD - IT_HEADER_SIZE; /* a frame of whole pages: whoever copies it on then copies large pieces only */
	ssize_t got = read(fd, out + IT_HEADER_SIZE, most < size ? most : size);
	if (got > 0) {
		put_header(out, type, (size_t)got);
		out_end = IT_HEADER_SIZE + (size_t)got;
	}
	return got;
}
