/*
 * The wire between the client and the supervisor: the one place that defines it.
 *
 * Two byte streams, the supervisor's stdin (client to supervisor) and stdout (supervisor to client), carry frames:
 *
 *     u32 length      bytes of payload that follow the header, at most IT_MAX_PAYLOAD
 *     u8  type        one of the IT_* frame types below
 *     u8  zero        must be 0
 *     u16 run         the run that the frame belongs to; 0: the main run, and every frame that belongs to no run
 *     payload
 *
 * All integers are little-endian. A "string" is u32 length followed by that many bytes, without a terminator; so no
 * frame holds more than IT_MAX_PAYLOAD / 4 of them. There is no other limit to the number of arguments and variables.
 * Both sides are tolerant of nothing: an unknown type, a non-zero reserved field, a payload that is too long, too
 * short or longer than its fields, or a frame that the state below does not allow ends the conversation. The
 * supervisor then sends IT_FATAL and leaves; the client discards the container.
 *
 * There is one main run at a time, which the states below speak of. Beside it there are side runs: long-lived programs, whose frames bear the
 * number that the client gave them. See "Side runs".
 *
 *     state      client may send                                   supervisor answers
 *     GREETED    (supervisor sent IT_HELLO) IT_BOOT                IT_READY, or IT_REFUSED
 *     IDLE       IT_PUT, IT_DATA, IT_DONE or IT_DROP (repeated)    nothing; errors are kept for IT_START or IT_SYNC
 *                                                                  (what follows one that was refused is not written)
 *                IT_NEED                                           the same: an entry of the store that is missing. There is
 *                                                                  one such error, the first, which is gone when it is told
 *                IT_SYNC                                           IT_READY, or IT_REFUSED with the first error of those
 *                IT_START                                          nothing, or IT_REFUSED (state stays IDLE)
 *                IT_RESET                                          IT_CLEAN
 *                IT_LIST                                           IT_FILES repeated, IT_READY
 *                IT_GET                                            IT_CONTENT repeated (empty: the end); IT_REFUSED may come
 *                                                                  in place of each
 *                IT_STAGE, IT_PUBLISH, IT_EVICT                    IT_READY, or IT_REFUSED
 *                IT_ENTRIES                                        IT_STORED repeated, then IT_READY; or IT_REFUSED
 *                IT_MARK                                           nothing
 *     RUNNING    IT_STDIN, IT_KILL, IT_SIGNAL, IT_TELL             IT_STDOUT, IT_STDERR, IT_MESSAGE, IT_CREDIT, IT_TOLD; at the end
 *                                                                  IT_FILES repeated, IT_EXIT, IT_CLEAN if the start asked
 *                                                                  for a reset, then IDLE
 *
 * Frames for a run that has ended raced with its end and are ignored: IT_STDIN, IT_KILL, IT_SIGNAL, IT_TELL,
 * IT_TAKEN, IT_LEAD and IT_DELAY.
 */
#ifndef INTERPRETER_TOOLS_PROTOCOL_H
#define INTERPRETER_TOOLS_PROTOCOL_H

#define IT_VERSION 4          /* of this file; both sides must hold the same */
#define IT_HEADER_SIZE 8
#define IT_MAX_PAYLOAD 65536  /* bytes */
#define IT_STDIN_WINDOW 65536 /* bytes of IT_STDIN a client may have outstanding before an IT_CREDIT */
#define IT_TELL_WINDOW 131072 /* bytes of IT_TELL, and 4 for each, that one connection may have outstanding before an IT_TOLD */
#define IT_OUTPUT_WINDOW 262144 /* bytes of output and messages of a side run before an IT_TAKEN; one frame more may come */
#define IT_MAX_SIDE 64        /* side runs at once */

/* client to supervisor */
#define IT_BOOT 0x01    /* u8 mode, u8 0, u16 argc, u16 envc, u32 uid of the first run, argc + envc strings: what to boot ahead */
#define IT_PUT 0x02     /* u32 mode (07777 or IT_PUT_*), u32 uid, string path below the workspace: a file's contents follow */
#define IT_DATA 0x03    /* bytes of the file */
#define IT_DONE 0x04    /* empty: the file is complete */
#define IT_SYNC 0x05    /* empty: report how the puts went */
#define IT_START 0x06   /* see below */
#define IT_STDIN 0x07   /* bytes for the program; empty: end of file */
#define IT_KILL 0x08    /* empty: kill the run; its outcome becomes IT_KILLED */
#define IT_RESET 0x09   /* u32 deadline in ms, u32 uid of the next run: kill, wipe, verify, boot */
#define IT_LIST 0x0a    /* empty: every regular file below the workspace; u32 1: those that are new or changed since IT_MARK */
#define IT_DROP 0x11    /* empty: instead of IT_DONE, the rest of the file will not come: it is removed */
#define IT_GET 0x0b     /* u32 uid, u64 offset, u64 count in bytes, string path below the workspace: read it as that user */
#define IT_NEED 0x0c    /* string key, string link, string path: the next run needs that entry of the store. Unless the link is */
                        /* empty, one of that name in the workspace leads to that path in the entry while the run lasts */
#define IT_SIGNAL 0x12  /* u32 signal: for the process group of the run's program (SIGINT interrupts it) */
#define IT_TELL 0x13    /* u32 connection, 1 to IT_MESSAGE_SIZE bytes: a piece for whoever holds that connection; see below */
#define IT_TAKEN 0x14   /* u32 bytes of output and messages of a side run that the client has taken: there is room for as many again */
#define IT_MARK 0x15    /* empty: what changes from here on is told by IT_LIST */
#define IT_LEAD 0x16    /* u32 connection of a side run, u32 connections that are spared: see "Side runs" */
#define IT_DELAY 0x18   /* empty, of a side run: IT_DELAYED answers it at once */
#define IT_PAUSE 0x17   /* u32 1: every process of every run stands still; 0: they go on. At any time after the boot, for run 0 */

/* client to the supervisor of an installer, where the store can be written; a key is 64 hexadecimal digits */
#define IT_STAGE 0x0d   /* u32 uid, string key: STORE/.KEY/target and STORE/.KEY/tmp, empty and that user's */
#define IT_PUBLISH 0x0e /* string key, string manifest: what was staged becomes an entry, root's and read-only to others */
#define IT_EVICT 0x0f   /* string name, as IT_STORED tells it: remove it */
#define IT_ENTRIES 0x10 /* empty: every entry of the store, and what is left of some */

/*
 * IT_START: u32 uid (also the gid), u32 flags (IT_FLAG_*), u32 timeout in ms (0: none), u64 output limit in bytes of
 * stdout and stderr together (0: none), u32 deadline in ms and u32 uid of the IT_RESET that is to follow by itself (0
 * and 0: none; else with IT_FLAG_LAST), string working directory, u16 argc, u16 envc, then argc + envc strings
 * ("NAME=value"). argv[0] without a slash is looked up in the PATH that the supervisor itself was given (the
 * image's), never in the program's. It may name several programs with colons between them: the first that is there is
 * started.
 */
#define IT_FLAG_STDIN 1u  /* leave stdin open for IT_STDIN; else the program reads end of file */
#define IT_FLAG_BOOTED 2u /* hand the run to the interpreter booted ahead; argv[0] is then the code file */
#define IT_FLAG_LIST 8u   /* let the IT_FILES at the end also tell what the run has left alone, see IT_FILES_UNCHANGED */
#define IT_FLAG_LAST 4u   /* boot no other interpreter when it ends: an IT_RESET has to come before another IT_START */
#define IT_FLAG_MERGED 16u /* stderr is the pipe of stdout, so that one IT_STDOUT after another keeps the order of both */

/*
 * Side runs. A START whose header bears a number starts a side run: at any time after the boot, unless a run that was the last has been. The number
 * is none of a live side run. It has no reset, no IT_FLAG_LAST and no IT_FLAG_LIST; IT_FLAG_BOOTED needs IT_BOOT_FORK. While no main run is there
 * it also tells the errors that wait, and the files and the entry that were named before it are there for it, and stay. IT_REFUSED answers it with
 * its number. It ends with IT_EXIT and without IT_FILES.
 *
 * Every process of a side run is in a supplementary group of its own, IT_MARK_FIRST to IT_MARK_LAST, which it cannot leave: by that, and by no word of
 * theirs, the supervisor knows whose a process and whose a connection is. No run's uid lies in that range. What a side run has started is killed
 * with it. The end of the main run kills what belongs to no side run. A reset ends all of them, each with its IT_EXIT before IT_CLEAN.
 *
 * IT_LEAD makes the process that holds a connection the program of the run, whose end is the end of the run. All other processes of the run are
 * killed, but those that hold one of the connections that follow. When memory is short, those go first. For the process that is the program
 * already nothing is killed. A first connection that is over means nothing: IT_LEAD is then ignored. A first connection of 0 is none: all but the
 * others are killed, and the run has no program.
 *
 * A program that ends while a process lives that the last IT_LEAD spared does not end the run: IT_FALLEN tells it, behind its output. The run then waits for
 * IT_LEAD or IT_KILL.
 */
#define IT_MARK_FIRST 60000
#define IT_MARK_LAST 64999

/* in the mode of IT_PUT: the file belongs to the next run. When its IT_START is refused, what was there before is there again */
#define IT_PUT_RUN 0x40000000u
/*
 * With IT_PUT_RUN: the file is the code of the run, and takes the place of no file of a user. Where something has its name,
 * the code is written under the same name with a dot before it, and what has that name makes way: a file or link is removed, a
 * directory gets another name. An argument of IT_START that ends in "/" and the code's path is changed then. The file is
 * removed when the run ends, unless the run changed it.
 */
#define IT_PUT_CODE 0x80000000u

/*
 * Added to the size in IT_FILES: the run has left this alone. It is a file, in a directory in which others came or went; or a
 * directory, whose path ends with a slash ("/" is the workspace), in which every file is still there that was before the run.
 */
#define IT_FILES_UNCHANGED 0x8000000000000000u

/* boot modes */
#define IT_BOOT_NONE 0   /* nothing: every run is an exec */
#define IT_BOOT_FORK 1   /* a pristine process that forks for each run */
#define IT_BOOT_SINGLE 2 /* one process booted for each run to come */

/* supervisor to client */
#define IT_HELLO 0x81   /* u32 IT_VERSION, u32 machine (ELF e_machine), u32 pid, u32 IT_BOX_*, u32 errno of the step that failed */
#define IT_READY 0x82   /* bytes: what there is to say of the interpreter that IT_BOOT named, at most 1024; else empty */
#define IT_REFUSED 0x83 /* u32 IT_WHY_*, u32 errno, string subject (a path or a program) */
#define IT_STORED 0x84  /* u64 size in bytes, u64 time of publication in s since the epoch, string name (a key; after '.' */
                        /* one being staged, after '-' one being removed), string manifest */
#define IT_STDOUT 0x85  /* bytes */
#define IT_STDERR 0x86  /* bytes */
#define IT_CREDIT 0x87  /* u32 bytes of stdin that were taken */
#define IT_FILES 0x88   /* u16 count, u16 flags (1: the list is partial), then count of {u64 size, string path} */
#define IT_EXIT 0x89    /* see below */
#define IT_CLEAN 0x8a   /* u32 verdict (IT_CLEAN_*), string what was left */
#define IT_CONTENT 0x8b /* bytes of a file; empty: its end */
#define IT_FATAL 0x8c   /* string message: the supervisor leaves */
#define IT_MESSAGE 0x8d /* u32 connection, bytes: a piece of what a process of the run says to the client; none: the connection is over */
#define IT_TOLD 0x8e    /* u32 connection, u32 bytes of IT_TELL, and 4 for each, that went to it */
#define IT_FALLEN 0x8f  /* i32 exit code (-1: by a signal), u32 signal, u32 processes of the container that were killed for memory, u32 0 */
#define IT_DELAYED 0x90 /* u64 time in us for which the processes of a side run that live have waited for a processor so far; 0: not known */

/*
 * Whether programs run in a box (box.c): asked for by the supervisor's first argument. After a step that failed the supervisor
 * leaves: it runs no program outside of a box in such a container.
 */
#define IT_BOX_NONE 0       /* none was asked for */
#define IT_BOX_MADE 1       /* the container has boxes */
#define IT_BOX_USER 2       /* a user namespace */
#define IT_BOX_IDS 3        /* its ids */
#define IT_BOX_NAMESPACES 4 /* those for processes, files and the network */
#define IT_BOX_FILES 5      /* new files */
#define IT_BOX_PROC 6       /* a new /proc */
#define IT_BOX_MASKS 7      /* what is hidden of /proc and /sys */
#define IT_BOX_NETWORK 8    /* the loopback interface */
#define IT_BOX_POWERS 9     /* fewer capabilities */
#define IT_BOX_FILTER 10    /* the second filter of system calls */
#define IT_BOX_SUPERVISOR 11 /* whatever else a supervisor needs */
#define IT_BOX_MOUNT 12     /* a file or directory that the caller mounts */

/*
 * IT_EXIT: u32 outcome, i32 exit code (-1 when a signal ended it), u32 signal (0: none), u32 flags (IT_EXIT_*),
 * u64 wall time in us, u64 cpu time in us, u64 peak memory in bytes, u32 oom kills, u32 0.
 */
#define IT_EXITED 0       /* by itself: an exit code or a signal */
#define IT_TIMEOUT 1
#define IT_OUTPUT_LIMIT 2
#define IT_KILLED 3       /* by IT_KILL */
#define IT_EXIT_UNCLEAN 1u /* something outlived the kill: discard the container */

/* why something was refused */
#define IT_WHY_PUT 1      /* a file could not be written */
#define IT_WHY_PROGRAM 2  /* the program or interpreter could not be started */
#define IT_WHY_CWD 3      /* the working directory could not be entered */
#define IT_WHY_GET 4      /* a file could not be read */
#define IT_WHY_RESOURCE 5 /* no process, descriptor or memory left in the container */
#define IT_WHY_NEED 6     /* an entry of the store is missing; the subject is its key */
#define IT_WHY_STORE 7    /* the store could not be changed */

/* how a reset went */
#define IT_CLEAN_OK 0
#define IT_CLEAN_PROCESSES 1 /* something outlived the kill */
#define IT_CLEAN_FILES 2     /* a writable mount is not back at its baseline */
#define IT_CLEAN_SOCKETS 3   /* a socket outlived its process */
#define IT_CLEAN_MOUNT 4     /* no box for the next run: a mount of the caller cannot be made again */

/*
 * Every process of a run may connect to the abstract local socket IT_MESSAGES, up to 64 at a time, and send pieces: u32
 * length, 1 to IT_MESSAGE_SIZE, and that many bytes. Each becomes one IT_MESSAGE with the number of its connection, the
 * run's first being 1, behind all that was in the program's pipes when it came whole, and is answered with u32 0 then.
 * With IT_MESSAGE_HELD added to its length it may wait a millisecond for what follows it, so that both travel together.
 * With IT_MESSAGE_SILENT it is not answered.
 * When a connection is over that has sent a piece, an IT_MESSAGE without bytes tells it. Pieces are claims of the
 * program, like its output.
 *
 * A piece of IT_TELL is sent to its connection as u32 length with IT_MESSAGE_TOLD added, and that many bytes. IT_TOLD tells that they went there,
 * at the latest when half of the window did. A connection that nobody reads stops only what is told to itself.
 *
 * The pieces of the Python package interpreter_tools_display: u8 kind ('d': a display), u8 more (1: the next piece of
 * this connection goes on with it), bytes of JSON.
 */
#define IT_MESSAGES "interpreter-tools"
#define IT_MESSAGE_SIZE 65000 /* bytes */
#define IT_MESSAGE_SILENT 0x20000000u /* added to the length of a piece whose answer nobody waits for */
#define IT_MESSAGE_HELD 0x40000000u /* added to the length of a piece that another one follows at once */
#define IT_MESSAGE_TOLD 0x80000000u /* added to the length of what comes from the client; an answer has none */

#define IT_HAND_OVER_MERGED 0x80000000u /* no uid is that large */

/*
 * The hand-over to a booted interpreter, on its descriptor 3 (a stream socket, closed before any user code runs):
 * u32 length of the rest, u32 uid, u32 supplementary group (0: none), then NUL-terminated strings: the working directory, argc in decimal, argv (argv[0] is the
 * code file), then the environment as NAME=value until the end. It closes descriptor 3 and runs the code. With
 * IT_HAND_OVER_MERGED in the uid it first puts descriptor 1 in the place of 2.
 *
 * An IT_BOOT_SINGLE interpreter is started as the run's user and holds the program's stdin, stdout and stderr from the start. It
 * writes one byte 'r' to descriptor 3 when it is ready.
 *
 * An IT_BOOT_FORK interpreter holds /dev/null as 0, 1, 2 and a SOCK_SEQPACKET socket as 3. It sends 'r', and up to
 * 1024 bytes for IT_READY, when it is ready. Then it serves one packet at a time: 'f' with four descriptors
 * (SCM_RIGHTS: stdin, stdout, stderr, hand-over) forks a child that makes them its 0, 1, 2, 3, waits on 3 as above
 * and then switches to the uid. With three or four more (a box: its namespaces of processes, of files, of the network, a Landlock
 * ruleset) the child enters them first, keeps no capability but to switch its ids, and installs the filter that the variable
 * INTERPRETER_TOOLS_BOX holds in hexadecimal digits. The pid is then that in the box. One that cannot
 * enter sends 'n' instead of 'r'. It answers 'e' and i32 errno; or 'p' and i32 pid, and when the child has ended 's',
 * i32 wait status, u64 cpu time in us, u64 peak resident memory in KiB.
 */
#endif
