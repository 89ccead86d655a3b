"""What the processes of a run tell the client beside their output."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpreter_tools._protocol import Message, Output
from interpreter_tools._protocol.constants import MESSAGE_HELD, MESSAGE_SILENT, MESSAGE_SIZE, Flag
from tests.supervisor.harness import PYTHON

if TYPE_CHECKING:
    from tests.supervisor.harness import Supervisor

_SENDER = """
import os, socket, sys
def connect():
    made = socket.socket(socket.AF_UNIX)
    made.connect("\\0interpreter-tools")
    return made
def send(sock, body, head=None):
    sock.sendall((len(body) if head is None else head).to_bytes(4, "little") + body)
def answer(sock):
    return sock.recv(4, socket.MSG_WAITALL)
"""


def messages(supervisor: Supervisor) -> list[Message]:
    """Those of the last run, without the ends of connections."""
    return [event for event in supervisor.skipped if isinstance(event, Message) and event.data]


def test_messages_keep_their_place_among_the_output(idle: Supervisor) -> None:
    """A sender that waits for the answer prints nothing too early, and what it printed before has gone before."""
    code = """
sock = connect()
for i in range(200):
    os.write(1, b"x" * 3000 + b"%d," % i)
    os.write(2, b"y")
    send(sock, b"%d" % i)
    assert answer(sock) == bytes(4)
"""
    idle.python(_SENDER + code)
    out, err = b"", b""
    for event in idle.skipped:
        if isinstance(event, Output) and event.stream == "stdout":
            out += event.data
        elif isinstance(event, Output):
            err += event.data
        elif isinstance(event, Message) and event.data:
            number = int(event.data)
            assert event.connection == 1
            assert out.endswith(b"x%d," % number)
            assert err == b"y" * (number + 1)
    assert len(messages(idle)) == 200


def test_held_messages_keep_their_place_among_the_output(idle: Supervisor) -> None:
    """What is printed next takes them along; when they are many, they go without it."""
    code = f"""
sock = connect()
def hold(body):
    send(sock, body, len(body) + {MESSAGE_HELD})
    assert answer(sock) == bytes(4)
for i in range(100):
    os.write(1, b"%d," % i)
    hold(b"%d" % i)
    if i % 3: os.write(1, b"x" * 100000 + b"%d," % i)
for i in range(100, 150): hold(b"%d " % i + b"z" * 60000)
"""
    idle.python(_SENDER + code)
    out = b""
    for event in idle.skipped:
        if isinstance(event, Output):
            out += event.data
        elif isinstance(event, Message) and event.data:
            number = min(99, int(event.data.split()[0]))
            assert out.endswith(b"%d," % number)
    assert [int(message.data.split()[0]) for message in messages(idle)] == [*range(150)]


def test_held_message_that_nothing_follows_comes_by_itself(idle: Supervisor) -> None:
    """After a moment."""
    code = f"sock = connect(); send(sock, b'alone', 5 + {MESSAGE_HELD}); sys.stdin.read()"
    idle.start([PYTHON, "-c", _SENDER + code], flags=Flag.STDIN)
    assert idle.wait(Message) == Message(1, b"alone")
    idle.send(idle.connection.stdin(b""))
    assert idle.finish().exited.exit_code == 0


def test_silent_messages_keep_their_place_and_are_not_answered(idle: Supervisor) -> None:
    """The answer that comes is that of the piece behind them."""
    code = f"""
sock = connect()
for i in range(5000):
    os.write(1, b"%d," % i)
    send(sock, b"%d" % i, len(b"%d" % i) + {MESSAGE_SILENT})
    if i % 1000 == 999:
        send(sock, b"%d" % i)
        assert answer(sock) == bytes(4)
sock.setblocking(False)
try:
    print(sock.recv(1))
except BlockingIOError:
    print("nothing more")
"""
    idle.python(_SENDER + code)
    out = b""
    for event in idle.skipped:
        if isinstance(event, Output):
            out += event.data
        elif isinstance(event, Message) and event.data:
            assert b"%d," % int(event.data) in out
    numbers = [int(message.data) for message in messages(idle)]
    assert numbers == sorted([*range(5000), *range(999, 5000, 1000)])
    assert out.endswith(b"nothing more\n")


def test_message_that_nobody_waited_for_comes_before_the_end(idle: Supervisor) -> None:
    """A program that sends and ends at once has said it."""
    idle.python(_SENDER + "sock = connect(); send(sock, b'last words'); os._exit(0)")
    assert messages(idle) == [Message(1, b"last words")]


def test_connections_are_told_apart(idle: Supervisor) -> None:
    """Pieces of two processes may come in turns."""
    code = """
a, b = connect(), connect()
for sock, body in ((a, b"1"), (b, b"2"), (a, b"3")):
    send(sock, body)
    answer(sock)
"""
    idle.python(_SENDER + code)
    assert messages(idle) == [Message(1, b"1"), Message(2, b"2"), Message(1, b"3")]
    idle.python(_SENDER + "send(connect(), b'again')")
    assert messages(idle)[-1:] == [Message(1, b"again")]


def test_largest_piece_and_what_lies_beyond(idle: Supervisor) -> None:
    """A piece of no bytes or of too many ends its connection, and nothing else."""
    code = f"""
good = connect()
send(good, b"z" * {MESSAGE_SIZE})
assert answer(good) == bytes(4)
for head in (0, {MESSAGE_SIZE} + 1, 2**32 - 1):
    bad = connect()
    send(bad, b"", head)
    assert answer(bad) == b""
send(good, b"still")
assert answer(good) == bytes(4)
"""
    idle.python(_SENDER + code)
    assert [len(message.data) for message in messages(idle)] == [MESSAGE_SIZE, 5]


def test_more_connections_than_there_are_places(idle: Supervisor) -> None:
    """They are closed, and those before them are not."""
    code = """
held = [connect() for _ in range(64)]
for sock in held:
    send(sock, b"on")
    assert answer(sock) == bytes(4)
late = connect()
try: print(late.recv(1))
except ConnectionResetError: print(b"")
held.pop().close()
import time
time.sleep(0.1)
again = connect()
send(again, b"again")
print(answer(again) == bytes(4))
"""
    assert idle.python(_SENDER + code).stdout == b"b''\nTrue\n"
    assert [message.data for message in messages(idle)] == [b"on"] * 64 + [b"again"]


def test_end_of_a_connection_is_told_behind_what_it_said(idle: Supervisor) -> None:
    """Once, and not of one that never spoke."""
    idle.python(
        _SENDER
        + "connect().close(); sock = connect(); send(sock, b'a'); answer(sock); sock.close()\n"
        + "import time; time.sleep(0.1)"
    )
    assert [event for event in idle.skipped if isinstance(event, Message)] == [Message(2, b"a"), Message(2, b"")]


def test_sender_that_takes_no_answers_is_dropped(idle: Supervisor) -> None:
    """Nothing of it piles up."""
    code = """
sock = connect()
sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
sent = 0
try:
    while sent < 100_000:
        send(sock, b"x")
        sent += 1
except OSError:
    print("dropped")
"""
    assert idle.python(_SENDER + code).stdout == b"dropped\n"


def test_nobody_else_is_heard(idle: Supervisor) -> None:
    """Root from outside, who shares the network namespace, is not of the run."""
    idle.start(["sh", "-c", "echo on; read line"], flags=Flag.STDIN)
    idle.wait(Output)
    code = """
sock = connect()
print(1, flush=True)
try: said = answer(sock)
except ConnectionResetError: said = b""
print(said, flush=True)
sys.stdin.read()
"""
    with idle.intruder(["/usr/bin/python3", "-c", _SENDER + code]) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"\n"  # the harness took the digit
        assert process.stdout.readline() == b"b''\n"
    idle.send(idle.connection.stdin(b"\n"))
    idle.finish()
    assert messages(idle) == []


def test_flood_of_output_does_not_keep_a_message_back(idle: Supervisor) -> None:
    """It waits for what was written before it, not for all that follows."""
    code = """
if os.fork() == 0:
    while True: os.write(1, b"y" * 65536)
import time
time.sleep(0.2)
send(connect(), b"heard")
time.sleep(5)
"""
    idle.start(["/usr/bin/python3", "-c", _SENDER + code], timeout=8)
    assert isinstance(idle.wait(Message), Message)
    idle.send(idle.connection.kill())
    idle.finish()


def test_reset_after_messages_is_clean(idle: Supervisor) -> None:
    """Connections, also those that nobody accepted, leave nothing for the next run."""
    for _ in range(3):
        idle.python(_SENDER + "held = [connect() for _ in range(20)]\nsend(held[0], b'x')", flags=Flag.LAST)
        assert idle.reset() == ""


def test_long_message_with_a_client_that_reads_in_fits(idle: Supervisor) -> None:
    """Whoever waits for room on the stream is served when there is some: 64 MiB, and no piece is lost."""
    code = """
sock = connect()
for i in range(1000):
    send(sock, b"%6d" % i + b"z" * 64000)
    assert answer(sock) == bytes(4)
    if i % 10 == 0: os.write(1, b"o" * 70000)
"""
    idle.python(_SENDER + code, timeout=60)
    assert [int(message.data[:6]) for message in messages(idle)] == list(range(1000))
