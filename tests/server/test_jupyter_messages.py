# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The framings of Jupyter's messages: what is read, what is refused, and that Jupyter's own code reads ours."""

from __future__ import annotations

import contextlib
import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jupyter_server.services.kernels.connection.base import (
    deserialize_msg_from_ws_v1,
    serialize_binary_message,
    serialize_msg_to_ws_v1,
)

from interpreter_tools import DisplayResult
from interpreter_tools.server.wires.jupyter._kernel import bundle_of
from interpreter_tools.server.wires.jupyter._messages import MessageError, Sender, read_bytes, read_text
from interpreter_tools.server.wires.jupyter._requests import Execute, read_content

_HEADER = {"msg_id": "1", "msg_type": "execute_request", "session": "s", "date": "", "version": "5.3"}
_PLAIN: dict[str, object] = {
    "header": _HEADER,
    "parent_header": {},
    "metadata": {},
    "content": {"code": "é"},
    "channel": "control",
}

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just("code"), inner),
)


def _pack(value: object) -> bytes:
    return json.dumps(value).encode()


def _v1(*parts: object, channel: str = "control") -> bytes:
    return serialize_msg_to_ws_v1([_pack(part) for part in parts], channel)


def test_all_framings_are_read_alike() -> None:
    """Text, bytes with buffers, and the subprotocol, each made by Jupyter's own code."""
    read = [
        read_text(json.dumps(_PLAIN)),
        read_bytes(serialize_binary_message({**_PLAIN, "buffers": [b"one", b"two"]}), is_v1=False),
        read_bytes(_v1(_HEADER, {}, {}, {"code": "é"}), is_v1=True),
        read_bytes(_v1(_HEADER, {}, {}, {"code": "é"}, "a buffer"), is_v1=True),
    ]
    for request in read:
        assert (request.channel, request.header.msg_id, request.header.session) == ("control", "1", "s")
        assert json.loads(request.parent) == _HEADER
        assert read_content(request.content, Execute).code == "é"


def test_a_message_without_a_channel_is_for_the_shell() -> None:
    """So smolagents sends them."""
    assert read_text(json.dumps({"header": _HEADER})).channel == "shell"


def test_replies_are_read_by_jupyters_own_code() -> None:
    """In both framings, and as JSON that says the same."""
    reply = Sender().make("iopub", "stream", {"name": "stdout", "text": "ü"}, _pack(_HEADER))
    channel, parts = deserialize_msg_from_ws_v1(reply.v1())
    header, parent, metadata, content = map(json.loads, parts)
    plain = json.loads(reply.text())
    assert channel == plain["channel"] == "iopub"
    assert parent == plain["parent_header"] == _HEADER
    assert content == plain["content"] == {"name": "stdout", "text": "ü"}
    assert header == plain["header"]
    assert metadata == plain["metadata"] == {}
    assert plain["msg_id"] == header["msg_id"]
    assert (plain["msg_type"], plain["buffers"]) == ("stream", [])
    assert header["date"].endswith("Z")


@pytest.mark.parametrize(
    ("data", "is_v1", "said"),
    [
        (b"", True, "less than 8"),
        (b"\0" * 8, True, "0 offsets"),
        (struct.pack("<Q", 2**63), True, "offsets"),
        (struct.pack("<8Q", 6, 64, 63, 64, 64, 64, 64, 0), True, "do not rise"),
        (struct.pack("<7Q", 6, 0, 0, 0, 0, 0, 0), True, "do not rise"),
        (struct.pack("<7Q", 6, 56, 57, 58, 59, 60, 10**6), True, "do not rise"),
        (_v1(_HEADER, {}, {}, {}, channel="iopub"), True, "'iopub' is not a channel"),
        (_v1([], {}, {}, {}), True, "header cannot be read"),
        (_v1({**_HEADER, "username": "x" * 9000}, {}, {}, {}), True, "larger than 8192"),
        (b"\0\0\0", False, "less than 4"),
        (b"\0\0\0\0", False, "0 parts"),
        (b"\xff\xff\xff\xff", False, "parts"),
        (struct.pack(">II", 1, 4), False, "do not rise"),
        (struct.pack(">II", 1, 8) + b"[]", False, "cannot be read"),
        (struct.pack(">II", 1, 8) + b"\xff", False, "cannot be read"),
    ],
)
def test_bytes_that_are_no_message_are_refused(data: bytes, is_v1: bool, said: str) -> None:
    """With what is wrong about them."""
    with pytest.raises(MessageError, match=said):
        read_bytes(data, is_v1=is_v1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"header": {}}',
        '{"header": {"msg_id": 1, "msg_type": "x"}}',
        "[" * 9999,
        '{"header": "\ud800"}',
    ],
)
def test_text_that_is_no_message_is_refused(text: str) -> None:
    """Deep and half texts, too."""
    with pytest.raises(MessageError):
        read_text(text)


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_a_message_or_refused(data: bytes, is_v1: bool) -> None:
    """No other error comes of them."""
    with contextlib.suppress(MessageError):
        read_bytes(data, is_v1=is_v1)


@given(st.lists(st.integers(0, 200), min_size=6, max_size=8), st.binary(max_size=200))
def test_any_offsets_are_a_message_or_refused(offsets: list[int], rest: bytes) -> None:
    """They lead nowhere but into the frame."""
    frame = struct.pack(f"<{len(offsets) + 1}Q", len(offsets), *offsets) + rest
    with contextlib.suppress(MessageError):
        read_bytes(frame, is_v1=True)


@given(_JSON)
def test_any_content_is_read_or_refused(content: object) -> None:
    """The fields of a request have their types."""
    try:
        wanted = read_content(_pack(content), Execute)
    except MessageError:
        return
    assert isinstance(wanted.code, str)


def test_widget_is_shown_as_its_text() -> None:
    """A client that finds the view of a widget would ask for its model, by comms that there are not."""
    view = '{"model_id": "1", "version_major": 2, "version_minor": 0}'
    shown = DisplayResult(data={"text/plain": "IntSlider()", "application/vnd.jupyter.widget-view+json": view})
    assert bundle_of(shown) == ({"text/plain": "IntSlider()"}, {})
