"""The dependency store: entries that a run needs, and how an installer makes them."""

from __future__ import annotations

import errno
import json
import time
from typing import TYPE_CHECKING, Literal

import pytest

from interpreter_tools._protocol import Ready, Refused, Stored, encode
from interpreter_tools._protocol.constants import Flag, Frame, Why
from tests.supervisor.harness import MOUNTS, POWERS, STORE, UID, Supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = "0123456789abcdef" * 4
OTHER = "f" * 64
STAGED = f"{STORE}/.{KEY}/target"


def make_installer(binary: Path) -> Supervisor:
    """One that also may give files away."""
    mounts = (f"store={STORE}", *MOUNTS)
    return Supervisor(binary, mounts=mounts, tmpfs=(*MOUNTS, STORE), powers=f"{POWERS},+chown")


@pytest.fixture
def installer(binary: Path) -> Iterator[Supervisor]:
    """A supervisor whose store can be written."""
    with make_installer(binary) as supervisor:
        supervisor.boot()
        yield supervisor


def ask(supervisor: Supervisor, request: bytes) -> Ready | Refused:
    """The answer to one request."""
    supervisor.send(request)
    return supervisor.wait(Ready, Refused)


def stage(supervisor: Supervisor, key: str = KEY, *, uid: int = UID) -> None:
    """Begin an entry."""
    assert ask(supervisor, supervisor.connection.stage(key, uid=uid)) == Ready()


def publish(supervisor: Supervisor, key: str = KEY, manifest: bytes = b"{}") -> Ready | Refused:
    """End one."""
    return ask(supervisor, supervisor.connection.publish(key, manifest))


def evict(supervisor: Supervisor, name: str = KEY) -> Ready | Refused:
    """Remove one."""
    return ask(supervisor, supervisor.connection.evict(name))


def entries(supervisor: Supervisor) -> dict[str, Stored]:
    """What the store holds, by name."""
    assert ask(supervisor, supervisor.connection.entries()) == Ready()
    return {event.name: event for event in supervisor.skipped if isinstance(event, Stored)}


def fill(supervisor: Supervisor, script: str = "echo x > x", key: str = KEY) -> None:
    """Stages an entry and fills it as the user."""
    stage(supervisor, key)
    assert supervisor.shell(script, directory=f"{STORE}/.{key}/target").exited.exit_code == 0


def need(supervisor: Supervisor, key: str = KEY, *, link: str = "", path: str = "") -> None:
    """Say that the next run needs an entry."""
    supervisor.send(supervisor.connection.need(key, link=link, path=path))


# -- what a run needs


def test_missing_entry_refuses_the_start(installer: Supervisor) -> None:
    """By its key, once; the next start works."""
    need(installer)
    refused = installer.refusal(["true"])
    assert refused == Refused(Why.NEED, errno.ENOENT, KEY.encode())
    installer.alive()


def test_missing_entry_is_told_by_sync(installer: Supervisor) -> None:
    """The first of several; a file behind it is not written, and refused at no later request."""
    need(installer, OTHER)
    need(installer)
    installer.put(b"../x", b"")
    installer.put(b"y", b"")
    assert installer.sync() == Refused(Why.NEED, errno.ENOENT, OTHER.encode())
    assert installer.sync() == Ready()
    assert installer.shell("ls -A").stdout == b""


def test_without_a_store_every_entry_is_missing(idle: Supervisor) -> None:
    """And nothing can be staged."""
    need(idle)
    assert idle.sync() == Refused(Why.NEED, errno.ENOENT, KEY.encode())
    answer = ask(idle, idle.connection.stage(KEY, uid=UID))
    assert isinstance(answer, Refused)
    assert answer.why is Why.STORE
    assert isinstance(ask(idle, idle.connection.entries()), Refused)
    idle.alive()


def test_published_entry_serves_a_run(installer: Supervisor) -> None:
    """Any user reads it; it is root's."""
    fill(installer, "mkdir -p a/b; echo deep > a/b/c; chmod 600 a/b/c; echo tool > tool; chmod 700 tool; chmod 700 a")
    assert publish(installer) == Ready()
    need(installer)
    ran = installer.shell(f"cd {STORE}/{KEY}; cat a/b/c; stat -c '%u %a %n' . a a/b a/b/c tool", uid=UID + 1)
    assert ran.stdout.decode() == "deep\n0 755 .\n0 755 a\n0 755 a/b\n0 644 a/b/c\n0 755 tool\n"


def test_link_leads_to_the_entry_while_the_run_lasts(installer: Supervisor) -> None:
    """It is the user's own, no generated file, and gone for the next run."""
    fill(installer, "mkdir m; echo module > m/x")
    publish(installer)
    need(installer, link="node_modules", path="m")
    ran = installer.shell("cat node_modules/x; stat -c %u node_modules; echo y > y")
    assert ran.stdout.decode() == f"module\n{UID}\n"
    assert list(ran.files) == [b"y"]
    assert installer.shell("ls -A").stdout == b"y\n"


@pytest.mark.parametrize("script", ["mkdir node_modules; echo own > node_modules/x", "ln -s nowhere node_modules"])
def test_link_spares_what_is_there(installer: Supervisor, script: str) -> None:
    """A directory of that name is the user's own, and stays."""
    fill(installer)
    publish(installer)
    installer.shell(script)
    need(installer, link="node_modules")
    assert installer.shell("stat -c %F node_modules").stdout in {b"directory\n", b"symbolic link\n"}
    assert installer.shell("ls -A").stdout == b"node_modules\n"


def test_link_that_the_program_replaced_stays(installer: Supervisor) -> None:
    """It is another one by then."""
    fill(installer)
    publish(installer)
    need(installer, link="l")
    installer.shell("rm l; echo mine > l")
    assert installer.shell("cat l").stdout == b"mine\n"


def test_link_is_not_made_for_a_refused_start(installer: Supervisor) -> None:
    """Nor for the run after it."""
    fill(installer)
    publish(installer)
    need(installer, link="l")
    installer.refusal(["no-such-program"])
    assert installer.shell("ls -A").stdout == b""
    need(installer, OTHER, link="l")
    installer.refusal(["true"])
    assert installer.shell("ls -A").stdout == b""


@pytest.mark.parametrize("key", ["", KEY[:-1], KEY + "0", "../" + KEY, KEY.upper(), "." + KEY])
@pytest.mark.parametrize("what", ["need", "stage", "publish", "evict"])
def test_what_is_not_a_key_ends_the_conversation(
    binary: Path, key: str, what: Literal["need", "stage", "publish", "evict"]
) -> None:
    """A client that sends one is broken."""
    if what == "evict" and key == "." + KEY:
        return  # a leftover's name
    name = key.encode()
    frames = {
        "need": lambda: encode.need(name, b"", b""),
        "stage": lambda: encode.stage(name, uid=UID),
        "publish": lambda: encode.publish(name, b""),
        "evict": lambda: encode.evict(name),
    }
    with make_installer(binary) as supervisor:
        supervisor.boot()
        supervisor.send(frames[what]())
        assert supervisor.fatal().startswith("protocol: ")


@pytest.mark.parametrize(("link", "path"), [("a/b", ""), ("..", ""), (".", ""), ("a", "../x"), ("x" * 256, "")])
def test_link_that_leads_out_ends_the_conversation(installer: Supervisor, link: str, path: str) -> None:
    """One name in the workspace, a path beneath the entry."""
    need(installer, link=link, path=path)
    assert installer.fatal().startswith("protocol: a ")


def test_stage_as_root_ends_the_conversation(installer: Supervisor) -> None:
    """The image's own users fill nothing."""
    installer.send(encode.stage(KEY.encode(), uid=0))
    assert installer.fatal() == "protocol: a stage as uid 0"


# -- how an entry is made


def test_stage_gives_the_user_a_place_and_nothing_else(installer: Supervisor) -> None:
    """Neither the store's root nor another's staging directory, nor an entry."""
    fill(installer, key=OTHER)
    assert publish(installer, OTHER) == Ready()
    third = "a" * 64
    stage(installer, third, uid=UID + 7)
    stage(installer)
    ran = installer.shell(
        f"""
        cd {STAGED} && touch ok ../tmp/ok && echo own
        for path in {STORE}/x {STORE}/{OTHER}/y {STORE}/.{third}/target/z {STORE}/{OTHER}/x; do
            touch $path 2>/dev/null && echo wrote $path
        done
        ls {STORE} 2>/dev/null && echo listed
        ls {STORE}/.{third} 2>/dev/null && echo listed
        mv {STORE}/.{KEY} {STORE}/{KEY} 2>/dev/null && echo published
        rm -rf {STORE}/{OTHER} 2>/dev/null; cat {STORE}/{OTHER}/x
        """
    )
    assert ran.stdout.decode() == "own\nx\n"


def test_stage_begins_afresh(installer: Supervisor) -> None:
    """What an earlier attempt left is gone, however deep."""
    fill(installer, "for i in $(seq 300); do mkdir d && cd d; done; echo x > x")
    stage(installer)
    assert installer.shell(f"ls -A {STAGED} {STAGED}/../tmp").stdout.split() == [
        f"{STAGED}:".encode(),
        f"{STAGED}/../tmp:".encode(),
    ]


def test_publish_without_a_stage_is_refused(installer: Supervisor) -> None:
    """And nothing is there then."""
    assert publish(installer) == Refused(Why.STORE, errno.ENOENT, KEY.encode())
    assert entries(installer) == {}


def test_publish_of_what_is_there_keeps_the_first(installer: Supervisor) -> None:
    """Somebody else was faster: the same thing, so it counts as done."""
    fill(installer, "echo first > x")
    publish(installer)
    fill(installer, "echo second > x")
    assert publish(installer) == Ready()
    assert installer.shell(f"cat {STORE}/{KEY}/x").stdout == b"first\n"
    assert list(entries(installer)) == [KEY]


@pytest.mark.parametrize(
    "script",
    [
        "cd ..; rmdir target; ln -s /mnt/workspace target",
        "cd ..; rmdir target; echo > target",
        "cd ..; rmdir target",
        "for i in $(seq 200); do mkdir d && cd d; done",
        "mkdir .interpreter-tools.json",
        "echo forged > .interpreter-tools.json",
        "ln -s /etc/passwd .interpreter-tools.json",
    ],
)
def test_publish_refuses_what_is_not_a_plain_tree(installer: Supervisor, script: str) -> None:
    """A hostile package planted it: no entry, and nothing left of it."""
    fill(installer, script)
    answer = publish(installer)
    assert isinstance(answer, Refused)
    assert answer.why is Why.STORE
    assert entries(installer) == {}


def test_publish_takes_powers_and_special_files(installer: Supervisor) -> None:
    """No set-uid bit, no FIFO; a link stays a link, and what it leads to is not touched."""
    installer.shell("echo victim > victim; chmod 600 victim")
    fill(installer, "cp /bin/true t; chmod 6777 t; mkfifo f; ln -s /mnt/workspace/victim l; ln -s /mnt/workspace d")
    assert publish(installer) == Ready()
    ran = installer.shell(f"cd {STORE}/{KEY}; ls -A; stat -c '%a %u' t; stat -c '%a %u' /mnt/workspace/victim")
    assert ran.stdout.decode() == f".interpreter-tools.json\nd\nl\nt\n755 0\n600 {UID}\n"


# -- what is in the store


def test_entries_tell_size_time_and_manifest(installer: Supervisor) -> None:
    """Of what is being staged too."""
    manifest = json.dumps({"language": "python"}).encode()
    fill(installer, "head -c 100000 /dev/zero > zero")
    publish(installer, manifest=manifest)
    stage(installer, OTHER)
    found = entries(installer)
    assert set(found) == {KEY, f".{OTHER}"}
    assert 100_000 <= found[KEY].size < 200_000
    assert found[KEY].manifest == manifest
    assert abs(found[KEY].modified - time.time()) < 60
    assert found[f".{OTHER}"].manifest == b""


def test_removal_is_whole_wherever_its_steps_end(binary_of_short_steps: Path) -> None:
    """Of an entry, of a place that was staged before, and of a workspace."""
    tree = "for i in $(seq 100); do mkdir d && cd d && touch a b c; done"
    with make_installer(binary_of_short_steps) as installer:
        installer.boot()
        for _ in range(5):
            fill(installer, tree)
        assert publish(installer) == Ready()
        assert evict(installer) == Ready()
        assert entries(installer) == {}
        assert installer.shell(tree).exited.exit_code == 0
        assert installer.reset(deadline=30) == ""


def test_evicted_entry_is_gone(installer: Supervisor) -> None:
    """With all that is in it; a second time is no error."""
    fill(installer, "for i in $(seq 100); do mkdir d && cd d && touch a b c; done")
    publish(installer)
    assert evict(installer) == Ready()
    assert evict(installer) == Ready()
    assert entries(installer) == {}
    need(installer)
    assert installer.refusal(["true"]).why is Why.NEED


def test_leftover_is_evicted_by_its_name(installer: Supervisor) -> None:
    """Of an install that was killed."""
    fill(installer)
    assert evict(installer, f".{KEY}") == Ready()
    assert entries(installer) == {}


def test_entry_that_was_half_removed_is_no_entry(installer: Supervisor) -> None:
    """Its name tells; the next eviction removes it."""
    fill(installer)
    publish(installer)
    assert installer.shell("true", flags=Flag(0)).exited.exit_code == 0
    with installer.intruder(
        ["sh", "-c", f"mv {STORE}/{KEY} {STORE}/-{KEY}; echo x; sleep 100"], namespaces=("--mount",)
    ):
        assert set(entries(installer)) == {f"-{KEY}"}
    assert evict(installer, f"-{KEY}") == Ready()
    assert entries(installer) == {}


def test_store_that_cannot_be_written_refuses(binary: Path) -> None:
    """A read-only one, as every sandbox has it."""
    with Supervisor(binary, mounts=("store=/proc", *MOUNTS)) as supervisor:
        supervisor.boot()
        answer = ask(supervisor, supervisor.connection.stage(KEY, uid=UID))
        assert isinstance(answer, Refused)
        assert answer.why is Why.STORE
        supervisor.alive()


def test_requests_while_a_program_runs_end_the_conversation(installer: Supervisor) -> None:
    """A program and an eviction at once would be a client's mistake."""
    installer.start(["sleep", "100"])
    installer.send(encode.frame(Frame.ENTRIES))
    assert "while running" in installer.fatal()


def test_large_entry_is_removed_in_steps(installer: Supervisor) -> None:
    """Whatever takes long is a phase: the client that leaves meanwhile is noticed."""
    fill(installer, "mkdir -p a/b; cd a/b; for i in $(seq 3000); do : > $i; done; mkdir -p x/y/z")
    publish(installer)
    assert ask(installer, installer.connection.evict(KEY)) == Ready()
    assert entries(installer) == {}
    fill(installer, "for i in $(seq 3000); do : > $i; done")
    publish(installer)
    installer.send(installer.connection.evict(KEY))
    assert installer.leave() == 0
