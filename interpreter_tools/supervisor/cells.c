/*
 * The cell runner of shells: not PID 1, but a program of a sandbox's user. It speaks as "Cells" in
 * docs/protocol.md says and drives one bash, which is an interactive one: an interrupt, `${x:?}` or an unset variable then
 * ends the cell and not the shell.
 *
 * Bash reads commands of ours from a pipe: two lines for a cell, one that runs it and one that tells its status. All that it
 * opens besides are our descriptors, by their paths in /proc: nothing of ours is open in the programs of a cell.
 *
 * `exit` and `set -e` do end the shell. Its trap then writes down what it holds (variables, functions, options, traps), and
 * its process becomes a new bash, which reads that: only the table of its jobs is lost.
 */
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MOST_TOLD (64u << 20) /* bytes of one message of the client */
#define MOST_FILES 10000      /* that a cell is said to have changed, and that are looked at */
#define MOST_DEPTH 64         /* directories below one another */
#define PIECE 32768           /* bytes */
#define WORKSPACE "/workspace/"
#define AGAIN_NS 100000000 /* until an interrupt that has not ended the cell is repeated: it may have come before bash read the cell */

struct buffer {
	char *at;
	size_t size, room;
};

static struct {
	int socket, report[2], commands[2]; /* both ends of each pipe are ours: bash opens its own by their paths */
	int code, status, state, options;   /* memory that bash reads, or writes */
	int next[2];                        /* what the bash after this one reads */
	int input, input_end;               /* the cell's stdin: our end, -1 where it has none or has ended, and its own */
	struct buffer told, message, said;    /* what came from the client, the message that is coming, a report that is coming */
	struct buffer typed;                  /* a line for the cell's stdin that its pipe has not taken yet */
	pid_t bash;
	char program[4096];
	int64_t cell; /* the number of the cell that runs; -1: none */
	int64_t question;
	bool asked, looks_up; /* a line of input is on its way; the question is one for `inspect` */
	size_t cursor, word;  /* of the question, in characters */
	unsigned count, unanswered; /* cells; pieces that were not passed on yet */
	int last; /* status of the cell before */
	bool trace, verbose;
	struct timespec began, began_coarse, ended;
	int64_t used_us;
	int leaves_with; /* the status of the bash that is being replaced */
} cells = {.input = -1, .input_end = -1, .cell = -1, .question = -1};

static volatile sig_atomic_t interrupted, child_ended;

static void on_signal(int number)
{
	if (number == SIGINT)
		interrupted = 1;
	else
		child_ended = 1;
}

static void add(struct buffer *text, const char *bytes, size_t size)
{
	if (text->size + size + 1 > text->room) {
		text->room = (text->size + size + 1) * 2;
		if (!(text->at = realloc(text->at, text->room)))
			_exit(1);
	}
	memcpy(text->at + text->size, bytes, size);
	text->size += size;
	text->at[text->size] = 0;
}

static void add_words(struct buffer *text, const char *words)
{
	add(text, words, strlen(words));
}

static void cut(struct buffer *text, size_t size)
{
	text->size -= size;
	memmove(text->at, text->at + size, text->size);
	if (text->at)
		text->at[text->size] = 0;
}

/* ---- JSON: as much of it as the client sends, which is one flat object ---- */

static void skip_space(const char **at)
{
	while (**at == ' ' || **at == '\n' || **at == '\t' || **at == '\r')
		++*at;
}

static void add_character(struct buffer *text, uint32_t code)
{
	char bytes[4];
	size_t size = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
	static const uint8_t first[] = {0, 0, 0xc0, 0xe0, 0xf0};
	for (size_t i = size; i-- > 1; code >>= 6)
		bytes[i] = (char)(0x80 | (code & 0x3f));
	bytes[0] = (char)(first[size] | code);
	if (code || size > 1) /* a shell's text holds no NUL */
		add(text, bytes, size);
}

static uint32_t hexadecimal(const char **at)
{
	char digits[5] = {0};
	for (int i = 0; i < 4 && **at; i++)
		digits[i] = *(*at)++;
	return (uint32_t)strtoul(digits, NULL, 16);
}

static void read_string(const char **at, struct buffer *text)
{
	static const char names[] = "bfnrt", values[] = "\b\f\n\r\t";
	text->size = 0;
	add(text, "", 0);
	for (++*at; **at && **at != '"';) {
		size_t plain = strcspn(*at, "\"\\");
		add(text, *at, plain);
		*at += plain;
		if (**at != '\\')
			continue;
		char escape = *++*at;
		const char *name = strchr(names, escape);
		if (escape)
			++*at;
		if (escape == 'u') {
			uint32_t code = hexadecimal(at);
			if (code >= 0xd800 && code < 0xdc00 && (*at)[0] == '\\' && (*at)[1] == 'u') {
				*at += 2;
				code = 0x10000 + ((code - 0xd800) << 10) + (hexadecimal(at) - 0xdc00);
			}
			add_character(text, code);
		} else {
			add(text, name && escape ? &values[name - names] : &escape, 1);
		}
	}
	if (**at)
		++*at;
}

static void skip_value(const char **at)
{
	static struct buffer dropped;
	int depth = 0;
	do {
		if (**at == '"') {
			read_string(at, &dropped);
			continue;
		}
		depth += **at == '[' || **at == '{';
		depth -= **at == ']' || **at == '}';
		++*at;
	} while (**at && (depth > 0 || !strchr(",}", **at)));
}

struct request {
	struct buffer op, code, text;
	int64_t cell, id, cursor;
	bool stdin_open, eof, unended;
};

static void read_request(const char *at, struct request *request)
{
	static struct buffer name;
	request->op.size = request->code.size = request->text.size = 0;
	request->cell = request->id = request->cursor = 0;
	request->stdin_open = request->eof = request->unended = false;
	for (skip_space(&at); *at; skip_space(&at)) {
		if (*at != '"') {
			at++;
			continue;
		}
		read_string(&at, &name);
		while (*at == ':' || *at == ' ')
			at++;
		struct buffer *text = !strcmp(name.at, "op") ? &request->op : !strcmp(name.at, "code") ? &request->code : !strcmp(name.at, "text") ? &request->text : NULL;
		int64_t *number = !strcmp(name.at, "cell") ? &request->cell : !strcmp(name.at, "id") ? &request->id : !strcmp(name.at, "cursor") ? &request->cursor : NULL;
		bool *flag = !strcmp(name.at, "stdin") ? &request->stdin_open : !strcmp(name.at, "eof") ? &request->eof : !strcmp(name.at, "unended") ? &request->unended : NULL;
		if (text && *at == '"') {
			read_string(&at, text);
			continue;
		}
		if (number)
			*number = strtoll(at, NULL, 10);
		if (flag)
			*flag = *at == 't';
		skip_value(&at);
	}
}

static void add_json(struct buffer *text, const char *bytes, size_t size)
{
	char escape[8];
	add_words(text, "\"");
	for (size_t i = 0; i < size; i++) {
		uint8_t c = (uint8_t)bytes[i];
		if (c == '"' || c == '\\' || c < 0x20) {
			snprintf(escape, sizeof escape, c < 0x20 ? "\\u%04x" : "\\%c", c);
			add_words(text, escape);
		} else {
			add(text, bytes + i, 1);
		}
	}
	add_words(text, "\"");
}

/* ---- the conversation ---- */

static void write_all(int fd, const char *bytes, size_t size)
{
	while (size > 0) {
		ssize_t done = write(fd, bytes, size);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			_exit(0); /* the other side is gone */
		bytes += done;
		size -= (size_t)done;
	}
}

static void send_message(const struct buffer *content, uint32_t held)
{
	static char piece[6 + PIECE];
	for (size_t at = 0; at < content->size; at += PIECE) {
		size_t size = content->size - at < PIECE ? content->size - at : PIECE;
		uint32_t length = ((uint32_t)size + 2) | held;
		memcpy(piece, &length, sizeof length);
		piece[4] = 'c';
		piece[5] = at + size < content->size;
		memcpy(piece + 6, content->at + at, size);
		write_all(cells.socket, piece, 6 + size);
		cells.unanswered++;
	}
}

__attribute__((format(printf, 2, 3))) static void add_format(struct buffer *text, const char *format, ...)
{
	char words[512];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(words, sizeof words, format, arguments);
	va_end(arguments);
	add_words(text, words);
}

__attribute__((format(printf, 1, 2))) static void command(const char *format, ...)
{
	char words[2048];
	va_list arguments;
	va_start(arguments, format);
	int size = vsnprintf(words, sizeof words, format, arguments);
	va_end(arguments);
	write_all(cells.commands[1], words, (size_t)size);
}

static int memory(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC);
	if (fd < 0)
		_exit(1);
	return fd;
}

static void fill(int fd, const char *bytes, size_t size)
{
	if (ftruncate(fd, 0) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		_exit(1);
	write_all(fd, bytes, size);
}

/* ---- bash ---- */

#define FLAGS "--norc --noprofile --noediting -i"

static void new_pipe(int fds[2])
{
	if (pipe2(fds, O_CLOEXEC) < 0)
		_exit(1);
}

/* What a new bash reads first. A bash that comes after it reads cells.next. */
static void introduce(bool again)
{
	int pid = getpid();
	new_pipe(cells.next);
	if (again) /* an interrupt must not end it halfway */
		command("builtin trap : INT; builtin source /proc/%d/fd/%d >/dev/null 2>&1; builtin trap - INT; "
			"builtin source /proc/%d/fd/%d >/dev/null 2>&1\n",
			pid, cells.state, pid, cells.options);
	command("PS1= PS2=; builtin set +H +o history; builtin history -c; builtin trap '{ builtin printf \"exit %%d\\0\" \"$?\" >/proc/%d/fd/%d; "
		"{ builtin trap -p; builtin shopt -p; builtin set +o; } >|/proc/%d/fd/%d; builtin trap : INT; builtin set +eux; "
		"{ builtin declare -p; builtin declare -f; builtin declare -F; builtin alias -p; } >|/proc/%d/fd/%d; } 2>/dev/null; "
		"builtin exec \"$BASH\" " FLAGS " </proc/%d/fd/%d 2>/dev/null' EXIT; exec 2>/proc/%d/fd/2\n",
		pid, cells.report[1], pid, cells.options, pid, cells.state, pid, cells.next[0], pid);
	if (again)
		command("builtin printf 'again\\0' >/proc/%d/fd/%d\n", pid, cells.report[1]);
}

static void start_bash(const sigset_t *signals)
{
	new_pipe(cells.commands);
	new_pipe(cells.report);
	cells.code = memory("code");
	cells.status = memory("status");
	cells.state = memory("state");
	cells.options = memory("options");
	if ((cells.bash = fork()) < 0)
		_exit(1);
	if (cells.bash == 0) {
		int nothing = open("/dev/null", O_WRONLY | O_CLOEXEC), errors = fcntl(2, F_DUPFD_CLOEXEC, 3);
		signal(SIGINT, SIG_DFL);
		signal(SIGCHLD, SIG_DFL);
		signal(SIGPIPE, SIG_DFL);
		sigprocmask(SIG_SETMASK, signals, NULL);
		dup2(cells.commands[0], 0);
		dup2(nothing, 2); /* it tells that there is no terminal */
		execlp("bash", "bash", "--norc", "--noprofile", "--noediting", "-i", (char *)NULL);
		dprintf(errors, "contexts of shells need bash, which this image does not have: %s\n", strerror(errno));
		_exit(127);
	}
	introduce(false);
}

/* ---- the cell's stdin: lines, asked for one by one ---- */

static void end_input(void)
{
	close_fd(&cells.input);
	cells.asked = false;
	cells.typed.size = 0;
}

static void ask_for_line(void)
{
	struct buffer asks = {0};
	add_format(&asks, "{\"event\":\"input\",\"cell\":%" PRId64 ",\"prompt\":\"\",\"password\":false,\"lines\":1000}", cells.cell);
	send_message(&asks, 0);
	free(asks.at);
	cells.asked = true;
}

static void type_on(void)
{
	ssize_t done = write(cells.input, cells.typed.at, cells.typed.size);
	if (done < 0 && errno != EAGAIN && errno != EINTR)
		end_input(); /* nobody reads it */
	else if (done > 0)
		cut(&cells.typed, (size_t)done);
}

/* ---- the files that a cell has changed: the kernel's time of a change is not before the cell ---- */

static bool before(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

static unsigned looked_at, told_of;

static void look_below(int directory_fd, struct buffer *path, int depth, struct buffer *files)
{
	DIR *directory = fdopendir(directory_fd);
	size_t length = path->size;
	if (!directory) {
		close(directory_fd);
		return;
	}
	for (struct dirent *entry; (entry = readdir(directory)) && looked_at < MOST_FILES;) {
		struct stat found;
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") ||
		    fstatat(dirfd(directory), entry->d_name, &found, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		add_words(path, entry->d_name);
		if (S_ISDIR(found.st_mode) && depth < MOST_DEPTH) {
			int below = openat(dirfd(directory), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			add_words(path, "/");
			if (below >= 0)
				look_below(below, path, depth + 1, files);
		} else if (S_ISREG(found.st_mode) && ++looked_at && !before(&found.st_ctim, &cells.began_coarse)) {
			add_words(files, told_of++ ? "," : "");
			add_json(files, path->at, path->size);
		}
		path->size = length;
		path->at[length] = 0;
	}
	closedir(directory);
}

static void add_files(struct buffer *said)
{
	struct buffer path = {0};
	int fd = open(WORKSPACE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	looked_at = told_of = 0;
	add(&path, "", 0);
	add_words(said, ",\"files\":[");
	if (fd >= 0)
		look_below(fd, &path, 0, said);
	add_format(said, "],\"files_partial\":%s", looked_at >= MOST_FILES ? "true" : "false");
	free(path.at);
	clock_gettime(CLOCK_REALTIME, &cells.ended);
}

/* What the cell before has changed must not count for this one: the clock of changes ticks every few milliseconds. */
static void wait_for_tick(void)
{
	const struct timespec moment = {.tv_nsec = 500000};
	for (int i = 0; i < 40; i++) {
		clock_gettime(CLOCK_REALTIME_COARSE, &cells.began_coarse);
		if (!told_of || before(&cells.ended, &cells.began_coarse))
			return;
		nanosleep(&moment, NULL);
	}
}

/* ---- a cell ---- */

static void read_told(bool waits);

/* What bash and its children have used; those that are under way are not counted. */
static int64_t used_us(void)
{
	char path[64], line[1024];
	unsigned long long ticks[4] = {0};
	snprintf(path, sizeof path, "/proc/%d/stat", (int)cells.bash);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t size = fd < 0 ? -1 : read(fd, line, sizeof line - 1);
	close_fd(&fd);
	line[size > 0 ? size : 0] = 0;
	const char *rest = strrchr(line, ')');
	if (!rest || sscanf(rest, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %llu %llu", &ticks[0], &ticks[1], &ticks[2], &ticks[3]) != 4)
		return 0;
	return (int64_t)((ticks[0] + ticks[1] + ticks[2] + ticks[3]) * 1000000u / (unsigned long long)sysconf(_SC_CLK_TCK));
}

static void end_cell(int status)
{
	struct buffer said = {0};
	struct timespec now;
	bool was_interrupted = interrupted && status > 128;
	end_input();
	close_fd(&cells.input_end);
	clock_gettime(CLOCK_MONOTONIC, &now);
	double seconds = (double)(now.tv_sec - cells.began.tv_sec) + (double)(now.tv_nsec - cells.began.tv_nsec) / 1e9;
	int64_t cpu = used_us() - cells.used_us;
	add_format(&said, "{\"event\":\"done\",\"cell\":%" PRId64 ",\"status\":\"%s\",\"count\":%u,\"exit_code\":%d,\"cpu_us\":%" PRId64 ",\"seconds\":%.6f",
		   cells.cell, was_interrupted ? "interrupted" : status ? "error" : "ok", ++cells.count, status & 255, cpu > 0 ? cpu : 0, seconds);
	if (was_interrupted)
		add_words(&said, ",\"error\":{\"name\":\"KeyboardInterrupt\",\"value\":\"\",\"traceback\":\"\"}");
	add_files(&said);
	add_words(&said, "}");
	cells.last = status & 255;
	cells.cell = -1;
	send_message(&said, 0);
	free(said.at);
}

/* True for a cell of comments, which between braces is none. */
static bool is_empty(const char *code)
{
	for (; *code; code += strcspn(code, "\n"), code += *code == '\n') {
		code += strspn(code, " \t\r\n");
		if (*code && *code != '#')
			return false;
	}
	return true;
}

static void run_cell(const struct request *request)
{
	struct buffer said = {0}, code = {0};
	int input[2] = {-1, -1};
	char from[64] = "/dev/null";
	cells.cell = request->cell;
	interrupted = 0; /* from here on it is the cell's */
	add_format(&said, "{\"event\":\"started\",\"cell\":%" PRId64 "}", cells.cell);
	send_message(&said, IT_MESSAGE_HELD);
	free(said.at);
	while (cells.unanswered) /* what is printed before the client knows of the cell is nobody's */
		read_told(true);
	wait_for_tick();
	clock_gettime(CLOCK_MONOTONIC, &cells.began);
	cells.used_us = used_us();
	if (!request->code.size || is_empty(request->code.at)) {
		end_cell(0);
		return;
	}
	if (request->stdin_open) {
		new_pipe(input);
		fcntl(input[1], F_SETFL, O_NONBLOCK);
		cells.input = input[1];
		snprintf(from, sizeof from, "/proc/%d/fd/%d", (int)getpid(), input[0]);
	}
	/* One command, so that what ends it ends all of it. */
	add_words(&code, cells.trace ? "builtin set -x;{ " : cells.verbose ? "builtin set -v;{ " : "{ ");
	add(&code, request->code.at, request->code.size);
	add_words(&code, "\n\n}\n");
	fill(cells.code, code.at, code.size);
	free(code.at);
	code = (struct buffer){0};
	add_format(&code, "builtin return %d\n", cells.last);
	fill(cells.status, code.at, code.size);
	free(code.at);
	int pid = getpid();
	command("builtin source /proc/%d/fd/%d && :; builtin source /proc/%d/fd/%d <%s\n", pid, cells.status, pid, cells.code, from);
	command("{ builtin printf 'done %%d %" PRId64 " %%s\\0' \"$?\" \"$-\"; builtin set +xv; } 2>/dev/null >/proc/%d/fd/%d\n", cells.cell, pid, cells.report[1]);
	cells.input_end = input[0];
}

/* ---- completion and inspection ---- */

static size_t bytes_of(const char *text, int64_t characters)
{
	const char *at = text;
	for (; *at && characters > 0; characters--)
		for (at++; (*at & 0xc0) == 0x80; at++)
			;
	return (size_t)(at - text);
}

static size_t characters_of(const char *text, size_t size)
{
	size_t count = 0;
	for (size_t i = 0; i < size; i++)
		count += (text[i] & 0xc0) != 0x80;
	return count;
}

static bool in_word(char c)
{
	return c && !strchr(" \t\n;|&()<>`\"'={}$", c);
}

static void look_up(const struct request *request, bool inspects)
{
	struct buffer word = {0};
	const char *code = request->code.size ? request->code.at : "";
	size_t end = bytes_of(code, request->cursor), start = end;
	while (inspects && in_word(code[end]))
		end++;
	while (start > 0 && in_word(code[start - 1]))
		start--;
	bool variable = start > 0 && (code[start - 1] == '$' || (start > 1 && code[start - 1] == '{' && code[start - 2] == '$'));
	size_t at = start;
	while (at > 0 && strchr(" \t", code[at - 1]))
		at--;
	bool first = at == 0 || strchr("\n;|&(`", code[at - 1]);
	for (size_t i = start; i < end; i++) { /* quoted */
		add(&word, code[i] == '\'' ? "'\\''" : code + i, code[i] == '\'' ? 4 : 1);
	}
	const char *quoted = word.at ? word.at : "";
	cells.question = request->id;
	cells.looks_up = inspects;
	cells.word = characters_of(code, start);
	cells.cursor = characters_of(code, end);
	if (word.size > 1000)
		quoted = "";
	if (inspects)
		command("{ builtin type -- '%s' || builtin declare -p -- '%s'; builtin printf '\\0'; } 2>/dev/null >/proc/%d/fd/%d\n", quoted, quoted, getpid(),
			cells.report[1]);
	else
		command("{ builtin compgen %s -- '%s'; builtin printf '\\0'; } 2>/dev/null >/proc/%d/fd/%d\n",
			variable ? "-v" : first ? "-c -f" : "-f", quoted, getpid(), cells.report[1]);
	free(word.at);
}

/* Bash tells a name once for each thing that has it. */
static bool is_first(const char *lines, const char *line)
{
	size_t size = strcspn(line, "\n");
	for (; lines < line; lines += strcspn(lines, "\n") + 1)
		if (strcspn(lines, "\n") == size && !memcmp(lines, line, size))
			return false;
	return true;
}

static void answer(const char *lines)
{
	struct buffer said = {0};
	if (cells.looks_up) {
		add_format(&said, "{\"event\":\"inspect\",\"id\":%" PRId64 ",\"found\":%s,\"data\":{", cells.question, *lines ? "true" : "false");
		if (*lines) {
			add_words(&said, "\"text/plain\":");
			add_json(&said, lines, strlen(lines));
		}
		add_words(&said, "}}");
	} else {
		add_format(&said, "{\"event\":\"complete\",\"id\":%" PRId64 ",\"start\":%zu,\"end\":%zu,\"matches\":[", cells.question, cells.word, cells.cursor);
		unsigned count = 0;
		for (const char *line = lines; *line && count < 1000; line += strcspn(line, "\n"), line += *line == '\n')
			if (is_first(lines, line)) {
				add_words(&said, count++ ? "," : "");
				add_json(&said, line, strcspn(line, "\n"));
			}
		add_words(&said, "]}");
	}
	cells.question = -1;
	send_message(&said, 0);
	free(said.at);
}

/* ---- what bash reports, what the client tells ---- */

static void take_report(const char *report)
{
	int status;
	int64_t cell;
	char flags[64] = "";
	if (cells.question >= 0) {
		answer(report);
	} else if (sscanf(report, "done %d %" SCNd64 " %63s", &status, &cell, flags) >= 2) {
		cells.trace = strchr(flags, 'x');
		cells.verbose = strchr(flags, 'v');
		if (cell == cells.cell)
			end_cell(status);
	} else if (sscanf(report, "exit %d", &status) == 1) { /* the next bash is on its way */
		cells.leaves_with = status;
		for (int i = 0; i < 2; i++) {
			close_fd(&cells.commands[i]);
			cells.commands[i] = cells.next[i];
		}
		introduce(true);
	} else if (!strcmp(report, "again") && cells.cell >= 0) {
		end_cell(cells.leaves_with);
	}
}

static void read_reports(void)
{
	char bytes[4096];
	ssize_t size = read(cells.report[0], bytes, sizeof bytes);
	for (ssize_t at = 0; at < size; at++) {
		add(&cells.said, bytes + at, bytes[at] != 0);
		if (bytes[at])
			continue;
		cells.said.at[cells.said.size] = 0;
		take_report(cells.said.at);
		cells.said.size = 0;
	}
}

static void take_message(void)
{
	static struct request request;
	read_request(cells.message.at, &request);
	const char *op = request.op.size ? request.op.at : "";
	bool idle = cells.cell < 0 && cells.question < 0;
	if (!strcmp(op, "cell") && idle)
		run_cell(&request);
	else if ((!strcmp(op, "complete") || !strcmp(op, "inspect")) && idle)
		look_up(&request, *op == 'i');
	else if (!strcmp(op, "input") && cells.input >= 0) {
		cells.asked = false;
		if (request.eof) {
			end_input();
		} else {
			add(&cells.typed, request.text.size ? request.text.at : "", request.text.size);
			add_words(&cells.typed, request.unended ? "" : "\n");
		}
	}
}

static void read_told(bool waits)
{
	char bytes[65536];
	uint32_t length;
	ssize_t size = recv(cells.socket, bytes, sizeof bytes, waits ? 0 : MSG_DONTWAIT);
	if (size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR))
		_exit(0);
	add(&cells.told, bytes, size > 0 ? (size_t)size : 0);
	while (cells.told.size >= sizeof length) {
		memcpy(&length, cells.told.at, sizeof length);
		length &= 0x7fffffff;
		if (cells.told.size < sizeof length + length)
			return;
		bool more = length >= 2 && cells.told.at[sizeof length + 1];
		if (length == 0)
			cells.unanswered -= cells.unanswered > 0;
		else if (length >= 2)
			add(&cells.message, cells.told.at + sizeof length + 2, length - 2);
		cut(&cells.told, sizeof length + length);
		if (cells.message.size > MOST_TOLD)
			_exit(1);
		if (length >= 2 && !more) {
			take_message();
			cells.message.size = 0;
		}
	}
}

/* Bash is gone: its cell ends with its status, and so do we. */
static void follow_bash(void)
{
	int status;
	if (waitpid(cells.bash, &status, WNOHANG) != cells.bash)
		return;
	int code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	if (WIFSIGNALED(status)) {
		signal(WTERMSIG(status), SIG_DFL);
		kill(getpid(), WTERMSIG(status));
	}
	_exit(code);
}

static void connect_client(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	memcpy(address.sun_path + 1, IT_MESSAGES, sizeof IT_MESSAGES - 1);
	socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + sizeof IT_MESSAGES);
	cells.socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (cells.socket < 0 || connect(cells.socket, (struct sockaddr *)&address, length) < 0)
		_exit(1);
}

_Noreturn void cells_run(void)
{
	static const char ready[] = "{\"event\":\"ready\",\"language\":\"shell\",\"features\":[\"complete\",\"input\",\"inspect\"]}";
	struct sigaction action = {.sa_handler = on_signal};
	struct buffer said = {0};
	sigset_t blocked, before_wait;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGCHLD, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGCHLD);
	sigprocmask(SIG_BLOCK, &blocked, &before_wait);
	connect_client();
	tool_install();
	start_bash(&before_wait);
	add_words(&said, ready);
	send_message(&said, 0);
	free(said.at);
	for (;;) {
		bool types = cells.input >= 0 && cells.typed.size > 0;
		bool asks = cells.input >= 0 && !cells.typed.size && !cells.asked;
		struct pollfd fds[3] = {
			{.fd = cells.socket, .events = POLLIN},
			{.fd = cells.report[0], .events = POLLIN},
			{.fd = cells.input, .events = types || asks ? POLLOUT : 0},
		};
		const struct timespec again = {.tv_nsec = AGAIN_NS};
		bool repeats = interrupted && cells.cell >= 0;
		int count = ppoll(fds, 3, repeats ? &again : NULL, &before_wait);
		if (count == 0 && repeats && cells.cell >= 0)
			kill(cells.bash, SIGINT);
		if (fds[1].revents & POLLIN && count > 0)
			read_reports();
		if (child_ended) {
			child_ended = 0;
			follow_bash();
		}
		if (count <= 0)
			continue;
		if (fds[2].revents && cells.input >= 0) {
			if (fds[2].revents & POLLERR)
				end_input(); /* nobody reads it any more */
			else if (types)
				type_on();
			else
				ask_for_line();
		}
		if (fds[0].revents)
			read_told(false);
	}
}
