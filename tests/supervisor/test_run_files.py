"""The files of a run that does not begin, and those that a run removes."""

from __future__ import annotations

import errno

import pytest

from interpreter_tools._container.file_list import FileList
from interpreter_tools._protocol import Files, Ready, Refused
from interpreter_tools._protocol.constants import Flag, Why
from tests.supervisor.harness import UID, WORKSPACE, Supervisor

_LOOK = "find . -printf '%p %y %s %m\\n' | sort; cat file kept/file; readlink link"
_MAKE = (
    "mkdir -p kept dir/below; echo old > file; echo old > kept/file; chmod 600 file; ln -s file link;"
    "echo x > dir/below/x; echo '#!/no/such/interpreter' > broken; chmod 755 broken"
)


def brought(supervisor: Supervisor, *, replaced: bytes = b"main") -> None:
    """Send the files of a run: new ones, ones that replace others, and its code."""
    connection = supervisor.connection
    for path in (b"new", b"a/b/c", b"a/b/d", b"kept/new", b"kept/file", b"file"):
        supervisor.send(connection.put_for_run(path, b"brought\n", uid=UID))
    supervisor.send(connection.put_for_run(replaced, b"code", uid=UID, is_code=True))


@pytest.mark.parametrize("code", [b"main", b"link", b"dir", b"kept/file"])
@pytest.mark.parametrize("cause", ["directory", "program", "file", "exec"])
def test_start_that_is_refused_leaves_no_file_behind(idle: Supervisor, cause: str, code: bytes) -> None:
    """What was there is there again, with its contents and mode, and no run has changed it."""
    before = idle.shell(f"{_MAKE}; {_LOOK}").stdout
    brought(idle, replaced=code)
    if cause == "file":
        idle.send(idle.connection.put_for_run(b"new/impossible", b"", uid=UID))
    program = {"program": "no-such-program", "exec": f"{WORKSPACE}/broken"}.get(cause, "true")
    idle.start([program], directory="/none" if cause == "directory" else "/")
    assert isinstance(idle.wait(Refused), Refused)
    ran = idle.shell(_LOOK)
    assert ran.stdout == before
    assert ran.files == {}


def test_start_that_is_accepted_keeps_its_files(idle: Supervisor) -> None:
    """The program sees them, and nothing of what they replaced."""
    idle.shell(_MAKE)
    brought(idle)
    ran = idle.shell("find . -type f | sort; cat file kept/file a/b/c main")
    names = "./a/b/c ./a/b/d ./broken ./dir/below/x ./file ./kept/file ./kept/new ./main ./new"
    assert ran.stdout.decode().split() == [*names.split(), "brought", "brought", "brought", "code"]
    assert ran.files == {}
    idle.start(["no-such-program"])
    idle.wait(Refused)
    assert idle.shell("cat file").stdout == b"brought\n"


def test_file_that_is_sent_between_runs_outlives_a_refusal(idle: Supervisor) -> None:
    """It is no file of the run."""
    idle.put(b"mine", b"1")
    assert idle.sync() == Ready()
    brought(idle)
    idle.put(b"also", b"2")
    idle.start(["true"], directory="/none")
    idle.wait(Refused)
    assert idle.shell("cat *").stdout == b"21"


def test_full_workspace_refuses_a_run_and_keeps_what_it_had(idle: Supervisor) -> None:
    """The old contents are there still when there is no room for the new ones."""
    idle.shell("echo old > file; echo code > main; head -c 255m /dev/zero > filler")
    idle.send(idle.connection.put_for_run(b"main", b"other", uid=UID, is_code=True))
    for path in (b"file", b"second", b"third"):
        idle.send(idle.connection.put_for_run(path, bytes(1 << 20), uid=UID))
    idle.start(["true"])
    refused = idle.wait(Refused)
    assert (refused.why, refused.errno) == (Why.PUT, errno.ENOSPC)
    assert idle.shell("cat file main; ls -A | wc -l").stdout == b"old\ncode\n3\n"


@pytest.mark.parametrize(
    ("deed", "gone"),
    [
        ("true", set[str]()),
        ("rm a", {"a"}),
        ("mv a e", {"a"}),
        ("rm d/b", {"d/b"}),
        ("rm -r d", {"d/b", "d/c/d"}),
        ("mv d e", {"d/b", "d/c/d"}),
        ("mv d/c d/e", {"d/c/d"}),
        ("mv d/c .", {"d/c/d"}),
        ("mv d e; mkdir d; echo > d/b", {"d/c/d"}),
        ("rm -r d/c; echo > new", {"d/c/d"}),
        ("rm a; echo again > a", set[str]()),
        ("echo more >> d/b; touch -d yesterday d a", set[str]()),
        ("rm d/c/d; touch -d yesterday d/c", {"d/c/d"}),
    ],
)
def test_files_that_a_run_removes_are_known(idle: Supervisor, deed: str, gone: set[str]) -> None:
    """By the list of what it has left alone: removed, renamed, or under a directory that was moved."""
    made = idle.shell("mkdir -p d/c; echo > a; echo > d/b; echo > d/c/d").files
    assert {path.decode() for path in made} == {"a", "d/b", "d/c/d"}
    idle.shell("true")
    ran = idle.shell(deed, flags=Flag.LIST)
    files = FileList()
    files.tells_unchanged = True
    for event in idle.skipped:
        if isinstance(event, Files):
            files.add(event)
    assert files.gone(("a", "d/b", "d/c/d")) == gone
    if "mv d e" in deed:
        assert {b"e/b", b"e/c/d"} <= ran.files.keys()
