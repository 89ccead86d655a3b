/*
 * What the processes of a run tell the client beside their output: pictures and tables that they display, for one.
 *
 * They connect to a local socket and send pieces, each u32 length and that many bytes; a piece becomes one
 * IT_MESSAGE. It is passed on behind all that was in the program's pipes when it came, and answered with u32 0 then:
 * a sender that waits for the answer keeps its messages in their place among its output. What is in a piece is the
 * client's business.
 *
 * Only processes of the run's user are heard. A connection holds one piece at most, so nothing here grows.
 */
#include "supervisor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MOST_CONNECTIONS 16 /* of one run at a time; further ones wait */

struct connection {
	int fd; /* -1: free */
	uint32_t number;
	uint8_t head[4];
	uint8_t *piece; /* the piece that is coming or waits, behind room for its number */
	size_t head_size, size, got;
};

static struct {
	int listener, events;
	uint32_t uid, count; /* of the run's connections so far */
	struct connection connections[MOST_CONNECTIONS];
	struct connection *waiting; /* it holds a whole piece, which is the next to be passed on */
	size_t before[2];           /* bytes of stdout and stderr that have to go first */
} messages = {.listener = -1, .events = -1};

static void watch(int operation, int fd, struct connection *connection)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
	if (epoll_ctl(messages.events, operation, fd, &event) < 0)
		die("cannot watch a socket: %s", strerror(errno));
}

/* Without a socket the programs' messages have nowhere to go, and nothing else is lost: gVisor, for one, may refuse. */
void messages_open(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	/* an abstract name is in no directory, and no program can take it away */
	memcpy(address.sun_path + 1, IT_MESSAGES, sizeof IT_MESSAGES - 1);
	socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + sizeof IT_MESSAGES);
	for (size_t i = 0; i < MOST_CONNECTIONS; i++)
		messages.connections[i].fd = -1;
	messages.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (messages.listener >= 0 &&
	    (bind(messages.listener, (struct sockaddr *)&address, length) < 0 || listen(messages.listener, 16) < 0))
		close_fd(&messages.listener);
	if (messages.listener < 0)
		return;
	if ((messages.events = epoll_create1(EPOLL_CLOEXEC)) < 0)
		die("cannot watch sockets: %s", strerror(errno));
	watch(EPOLL_CTL_ADD, messages.listener, NULL);
}

void messages_begin(uint32_t uid)
{
	messages.uid = uid;
	messages.count = 0;
}

/* A listener that nobody can be taken from must not wake us. */
static void listen_while(bool place)
{
	struct epoll_event event = {.events = place ? EPOLLIN : 0};
	if (epoll_ctl(messages.events, EPOLL_CTL_MOD, messages.listener, &event) < 0)
		die("cannot watch a socket: %s", strerror(errno));
}

static void drop(struct connection *connection)
{
	listen_while(true);
	if (messages.waiting == connection)
		messages.waiting = NULL;
	close_fd(&connection->fd);
	free(connection->piece);
	*connection = (struct connection){.fd = -1};
}

static struct connection *free_place(void)
{
	for (size_t i = 0; i < MOST_CONNECTIONS; i++)
		if (messages.connections[i].fd < 0)
			return &messages.connections[i];
	return NULL;
}

static void take_connections(void)
{
	struct connection *connection;
	struct ucred who;
	socklen_t size = sizeof who;
	for (;;) {
		if (!(connection = free_place())) {
			listen_while(false);
			return;
		}
		int fd = accept4(messages.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			return;
		if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) < 0 || who.uid != messages.uid) {
			close(fd);
			continue;
		}
		*connection = (struct connection){.fd = fd, .number = ++messages.count};
		watch(EPOLL_CTL_ADD, fd, connection);
	}
}

/* False when nothing more has come, or the connection is over. */
static bool read_into(struct connection *connection, uint8_t *to, size_t size, size_t *got)
{
	ssize_t done = recv(connection->fd, to + *got, size - *got, 0);
	if (done > 0) {
		*got += (size_t)done;
		return true;
	}
	if (done == 0 || (errno != EAGAIN && errno != EINTR))
		drop(connection);
	return false;
}

static void read_piece(struct connection *connection)
{
	while (connection->head_size < sizeof connection->head)
		if (!read_into(connection, connection->head, sizeof connection->head, &connection->head_size))
			return;
	if (!connection->piece) {
		uint32_t length;
		memcpy(&length, connection->head, sizeof length);
		if (length == 0 || length > IT_MESSAGE_SIZE ||
		    !(connection->piece = malloc(sizeof connection->number + length))) {
			drop(connection);
			return;
		}
		memcpy(connection->piece, &connection->number, sizeof connection->number);
		connection->size = sizeof connection->number + length;
		connection->got = sizeof connection->number;
	}
	while (connection->got < connection->size)
		if (!read_into(connection, connection->piece, connection->size, &connection->got))
			return;
	messages.waiting = connection;
}

static size_t in_pipe(int fd)
{
	int bytes = 0;
	return fd >= 0 && ioctl(fd, FIONREAD, &bytes) == 0 && bytes > 0 ? (size_t)bytes : 0;
}

/* One piece at a time: the next is not looked for while one waits. */
static void find_piece(const struct pipes *pipes)
{
	struct epoll_event events[MOST_CONNECTIONS + 1];
	int count = epoll_wait(messages.events, events, MOST_CONNECTIONS + 1, 0);
	for (int i = 0; i < count && !messages.waiting; i++) {
		struct connection *connection = events[i].data.ptr;
		if (!connection)
			take_connections();
		else if (connection->fd >= 0)
			read_piece(connection);
	}
	if (messages.waiting) {
		messages.before[0] = in_pipe(pipes->out);
		messages.before[1] = in_pipe(pipes->err);
	}
}

int messages_fd(void)
{
	return messages.waiting ? -1 : messages.events;
}

void messages_output(bool is_stderr, size_t bytes)
{
	size_t *before = &messages.before[is_stderr];
	*before -= bytes < *before ? bytes : *before;
}

static void pass_on(void)
{
	static const uint32_t taken = 0;
	struct connection *connection = messages.waiting;
	send_frame(IT_MESSAGE, connection->piece, connection->size);
	wire_flush();
	messages.waiting = NULL;
	free(connection->piece);
	connection->piece = NULL;
	connection->head_size = connection->size = connection->got = 0;
	if (send(connection->fd, &taken, sizeof taken, MSG_NOSIGNAL | MSG_DONTWAIT) != sizeof taken)
		drop(connection); /* it has ended, or does not read its answers */
}

bool messages_ready(const struct pipes *pipes)
{
	bool behind = (messages.before[0] && pipes->out >= 0) || (messages.before[1] && pipes->err >= 0);
	return messages.waiting && !behind && !wire_pending();
}

bool messages_pass(const struct pipes *pipes)
{
	if (messages.events < 0)
		return false;
	if (!messages.waiting)
		find_piece(pipes);
	while (messages_ready(pipes)) {
		pass_on();
		find_piece(pipes);
	}
	return messages.waiting;
}

void messages_end(void)
{
	int fd;
	for (size_t i = 0; i < MOST_CONNECTIONS; i++)
		if (messages.connections[i].fd >= 0)
			drop(&messages.connections[i]);
	while (messages.listener >= 0 && (fd = accept4(messages.listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		close(fd);
}
