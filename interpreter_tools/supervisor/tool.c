/*
 * The command `tool` of programs that were given tools: `tool search --query x --limit 3` calls a function of the host ("Messages"
 * in docs/protocol.md) and prints as JSON what it returns. Not PID 1, but a program of a sandbox's user: a copy of our own
 * file in /tmp, which is put there by what starts the user's program.
 */
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define DIRECTORY "/tmp/.interpreter-tools"
#define PIECE 60000            /* bytes of content in one piece */
#define MOST_ANSWER (32u << 20) /* bytes of one answer */
#define TOLD 0x80000000u       /* in the length of what comes from the host; an answer to a piece of ours has none */

static const char usage[] =
	"usage: tool                              list the tools that there are\n"
	"       tool NAME [VALUE ...] [--PARAMETER VALUE ...]\n"
	"                                         call a tool and print its value as JSON\n"
	"A parameter is also taken as --parameter=VALUE, without a value (true), and as --parameter:=JSON.\n";

struct words {
	char *at;
	size_t size, room;
};

static void add(struct words *text, const char *bytes, size_t size)
{
	if (text->size + size + 1 > text->room) {
		text->room = (text->size + size + 1) * 2;
		if (!(text->at = realloc(text->at, text->room))) {
			fputs("tool: there is not enough memory\n", stderr);
			exit(1);
		}
	}
	memcpy(text->at + text->size, bytes, size);
	text->size += size;
	text->at[text->size] = 0;
}

static void add_words(struct words *text, const char *words)
{
	add(text, words, strlen(words));
}

static _Noreturn void fail(const char *what, const char *about)
{
	fprintf(stderr, "tool: %s%s\n", what, about);
	exit(2);
}

/* ---- JSON ---- */

/* Returns the length of a character of UTF-8; 0 for bytes that are none. */
static size_t character(const unsigned char *at)
{
	size_t length = at[0] < 0x80 ? 1 : at[0] >= 0xc2 && at[0] < 0xe0 ? 2 : (at[0] & 0xf0) == 0xe0 ? 3 : at[0] >= 0xf0 && at[0] < 0xf5 ? 4 : 0;
	for (size_t i = 1; i < length; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) || (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f))
		return 0;
	return length;
}

static void add_string(struct words *text, const char *words)
{
	char escape[8];
	add_words(text, "\"");
	while (*words) {
		unsigned char c = (unsigned char)*words;
		size_t length = character((const unsigned char *)words);
		if (length == 0) {
			add_words(text, "\xef\xbf\xbd");
			words++;
			continue;
		}
		if (c == '"' || c == '\\' || c < 0x20) {
			snprintf(escape, sizeof escape, c < 0x20 ? "\\u%04x" : "\\%c", c);
			add_words(text, escape);
		} else {
			add(text, words, length);
		}
		words += length;
	}
	add_words(text, "\"");
}

static const char *after_space(const char *at)
{
	return at + strspn(at, " \t\r\n");
}

static const char *after_string(const char *at)
{
	for (at++; *at && *at != '"'; at += *at == '\\' && at[1] ? 2 : 1)
		;
	return *at ? at + 1 : NULL;
}

static const char *after_number(const char *at)
{
	const char *digits = at += *at == '-';
	at += strspn(at, "0123456789");
	if (at == digits || (*digits == '0' && at > digits + 1))
		return NULL;
	if (*at == '.') {
		size_t more = strspn(at + 1, "0123456789");
		if (!more)
			return NULL;
		at += 1 + more;
	}
	if (*at == 'e' || *at == 'E') {
		at += 1 + (at[1] == '+' || at[1] == '-');
		size_t more = strspn(at, "0123456789");
		return more ? at + more : NULL;
	}
	return at;
}

/* Returns where a value ends; NULL where there is none. */
static const char *after_value(const char *at, int depth)
{
	static const char *const words[] = {"true", "false", "null"};
	if (depth > 200)
		return NULL;
	at = after_space(at);
	if (*at == '"')
		return after_string(at);
	for (size_t i = 0; i < 3; i++)
		if (!strncmp(at, words[i], strlen(words[i])))
			return at + strlen(words[i]);
	if (*at != '{' && *at != '[')
		return after_number(at);
	char end = *at == '{' ? '}' : ']';
	for (at = after_space(at + 1); *at != end; at = after_space(at + 1)) {
		if (end == '}') {
			at = *at == '"' ? after_string(at) : NULL;
			at = at ? after_space(at) : NULL;
			at = at && *at == ':' ? at + 1 : NULL;
		}
		at = at ? after_value(at, depth + 1) : NULL;
		at = at ? after_space(at) : NULL;
		if (!at || (*at != ',' && *at != end))
			return NULL;
		if (*at == end)
			break;
		if (*after_space(at + 1) == end)
			return NULL;
	}
	return *at == end ? at + 1 : NULL;
}

/* Returns the value of a field of an object, with its end; NULL where there is none. */
static const char *field(const char *object, const char *name, const char **end)
{
	size_t length = strlen(name);
	const char *at = object && *object == '{' ? after_space(object + 1) : "";
	while (*at == '"') {
		const char *key = at + 1, *value;
		if (!(at = after_string(at)) || *(at = after_space(at)) != ':')
			return NULL;
		bool is_it = !strncmp(key, name, length) && key[length] == '"';
		value = after_space(at + 1);
		if (!(at = after_value(value, 0)))
			return NULL;
		if (is_it) {
			*end = at;
			return value;
		}
		at = after_space(at);
		at = *at == ',' ? after_space(at + 1) : at;
	}
	return NULL;
}

/* Writes what a string says. Characters beyond the first plane stay as they are escaped. */
static void print_string(FILE *file, const char *at, const char *end)
{
	for (at++; at < end - 1; at++) {
		if (*at != '\\') {
			fputc(*at, file);
			continue;
		}
		at++;
		unsigned code = 0;
		if (*at == 'u' && sscanf(at + 1, "%4x", &code) == 1 && code < 0x80) {
			fputc((int)code, file);
			at += 4;
		} else if (*at == 'u') {
			fputs("\\u", file);
		} else {
			fputc(*at == 'n' ? '\n' : *at == 't' ? '\t' : *at, file);
		}
	}
}

/* ---- the conversation ---- */

static int connect_host(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	memcpy(address.sun_path + 1, IT_MESSAGES, sizeof IT_MESSAGES - 1);
	socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + sizeof IT_MESSAGES);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, length) < 0)
		fail("the host cannot be reached: ", strerror(errno));
	return fd;
}

static void send_message(int fd, const struct words *message)
{
	static char piece[6 + PIECE];
	for (size_t at = 0; at < message->size; at += PIECE) {
		size_t size = message->size - at < PIECE ? message->size - at : PIECE, sent = 0;
		uint32_t length = (uint32_t)size + 2;
		memcpy(piece, &length, sizeof length);
		piece[4] = 't';
		piece[5] = at + size < message->size;
		memcpy(piece + 6, message->at + at, size);
		while (sent < size + 6) {
			ssize_t done = send(fd, piece + sent, size + 6 - sent, MSG_NOSIGNAL);
			if (done < 0 && errno != EINTR)
				fail("the call cannot be sent: ", strerror(errno));
			sent += done > 0 ? (size_t)done : 0;
		}
	}
}

static void receive_all(int fd, char *bytes, size_t size)
{
	while (size > 0) {
		ssize_t got = recv(fd, bytes, size, 0);
		if (got == 0 || (got < 0 && errno != EINTR))
			fail("the run takes no more calls", "");
		bytes += got > 0 ? got : 0;
		size -= got > 0 ? (size_t)got : 0;
	}
}

static void receive_message(int fd, struct words *message)
{
	static char piece[1 << 16];
	message->size = 0;
	for (;;) {
		uint32_t length;
		receive_all(fd, (char *)&length, sizeof length);
		bool is_told = length & TOLD;
		length &= ~TOLD;
		if (length > sizeof piece)
			fail("an answer has a piece that is too long", "");
		receive_all(fd, piece, length);
		if (!is_told || length < 2)
			continue;
		add(message, piece + 2, length - 2);
		if (message->size > MOST_ANSWER)
			fail("the answer is too long", "");
		if (!piece[1])
			return;
	}
}

/* Prints answers until the last one; returns the exit status. */
static int print_answers(int fd)
{
	struct words answer = {0};
	for (;;) {
		const char *end, *kind_end, *found, *kind;
		receive_message(fd, &answer);
		if ((found = field(answer.at, "error", &end))) {
			kind = field(found, "type", &kind_end);
			fputs("tool: ", stderr);
			if (kind)
				print_string(stderr, kind, kind_end);
			if ((kind = field(found, "message", &kind_end))) {
				fputs(": ", stderr);
				print_string(stderr, kind, kind_end);
			}
			fputs("\n", stderr);
			return 1;
		}
		bool is_item = (found = field(answer.at, "item", &end)) != NULL;
		if (!found && !(found = field(answer.at, "value", &end)))
			found = field(answer.at, "tools", &end);
		if (found) {
			fwrite(found, 1, (size_t)(end - found), stdout);
			fputc('\n', stdout);
			if (fflush(stdout) < 0)
				return 1; /* nobody reads it any more: the host ends the call with the connection */
		}
		if (!is_item)
			return 0;
	}
}

/* ---- the command ---- */

static void add_parameter(struct words *kwargs, const char *name, size_t length, const char *value, bool is_json)
{
	char key[256];
	if (length == 0 || length >= sizeof key)
		fail("this is not the name of a parameter: ", name);
	memcpy(key, name, length);
	key[length] = 0;
	for (char *at = key; *at; at++)
		*at = *at == '-' ? '_' : *at;
	add_words(kwargs, kwargs->size ? "," : "");
	add_string(kwargs, key);
	add_words(kwargs, ":");
	if (!is_json) {
		add_string(kwargs, value);
		return;
	}
	const char *end = after_value(value, 0);
	if (!end || *after_space(end))
		fail("this is not JSON: ", value);
	add_words(kwargs, value);
}

static void add_call(struct words *message, int argc, char **argv)
{
	struct words args = {0}, kwargs = {0};
	add_words(&args, "");
	add_words(&kwargs, "");
	bool only_values = false;
	for (int i = 2; i < argc; i++) {
		if (only_values || strncmp(argv[i], "--", 2)) {
			add_words(&args, args.size ? "," : "");
			add_string(&args, argv[i]);
			continue;
		}
		const char *name = argv[i] + 2, *equals = strchr(name, '=');
		only_values = !*name;
		if (only_values)
			continue;
		bool is_json = equals && equals > name && equals[-1] == ':';
		if (equals)
			add_parameter(&kwargs, name, (size_t)(equals - name) - is_json, equals + 1, is_json);
		else if (i + 1 < argc && strncmp(argv[i + 1], "--", 2))
			add_parameter(&kwargs, name, strlen(name), argv[++i], false);
		else
			add_parameter(&kwargs, name, strlen(name), "true", true);
	}
	add_words(message, "{\"call\":1,\"tool\":");
	add_string(message, argv[1]);
	add_words(message, ",\"args\":[");
	add(message, args.at, args.size);
	add_words(message, "],\"kwargs\":{");
	add(message, kwargs.at, kwargs.size);
	add_words(message, "},\"texts\":true}");
}

_Noreturn void tool_run(int argc, char **argv)
{
	struct words message = {0};
	if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
		fputs(usage, stdout);
		exit(0);
	}
	if (argc > 1)
		add_call(&message, argc, argv);
	else
		add_words(&message, "{\"call\":1,\"asks\":true}");
	int fd = connect_host();
	send_message(fd, &message);
	exit(print_answers(fd));
}

/* ---- how it comes into the PATH ---- */

void tool_install(void)
{
	char bytes[65536], path[4096 + sizeof DIRECTORY];
	const char *before = getenv("PATH");
	ssize_t size = -1;
	int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	mkdir(DIRECTORY, 0755);
	int to = open(DIRECTORY "/" TOOL_COMMAND ".new", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0755);
	while (from >= 0 && to >= 0 && (size = read(from, bytes, sizeof bytes)) > 0)
		if (write(to, bytes, (size_t)size) != size)
			break;
	close_fd(&from);
	close_fd(&to);
	/* /tmp may be full: the program does without it */
	if (size != 0 || rename(DIRECTORY "/" TOOL_COMMAND ".new", DIRECTORY "/" TOOL_COMMAND) < 0)
		return;
	snprintf(path, sizeof path, DIRECTORY ":%.4095s", before && *before ? before : DEFAULT_PATH);
	setenv("PATH", path, 1);
}

_Noreturn void tool_start(char **argv)
{
	extern char **environ;
	tool_install();
	exec_by_name(argv, environ);
	fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}
