"""Docker's stream headers."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interpreter_tools._docker.multiplex import Demultiplexer
from interpreter_tools._exceptions import ProtocolError


def piece(payload: bytes, stream: int = 1) -> bytes:
    """A piece of a stream as Docker sends it."""
    return bytes([stream, 0, 0, 0]) + len(payload).to_bytes(4, "big") + payload


def feed(demultiplexer: Demultiplexer, data: bytes) -> bytes:
    """All the payload in ``data``."""
    return b"".join(demultiplexer.feed(data))


@given(pieces=st.lists(st.binary(max_size=40), max_size=8), cuts=st.lists(st.integers(0, 400), max_size=30))
def test_payload_comes_whole_however_it_is_cut(pieces: list[bytes], cuts: list[int]) -> None:
    """Reads end anywhere: in a header, in a piece, between two."""
    stream = b"".join(piece(payload) for payload in pieces)
    demultiplexer = Demultiplexer()
    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    received = [feed(demultiplexer, stream[start:end]) for start, end in itertools.pairwise(edges)]
    assert b"".join(received) == b"".join(pieces)


def test_payload_is_handed_on_before_its_piece_is_complete() -> None:
    """A large piece costs no memory of ours."""
    demultiplexer = Demultiplexer()
    assert feed(demultiplexer, piece(b"x" * 1000)[:100]) == b"x" * 92
    assert repr(demultiplexer) == "<Demultiplexer [908 bytes of a piece, 0 of a header]>"


def test_bulk_is_not_copied() -> None:
    """What comes out are views of what went in."""
    data = piece(b"a" * 10) + piece(b"b" * 10)
    views = Demultiplexer().feed(data)
    assert all(isinstance(view, memoryview) and view.obj is data for view in views)


@pytest.mark.parametrize("stream", [0, 2, 3])
def test_another_stream_is_a_broken_protocol(stream: int) -> None:
    """We attach to stdout only: anything else means that somebody else speaks."""
    with pytest.raises(ProtocolError, match="not of stdout"):
        Demultiplexer().feed(piece(b"x", stream))


def test_garbage_is_a_broken_protocol() -> None:
    """The three bytes after the stream are always zero."""
    with pytest.raises(ProtocolError, match="header 0100ff00"):
        Demultiplexer().feed(b"\x01\0\xff\0\0\0\0\x01x")
