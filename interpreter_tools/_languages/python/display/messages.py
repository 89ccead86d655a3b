# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false, reportOptionalMemberAccess=false
"""Messages from a program to the client of its run, over the supervisor's local socket (see protocol.h).

Every process of a run may connect. A message goes in pieces, each ``u32 length, u8 kind, u8 more, bytes``. The
supervisor answers each piece with an empty one (``u32 0``) once it has passed on what the program had printed before
and then the piece itself, so a message keeps its place among the output.
"""

import _socket
import _thread
import os

ADDRESS = "\0interpreter-tools"
_PIECE = (
    32768  # bytes; a frame holds more, but the pieces of a large message should not hold up the output of other threads
)

_lock = _thread.allocate_lock()
_connection = None
_owner = None


def send(kind, body):
    """Send a message and return when it has taken its place among the output.

    Args:
        kind: one character, such as ``"d"`` for a display.
        body: bytes.

    Raises:
        OSError: there is no client that takes messages, or it has gone.
    """
    with _lock:
        connection = _connect()
        try:
            _send(connection, kind.encode("ascii"), memoryview(body))
        except BaseException:  # an interrupt as well: what was sent of a piece cannot be taken back
            _forget()
            raise


def _send(connection, kind, view):
    while True:
        piece, view = view[:_PIECE], view[_PIECE:]
        head = (len(piece) + 2).to_bytes(4, "little") + kind + (b"\1" if view else b"\0")
        connection.sendall(head + bytes(piece))
        if len(connection.recv(4, _socket.MSG_WAITALL)) < 4:
            raise ConnectionResetError("the run takes no more messages")
        if not view:
            return


def _connect():
    global _connection, _owner
    if _connection is None or _owner != os.getpid():  # a fork must not share its parent's conversation
        made = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        try:
            made.connect(ADDRESS)
        except BaseException:
            made.close()
            raise
        _connection, _owner = made, os.getpid()
    return _connection


def _forget():
    global _connection
    if _connection is not None:
        _connection.close()
    _connection = None


def _after_fork():
    global _lock
    _lock = _thread.allocate_lock()  # another thread may have held the old one


os.register_at_fork(after_in_child=_after_fork)
