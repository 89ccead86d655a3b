/*
 * The bash of the cell runner of shells. It is an interactive one: an interrupt, `${x:?}` or an unset variable then ends the
 * cell and not the shell. It reads commands of ours from a pipe. All that it opens besides are our descriptors, by their
 * paths in /proc: nothing of ours is open in the programs of a cell.
 *
 * `exit` and `set -e` do end the shell. Its trap then writes down what it holds (variables, functions, options, traps,
 * arguments, the stack of directories), and its process becomes a new bash, which reads that: only the table of its jobs is
 * lost. The bash of a checkpoint that is gone back to begins in the same way, in a process of its own.
 *
 * So the EXIT trap is ours. `trap` is a function, which keeps the EXIT trap of the cells in memory of ours, and has their
 * DEBUG and ERR traps leave our own commands alone: those are in no file, or in one with a dot in its path.
 */
#include "cells.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define ERRORS 62    /* where a new bash has its stderr at first: on the real one it would tell that it has no terminal */
#define PATIENCE_US 5000000 /* for a bash to begin, or to come back from a cell whose end it has told */
#define ABOVE_ALL 200 /* no descriptor of bash is there */

static struct {
	int state, options;         /* what a bash holds: to be read first, and last */
	int leaving;                /* the EXIT trap of the cells */
	int setup, hold, on_exit;   /* commands of ours */
	int next[2];                /* what the bash after this one reads */
} bash = {.state = -1, .options = -1, .leaving = -1, .setup = -1, .hold = -1, .on_exit = -1, .next = {-1, -1}};

/* A number after an @ stands for one of these: our process, and descriptors of it. */
enum { PROCESS, TRAP, FIRST, LAST, AT_EXIT, AFTER, TO_US, NUMBERS };
#define LEAVING "/proc/@0/fd/@1"
#define STATE "/proc/@0/fd/@2"
#define OPTIONS "/proc/@0/fd/@3"
#define ON_EXIT "/proc/@0/fd/./@4"
#define NEXT "/proc/@0/fd/@5"
#define REPORT "/proc/@0/fd/@6"

static const char setup[] =
	"trap() {\n"
	"	{ builtin local -; builtin set +eux; } 2>/dev/null\n"
	"	if ((BASH_SUBSHELL)); then builtin trap \"$@\"; builtin return; fi\n"
	"	if [[ ${1-} == -- ]]; then builtin shift; fi\n"
	"	if (($# == 0)) || [[ $1 == -[lp]* ]]; then\n"
	"		builtin local all own ours\n"
	"		all=$(builtin trap \"$@\") ours=$(builtin trap -p EXIT) own=$(<" LEAVING ")\n"
	"		if [[ $own ]]; then all=${all/\"$ours\"/\"trap -- ${own@Q} EXIT\"}; else all=${all/\"$ours\"/}; fi\n"
	"		if [[ $all ]]; then builtin printf '%s\\n' \"${all#$'\\n'}\"; fi\n"
	"		builtin return 0\n"
	"	fi\n"
	"	if (($# == 1)); then builtin set -- - \"$1\"; fi\n"
	"	builtin local \"action=$1\" signal status=0\n"
	"	builtin shift\n"
	"	for signal; do\n"
	"		case ${signal^^} in\n"
	"		EXIT | SIGEXIT | 0) builtin printf %s \"${action#-}\" >|" LEAVING "; builtin continue ;;\n"
	"		DEBUG | SIGDEBUG | ERR | SIGERR)\n"
	"			if [[ ${action#-} && $action != 'case ${BASH_SOURCE-} in'* ]]; then\n"
	"				action=\"case \\${BASH_SOURCE-} in '' | /proc/*/fd/./*) ;; *) $action\"$'\\n;; esac'\n"
	"			fi ;;\n"
	"		esac\n"
	"		builtin trap -- \"$action\" \"$signal\" || status=1\n"
	"	done\n"
	"	builtin return \"$status\"\n"
	"}\n"
	"PS1= PS2=\n"
	"builtin set +H +o history\n"
	"builtin history -c\n"
	"builtin trap 'builtin source " ON_EXIT "' EXIT\n";

#define HOLD_OPTIONS "{ trap -p; builtin set +o; } >|" OPTIONS "\n"
#define HOLD_STATE \
	"{\n" \
	"	builtin shopt -p; builtin declare -p; builtin declare -f; builtin declare -F; builtin alias -p; builtin enable -n; builtin complete -p\n" \
	"	(it=${#DIRSTACK[@]}; while ((--it > 0)); do builtin printf 'builtin pushd -n -- %q\\n' \"${DIRSTACK[it]}\"; done)\n" \
	"	builtin printf 'builtin set --'; if (($#)); then builtin printf ' %q' \"$@\"; fi; builtin printf '\\n'\n" \
	"} >|" STATE "\n"

static const char hold[] = HOLD_OPTIONS HOLD_STATE;

/* The trap of the cells is a subshell's: `exit` in it must not end what follows. */
static const char ending[] =
	"if (status=$? action=$(<" LEAVING "); builtin trap - EXIT; (builtin exit \"$status\"); builtin eval \"$action\"; builtin exit \"$status\")\n"
	"then builtin printf 'exit 0\\0' >" REPORT "; else builtin printf 'exit %d\\0' \"$?\" >" REPORT "; fi\n"
	"{\n"
	"builtin : >|" LEAVING "\n"
	HOLD_OPTIONS
	"builtin trap : INT; builtin set +eux\n"
	HOLD_STATE
	"} 2>/dev/null\n"
	"builtin exec \"$BASH\" --norc --noprofile --noediting -i <" NEXT " " "62>&2 2>/dev/null\n";

void memory_new(int *fd, const char *name)
{
	close_fd(fd);
	if ((*fd = memfd_create(name, MFD_CLOEXEC)) < 0)
		_exit(1);
}

void memory_fill(int fd, const char *bytes, size_t size)
{
	if (ftruncate(fd, 0) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		_exit(1);
	write_all(fd, bytes, size);
}

void memory_read(int fd, struct buffer *content)
{
	char bytes[65536];
	ssize_t size;
	content->size = 0;
	add(content, "", 0);
	for (off_t at = 0; (size = pread(fd, bytes, sizeof bytes, at)) > 0; at += size)
		add(content, bytes, (size_t)size);
}

bool read_file(const char *path, struct buffer *content)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	memory_read(fd, content);
	close(fd);
	return content->size > 0;
}

bool read_about(pid_t pid, const char *what, struct buffer *content)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, what);
	return read_file(path, content);
}

void pipe_new(int fds[2])
{
	close_fd(&fds[0]);
	close_fd(&fds[1]);
	if (pipe2(fds, O_CLOEXEC) < 0)
		_exit(1);
}

static void write_script(int fd, const char *text)
{
	const int numbers[] = {[PROCESS] = getpid(), [TRAP] = bash.leaving, [FIRST] = bash.state, [LAST] = bash.options, [AT_EXIT] = bash.on_exit,
			       [AFTER] = bash.next[0], [TO_US] = cells.report[1]};
	struct buffer script = {0};
	for (; *text; text++) {
		unsigned number = *text == '@' ? (unsigned)(text[1] - '0') : NUMBERS;
		if (number < NUMBERS) {
			add_format(&script, "%d", numbers[number]);
			text++;
		} else {
			add(&script, text, 1);
		}
	}
	memory_fill(fd, script.at, script.size);
	free(script.at);
}

/* What a new bash reads first: `again` says that it takes the place of another one. */
static void introduce(bool again)
{
	int pid = getpid();
	pipe_new(bash.next);
	write_script(bash.setup, setup);
	write_script(bash.hold, hold);
	write_script(bash.on_exit, ending);
	if (again) /* an interrupt must not end it halfway */
		command("builtin trap : INT; builtin source /proc/%d/fd/./%d >/dev/null 2>&1\n", pid, bash.state);
	command("builtin source /proc/%d/fd/./%d\n", pid, bash.setup);
	if (again)
		command("builtin trap - INT; builtin source /proc/%d/fd/./%d >/dev/null 2>&1\n", pid, bash.options);
	command("exec 2>&%d %d>&-\n", ERRORS, ERRORS); /* `builtin exec` would undo it */
	if (again)
		command("builtin printf 'again\\0' >/proc/%d/fd/%d\n", pid, cells.report[1]);
}

void bash_follow(void)
{
	for (int i = 0; i < 2; i++) {
		close_fd(&cells.commands[i]);
		cells.commands[i] = bash.next[i];
		bash.next[i] = -1;
	}
	introduce(true);
}

/* Bash reads when all that it has read is done, and its redirections are undone. The first line may be read with others. */
void bash_wait(void)
{
	uint64_t began = now_us();
	for (int i = 0; i < 2; i++) {
		int left = 1;
		command("\n");
		while (ioctl(cells.commands[0], FIONREAD, &left) == 0 && left > 0 && now_us() - began < PATIENCE_US)
			usleep(20);
	}
}

void bash_hold(void)
{
	command("builtin source /proc/%d/fd/./%d 2>/dev/null || builtin :; builtin printf 'held\\0' >/proc/%d/fd/%d\n", (int)getpid(), bash.hold,
		(int)getpid(), cells.report[1]);
}

void bash_held(struct buffer *state, struct buffer *options)
{
	memory_read(bash.state, state);
	memory_read(bash.options, options);
}

void bash_forget(void)
{
	int *all[] = {&bash.state, &bash.options, &bash.leaving, &bash.setup, &bash.hold, &bash.on_exit, &bash.next[0], &bash.next[1],
		      &cells.code, &cells.status, &cells.commands[0], &cells.commands[1], &cells.report[0], &cells.report[1]};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		close_fd(all[i]);
	cells.bash = -1;
}

/* ---- a new process ---- */

/* Open the files of a bash again, each at its place. What is gone since is left out: it lay outside of the workspace. */
static void open_again(const struct traits *traits)
{
	int streams[3];
	for (int i = 0; i < 3; i++)
		streams[i] = fcntl(i == 2 ? ERRORS : i, F_DUPFD_CLOEXEC, ABOVE_ALL);
	for (size_t i = 0; i < traits->file_count; i++) {
		const struct open_file *file = &traits->files[i];
		int wanted = file->fd == 2 ? ERRORS : file->fd, same = file->same == 2 ? ERRORS : file->same, fresh = -1;
		if (file->stream >= 0)
			dup2(streams[file->stream], wanted);
		else if (file->same >= 0)
			dup2(same, wanted);
		else if ((fresh = open(file->path, file->flags | O_CLOEXEC)) >= 0) {
			if (file->position > 0)
				lseek(fresh, file->position, SEEK_SET);
			if (fresh != wanted) {
				dup2(fresh, wanted);
				close(fresh);
			} else {
				fcntl(fresh, F_SETFD, 0);
			}
		}
	}
}

static _Noreturn void become_bash(const struct traits *traits, const sigset_t *signals)
{
	static const int changed[] = {SIGINT, SIGCHLD, SIGPIPE, SIGTERM, SIGHUP, SIGQUIT};
	static char *const nothing[] = {NULL};
	static char *const arguments[] = {"bash", "--norc", "--noprofile", "--noediting", "-i", NULL};
	int silence = open("/dev/null", O_WRONLY | O_CLOEXEC), commands = fcntl(cells.commands[0], F_DUPFD_CLOEXEC, ABOVE_ALL);
	int errors = fcntl(2, F_DUPFD_CLOEXEC, ABOVE_ALL);
	silence = fcntl(silence, F_DUPFD_CLOEXEC, ABOVE_ALL);
	for (size_t i = 0; i < sizeof changed / sizeof *changed; i++)
		signal(changed[i], SIG_DFL);
	sigprocmask(SIG_SETMASK, signals, NULL);
	dup2(errors, ERRORS);
	if (traits) {
		open_again(traits);
		umask(traits->umask);
		if (chdir(traits->directory) < 0)
			dprintf(errors, "bash: %s: %s\n", traits->directory, strerror(errno));
	}
	dup2(commands, 0);
	dup2(silence, 2);
	for (int i = 0; traits && i < RLIM_NLIMITS; i++)
		setrlimit(i, &traits->limits[i]);
	if (traits) /* its variables come with the rest of what it holds */
		execvpe("bash", arguments, nothing);
	else
		execvp("bash", arguments);
	dprintf(errors, "contexts of shells need bash, which this image does not have: %s\n", strerror(errno));
	_exit(127);
}

bool bash_start(const struct traits *traits, const sigset_t *signals)
{
	memory_new(&cells.code, "code");
	memory_new(&cells.status, "status");
	memory_new(&bash.state, "state");
	memory_new(&bash.options, "options");
	memory_new(&bash.leaving, "leaving");
	memory_new(&bash.setup, "setup");
	memory_new(&bash.hold, "hold");
	memory_new(&bash.on_exit, "on_exit");
	pipe_new(cells.commands);
	pipe_new(cells.report);
	if ((cells.bash = fork()) < 0)
		return false;
	setpgid(cells.bash, cells.bash); /* an interrupt is ours, and we pass it on */
	if (cells.bash == 0)
		become_bash(traits, signals);
	if (traits) {
		memory_fill(bash.state, traits->state.at, traits->state.size);
		memory_fill(bash.options, traits->options.at, traits->options.size);
	}
	introduce(traits);
	return true;
}
