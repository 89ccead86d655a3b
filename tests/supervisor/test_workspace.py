"""Files in, files out, and what a run is said to have changed."""

from __future__ import annotations

import errno
import os
from typing import NamedTuple

import pytest

from interpreter_tools._protocol import Content, Files, Ready, Refused, encode
from interpreter_tools._protocol.constants import HEADER_SIZE, Frame, Why
from tests.supervisor.harness import PATIENCE, PYTHON, UID, WORKSPACE, Supervisor


class Got(NamedTuple):
    """What a read brought."""

    data: bytes
    refused: Refused | None = None


def get(supervisor: Supervisor, path: bytes, *, uid: int = UID, offset: int = 0, count: int = (1 << 63) - 1) -> Got:
    """Read a file."""
    supervisor.send(supervisor.connection.get(path, uid=uid, offset=offset, count=count))
    data = bytearray()
    while True:
        event = supervisor.wait(Content, Refused)
        if isinstance(event, Refused):
            return Got(bytes(data), event)
        if not event.data:
            return Got(bytes(data))
        data += event.data


def listed(supervisor: Supervisor) -> tuple[dict[bytes, int], bool]:
    """Every file below the workspace, and whether there are more."""
    supervisor.send(supervisor.connection.list_files())
    supervisor.wait(Ready)
    files = [event for event in supervisor.skipped if isinstance(event, Files)]
    return {path: size for event in files for size, path in event.entries}, any(event.partial for event in files)


# -- in


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 1_000_000])
def test_file_arrives_whole(idle: Supervisor, size: int) -> None:
    """Of any size, in as many frames as it takes."""
    data = os.urandom(size)
    idle.put(b"in/deep/er/data.bin", data)
    assert idle.sync() == Ready()
    assert get(idle, b"in/deep/er/data.bin") == Got(data)


def test_file_belongs_to_the_user(idle: Supervisor) -> None:
    """With the mode that was asked for; directories on the way are its own too."""
    idle.put(b"dir/tool", b"#!/bin/sh\necho tool\n", mode=0o750)
    ran = idle.shell("stat -c '%u %g %a' dir dir/tool; dir/tool")
    assert ran.stdout.decode() == f"{UID} {UID} 755\n{UID} {UID} 750\ntool\n"


def test_put_replaces_contents_and_mode(idle: Supervisor) -> None:
    """A shorter file leaves nothing of the longer one."""
    idle.put(b"a", b"a long text")
    idle.put(b"a", b"short", mode=0o600)
    assert idle.shell("stat -c '%a %s' a").stdout == b"600 5\n"


BAD_PATHS = [
    *(b"", b"/", b"/etc/passwd", b".", b"..", b"../x", b"a/../../x", b"a/..", b"a/.", b"a//b", b"a/"),
    b"x" * 256,
    b"/".join([b"x" * 200] * 21),
]


@pytest.mark.parametrize("path", BAD_PATHS)
def test_paths_that_could_lead_out_are_refused(idle: Supervisor, path: bytes) -> None:
    """The client does not send them; were it tricked into it, they would not work."""
    idle.put(path, b"x")
    assert idle.sync() == Refused(Why.PUT, errno.EINVAL, path[:4096])
    assert get(idle, path).refused == Refused(Why.GET, errno.EINVAL, path[:4096])
    idle.alive()


@pytest.mark.parametrize("name", [b"..cache", b"...", b"-rf", b"a\\b", b" ", b"\xff\xfe", b"a\nb", b"x" * 255, b"*"])
def test_unusual_names_are_names(idle: Supervisor, name: bytes) -> None:
    """Written, run upon, listed and read like any others."""
    idle.put(b"in/" + name, b"1")
    ran = idle.run([PYTHON, "-c", f"import os; os.mkdir('out'); open(b'out/' + {name!r}, 'w').write('22')"])
    assert ran.files == {b"out/" + name: 2}
    assert listed(idle) == ({b"in/" + name: 1, b"out/" + name: 2}, False)
    assert get(idle, b"out/" + name) == Got(b"22")


def test_first_error_of_a_put_is_told_once(idle: Supervisor) -> None:
    """At the next start, which is then refused, or sync; what follows it is not written until then."""
    idle.put(b"before", b"")
    idle.put(b"../1", b"")
    idle.put(b"../2", b"x" * 100_000)
    idle.put(b"behind", b"")
    assert idle.refusal(["true"]) == Refused(Why.PUT, errno.EINVAL, b"../1")
    idle.put(b"later", b"")
    assert idle.sync() == Ready()
    assert idle.run(["ls"]).stdout == b"before\nlater\n"


def test_put_that_is_given_up_is_not_told_of(idle: Supervisor) -> None:
    """Neither its error nor a half of it is left."""
    for path in (b"../refused", b"half"):
        idle.send(idle.connection.open_put(path, uid=UID))
        idle.send(idle.connection.close_put(whole=False))
    assert idle.sync() == Ready()
    assert idle.run(["ls"]).stdout == b""


def test_full_workspace_is_an_error_of_the_put(idle: Supervisor) -> None:
    """What there was before stays readable, and the half of the file does not keep the rest of the room."""
    idle.put(b"before", b"1")
    idle.shell(f"head -c 255m /dev/zero > {WORKSPACE}/filler")
    idle.put(b"large", b"x" * (2 << 20))
    assert idle.sync() == Refused(Why.PUT, errno.ENOSPC, b"large")
    assert get(idle, b"before") == Got(b"1")
    assert b"large" not in listed(idle)[0]
    idle.put(b"fits", b"x" * (1 << 19))
    assert idle.sync() == Ready()


def test_put_never_follows_what_a_program_planted(idle: Supervisor) -> None:
    """Links of every kind, FIFOs and directories are refused; nothing outside is touched, nothing hangs."""
    idle.shell(
        "ln -s /tmp/outside link; ln -s /tmp dirlink; ln -s link2 link1; ln -s link1 link2; mkfifo fifo; mkdir dir;"
        "echo ro > readonly; chmod 400 readonly; mkdir locked; chmod 500 locked; echo > file"
    )
    for path, error in {
        b"link": errno.ELOOP,
        b"dirlink/outside": errno.ENOTDIR,
        b"link1": errno.ELOOP,
        b"fifo": errno.ENXIO,
        b"dir": errno.EISDIR,
        b"readonly": errno.EACCES,
        b"locked/new": errno.EACCES,
        b"file/below": errno.ENOTDIR,
    }.items():
        idle.put(path, b"x")
        assert idle.sync() == Refused(Why.PUT, error, path)
    assert idle.run(["ls", "/tmp"]).stdout == b"home\n"


def test_file_of_another_user_is_out_of_reach(idle: Supervisor) -> None:
    """Files are touched with the user's own identity, not with root's."""
    idle.put(b"private", b"1", uid=UID + 1, mode=0o600)
    idle.put(b"private", b"2")
    assert idle.sync() == Refused(Why.PUT, errno.EACCES, b"private")
    assert get(idle, b"private").refused == Refused(Why.GET, errno.EACCES, b"private")
    assert get(idle, b"private", uid=UID + 1) == Got(b"1")


# -- out


@pytest.mark.parametrize(
    ("offset", "count", "expected"),
    [
        (0, 0, b""),
        (0, 1, b"0"),
        (3, 4, b"3456"),
        (9, 100, b"9"),
        (10, 1, b""),
        (1 << 62, 1, b""),
        ((1 << 63) - 1, (1 << 64) - 1, b""),
        (5, (1 << 64) - 1, b"56789"),
    ],
)
def test_ranges(idle: Supervisor, offset: int, count: int, expected: bytes) -> None:
    """A part of a file; beyond its end there is nothing."""
    idle.put(b"digits", b"0123456789")
    assert get(idle, b"digits", offset=offset, count=count) == Got(expected)


def test_read_never_follows_what_a_program_planted(idle: Supervisor) -> None:
    """Neither links nor FIFOs, devices, sockets or directories."""
    idle.python(
        "import os, socket\nos.symlink('/proc/1/environ', 'environ')\nos.symlink('/proc/1', 'proc')\n"
        "os.mkfifo('fifo')\n"
        "os.mkdir('dir')\nsocket.socket(socket.AF_UNIX).bind('socket')\nos.symlink('/dev/zero', 'zero')"
    )
    for path, error in {
        b"environ": errno.ELOOP,
        b"proc/environ": errno.ENOTDIR,
        b"zero": errno.ELOOP,
        b"fifo": errno.ENXIO,
        b"socket": errno.ENXIO,
        b"dir": errno.EISDIR,
        b"missing": errno.ENOENT,
        b"missing/below": errno.ENOENT,
    }.items():
        assert get(idle, path).refused == Refused(Why.GET, error, path)


def test_huge_sparse_file_is_read_in_part(idle: Supervisor) -> None:
    """A size is only a number; nothing is allocated for it."""
    idle.shell("truncate -s 1T huge")
    assert get(idle, b"huge", offset=1 << 39, count=5) == Got(bytes(5))


def test_requests_sent_together_are_answered_in_order(idle: Supervisor) -> None:
    """Also behind a read that needs many frames. Our own client never does this, so the frames are told apart here."""
    idle.put(b"a", b"a" * 300_000)
    idle.put(b"b", b"b")
    requests = [encode.get(path, uid=UID, offset=0, count=1 << 62) for path in (b"a", b"b", b"missing", b"a")]
    idle.send(b"".join(requests))
    received, frames = b"", list[tuple[int, bytes]]()
    while sum(not payload or kind == Frame.REFUSED for kind, payload in frames) < len(requests):
        assert idle._ready(write=False, timeout=PATIENCE)[0]
        received += os.read(idle._stdout, 1 << 16)
        while len(received) >= HEADER_SIZE + (length := int.from_bytes(received[:4], "little")):
            frames.append((received[4], received[HEADER_SIZE : HEADER_SIZE + length]))
            received = received[HEADER_SIZE + length :]
    kinds = [(kind, bool(payload)) for kind, payload in frames]
    many = [(Frame.CONTENT, True)] * (len(kinds) // 2 - 2)
    one, end, refused = (Frame.CONTENT, True), (Frame.CONTENT, False), (Frame.REFUSED, True)
    assert kinds == [*many, end, one, end, refused, *many, end]
    content = b"".join(payload for kind, payload in frames if kind == Frame.CONTENT)
    assert content == b"a" * 300_000 + b"b" + b"a" * 300_000


def test_large_file_flows_to_its_end(idle: Supervisor) -> None:
    """However reading and writing fall together: room in the pipe is all that it waits for."""
    idle.python("open('large', 'wb').truncate(200 << 20)")
    for _ in range(5):
        assert len(get(idle, b"large").data) == 200 << 20


def test_swapped_directory_leads_nowhere(idle: Supervisor) -> None:
    """A program that swaps a directory for a link while files are written and read gains nothing by it."""
    code = (
        "os.mkdir('real'); os.symlink('/tmp', 'other'); os.write(1, b'.')\n"
        "while True:\n"
        "    os.rename('real', 'path'); os.rename('path', 'real')\n"
        "    os.rename('other', 'path'); os.rename('path', 'other')\n"
    )
    # The race needs a program that runs while files move, which one conversation does not allow: it is another one,
    # in the same namespaces, that plays the program.
    with idle.intruder([PYTHON, "-c", f"import os; os.chdir({WORKSPACE!r}); os.setuid({UID})\n{code}"]):
        outcomes: set[int] = set()
        for _ in range(300):
            idle.put(b"path/planted", b"x")
            answer = idle.sync()
            outcomes.add(answer.errno if isinstance(answer, Refused) else 0)
    assert outcomes <= {0, errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EEXIST}
    assert idle.run(["ls", "/tmp"]).stdout == b"home\n"


# -- lists


def test_changed_files_are_listed_and_others_not(idle: Supervisor) -> None:
    """New ones, longer ones, ones rewritten with as many bytes, ones made by a rename; sizes are those at the end."""
    for name in (b"untouched", b"grown", b"rewritten", b"sub/rewritten", b"read", b"removed", b"moved"):
        idle.put(name, b"before")
    ran = idle.shell(
        "echo more >> grown; printf 'after!' > rewritten; printf 'after!' > sub/rewritten; cat read; rm removed;"
        "mv moved renamed; mkdir -p a/b/c; echo new > a/b/c/new; : > empty; ln -s new link; mkfifo fifo; ln empty hard"
    )
    assert ran.files == {
        b"grown": 11,
        b"rewritten": 6,
        b"sub/rewritten": 6,
        b"renamed": 6,
        b"a/b/c/new": 4,
        b"empty": 0,
        b"hard": 0,
    }
    assert not ran.partial


def test_each_run_is_asked_for_its_own_changes(idle: Supervisor) -> None:
    """However fast the runs follow each other."""
    for number in range(20):
        assert idle.shell(f"echo > f{number}").files == {b"f%d" % number: 1}
        assert idle.run(["true"]).files == {}


def test_many_puts_before_a_run_are_not_its_doing(idle: Supervisor) -> None:
    """More than the supervisor remembers one by one."""
    for number in range(1500):
        idle.put(b"in/%d" % number, b"x")
    assert idle.shell("echo yy > in/7").files == {b"in/7": 3}


def test_deep_directories_are_listed_in_part(idle: Supervisor) -> None:
    """Down to a depth, and it is said that there is more."""
    ran = idle.shell("mkdir -p $(seq -s/ 1 100); echo > $(seq -s/ 1 100)/a")
    assert (len(ran.files), ran.partial) == (1, False)
    ran = idle.shell("cd $(seq -s/ 1 100); mkdir -p $(seq -s/ 1 100); echo > $(seq -s/ 1 100)/b; echo > c")
    assert (len(ran.files), ran.partial) == (1, True)
    assert listed(idle)[1]


def test_many_files_are_listed_over_many_frames(idle: Supervisor) -> None:
    """Each once, with its size."""
    ran = idle.python("for i in range(20000):\n    with open(f'file-{i}', 'w') as file: file.write('x' * (i % 7))")
    assert ran.files == {b"file-%d" % i: i % 7 for i in range(20000)}
    assert listed(idle) == (ran.files, False)


def test_list_has_an_end(idle: Supervisor) -> None:
    """At 100,000 files, and it says so."""
    ran = idle.python("for i in range(100100): open(str(i), 'w').close()")
    assert (len(ran.files), ran.partial) == (100_000, True)


# -- what stands in the way


@pytest.mark.parametrize(
    "deed",
    [
        "echo mine > code; chmod 600 code",
        "mkfifo code",
        "ln -s /etc/passwd code",
        "ln -s code code",
        "mkdir -p code/a/b; echo mine > code/a/b/c; chmod 0 code/a code",
        "echo old > code; chmod 0 code",
        "python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"code\")'",
    ],
)
@pytest.mark.parametrize("other", ["", "mkdir .code", "mkfifo .code", "ln -s /etc/passwd .code", "echo x > .code"])
def test_code_takes_the_place_of_no_file(idle: Supervisor, deed: str, other: str) -> None:
    """Whatever a program left under its name stays; the code is run from beside it, and is gone then."""
    assert idle.shell(f"{deed}; {other}").exited.exit_code == 0
    before = idle.shell("ls -ld code; stat -c %i code").stdout
    for text in (b"echo $0 first\n", b"echo $0 second\n"):
        idle.send(idle.connection.put_for_run(b"code", text, uid=UID, is_code=True))
        ran = idle.run(["sh", f"{WORKSPACE}/code"])
        assert ran.stdout == f"{WORKSPACE}/.code ".encode() + text.split()[2] + b"\n"
        assert not any(path == b".code" for path in ran.files)
    assert idle.shell("ls -ld code; stat -c %i code").stdout == before
    assert idle.shell("test -f .code && echo there").stdout == b""


def test_code_is_gone_when_its_run_ends(idle: Supervisor) -> None:
    """And is in no list of files; a program sees it under its own name meanwhile."""
    for _ in range(2):
        idle.send(idle.connection.put_for_run(b"code", b"ls -A; echo $0\n", uid=UID, is_code=True))
        ran = idle.run(["sh", f"{WORKSPACE}/code"])
        assert ran.stdout == f"code\n{WORKSPACE}/code\n".encode()
        assert ran.files == {}
    assert idle.shell("ls -A").stdout == b""


@pytest.mark.parametrize("deed", ["echo more >> $0", "echo other > x; mv x $0", "ln $0 kept", "chmod +x $0"])
def test_file_that_a_program_made_of_its_code_stays(idle: Supervisor, deed: str) -> None:
    """It is the program's own now, and the next code is written beside it."""
    idle.send(idle.connection.put_for_run(b"code", f"{deed}\n".encode(), uid=UID, is_code=True))
    assert b"code" in idle.run(["sh", f"{WORKSPACE}/code"]).files
    idle.send(idle.connection.put_for_run(b"code", b"echo $0\n", uid=UID, is_code=True))
    assert idle.run(["sh", f"{WORKSPACE}/code"]).stdout == f"{WORKSPACE}/.code\n".encode()


def test_code_of_a_run_that_is_refused_is_gone(idle: Supervisor) -> None:
    """Its run never began."""
    idle.send(idle.connection.put_for_run(b"code", b"", uid=UID, is_code=True))
    idle.refusal(["no-such-program", f"{WORKSPACE}/code"])
    idle.send(idle.connection.put_for_run(b"code", b"", uid=UID, is_code=True))
    idle.refusal(["sh", f"{WORKSPACE}/code"], directory="/nowhere")
    assert idle.shell("ls -A").stdout == b""


def test_directory_in_the_way_of_hidden_code_keeps_its_files(idle: Supervisor) -> None:
    """They lie under another name then."""
    idle.shell("echo mine > code; mkdir .code; echo kept > .code/x")
    idle.send(idle.connection.put_for_run(b"code", b"echo ran\n", uid=UID, is_code=True))
    assert idle.run(["sh", f"{WORKSPACE}/code"]).stdout == b"ran\n"
    assert idle.shell("cat .code.*/x").stdout == b"kept\n"


@pytest.mark.parametrize("deed", ["mkfifo code", "mkdir code", "ln -s /etc/passwd code"])
def test_put_that_does_not_replace_is_refused(idle: Supervisor, deed: str) -> None:
    """A host's file is not meant to take the place of anything else."""
    idle.shell(deed)
    idle.put(b"code", b"")
    assert isinstance(idle.sync(), Refused)


# -- reads that fail


def test_read_error_concerns_that_file_alone(idle: Supervisor) -> None:
    """A disk or a server that fails is no reason to give up the container."""
    idle.put(b"broken", b"")
    code = "import subprocess; subprocess.run(['mount', '--bind', '/sys/class/net/lo/duplex', '%s'], check=True)"
    with idle.intruder([PYTHON, "-c", f"{code % f'{WORKSPACE}/broken'}; print(1, flush=True); input()"]):
        idle.send(idle.connection.get(b"broken", uid=UID))
        refused = idle.wait(Refused, Content)
        assert isinstance(refused, Refused)
        assert (refused.why, refused.subject) == (Why.GET, b"broken")
        assert refused.errno in {errno.EIO, errno.EINVAL}
        idle.alive()


# -- directories that are moved


def test_files_of_a_directory_that_was_moved_are_listed(idle: Supervisor) -> None:
    """Under their new names: for who looks for them, they are new."""
    idle.shell("mkdir -p a/b; echo x > a/x; echo y > a/b/y")
    assert idle.shell("mv a c").files == {b"c/x": 2, b"c/b/y": 2}
    assert idle.shell("true").files == {}
    assert idle.shell("mkdir new; mv c/b new/b").files == {b"new/b/y": 2}
    assert idle.shell("mv new/b c/b; rmdir new").files == {b"c/b/y": 2}


def test_files_that_stay_are_not_listed_for_what_happens_around_them(idle: Supervisor) -> None:
    """Beside new files, in a directory whose mode changes, or that went away and came back."""
    idle.put(b"in/given", b"")
    idle.shell("mkdir a; echo x > a/x")
    assert idle.shell("echo y > a/y; echo z > in/z; rm a/y; touch a").files == {b"in/z": 2}
    assert idle.shell("chmod 700 a; mv a b; mv b a").files == {}


def test_given_directory_that_was_moved_is_listed(idle: Supervisor) -> None:
    """Its files came from the client, under another name."""
    idle.put(b"in/given", b"12")
    assert idle.shell("sleep 0.02; mv in out").files == {b"out/given": 2}


def test_moves_are_seen_beyond_what_is_remembered(idle: Supervisor) -> None:
    """Of more directories than the supervisor remembers."""
    idle.shell("for i in $(seq 3000); do mkdir d$i; done; echo x > d1/x; echo y > d3000/y; echo z > d1500/z")
    moved = idle.shell("sleep 0.02; mv d1 e1; mv d3000 e3000; mv d1500 e1500").files
    assert moved == {b"e1/x": 2, b"e3000/y": 2, b"e1500/z": 2}
