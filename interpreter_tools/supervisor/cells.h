/*
 * The cell runner of shells, another program than the supervisor: cells.c (the conversation, and the cells), bash.c (the
 * bash that it drives), foreground.c (interrupts of what it waits for), parking.c (checkpoints, and the way back to them),
 * snapshot.c (the files that a checkpoint holds).
 */
#ifndef INTERPRETER_TOOLS_CELLS_H
#define INTERPRETER_TOOLS_CELLS_H

#include "supervisor.h"

#include <signal.h>
#include <sys/stat.h>
#include <time.h>

#define WORKSPACE "/workspace/"
#define MOST_PARKED 64 /* processes that the client names */

struct buffer { /* ends with a NUL, which does not count */
	char *at;
	size_t size, room;
};

struct request { /* words of the client */
	struct buffer op, code, text;
	int64_t cell, id, cursor, bytes;
	pid_t parked[MOST_PARKED];
	size_t parked_count;
	bool stdin_open, eof, unended, diverges;
};

enum stage {
	RUNS,   /* cells */
	PARKED, /* it is a checkpoint, and waits */
	WOKEN,  /* a fork of one, which is to take the place of the runner */
};

struct cells {
	enum stage stage;
	int socket, report[2], commands[2]; /* both ends of each pipe are ours: bash opens its own by their paths */
	int code, status; /* memory that bash reads */
	int input, input_end;               /* the cell's stdin: our end, -1 where it has none or has ended, and its own */
	struct buffer told, message, said;    /* what came from the client, the message that is coming, a report that is coming */
	struct buffer typed;                  /* a line for the cell's stdin that its pipe has not taken yet */
	pid_t bash;
	int64_t cell; /* the number of the cell that runs; -1: none */
	int64_t question;
	bool asked, looks_up; /* a line of input is on its way; the question is one for `inspect` */
	size_t cursor, word;  /* of the question, in characters */
	unsigned count, unanswered; /* cells; pieces that were not passed on yet */
	int last; /* status of the cell before */
	bool trace, verbose, extglob, may_set; /* `may_set`: the cell may set extglob */
	bool has_begun; /* bash has begun the cell */
	bool has_ended; /* it has told so, of a cell that was interrupted, and is to tell it again */
	int ends_with;  /* the status that it told first */
	int interrupts;   /* of it, that were passed on */
	unsigned repeats; /* of the last one */
	uint64_t began_us;
	struct timespec began_coarse, ended;
	bool has_changed; /* files, just before `ended` */
	int64_t used_us;
	int leaves_with; /* the status of the bash that is being replaced */
};
extern struct cells cells;

/* cells.c */
void add(struct buffer *text, const char *bytes, size_t size);
void add_words(struct buffer *text, const char *words);
void add_format(struct buffer *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void add_json(struct buffer *text, const char *bytes, size_t size);
void write_all(int fd, const char *bytes, size_t size);
void send_message(const struct buffer *content, uint32_t held); /* IT_MESSAGE_HELD, or 0 */
void connect_client(void);
void cells_listen(void); /* for interrupts */
void command(const char *format, ...) __attribute__((format(printf, 1, 2))); /* bash reads it when it is idle */

/* bash.c */
struct open_file { /* a descriptor of bash */
	int fd, flags;
	int stream; /* 0 to 2: one of the streams that we were given; -1: a file */
	int same;   /* the descriptor whose place in the file is this one's, too; -1: none */
	int64_t position;
	char *path;
};
struct traits { /* of a bash, which the one that begins in its place gets */
	struct open_file *files;
	size_t file_count;
	char *directory;
	unsigned umask;
	struct rlimit limits[RLIM_NLIMITS];
	struct buffer state, options;
};
void memory_new(int *fd, const char *name);
void memory_fill(int fd, const char *bytes, size_t size);
void memory_read(int fd, struct buffer *content);
bool read_file(const char *path, struct buffer *content); /* false: it is empty, too */
bool read_about(pid_t pid, const char *what, struct buffer *content); /* a file of its directory in /proc */
void pipe_new(int fds[2]);
bool bash_start(const struct traits *traits, const sigset_t *signals); /* NULL: the first one */
void bash_follow(void); /* it has left, and its process becomes a new bash, which reports `again` */
void bash_wait(void);   /* until it is idle: its descriptors are those of the cells */
void bash_hold(void);   /* it writes down what it holds, and reports `held` */
void bash_held(struct buffer *state, struct buffer *options);
void bash_forget(void); /* it is another process's */

/* foreground.c */
void foreground_begin(void);             /* another interrupt */
void foreground_interrupt(bool insists); /* what it has not reached yet; `insists`: bash once more, too */

/* parking.c */
void parking_begin(const sigset_t *signals);      /* those that bash has */
void parking_save(const struct request *request); /* make a checkpoint; bash reports what it must know */
void parking_told(const struct request *request); /* it is parked, or woken */
bool parking_is_under_way(void);
void parking_reported(const char *report);

/* snapshot.c */
struct snapshot;
struct snapshot *snapshot_take(const struct snapshot *before, int64_t most, struct buffer *refusal); /* NULL: refused */
int64_t snapshot_copied(const struct snapshot *snapshot); /* bytes, for this one */
bool snapshot_restore(struct snapshot *snapshot, struct buffer *refusal);
void snapshot_drop(struct snapshot *snapshot);

#endif
