# pyright: reportMissingTypeStubs=false, reportArgumentType=false
"""Parts of E2B's wire that need no engine: frames, paths, signatures."""

from __future__ import annotations

import contextlib
import json

import pytest
from e2b.sandbox.signature import get_signature
from hypothesis import given
from hypothesis import strategies as st

from interpreter_tools.server.wires.e2b.connect import ConnectError, FrameReader, end_frame, frame
from interpreter_tools.server.wires.e2b.paths import to_inside, to_outside
from interpreter_tools.server.wires.e2b.signing import is_signed, sign

_MESSAGES = st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3), max_size=5)


@given(_MESSAGES, st.lists(st.integers(1, 40), max_size=50))
def test_frames_are_read_in_pieces_of_any_size(messages: list[dict[str, str]], cuts: list[int]) -> None:
    """Each message once, in order; the end of the stream is none."""
    data = b"".join(map(frame, messages)) + end_frame()
    reader, found = FrameReader(limit=10_000), list[bytes]()
    for cut in (*cuts, len(data)):
        found += reader.feed(data[:cut])
        data = data[cut:]
    assert [json.loads(body) for body in found] == messages
    reader.end()


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_bytes_that_are_no_frames_are_refused(pieces: list[bytes]) -> None:
    """With an error of the protocol, and nothing else."""
    reader = FrameReader(limit=100)
    with contextlib.suppress(ConnectError):
        for piece in pieces:
            reader.feed(piece)
        reader.end()


def test_frame_that_is_cut_is_told() -> None:
    """At the end of the stream."""
    reader = FrameReader(limit=100)
    assert reader.feed(frame({})[:-1]) == []
    with pytest.raises(ConnectError, match="middle"):
        reader.end()


@pytest.mark.parametrize(
    ("outside", "inside"),
    [
        ("", "/workspace"),
        ("a/b", "/workspace/a/b"),
        ("/home/user", "/workspace"),
        ("/home/user/a", "/workspace/a"),
        ("/home/user2", "/home/user2"),
        ("~/a", "/workspace/a"),
        ("a/../../../etc", "/etc"),
        ("/tmp/x", "/tmp/x"),
        ("//tmp", "/tmp"),
        ("/workspace/a", "/workspace/a"),
    ],
)
def test_home_is_the_workspace(outside: str, inside: str) -> None:
    """For clients it is ``/home/user``."""
    assert to_inside(outside) == inside
    assert to_inside(to_outside(inside)) == inside


@given(st.text(max_size=20), st.sampled_from(["read", "write"]), st.sampled_from(["", "user"]))
def test_signatures_are_those_of_the_client(path: str, operation: str, user: str) -> None:
    """And allow one operation on one path only."""
    theirs = get_signature(path, operation, user, "token", 60)
    ends = theirs["expiration"]
    assert ends is not None
    assert theirs["signature"] == sign(path, operation, user, "token", ends)
    about = {"path": path, "operation": operation, "user": user, "token": "token"}

    def allows(**changes: object) -> bool:
        fields = {"expiration": str(ends), **about, **changes}
        return is_signed(theirs["signature"], **fields)

    assert allows()
    assert not allows(path=path + "x")
    assert not allows(operation="write" if operation == "read" else "read")
    assert not allows(token="other")
    assert not allows(expiration=str(ends + 1))
    assert not allows(expiration="1e9")
    assert not allows(expiration="")
