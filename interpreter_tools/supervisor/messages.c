/*
 * What the processes of a run tell the client beside their output, and what the client tells them: pictures and tables that
 * they display, calls of the client's functions, cells of a context.
 *
 * They connect to a local socket and send pieces, each u32 length and that many bytes; a piece becomes one IT_MESSAGE. It
 * is passed on behind all that was in the program's pipes when it came, and answered with u32 0 then: a sender that waits
 * for the answer keeps its messages in their place among its output. Each answer wakes the sender, so one that wants none
 * says so. What is in a piece is the client's business.
 *
 * A connection belongs to the run whose mark its process had when it connected, or to the main run. It holds one piece, and
 * what was told to it up to a window, so nothing here grows.
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

#define MOST_CONNECTIONS 64      /* of one run at a time; further ones are closed */
#define MOST_OF_ALL 256          /* of all runs: each takes a descriptor */
#define MOST_ANSWERS 4096        /* that a sender leaves unread before it is dropped */
#define TOLD_AT (IT_TELL_WINDOW / 2)
#define SMALL_ROOM 4096 /* bytes for what is told; most is */

#ifndef SO_PEERGROUPS /* Linux 4.13 */
#define SO_PEERGROUPS 59
#endif

struct connection {
	int fd; /* -1: free */
	uint16_t run;
	uint32_t number;
	pid_t peer; /* the process that made it */
	bool spoken, over; /* the client knows of it; it has ended, which is still to be told */
	uint8_t head[4];
	uint8_t *piece; /* the piece that is coming or waits, behind room for its number */
	size_t head_size, size, got;
	uint8_t *told; /* what the client has told it and was not sent yet; NULL: nothing */
	size_t told_start, told_end, told_room;
	uint32_t credit;  /* bytes that were sent, of which the client does not know yet */
	uint32_t answers; /* that could not be sent yet */
	bool held, silent; /* the piece may wait for what follows it; nobody waits for its answer */
	bool blocked;
};

static struct {
	int listener, blocked; /* connections that do not take what they are sent are watched there */
	unsigned count, blocked_count;
	bool full; /* there was no descriptor for another one */
} messages = {.listener = -1, .blocked = -1};

static void watch(int events, int operation, int fd, uint32_t what, struct connection *connection)
{
	struct epoll_event event = {.events = what, .data.ptr = connection};
	if (epoll_ctl(events, operation, fd, &event) < 0)
		die("cannot watch a socket: %s", strerror(errno));
}

/* Without a socket the programs' messages have nowhere to go, and nothing else is lost: gVisor, for one, may refuse. */
void messages_open(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	/* an abstract name is in no directory, and no program can take it away */
	memcpy(address.sun_path + 1, IT_MESSAGES, sizeof IT_MESSAGES - 1);
	socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + sizeof IT_MESSAGES);
	messages.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (messages.listener >= 0 &&
	    (bind(messages.listener, (struct sockaddr *)&address, length) < 0 || listen(messages.listener, 16) < 0))
		close_fd(&messages.listener);
	if (messages.listener >= 0 && (messages.blocked = epoll_create1(EPOLL_CLOEXEC)) < 0)
		die("cannot watch sockets: %s", strerror(errno));
}

int messages_listener(void)
{
	return messages.full ? -1 : messages.listener;
}

void messages_begin(struct talk *talk, uint16_t run, int64_t *room)
{
	*talk = (struct talk){.run = run, .events = -1, .room = room};
}

/* ---- connections ---- */

static void unblock(struct connection *connection)
{
	if (!connection->blocked)
		return;
	epoll_ctl(messages.blocked, EPOLL_CTL_DEL, connection->fd, NULL);
	connection->blocked = false;
	messages.blocked_count--;
}

static void block(struct connection *connection)
{
	if (connection->blocked)
		return;
	watch(messages.blocked, EPOLL_CTL_ADD, connection->fd, EPOLLOUT, connection);
	connection->blocked = true;
	messages.blocked_count++;
}

static void drop(struct connection *connection)
{
	unblock(connection);
	close_fd(&connection->fd);
	free(connection->piece);
	free(connection->told);
	*connection = (struct connection){.fd = -1};
	messages.count--;
	messages.full = false;
}

/* It has ended: the client is told, if it knows of it, when its turn comes. */
static void end(struct connection *connection)
{
	if (!connection->spoken) {
		drop(connection);
		return;
	}
	unblock(connection);
	shutdown(connection->fd, SHUT_RDWR); /* so that it stays readable until its turn comes */
	connection->over = true;
}

static struct connection *free_place(struct talk *talk)
{
	if (!talk->connections) {
		talk->connections = calloc(MOST_CONNECTIONS, sizeof *talk->connections);
		talk->events = epoll_create1(EPOLL_CLOEXEC);
		for (size_t i = 0; talk->connections && i < MOST_CONNECTIONS; i++)
			talk->connections[i].fd = -1;
	}
	for (size_t i = 0; talk->connections && talk->events >= 0 && i < MOST_CONNECTIONS; i++)
		if (talk->connections[i].fd < 0)
			return &talk->connections[i];
	return NULL;
}

/* Whose it is, the kernel says: a process has the groups of its run, and connects with them. */
static struct talk *talk_of(int fd, pid_t *peer)
{
	struct ucred who;
	gid_t groups[64];
	socklen_t size = sizeof who, groups_size = sizeof groups;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) < 0)
		return NULL;
	*peer = who.pid;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &groups_size) < 0)
		groups_size = 0; /* gVisor does not tell, and has no marks either */
	return run_of_peer(who.uid, groups, groups_size / sizeof *groups);
}

void messages_accept(void)
{
	int fd;
	pid_t peer;
	while (messages.listener >= 0 && (fd = accept4(messages.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct talk *talk = talk_of(fd, &peer);
		struct connection *connection = talk && messages.count < MOST_OF_ALL ? free_place(talk) : NULL;
		if (!connection) {
			close(fd);
			continue;
		}
		*connection = (struct connection){.fd = fd, .run = talk->run, .number = ++talk->count, .peer = peer};
		messages.count++;
		watch(talk->events, EPOLL_CTL_ADD, fd, EPOLLIN, connection);
	}
	messages.full = errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS;
}

/* ---- what they say ---- */

/* False when nothing more has come, or the connection is over. */
static bool read_into(struct connection *connection, uint8_t *to, size_t size, size_t *got)
{
	ssize_t done = recv(connection->fd, to + *got, size - *got, 0);
	if (done > 0) {
		*got += (size_t)done;
		return true;
	}
	if (done == 0 || (errno != EAGAIN && errno != EINTR))
		end(connection);
	return false;
}

/* True when a whole piece is there. */
static bool read_piece(struct connection *connection)
{
	while (connection->head_size < sizeof connection->head)
		if (!read_into(connection, connection->head, sizeof connection->head, &connection->head_size))
			return false;
	if (!connection->piece) {
		uint32_t length;
		memcpy(&length, connection->head, sizeof length);
		connection->held = length & IT_MESSAGE_HELD;
		connection->silent = length & IT_MESSAGE_SILENT;
		length &= ~(IT_MESSAGE_HELD | IT_MESSAGE_SILENT);
		if (length == 0 || length > IT_MESSAGE_SIZE ||
		    !(connection->piece = malloc(sizeof connection->number + length))) {
			end(connection);
			return false;
		}
		memcpy(connection->piece, &connection->number, sizeof connection->number);
		connection->size = sizeof connection->number + length;
		connection->got = sizeof connection->number;
	}
	while (connection->got < connection->size)
		if (!read_into(connection, connection->piece, connection->size, &connection->got))
			return false;
	return true;
}

static size_t in_pipe(int fd)
{
	int bytes = 0;
	return fd >= 0 && ioctl(fd, FIONREAD, &bytes) == 0 && bytes > 0 ? (size_t)bytes : 0;
}

/* One piece at a time: the next is not looked for while one waits. */
static void find_piece(struct talk *talk, const struct pipes *pipes)
{
	struct epoll_event events[MOST_CONNECTIONS];
	int count = epoll_wait(talk->events, events, MOST_CONNECTIONS, 0);
	for (int i = 0; i < count && !talk->waiting; i++) {
		struct connection *connection = events[i].data.ptr;
		if (connection->fd >= 0 && (connection->over || read_piece(connection) || connection->over))
			talk->waiting = connection;
	}
	if (talk->waiting) {
		talk->before[0] = in_pipe(pipes->out);
		talk->before[1] = in_pipe(pipes->err);
	}
}

void messages_output(struct talk *talk, bool is_stderr, size_t bytes)
{
	size_t *before = &talk->before[is_stderr];
	*before -= bytes < *before ? bytes : *before;
}

/* The answers to its pieces; what is told to it goes before them. */
static void send_answers(struct connection *connection)
{
	static const uint32_t taken = 0;
	for (; connection->answers && !connection->told; connection->answers--)
		if (send(connection->fd, &taken, sizeof taken, MSG_NOSIGNAL | MSG_DONTWAIT) != sizeof taken) {
			block(connection);
			return;
		}
}

static void pass_on(struct talk *talk)
{
	struct connection *connection = talk->waiting;
	talk->waiting = NULL;
	if (connection->over) {
		send_of(talk->run, IT_MESSAGE, &connection->number, sizeof connection->number);
		drop(connection);
	} else {
		send_of(talk->run, IT_MESSAGE, connection->piece, connection->size);
		if (connection->held)
			wire_hold();
		*talk->room -= (int64_t)connection->size;
		free(connection->piece);
		connection->piece = NULL;
		connection->head_size = connection->size = connection->got = 0;
		connection->spoken = true;
		if (!connection->silent)
			connection->answers++;
		send_answers(connection);
		if (connection->answers > MOST_ANSWERS)
			end(connection); /* it does not read its answers */
	}
}

int messages_fd(const struct talk *talk)
{
	return talk->waiting ? -1 : talk->events;
}

static bool has_its_place(const struct talk *talk, const struct pipes *pipes)
{
	bool behind = (talk->before[0] && pipes->out >= 0) || (talk->before[1] && pipes->err >= 0);
	return talk->waiting && !behind && *talk->room > 0;
}

bool messages_ready(const struct talk *talk, const struct pipes *pipes)
{
	return has_its_place(talk, pipes) && !wire_pending();
}

bool messages_pass(struct talk *talk, const struct pipes *pipes)
{
	if (talk->events < 0)
		return false;
	if (!talk->waiting)
		find_piece(talk, pipes);
	while (messages_ready(talk, pipes)) {
		do { /* those that have come together go together */
			pass_on(talk);
			find_piece(talk, pipes);
		} while (has_its_place(talk, pipes) && wire_takes_bulk());
		wire_flush();
	}
	return talk->waiting;
}

/* ---- what they are told ---- */

static void tell_client(struct connection *connection)
{
	uint32_t told[2] = {connection->number, connection->credit};
	if (connection->credit < TOLD_AT)
		return;
	send_of(connection->run, IT_TOLD, told, sizeof told);
	connection->credit = 0;
}

static void send_told(struct connection *connection)
{
	while (connection->told) {
		ssize_t done = send(connection->fd, connection->told + connection->told_start,
				    connection->told_end - connection->told_start, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0) { /* one that has ended is noticed when it is read */
			block(connection);
			break;
		}
		connection->told_start += (size_t)done;
		connection->credit += (uint32_t)done;
		if (connection->told_start == connection->told_end) {
			free(connection->told);
			connection->told = NULL;
			connection->told_start = connection->told_end = connection->told_room = 0;
		}
	}
	tell_client(connection);
	send_answers(connection);
}

static struct connection *find(const struct talk *talk, uint32_t number)
{
	for (size_t i = 0; talk->connections && i < MOST_CONNECTIONS; i++)
		if (talk->connections[i].fd >= 0 && talk->connections[i].number == number && !talk->connections[i].over)
			return &talk->connections[i];
	return NULL;
}

pid_t messages_peer(const struct talk *talk, uint32_t number)
{
	const struct connection *connection = find(talk, number);
	return connection ? connection->peer : 0;
}

void messages_tell(struct talk *talk, struct cursor *payload)
{
	struct connection *connection = find(talk, take_u32(payload));
	uint32_t length = (uint32_t)(payload->end - payload->at), head = length | IT_MESSAGE_TOLD;
	if (length == 0 || length > IT_MESSAGE_SIZE)
		die("protocol: a piece of %u bytes", length);
	if (!connection)
		return; /* it has ended, and the client will hear that, or has */
	if (connection->told_start > 0) {
		memmove(connection->told, connection->told + connection->told_start, connection->told_end - connection->told_start);
		connection->told_end -= connection->told_start;
		connection->told_start = 0;
	}
	size_t needed = connection->told_end + sizeof head + length;
	if (needed > IT_TELL_WINDOW)
		die("protocol: more is told to a connection than the window holds");
	if (needed > connection->told_room) {
		connection->told_room = needed <= SMALL_ROOM ? SMALL_ROOM : IT_TELL_WINDOW; /* the window takes a call of the kernel */
		if (!(connection->told = realloc(connection->told, connection->told_room)))
			die("out of memory");
	}
	memcpy(connection->told + connection->told_end, &head, sizeof head);
	memcpy(connection->told + connection->told_end + sizeof head, payload->at, length);
	connection->told_end += sizeof head + length;
	if (!connection->blocked)
		send_told(connection);
}

int messages_blocked(void)
{
	return messages.blocked_count && wire_takes_answer() ? messages.blocked : -1;
}

void messages_unblock(void)
{
	struct epoll_event event;
	while (messages_blocked() >= 0 && epoll_wait(messages.blocked, &event, 1, 0) == 1) {
		unblock(event.data.ptr);
		if (event.events & (EPOLLERR | EPOLLHUP))
			continue; /* it has ended, which is noticed when it is read */
		send_told(event.data.ptr);
	}
}

void messages_end(struct talk *talk)
{
	for (size_t i = 0; talk->connections && i < MOST_CONNECTIONS; i++)
		if (talk->connections[i].fd >= 0)
			drop(&talk->connections[i]);
	free(talk->connections);
	close_fd(&talk->events);
	*talk = (struct talk){.events = -1};
	messages.full = false;
}
