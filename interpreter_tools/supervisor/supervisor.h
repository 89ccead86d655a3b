/*
 * The supervisor: PID 1 of a sandbox. It holds the container's stdin and stdout as one framed conversation with the client
 * (protocol.h), runs a program as an unprivileged user, and others beside it, and leaves when the conversation ends, which
 * takes the whole container with it.
 *
 * A file is a noun: base.c (clock, die, cursor), wire.c (frames in and out), refusal.c (the error that waits to be
 * told), boot.c (the interpreter booted ahead of need), run.c (the runs), feed.c (the stdin of one), messages.c (what it
 * tells beside its output, and is told), spawn.c (one new process), members.c (which processes are a run's), files.c (the
 * workspace), changes.c (which of its files are
 * new), store.c (the dependency store), wipe.c (the reset), sockets.c (its proof, as far as sockets go), cgroup.c
 * (the kernel's counters), filter.c (what programs may not use up), landlock.c (what they may not write to),
 * launcher.c (PID 1 stops to be the host's root), box.c (namespaces for the programs, thrown away whole), main.c (the
 * loop), cells.c (another program: the cell runner of shells; cells.h has its other files), tool.c (another one: the command
 * `tool`).
 *
 * One loop, which never waits for anything but its poll: what takes long is a phase. A phase does a step of at most
 * STEP_US, says by its X_due_us() when the next one is due, and no frame of the client is read before it is over,
 * except by a run.
 */
#ifndef INTERPRETER_TOOLS_SUPERVISOR_H
#define INTERPRETER_TOOLS_SUPERVISOR_H

#include <dirent.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "protocol.h"

#define MAX_PATH 4096    /* PATH_MAX */
#define NAME_SIZE 256    /* of one name in a path, with its NUL: NAME_MAX + 1 */
#define PIPE_SIZE 262144 /* bytes that a pipe holds, where the kernel grants it */
#define MAX_STRINGS (IT_MAX_PAYLOAD / 4) /* of one frame: each has its u32 length */
#define BULK_BYTES 32768 /* reads of at least this size are forwarded without batching */
#ifndef STEP_US
#define STEP_US 10000    /* the longest that a phase keeps the loop, but for a single call of the kernel */
#endif
#define OOM_FIRST 1000   /* of prefer_for_oom: nothing goes before it */

#define FIRST_UID 1000u  /* below are the image's own users */
#define LAST_UID 0x7ffffffeu

/* base.c */
void base_open(void (*sends_last_words)(const char *words, size_t length));
uint64_t us_on(clockid_t clock);
uint64_t now_us(void);                /* on CLOCK_MONOTONIC */
bool is_before(struct timespec a, struct timespec b);
int64_t sooner(int64_t a, int64_t b); /* of two times from now on; -1 is never */
int64_t us_until(uint64_t time_us);   /* 0 when it is over */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2))); /* tell the client, then leave */
_Noreturn void leave(void);                                                          /* the conversation is over */
unsigned long take_number(const char **at); /* in decimal; goes behind it */
void close_fd(int *fd);
DIR *open_directory(int at, const char *name); /* never through a link; NULL and errno on failure */

struct cursor { /* over a payload; dies when that is shorter than its fields */
	const uint8_t *at, *end;
};
struct text { /* not terminated */
	const char *at;
	uint32_t length;
};
uint8_t take_u8(struct cursor *c);
uint16_t take_u16(struct cursor *c);
uint32_t take_u32(struct cursor *c);
uint64_t take_u64(struct cursor *c);
struct text take_text(struct cursor *c);
void take_end(const struct cursor *c); /* dies when something is left */

/* wire.c */
int64_t wire_fds(struct pollfd fds[2], bool reads, bool writes); /* stdin and stdout; returns for how many us one rests, or -1 */
bool wire_receive(void);       /* reads once; false when nothing was there, or stdin rests */
/* The next whole frame; valid until the next call of either. */
bool wire_next(uint8_t *type, uint16_t *run, struct cursor *payload);
void wire_unread(void);        /* hand the last frame out again at the next wire_next */

void send_frame(uint8_t type, const void *payload, size_t length);
void send_of(uint16_t run, uint8_t type, const void *payload, size_t length);
void send_refused(uint16_t run, uint32_t why, int error, const char *subject, size_t length);
void wire_hold(void);          /* what was sent last may wait a little, for what follows it */
bool wire_pending(void);       /* output that the client has not taken yet, and that is not held */
bool wire_takes_answer(void);  /* there is room for whatever one request is answered with */
bool wire_takes_bulk(void);    /* there is room for a frame of any size */
void wire_flush(void);         /* write what can be written without waiting, unless stdout rests */
void wire_farewell(const char *words, size_t length); /* send IT_FATAL; waits for LAST_WORDS_MS at most */
/* One read from fd as one frame; needs !wire_pending(). */
ssize_t wire_forward(uint16_t run, uint8_t type, int fd, size_t most);

struct wire_state { /* for the next process that holds the conversation */
	size_t in_length, out_length;
	uint8_t in[IT_HEADER_SIZE + IT_MAX_PAYLOAD], out[2 * (IT_HEADER_SIZE + IT_MAX_PAYLOAD) + 2 * 8192];
};
void wire_leave(struct wire_state *state);
void wire_take_over(const struct wire_state *state);

/* refusal.c */
bool refusal_waits(void);
void refuse_later(uint32_t why, int error, const char *subject, size_t length); /* the first of several is kept */
void refusal_forget(void);
bool refusal_send(uint16_t run); /* false: none waits */

/* spawn.c */
struct program {
	uint32_t uid;       /* also the gid; 0: a zygote, whose children switch by themselves */
	uint32_t mark;      /* its supplementary group; 0: none */
	const char *directory;
	char **argv, **envp;
	int stdio[3];
	int channel;        /* becomes descriptor 3; -1: none */
	void (*begins)(void); /* called when the start cannot fail any more, before the program sees anything; NULL: nothing is */
};
struct pipes { /* our ends of a program's stdio; -1 when closed */
	int in, out, err;
};
pid_t spawn(const struct program *program, uint32_t *why); /* -1 and errno when it could not be started */
int open_pipes(struct pipes *ours, int theirs[3]);
void close_pipes(struct pipes *pipes);
int become(uint32_t uid);       /* file system identity for the next calls; become(0) returns */
void processes_open(void);      /* while /proc can be written */
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
void exec_by_name(char **argv, char **envp); /* returns with errno */
void prefer_for_oom(pid_t pid, unsigned points); /* of 1000: when memory is short, the process with most goes first */
bool kill_user(uint32_t uid);   /* SIGKILL for every process of that user, without a fork; true: there is nobody else */
pid_t next_process(DIR **directory); /* of /proc; 0: there are no more. The directory is the caller's, and NULL at first */
bool processes_left(void);      /* other than us and the booted interpreters; they are killed */

/* members.c */
bool members_left(uint32_t mark); /* processes of the side run with that mark; 0: of no side run; they are killed */
bool members_has(uint32_t mark, pid_t pid);
uint64_t members_delay_us(uint32_t mark); /* how long they have waited for a processor, all together */
void members_pause(bool paused); /* those of all runs stand still, or go on */
void members_end_others(uint32_t mark, const pid_t *pids, size_t count); /* kill all of them but those */

/* boot.c */
void boot_configure(struct cursor *payload); /* what to boot; nothing is booted yet */
void boot_zygote(void);         /* start it here, outside of all boxes, for boot_begin */
void boot_begin(void);          /* boot for the first time, and answer the client */
void boot_take_over(void);      /* after another supervisor, which has done that */
void boot_ahead(void);          /* see that an interpreter is parked or on its way, unless a side run could reach it */
void boot_now(void);            /* the same, for a start that waits for it */
int boot_fds(struct pollfd *fds);
void boot_event(void);
void boot_for(uint32_t uid);    /* the next run will be that user's */
bool boot_serves(uint32_t uid, bool side);
void boot_retire(void);         /* before another program of its user starts */
bool boot_pending(void);        /* an interpreter is on its way */
/* Returns the process of the run, whose pipes become the caller's; -1: the interpreter is gone. */
pid_t boot_hand_over(const char *message, size_t length, struct pipes *pipes, void (*begins)(void));
bool boot_reaped(pid_t pid);    /* a child of ours ended: was it a booted one? */
bool boot_owns(pid_t pid);      /* it is the zygote, or parked */
bool boot_parks(void);          /* an interpreter is parked or on its way, and with it the sockets of its hand-over */

/* feed.c: what is on its way to a program's stdin; in is our end of that */
struct feed {
	uint8_t *bytes; /* IT_STDIN_WINDOW; NULL until something comes */
	size_t start, end;
	uint32_t credit;
	bool closing;
};
void feed_begin(struct feed *feed, bool open, int *in);
void feed_take(struct feed *feed, struct cursor *payload, int *in);
bool feed_waits(const struct feed *feed); /* bytes that the program has not read */
void feed_on(struct feed *feed, int *in); /* write what it reads without waiting */
void feed_credit(struct feed *feed, uint16_t run); /* tell the client what was taken, when there is room */
void feed_end(struct feed *feed);

/* messages.c: what the processes of a run tell beside their output, and are told */
struct connection;
struct talk {
	uint16_t run;
	int events;                     /* readable when a connection has something; -1: there was no connection yet */
	uint32_t count;                 /* of the run's connections so far */
	struct connection *connections; /* NULL: there was none yet */
	struct connection *waiting;     /* it holds a whole piece, which is the next to be passed on */
	size_t before[2];               /* bytes of stdout and stderr that have to go first */
	int64_t *room;                  /* bytes that the client takes of this run */
};
void messages_open(void);
int messages_listener(void);    /* readable when somebody connects; -1: nobody can */
void messages_accept(void);
void messages_begin(struct talk *talk, uint16_t run, int64_t *room);
int messages_fd(const struct talk *talk); /* readable when there is something to do; -1: nothing is waited for */
void messages_output(struct talk *talk, bool is_stderr, size_t bytes); /* so much output has been passed on, or dropped */
bool messages_ready(const struct talk *talk, const struct pipes *pipes); /* a message waits, and nothing is in its way */
bool messages_pass(struct talk *talk, const struct pipes *pipes); /* pass on what can be now; true when a message still waits */
void messages_tell(struct talk *talk, struct cursor *payload);
pid_t messages_peer(const struct talk *talk, uint32_t number); /* the process that made a connection; 0: that is over */
int messages_blocked(void);     /* readable when a connection takes more of what it is told; -1: nothing is waited for */
void messages_unblock(void);
void messages_end(struct talk *talk);

/* run.c */
void run_start(uint16_t number, struct cursor *payload);
bool run_frame(uint8_t type, uint16_t number, struct cursor *payload); /* false: it is not a frame of a run under way */
bool run_active(void);          /* the main run */
bool run_sides(void);           /* there are side runs */
bool run_marked(uint32_t group); /* it is the mark of one of them */
struct talk *run_of_peer(uint32_t uid, const uint32_t *groups, size_t count); /* NULL: of no run */
bool run_was_last(void);        /* no interpreter was booted after it */
void run_forget(void);          /* the container is as new */
void run_end_sides(void);       /* a reset begins */
#define RUN_FDS (2 + (1 + IT_MAX_SIDE) * 4) /* that run_fds sets at most */
int run_fds(struct pollfd *fds);
void run_event(const struct pollfd *fds, int count); /* those that run_fds set */
void run_reap(void);            /* take note of every child that has ended */
void run_exited(pid_t pid, int status, uint64_t cpu_us, uint64_t peak_kib);
void run_orphaned(bool ends);   /* the zygote is gone: programs whose end it has not told, or all of them, were killed */
int64_t run_due_us(void);

/* cells.c: the cell runner of shells, which is another program: START knows it by this name */
#define CELLS_PROGRAM "interpreter-tools-cells"
_Noreturn void cells_run(void);

/* tool.c: the command by which programs call functions of the host; and what puts it into the PATH of the program it starts */
#define TOOL_PROGRAM "interpreter-tools-tool"
#define TOOL_COMMAND "tool"
_Noreturn void tool_run(int argc, char **argv);
_Noreturn void tool_start(char **argv);
void tool_install(void);

/* files.c */
void files_open(char **mounts); /* the writable mounts; the first is the workspace */
void files_put(struct cursor *payload);
void files_data(struct cursor *payload);
void files_done(void);
void files_drop(void);
void files_closed(void);        /* dies when a put is still open */
bool files_put_open(void);
bool files_replace(void);       /* files of the run to come have taken the place of others, which lie aside */
void files_keep(void);          /* the run begins: its files are there to stay, and what they replaced goes */
void files_undo(void);          /* it does not begin: they go, and what they replaced comes back */
void files_home(uint32_t uid);  /* see that the run's user has one */
void files_get(struct cursor *payload);
void files_name_code(char **argv); /* in the arguments of a run, where it is not where the client said */
void files_remove_code(void);
bool files_reading(void);
void files_event(void);         /* send more of the file being read; needs !wire_pending() */
int files_workspace(void);      /* its descriptor */

/* changes.c */
struct stat;
void changes_put(const struct stat *status); /* a file as we have left it */
void changes_put_directory(int parent, int directory, const char *name); /* the same */
bool changes_settled(void);     /* the clock has ticked since the last change; a run is not started before */
void changes_mark(void);        /* a run starts: what changes from here on is its doing */
/* Begin a list of IT_FILES: every file, or those that changed since the mark; and with unchanged what IT_FLAG_LIST asks for. */
void changes_list(bool all, bool unchanged);
bool changes_listing(void);
bool changes_step(void);        /* true: the list is complete, now or before */
void changes_forget(void);

/* store.c */
void store_open(const char *path);
void store_need(struct cursor *payload);
void store_link(uint32_t uid);  /* a run starts: make the link that was asked for */
void store_keep_link(void);     /* it stays until the reset */
void store_unlink(void);
void store_stage(struct cursor *payload);
void store_publish(struct cursor *payload);
void store_evict(struct cursor *payload);
void store_entries(void);
bool store_busy(void);
void store_step(void);

/* wipe.c */
void wipe_baseline(char **mounts);
void wipe_reset(uint32_t deadline_ms, uint32_t next_uid); /* begin a reset; IT_CLEAN is its end */
void wipe_passed(uint32_t next_uid); /* another box was ended by a reset: answer it */
void wipe_refuse(uint32_t verdict, const char *why); /* the same, where there is no box for the next run */
bool wipe_busy(void);
void wipe_step(void);
int64_t wipe_due_us(void);
bool wipe_directory(int fd);    /* true when it is empty; false when that takes more than a step */

/* Call for each place where something is mounted in this process's files. */
void each_mount(void (*take)(const char *point));

/* sockets.c */
void sockets_baseline(void);    /* nothing has run yet */
void sockets_booted(void);      /* what is booted ahead has its sockets now */
void sockets_collect(void);     /* make the kernel free sockets that only hold each other, and what was sent through them */
const char *sockets_in_use(void); /* what of them a run has left; NULL: nothing */

/* filter.c */
void filter_install(void);     /* what bounds every program from now on, us too */
int filter_fd(void);           /* readable when a call waits for our word; -1: none ever does */
void filter_event(void);
int64_t filter_due_us(void);   /* until a call that waits for room is looked at again; -1: none does */
void filter_step(void);        /* look at it */
int filter_close(void);        /* what the container's profile has to allow the keeper is refused from now on; -1 and errno */
const void *filter_of_boxes(size_t *size); /* the same filter, for a child of the zygote */
void filter_forget(void);      /* a run starts: what the one before was refused is no matter of its own */

/* landlock.c */
void landlock_open(void);
int landlock_enter(void);      /* this process, for good; -1 and errno when that failed */

/* launcher.c */
uint32_t launch(void);         /* IT_BOX_MADE, or the step that failed, with errno */
int set_capabilities(uint32_t low); /* exactly those of the first 32 */

/* box.c */
bool box_open(const char *argument); /* the first argument asks for boxes */
bool box_choose_network(const char *argument); /* the argument behind it says which network boxes have; false: it is none */
uint32_t box_prepare(char **mounts); /* IT_BOX_MADE, or the step that failed, with errno */
uint32_t box_keep(void);       /* returns in each supervisor: the uid of its first run; 0 in the first supervisor */
void box_pass(uint32_t next_uid) __attribute__((noreturn)); /* end this box; the next supervisor answers the reset */
bool box_asked(void);
bool box_inside(void);
int box_executable(void);      /* our own file, opened while that could be done */
void box_note_no_entry(void);  /* the zygote outside cannot enter boxes: each box has a zygote of its own from now on */
bool box_has_no_entry(void);
enum zygote { ZYGOTE_BOOTS, ZYGOTE_READY, ZYGOTE_GONE }; /* outside; when it is gone, the next box gets another one */
void box_note_zygote(enum zygote state);
enum zygote box_zygote(void);
const int *box_entrance(size_t *count); /* descriptors with which a child of the zygote enters this supervisor's box */
void box_note_socket(void);    /* a program asks for a socket that is not a local one */

/* cgroup.c */
struct usage {
	uint64_t cpu_us, peak_bytes;
	uint32_t oom_kills;
	bool cpu_known, peak_known;
};
void cgroup_open(void);
bool cgroup_charges_sockets(void); /* their buffers count as memory */
struct usage cgroup_read(void);

#endif
