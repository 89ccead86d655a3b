/*
 * Frames in and out.
 *
 * Input: one buffer that holds at least one whole frame; frames are handed out in place.
 *
 * Output: one buffer. A frame of program output, or of a list, is made only when no other one waits. So a client that
 * does not read stops the program: the program's own pipe is full. No request is read before there is room for its
 * answer. So nothing grows, and nothing ever waits for room.
 *
 * In bulk, both pipes are given rests. Whoever copies them on moves one page at a time, and to be woken for a page costs
 * more than to move it. So a pipe is left alone for REST_US when it has just run full, or when it has brought only a
 * little of a large frame.
 *
 * A frame that is soon followed by another one may be held for HOLD_US, so that both go in one write: each write wakes three
 * processes on its way. Whatever comes behind it takes it along.
 */
#include "supervisor.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the wire is little-endian, and so is every machine this is built for");

#define REST_US 200
#define HOLD_US 1000
#define LAST_WORDS_MS 1000
#define FRAME_BYTES (IT_HEADER_SIZE + IT_MAX_PAYLOAD)
#define ANSWER_BYTES 8192 /* the largest answer is IT_REFUSED, with a path */

static struct {
	uint8_t bytes[FRAME_BYTES];
	size_t start, end, last;
	bool dry; /* the last read took all that was there */
	uint64_t rest_us; /* until then; 0: it does not rest */
} in;

static struct {
	uint8_t bytes[2 * FRAME_BYTES + 2 * ANSWER_BYTES]; /* twice: what answers a request, and the end of a run or a reset */
	size_t start, end;
	uint64_t rest_us;
	uint64_t hold_us; /* what is there goes then at the latest; 0: the last write left nothing that was held */
	bool holds;       /* nothing has come behind a frame that may be held */
} out;

/* What is left of a rest; -1: nothing. */
static int64_t rest_left_us(uint64_t until_us)
{
	uint64_t now = until_us ? now_us() : 0;
	return until_us > now ? (int64_t)(until_us - now) : -1;
}

int64_t wire_fds(struct pollfd fds[2], bool reads, bool writes)
{
	int64_t in_us = reads ? rest_left_us(in.rest_us) : -1, out_us = writes ? rest_left_us(out.rest_us) : -1;
	int64_t hold_us = -1;
	if (out.holds && !writes) { /* what is over by now has not been asked to be written: there must be no wait */
		hold_us = rest_left_us(out.hold_us);
		hold_us = hold_us < 0 ? 0 : hold_us;
	}
	fds[0] = (struct pollfd){.fd = STDIN_FILENO, .events = reads && in_us < 0 ? POLLIN : 0};
	fds[1] = (struct pollfd){.fd = STDOUT_FILENO, .events = writes && out_us < 0 ? POLLOUT : 0};
	return sooner(hold_us, sooner(in_us, out_us));
}

/* A small frame is whole when its beginning has come, or as good as. */
static bool large_frame(void)
{
	uint32_t length = 0;
	if (in.end >= IT_HEADER_SIZE)
		memcpy(&length, in.bytes, sizeof length);
	return length == IT_MAX_PAYLOAD;
}

bool wire_receive(void)
{
	bool dry = in.dry;
	in.dry = false;
	if (dry || rest_left_us(in.rest_us) >= 0) /* what has come since then is told by the next poll */
		return false;
	if (in.start > 0) {
		memmove(in.bytes, in.bytes + in.start, in.end - in.start);
		in.end -= in.start;
		in.start = 0;
	}
	ssize_t got = read(STDIN_FILENO, in.bytes + in.end, sizeof in.bytes - in.end);
	if (got < 0) {
		if (errno == EINTR || errno == EAGAIN)
			return false;
		leave();
	}
	if (got == 0)
		leave();
	in.dry = (size_t)got < sizeof in.bytes - in.end;
	in.end += (size_t)got;
	in.rest_us = got < BULK_BYTES && large_frame() ? now_us() + REST_US : 0;
	return true;
}

bool wire_next(uint8_t *type, uint16_t *run, struct cursor *payload)
{
	if (in.end - in.start < IT_HEADER_SIZE)
		return false;
	const uint8_t *frame = in.bytes + in.start;
	uint32_t length;
	memcpy(&length, frame, sizeof length);
	if (length > IT_MAX_PAYLOAD)
		die("protocol: a frame of %u bytes", length);
	if (frame[5])
		die("protocol: a reserved field is not zero");
	if (in.end - in.start < IT_HEADER_SIZE + (size_t)length)
		return false;
	in.last = in.start;
	in.start += IT_HEADER_SIZE + length;
	*type = frame[4];
	memcpy(run, frame + 6, sizeof *run);
	*payload = (struct cursor){frame + IT_HEADER_SIZE, frame + IT_HEADER_SIZE + length};
	return true;
}

void wire_unread(void)
{
	in.start = in.last;
}

/* What has come and was not read, and what was not taken yet. */
void wire_leave(struct wire_state *state)
{
	_Static_assert(sizeof state->in == sizeof in.bytes && sizeof state->out == sizeof out.bytes, "all of it has room");
	state->in_length = in.end - in.start;
	state->out_length = out.end - out.start;
	memcpy(state->in, in.bytes + in.start, state->in_length);
	memcpy(state->out, out.bytes + out.start, state->out_length);
}

void wire_take_over(const struct wire_state *state)
{
	in.start = out.start = 0;
	in.end = state->in_length;
	out.end = state->out_length;
	memcpy(in.bytes, state->in, in.end);
	memcpy(out.bytes, state->out, out.end);
}

static void put_header(uint8_t *at, uint8_t type, uint16_t run, size_t length)
{
	uint32_t value = (uint32_t)length;
	memcpy(at, &value, sizeof value);
	at[4] = type;
	at[5] = 0;
	memcpy(at + 6, &run, sizeof run);
}

void send_of(uint16_t run, uint8_t type, const void *payload, size_t length)
{
	if (out.end + IT_HEADER_SIZE + length > sizeof out.bytes)
		die("there is no room for a frame of type 0x%02x", type);
	put_header(out.bytes + out.end, type, run, length);
	if (length > 0) /* memcpy must not be given NULL, even for nothing */
		memcpy(out.bytes + out.end + IT_HEADER_SIZE, payload, length);
	out.end += IT_HEADER_SIZE + length;
	out.holds = false;
}

void wire_hold(void)
{
	if (!out.hold_us)
		out.hold_us = now_us() + HOLD_US;
	out.holds = true;
}

/* Then there is room for a frame of any size behind it. */
static bool is_held(void)
{
	return out.holds && out.end <= FRAME_BYTES && now_us() < out.hold_us;
}

void send_frame(uint8_t type, const void *payload, size_t length)
{
	send_of(0, type, payload, length);
}

void send_refused(uint16_t run, uint32_t why, int error, const char *subject, size_t length)
{
	uint8_t payload[12 + 4096];
	uint32_t head[3] = {why, (uint32_t)error, (uint32_t)(length < 4096 ? length : 4096)};
	memcpy(payload, head, sizeof head);
	memcpy(payload + sizeof head, subject, head[2]);
	send_of(run, IT_REFUSED, payload, sizeof head + head[2]);
}

bool wire_pending(void)
{
	return out.start < out.end && !is_held();
}

bool wire_takes_answer(void)
{
	return out.end + 2 * ANSWER_BYTES <= sizeof out.bytes;
}

bool wire_takes_bulk(void)
{
	return out.end <= FRAME_BYTES;
}

static void write_out(void)
{
	out.holds = false;
	out.hold_us = 0;
	while (out.start < out.end) {
		ssize_t done = write(STDOUT_FILENO, out.bytes + out.start, out.end - out.start);
		if (done < 0) {
			if (errno == EINTR)
				continue;
			if (errno != EAGAIN)
				leave();
			out.rest_us = now_us() + REST_US;
			return;
		}
		out.start += (size_t)done;
	}
	out.start = out.end = 0;
	out.rest_us = 0;
}

void wire_flush(void)
{
	if (!is_held() && rest_left_us(out.rest_us) < 0)
		write_out();
}

/* Wait until everything is written; false: time is over, or the client has gone. */
static bool drain(uint64_t deadline_us)
{
	for (write_out(); wire_pending(); write_out()) {
		struct pollfd fds[2] = {{.fd = STDOUT_FILENO, .events = POLLOUT}, {.fd = STDIN_FILENO}};
		int count = poll(fds, 2, (int)(us_until(deadline_us) / 1000));
		if (count == 0 || (count < 0 && errno != EINTR) || (fds[1].revents & (POLLHUP | POLLERR)))
			return false;
	}
	return true;
}

void wire_farewell(const char *words, size_t length)
{
	uint8_t payload[4 + 2048];
	uint32_t said = length < sizeof payload - 4 ? (uint32_t)length : (uint32_t)sizeof payload - 4;
	uint64_t deadline_us = now_us() + LAST_WORDS_MS * 1000ull;
	memcpy(payload, &said, sizeof said);
	memcpy(payload + 4, words, said);
	if (!drain(deadline_us)) /* what is half written comes first, or the client would understand nothing */
		return;
	send_frame(IT_FATAL, payload, sizeof said + said);
	drain(deadline_us);
}

ssize_t wire_forward(uint16_t run, uint8_t type, int fd, size_t most)
{
	size_t size = IT_MAX_PAYLOAD - IT_HEADER_SIZE; /* a frame of whole pages is copied on in large pieces only */
	uint8_t *at = out.bytes + out.end; /* behind what is held */
	ssize_t got = read(fd, at + IT_HEADER_SIZE, most < size ? most : size);
	if (got > 0) {
		put_header(at, type, run, (size_t)got);
		out.end += IT_HEADER_SIZE + (size_t)got;
		out.holds = false;
	}
	return got;
}
