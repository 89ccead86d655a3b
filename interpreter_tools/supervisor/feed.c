/* What is on its way to a program's stdin: as much as the client may send before it is told that some was taken. */
#include "supervisor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void feed_begin(struct feed *feed, bool open, int *in)
{
	*feed = (struct feed){.closing = !open};
	if (feed->closing)
		close_fd(in);
}

bool feed_waits(const struct feed *feed)
{
	return feed->start < feed->end;
}

void feed_take(struct feed *feed, struct cursor *payload, int *in)
{
	size_t length = (size_t)(payload->end - payload->at);
	if (feed->closing && length > 0)
		die("protocol: stdin after its end");
	if (length == 0) {
		feed->closing = true;
		if (!feed_waits(feed))
			close_fd(in);
		return;
	}
	if (!feed->bytes && !(feed->bytes = malloc(IT_STDIN_WINDOW)))
		die("out of memory");
	if (feed->start > 0) {
		memmove(feed->bytes, feed->bytes + feed->start, feed->end - feed->start);
		feed->end -= feed->start;
		feed->start = 0;
	}
	if (length > IT_STDIN_WINDOW - feed->end)
		die("protocol: more stdin than the window holds");
	memcpy(feed->bytes + feed->end, payload->at, length);
	feed->end += length;
}

void feed_on(struct feed *feed, int *in)
{
	if (!feed_waits(feed))
		return;
	ssize_t done = *in < 0 ? -1 : write(*in, feed->bytes + feed->start, feed->end - feed->start);
	if (done < 0 && *in >= 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (done < 0) { /* nobody reads it any more: taken and dropped, as a pipe does to a writer that ignores SIGPIPE */
		done = (ssize_t)(feed->end - feed->start);
		close_fd(in);
	}
	feed->start += (size_t)done;
	feed->credit += (uint32_t)done;
	if (!feed_waits(feed) && feed->closing)
		close_fd(in);
}

void feed_credit(struct feed *feed, uint16_t run)
{
	if (!feed->credit || !wire_takes_answer())
		return;
	send_of(run, IT_CREDIT, &feed->credit, sizeof feed->credit);
	feed->credit = 0;
}

void feed_end(struct feed *feed)
{
	free(feed->bytes);
	*feed = (struct feed){.closing = true};
}
