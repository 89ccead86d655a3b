"""Output, cut between characters."""

from __future__ import annotations

import codecs
import tracemalloc
from typing import Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from interpreter_tools._config.results import OutputChunk
from interpreter_tools._execution.output import OutputBuffer, whole_characters

_STREAMS: tuple[Literal["stdout", "stderr"], ...] = ("stdout", "stderr")
_TEXT = st.text(st.characters(codec="utf-8"), max_size=30)
_SIZES = st.lists(st.integers(1, 5), max_size=150)
_MIXED = st.lists(st.binary(max_size=4) | _TEXT.map(str.encode), max_size=8).map(b"".join)


def pieces_of(data: bytes, sizes: list[int]) -> list[bytes]:
    """The data in pieces of those sizes; what is left comes last."""
    pieces: list[bytes] = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [piece for piece in (*pieces, data) if piece]


def take_all(output: OutputBuffer) -> list[OutputChunk]:
    """Every chunk that waits."""
    return list(iter(output.pop, None))


def chunks_of(pieces: list[bytes]) -> list[OutputChunk]:
    """What becomes of one stream."""
    output = OutputBuffer(capture=False)
    for piece in pieces:
        output.feed("stdout", piece)
    output.finish()
    return take_all(output)


@given(text=_TEXT, sizes=_SIZES)
def test_no_chunk_splits_a_character(text: str, sizes: list[int]) -> None:
    """Each is UTF-8 by itself, strictly, however the bytes came."""
    chunks = chunks_of(pieces_of(text.encode(), sizes))
    assert "".join(chunk.data.decode() for chunk in chunks) == text
    assert "".join(chunk.text for chunk in chunks) == text


@given(data=_MIXED, sizes=_SIZES)
@example(b"\xf0\x90\x80A\xe2\x82", [3, 1, 1])
@example(b"\xed\xa0\x80\xf5\xff\xc0\xaf", [1, 1, 1, 1, 1, 1])
def test_chunks_are_the_bytes_and_the_text(data: bytes, sizes: list[int]) -> None:
    """Nothing is lost or replaced twice, also where it is not UTF-8."""
    chunks = chunks_of(pieces_of(data, sizes))
    assert b"".join(chunk.data for chunk in chunks) == data
    assert "".join(chunk.text for chunk in chunks) == data.decode("utf-8", "replace")
    assert all(chunk.data for chunk in chunks)


@given(data=_MIXED)
def test_whole_characters_leaves_what_a_decoder_would_wait_for(data: bytes) -> None:
    """Python's own incremental decoder is the measure."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.decode(data)
    waiting, _ = decoder.getstate()
    assert whole_characters(data) == len(data) - len(waiting)


@pytest.mark.parametrize("character", ["é", "€", "😀"])
def test_character_waits_for_its_last_byte(character: str) -> None:
    """And what was whole before it does not."""
    data = character.encode()
    for cut in range(1, len(data)):
        output = OutputBuffer(capture=True)
        output.feed("stdout", b"a" + data[:cut])
        assert take_all(output) == [OutputChunk("stdout", b"a")]
        output.feed("stdout", data[cut:])
        assert take_all(output) == [OutputChunk("stdout", data)]


@given(said=st.lists(st.tuples(st.sampled_from(_STREAMS), st.binary(min_size=1, max_size=5)), max_size=30))
def test_streams_do_not_mix(said: list[tuple[Literal["stdout", "stderr"], bytes]]) -> None:
    """Half a character of one does not meet half a character of the other; the text is captured whole."""
    output = OutputBuffer(capture=True)
    for stream, data in said:
        output.feed(stream, data)
    output.finish()
    chunks = take_all(output)
    for stream in _STREAMS:
        wrote = b"".join(data for name, data in said if name == stream)
        assert b"".join(chunk.data for chunk in chunks if chunk.stream == stream) == wrote
        assert output.text(stream) == wrote.decode("utf-8", "replace")


def test_order_is_kept_over_streams() -> None:
    """As it came."""
    output = OutputBuffer(capture=False)
    output.feed("stdout", b"1")
    output.feed("stderr", b"2")
    output.feed("stdout", b"3")
    assert [chunk.data for chunk in take_all(output)] == [b"1", b"2", b"3"]


def test_waiting_counts_bytes() -> None:
    """In and out."""
    output = OutputBuffer(capture=False)
    output.feed("stdout", b"abc\xc3")
    output.feed("stderr", b"de")
    assert output.waiting == 5
    assert output.pop() == OutputChunk("stdout", b"abc")
    assert output.waiting == 2
    assert take_all(output) == [OutputChunk("stderr", b"de")]
    assert output.waiting == 0
    assert output.pop() is None


def test_dropped_output_is_still_captured() -> None:
    """``result`` needs the text, not the chunks."""
    output = OutputBuffer(capture=True)
    output.feed("stdout", b"a")
    output.drop()
    output.feed("stdout", b"b")
    output.finish()
    assert output.pop() is None
    assert output.waiting == 0
    assert output.text("stdout") == "ab"


def test_output_that_is_not_captured() -> None:
    """It only passes through."""
    output = OutputBuffer(capture=False)
    output.feed("stdout", b"a")
    assert output.text("stdout") == ""
    assert output.pop() == OutputChunk("stdout", b"a")


def test_output_byte_by_byte_costs_what_it_holds() -> None:
    """A program that writes single bytes takes no more memory of ours than another one."""
    output = OutputBuffer(capture=True)
    output.drop()
    data = bytes(range(32, 127))
    tracemalloc.start()
    try:
        for at in range(200_000):
            output.feed("stdout", data[at % 95 : at % 95 + 1])
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 300_000
    assert len(output.text("stdout")) == 200_000
