"""Conversations with a supervisor that have come so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpreter_tools._protocol import Connection, Fatal, Files, Output, Reset, Start, State
from interpreter_tools._protocol.constants import BootMode
from interpreter_tools.testing.wire import HELLO, UID, encode, make_idle

if TYPE_CHECKING:
    from collections.abc import Callable


def start(connection: Connection) -> bytes:
    """Start a program that does not matter."""
    return connection.start(Start(("true",), {}, uid=UID))


def run(connection: Connection) -> None:
    """Start a program that runs."""
    start(connection)
    connection.receive(encode(Output("stdout", b"x")))


def connection_in(state: State) -> Connection:
    """A conversation that has come so far."""
    connection = Connection()
    if state is State.GREETED or state is State.BOOTING:
        connection.receive(encode(HELLO))
        if state is State.BOOTING:
            connection.boot(BootMode.NONE, uid=UID)
    elif state is not State.CONNECTED:
        make_idle(connection)
        steps: dict[State, Callable[[], object]] = {
            State.IDLE: lambda: None,
            State.PUTTING: lambda: connection.open_put(b"a", uid=UID),
            State.SYNCING: connection.sync,
            State.STARTING: lambda: start(connection),
            State.RUNNING: lambda: run(connection),
            State.LISTED: lambda: (run(connection), connection.receive(encode(Files((), partial=False)))),
            State.RESETTING: lambda: connection.reset(Reset(1000, UID)),
            State.LISTING: connection.list_files,
            State.READING: lambda: connection.get(b"a", uid=UID),
            State.STORE_LISTING: connection.entries,
            State.CLOSED: lambda: connection.receive(encode(Fatal("x"))),
        }
        steps[state]()
    assert connection.state is state
    return connection
