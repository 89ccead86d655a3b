/*
 * The supervisor: PID 1 of a sandbox. It holds the container's stdin and stdout as one framed conversation with the client
 * (protocol.h), runs one program at a time as an unprivileged user, and leaves when the conversation ends, which takes the
 * whole container with it.
 *
 * A file is a noun: wire.c (frames in and out), boot.c (the interpreter booted ahead of need), run.c (one run), feed.c (its stdin), messages.c
 * (what it says to the client beside its output), spawn.c (one new process), files.c (the workspace), changes.c (what of it is new), store.c
 * (the dependency store), wipe.c (reset and its proof), cgroup.c (what the kernel counted), filter.c (what programs may not use up), main.c
 * (the loop).
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
#define MAX_STRINGS 8192 /* of argv and environment together */
#define MUCH 32768       /* bytes: a read of so many was worth its turn */
#define FIRST_UID 1000u  /* below are the image's own users */
#define LAST_UID 0x7ffffffeu

/* main.c */
uint64_t now_us(void); /* CLOCK_MONOTONIC */
int64_t sooner(int64_t a, int64_t b); /* of two times from now on; -1 is never */
void reap(void);       /* take note of every child that has ended */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2))); /* tell the client, then leave */
_Noreturn void leave(void);                                                          /* the conversation is over */

/* wire.c: what arrives is read through a cursor that dies when a payload is shorter than its fields */
struct cursor {
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

int64_t wire_fds(struct pollfd fds[2], bool reads, bool writes); /* stdin and stdout; returns for how many us one rests, or -1 */
bool wire_receive(void);       /* reads once; false when nothing was there, or stdin rests */
bool wire_next(uint8_t *type, struct cursor *payload); /* the next whole frame; valid until the next call of either */
void wire_unread(void);        /* hand the last frame out again at the next wire_next */

void send_frame(uint8_t type, const void *payload, size_t length);
void send_u32(uint8_t type, uint32_t value);
void send_refused(uint32_t why, int error, const char *subject, size_t length);
bool wire_pending(void);       /* output that the client has not taken yet */
void wire_flush(void);         /* write what can be written without waiting, unless stdout rests */
bool wire_drain(int patience_ms); /* wait until everything is written; false: the client has gone, or took nothing for so long */
ssize_t wire_forward(uint8_t type, int fd, size_t most); /* one read from fd as one frame; needs !wire_pending() */

/* spawn.c */
struct program {
	uint32_t uid;       /* also the gid; 0: a zygote, whose children switch by themselves */
	const char *directory;
	char **argv, **envp;
	int stdio[3];
	int channel;        /* becomes descriptor 3; -1: none */
};
struct pipes { /* our ends of a program's stdio; -1 when closed */
	int in, out, err;
};
pid_t spawn(const struct program *program, uint32_t *why); /* -1 and errno when it could not be started */
int open_pipes(struct pipes *ours, int theirs[3]);
void close_pipes(struct pipes *pipes);
void close_fd(int *fd);
int become(uint32_t uid);       /* file system identity for the next calls; become(0) returns */
void prefer_for_oom(pid_t pid); /* when memory is short, that process goes first */
void kill_user(uint32_t uid);   /* SIGKILL for every process of that user, without a fork */
bool processes_left(void);      /* other than us and the booted interpreters; they are killed */

/* boot.c */
struct parked { /* an interpreter that waits for its code */
	pid_t pid;
	struct pipes pipes;
	int hand_over;
	bool ready;
};
extern struct parked parked;
void boot_configure(struct cursor *payload);
void boot_ahead(void);          /* see that one is parked or on its way */
int boot_fds(struct pollfd *fds);
void boot_event(void);
void boot_for(uint32_t uid);    /* the next run will be that user's */
bool boot_serves(uint32_t uid);
void boot_retire(void);         /* before another program of its user starts */
bool boot_pending(void);        /* an interpreter is on its way */
bool boot_hand_over(const void *message, size_t length); /* false: it is gone */
bool boot_reaped(pid_t pid);    /* a child of ours ended: was it the booted one? */
pid_t boot_zygote(void);        /* 0: none */
size_t boot_sockets(void);      /* both ends of the hand-over to come */

/* run.c */
void run_start(struct cursor *payload);
void run_stdin(struct cursor *payload);
void run_kill(void);
bool run_active(void);
bool run_was_last(void);        /* no interpreter was booted after it */
void run_forget(void);          /* the container is as new */
int run_fds(struct pollfd *fds);
void run_event(void);
void run_reaped(pid_t pid, int status, const struct rusage *usage);
void run_exited(int status, uint64_t cpu_us, uint64_t peak_kib);
int64_t run_timeout_us(void);   /* until something is due; -1: nothing */

/* messages.c */
void messages_open(void);
void messages_begin(uint32_t uid); /* a run of that user starts */
int messages_fd(void);             /* readable when there is something to do; -1: nothing is waited for */
void messages_output(bool is_stderr, size_t bytes); /* so much of the program's output has been passed on, or dropped */
bool messages_ready(const struct pipes *pipes);     /* a message waits, and nothing is in its way */
bool messages_pass(const struct pipes *pipes);      /* pass on what can be now; true when a message waits for what goes before it */
void messages_end(void);

/* feed.c: the descriptor is our end of the program's stdin */
void feed_begin(bool open, int *in);
void feed_take(struct cursor *payload, int *in);
bool feed_waits(void);          /* bytes that the program has not read */
void feed_on(int *in);          /* write what it reads without waiting */
void feed_credit(void);         /* tell the client what was taken */

/* files.c */
void files_open(char **mounts); /* the writable mounts; the first is the workspace */
void files_put(struct cursor *payload);
void files_data(struct cursor *payload);
void files_done(void);
void files_drop(void);
bool files_refuse(void);        /* sends the first error since the last call, if there was one */
void files_home(uint32_t uid);  /* see that the run's user has one */
void files_get(struct cursor *payload);
bool files_reading(void);
void files_event(void);         /* send more of the file being read; needs !wire_pending() */
DIR *open_directory(int at, const char *name); /* never through a link; NULL and errno on failure */
int files_workspace(void);      /* its descriptor */

/* changes.c */
struct stat;
void changes_put(const struct stat *status); /* a file as we have left it */
void changes_mark(void);        /* a run starts: what changes from here on is its doing */
void changes_send(void);        /* sends IT_FILES for what changed since the mark */
void changes_send_all(void);    /* sends IT_FILES for every file, and IT_READY */
void changes_forget(void);

/* store.c */
void store_open(const char *path);
void store_need(struct cursor *payload);
bool store_refuse(void);        /* sends that an entry is missing, if one is */
bool store_missing(void); /* the next run needs an entry that is not there */
void store_link(uint32_t uid);  /* a run starts: make the link that was asked for */
void store_unlink(void);
void store_stage(struct cursor *payload);
void store_publish(struct cursor *payload);
void store_evict(struct cursor *payload);
void store_entries(void);

/* wipe.c */
void wipe_baseline(char **mounts);
void wipe_booted(void);         /* what is booted ahead has its sockets now */
void wipe_reset(uint32_t deadline_ms, uint32_t next_uid);
bool wipe_directory(int fd, uint32_t deadline_ms); /* true when it is empty */

/* filter.c */
void filter_install(void);     /* what bounds every program from now on, us too */
int filter_fd(void);           /* readable when a call waits for our word; -1: none ever does */
void filter_event(void);
void filter_forget(void);      /* a run starts: what the one before was refused is no matter of its own */

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
