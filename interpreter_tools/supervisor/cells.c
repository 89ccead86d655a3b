/*
 * The cell runner of shells: not PID 1, but a program of a sandbox's user. It speaks as "Cells" in docs/protocol.md says and
 * drives one bash (bash.c). A cell is two lines that bash reads: one runs it, the other tells its status.
 */
#include "cells.h"

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
#define AGAIN_NS 4000000 /* until what an interrupt has not reached is looked for, then twice that */
#define MOST_DOUBLED 3 /* times */
#define BEGIN_NS 128000000 /* until a cell that was interrupted is taken to have begun */
#define MOST_REPEATS 64
#define REPEATS_TO_BASH 5 /* a tenth of a second */

struct cells cells = {
	.commands = {-1, -1}, .report = {-1, -1}, .code = -1, .status = -1, .input = -1, .input_end = -1, .bash = -1, .cell = -1, .question = -1};

static volatile sig_atomic_t interrupted, child_ended;

static void on_signal(int number)
{
	if (number == SIGINT)
		interrupted++;
	else
		child_ended = 1;
}

void add(struct buffer *text, const char *bytes, size_t size)
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

void add_words(struct buffer *text, const char *words)
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

/* A list of numbers: at most so many as there is room for. */
static void read_numbers(const char **at, struct request *request)
{
	request->parked_count = 0;
	for (++*at; **at && **at != ']'; ++*at)
		if (strchr("0123456789", **at) && request->parked_count < MOST_PARKED) {
			request->parked[request->parked_count++] = (pid_t)take_number(at);
			--*at;
		}
	if (**at)
		++*at;
}

static void read_request(const char *at, struct request *request)
{
	static struct buffer name;
	request->op.size = request->code.size = request->text.size = 0;
	request->cell = request->id = request->cursor = request->bytes = 0;
	request->stdin_open = request->eof = request->unended = request->diverges = false;
	request->parked_count = 0;
	for (skip_space(&at); *at; skip_space(&at)) {
		if (*at != '"') {
			at++;
			continue;
		}
		read_string(&at, &name);
		while (*at == ':' || *at == ' ')
			at++;
		struct buffer *text = !strcmp(name.at, "op") ? &request->op : !strcmp(name.at, "code") ? &request->code : !strcmp(name.at, "text") ? &request->text : NULL;
		int64_t *number = !strcmp(name.at, "cell") ? &request->cell : !strcmp(name.at, "id") ? &request->id : !strcmp(name.at, "cursor") ? &request->cursor : !strcmp(name.at, "bytes") ? &request->bytes : NULL;
		bool *flag = !strcmp(name.at, "stdin") ? &request->stdin_open : !strcmp(name.at, "eof") ? &request->eof : !strcmp(name.at, "unended") ? &request->unended : !strcmp(name.at, "diverges") ? &request->diverges : NULL;
		if (text && *at == '"') {
			read_string(&at, text);
			continue;
		}
		if (*at == '[' && !strcmp(name.at, "parked")) {
			read_numbers(&at, request);
			continue;
		}
		if (number)
			*number = strtoll(at, NULL, 10);
		if (flag)
			*flag = *at == 't';
		skip_value(&at);
	}
}

void add_json(struct buffer *text, const char *bytes, size_t size)
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

void write_all(int fd, const char *bytes, size_t size)
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

void send_message(const struct buffer *content, uint32_t held)
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

void add_format(struct buffer *text, const char *format, ...)
{
	char words[512];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(words, sizeof words, format, arguments);
	va_end(arguments);
	add_words(text, words);
}

void command(const char *format, ...)
{
	char words[2048];
	va_list arguments;
	va_start(arguments, format);
	int size = vsnprintf(words, sizeof words, format, arguments);
	va_end(arguments);
	write_all(cells.commands[1], words, (size_t)size);
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
		} else if (S_ISREG(found.st_mode) && ++looked_at && !is_before(found.st_ctim, cells.began_coarse)) {
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
	cells.has_changed = told_of > 0;
}

/* What the cell before has changed must not count for this one: the clock of changes ticks every few milliseconds. */
static void wait_for_tick(void)
{
	const struct timespec moment = {.tv_nsec = 500000};
	for (int i = 0; i < 40; i++) {
		clock_gettime(CLOCK_REALTIME_COARSE, &cells.began_coarse);
		if (!cells.has_changed || is_before(cells.ended, cells.began_coarse))
			return;
		nanosleep(&moment, NULL);
	}
}

/* ---- a cell ---- */

static void read_told(bool waits);

/* What bash and its children have used; those that are under way are not counted. */
static int64_t used_us(void)
{
	struct buffer line = {0};
	unsigned long long ticks[4] = {0};
	const char *rest = read_about(cells.bash, "stat", &line) ? strrchr(line.at, ')') : NULL;
	if (!rest || sscanf(rest, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %llu %llu", &ticks[0], &ticks[1], &ticks[2], &ticks[3]) != 4)
		memset(ticks, 0, sizeof ticks);
	free(line.at);
	return (int64_t)((ticks[0] + ticks[1] + ticks[2] + ticks[3]) * 1000000u / (unsigned long long)sysconf(_SC_CLK_TCK));
}

static void end_cell(int status)
{
	struct buffer said = {0};
	bool was_interrupted = interrupted && status > 128;
	end_input();
	close_fd(&cells.input_end);
	double seconds = (double)(now_us() - cells.began_us) / 1e6;
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

/* An interrupt may cost bash a part of a line that it reads. */
static void ask_for_end(void)
{
	int pid = getpid();
	command("{ builtin printf '\\0done %%d %" PRId64 " %%s %%s\\0' \"$?\" \"$-\" \"$BASHOPTS\"; builtin set +xv; } 2>/dev/null >/proc/%d/fd/%d\n", cells.cell, pid, cells.report[1]);
}

/* The last interrupt may reach bash as late as now. When it has read another line whole, none is left to hit the next cell. */
static void confirm_end(int status)
{
	cells.has_ended = true;
	cells.ends_with = status;
	cells.repeats = 0;
	foreground_interrupt(false); /* what it has started meanwhile */
	ask_for_end();
}

/*
 * Look for what the interrupt has not reached. Where nothing of the cell runs, bash may have lost the line that asks for its end,
 * or wait for the end of a quotation in the rest of it: another interrupt has it forget that.
 */
static void look_again(unsigned repeats)
{
	bool insists = repeats >= REPEATS_TO_BASH && repeats % 2;
	foreground_interrupt(insists);
	if (!insists && (cells.has_ended || repeats >= REPEATS_TO_BASH))
		ask_for_end();
}

static void forget_interrupts(void)
{
	static const struct timespec now;
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigtimedwait(&set, NULL, &now);
	interrupted = 0;
}

static void send_code(void)
{
	char from[64] = "/dev/null";
	int pid = getpid();
	if (cells.input_end >= 0)
		snprintf(from, sizeof from, "/proc/%d/fd/%d", pid, cells.input_end);
	command("builtin printf '\\0begun\\0' >/proc/%d/fd/%d; %sbuiltin source /proc/%d/fd/./%d && :; builtin source /proc/%d/fd/%d <%s\n", pid, cells.report[1],
		cells.may_set ? "builtin shopt -s extglob;" : "", pid, cells.status, pid, cells.code, from);
	ask_for_end();
}

static void run_cell(const struct request *request)
{
	struct buffer said = {0}, code = {0};
	int input[2] = {-1, -1};
	cells.cell = request->cell;
	forget_interrupts(); /* from here on they are the cell's */
	cells.has_begun = cells.has_ended = false;
	cells.repeats = 0;
	cells.interrupts = 0;
	add_format(&said, "{\"event\":\"started\",\"cell\":%" PRId64 "}", cells.cell);
	send_message(&said, IT_MESSAGE_HELD);
	free(said.at);
	while (cells.unanswered) /* what is printed before the client knows of the cell is nobody's */
		read_told(true);
	wait_for_tick();
	cells.began_us = now_us();
	cells.used_us = used_us();
	if (!request->code.size || is_empty(request->code.at)) {
		end_cell(0);
		return;
	}
	if (request->stdin_open) {
		pipe_new(input);
		fcntl(input[1], F_SETFL, O_NONBLOCK);
		cells.input = input[1];
	}
	/* One command, so that what ends it ends all of it. */
	bool may_set = !cells.extglob && strstr(request->code.at, "extglob"); /* a command is read whole before it can set that */
	add_words(&code, cells.trace ? "builtin set -x;{ " : cells.verbose ? "builtin set -v;{ " : "{ ");
	add_words(&code, may_set ? "builtin shopt -u extglob;" : "");
	add(&code, request->code.at, request->code.size);
	add_words(&code, "\n\n}\n");
	memory_fill(cells.code, code.at, code.size);
	free(code.at);
	code = (struct buffer){0};
	add_format(&code, "builtin return %d\n", cells.last);
	memory_fill(cells.status, code.at, code.size);
	free(code.at);
	cells.input_end = input[0];
	cells.may_set = may_set;
	send_code();
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
	} else if (parking_is_under_way()) {
		parking_reported(report);
	} else if (sscanf(report, "done %d %" SCNd64 " %63s", &status, &cell, flags) >= 2) {
		cells.trace = strchr(flags, 'x');
		cells.verbose = strchr(flags, 'v');
		cells.extglob = strstr(report, "extglob");
		if (cell == cells.cell && cells.interrupts && !cells.has_ended)
			confirm_end(status);
		else if (cell == cells.cell)
			end_cell(cells.has_ended ? cells.ends_with : status);
	} else if (!strcmp(report, "begun")) {
		cells.has_begun = true; /* an interrupt that came before was nobody's */
	} else if (sscanf(report, "exit %d", &status) == 1) { /* the next bash is on its way */
		cells.leaves_with = status;
		bash_follow();
		if (cells.cell >= 0 && !cells.has_begun) /* the cell before has closed what bash reads: this one is the next bash's */
			send_code();
	} else if (!strcmp(report, "again") && cells.cell >= 0 && cells.has_begun) {
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
	bool idle = cells.cell < 0 && cells.question < 0 && !parking_is_under_way();
	if (cells.stage != RUNS)
		parking_told(&request);
	else if (!strcmp(op, "checkpoint") && idle)
		parking_save(&request);
	else if (!strcmp(op, "cell") && idle)
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
	if (cells.bash < 0 || waitpid(cells.bash, &status, WNOHANG) != cells.bash)
		return;
	int code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	if (WIFSIGNALED(status)) {
		signal(WTERMSIG(status), SIG_DFL);
		kill(getpid(), WTERMSIG(status));
	}
	_exit(code);
}

void connect_client(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	memcpy(address.sun_path + 1, IT_MESSAGES, sizeof IT_MESSAGES - 1);
	socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + sizeof IT_MESSAGES);
	cells.socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (cells.socket < 0 || connect(cells.socket, (struct sockaddr *)&address, length) < 0)
		_exit(1);
}

void cells_listen(void)
{
	struct sigaction action = {.sa_handler = on_signal};
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGCHLD, &action, NULL);
}

_Noreturn void cells_run(void)
{
	static const char ready[] = "{\"event\":\"ready\",\"language\":\"shell\",\"features\":[\"checkpoint\",\"complete\",\"input\",\"inspect\"]}";
	struct buffer said = {0};
	sigset_t blocked, before_wait;
	cells_listen();
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, SIG_IGN); /* `kill 0` of a cell means its own programs; so it does in any interactive bash */
	signal(SIGHUP, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGCHLD);
	sigaddset(&blocked, SIGINT);
	sigprocmask(SIG_BLOCK, &blocked, &before_wait); /* but while we wait: none comes between a look and the wait */
	connect_client();
	tool_install();
	parking_begin(&before_wait);
	if (!bash_start(NULL, &before_wait))
		_exit(1);
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
		if (interrupted > cells.interrupts && cells.cell >= 0 && cells.has_begun && !cells.has_ended) {
			cells.interrupts = interrupted;
			cells.repeats = 0;
			foreground_begin();
			foreground_interrupt(false);
		}
		int64_t wait_ns = cells.has_begun ? (int64_t)AGAIN_NS << (cells.repeats < MOST_DOUBLED ? cells.repeats : MOST_DOUBLED) : BEGIN_NS;
		const struct timespec again = {.tv_sec = wait_ns / 1000000000, .tv_nsec = wait_ns % 1000000000};
		bool waits = interrupted && cells.cell >= 0 && !cells.has_begun;
		bool repeats = waits || (interrupted && cells.cell >= 0 && cells.repeats < MOST_REPEATS);
		int count = ppoll(fds, 3, repeats ? &again : NULL, &before_wait);
		if (count == 0 && waits) {
			cells.has_begun = true; /* an interrupt of the cell before has cost it the word */
		} else if (count == 0 && repeats) {
			look_again(++cells.repeats);
		}
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
