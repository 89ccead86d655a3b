# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false, reportArgumentType=false, reportOptionalMemberAccess=false
"""The conversation of a cell runner with its client, over the supervisor's local socket ("Cells" in docs/protocol.md).

A piece that we send is answered with ``u32 0`` once it has its place behind what was printed, unless it is silent: an
answer that nobody waits for would wake this process for nothing. What the client tells us
comes on the same connection, with the top bit of its length set. Nothing here may be interrupted halfway: the runner
holds signals back while ``busy`` is set.
"""

import _socket
import collections
import json
import os
import select

ADDRESS = "\0interpreter-tools"
_TOLD = 0x80000000
_HELD = 0x40000000  # in the length of a piece that may wait for the one behind it
_SILENT = 0x20000000  # of a piece that is not answered
_PIECE = 32768
_MOST = 64 << 20  # bytes of one message of the client
_MOST_OPEN = 64  # pieces whose answers were not read yet
_encode = json.JSONEncoder(default=str).encode


class Wire:
    """The runner's own connection.

    Attributes:
        busy: not empty while words are on their way, when no exception may come from a signal.
        inbox: what the client has told us, decoded.
    """

    def __init__(self, address=ADDRESS):
        self.busy = []
        self.inbox = collections.deque()
        self._buffer = bytearray()
        self._message = bytearray()
        self._open = 0  # pieces that were not answered yet
        self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        self._socket.connect(address)
        self.descriptor = self._socket.fileno()

    def say(self, words):
        """Send words, and return when they have their place behind what was printed."""
        self.post(words, silent=False)
        self.settle()

    def post(self, words, kind=b"c", held=False, silent=True):
        """Send words, and do not wait: what is printed from now on may take its place before them.

        With ``held`` they reach the client together with what comes next, a millisecond later at most. ``settle`` waits
        for those that are not ``silent``.
        """
        body = _encode(words).encode("utf-8", "replace")
        self.busy.append(True)
        try:
            for start in range(0, len(body), _PIECE):
                piece = body[start : start + _PIECE]
                size = len(piece) + 2 | (_HELD if held else 0) | (_SILENT if silent else 0)
                head = size.to_bytes(4, "little") + kind + (b"\1" if start + _PIECE < len(body) else b"\0")
                self._open += not silent
                self._socket.sendall(head + piece)
                while self._open > _MOST_OPEN:
                    self.read()
        finally:
            self.busy.pop()

    def settle(self):
        """Return when all that was sent has its place."""
        self.busy.append(True)
        try:
            while self._open:
                self.read()
        finally:
            self.busy.pop()

    def wait(self):
        """Wait until the client has told something. A signal may interrupt this."""
        while not self.inbox:
            poll = select.poll()
            poll.register(self.descriptor, select.POLLIN)
            poll.poll()
            self.busy.append(True)
            try:
                self.read()
            finally:
                self.busy.pop()

    def read(self, flags=0):
        """Take what has come; waits while there is nothing, but with MSG_DONTWAIT. Its end ends the process."""
        data = self._socket.recv(1 << 16, flags)
        if not data:
            os._exit(0)
        self._buffer += data
        while len(self._buffer) >= 4:
            size = int.from_bytes(self._buffer[:4], "little")
            if size == 0:
                self._open -= 1
                del self._buffer[:4]
                continue
            size &= ~_TOLD
            if len(self._buffer) < 4 + size:
                return
            piece = bytes(self._buffer[4 : 4 + size])
            del self._buffer[: 4 + size]
            self._message += piece[2:]
            if piece[1]:
                if len(self._message) > _MOST:
                    os._exit(1)
                continue
            self.inbox.append(json.loads(self._message))
            self._message = bytearray()

    def close(self):
        """Let go of the connection, which stays another process's."""
        self._socket.close()
