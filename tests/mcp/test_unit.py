"""What needs neither a client nor Docker."""

from __future__ import annotations

import os

import pytest

from interpreter_tools import ConfigurationError
from interpreter_tools.mcp import HttpAddress
from interpreter_tools.mcp._stdio import Lines


@pytest.mark.parametrize(
    ("text", "host", "port", "loopback"),
    [
        ("8000", "127.0.0.1", 8000, True),
        ("localhost:0", "localhost", 0, True),
        ("[::1]:80", "::1", 80, True),
        ("0.0.0.0:80", "0.0.0.0", 80, False),
        ("example.org:80", "example.org", 80, False),
    ],
)
def test_address(text: str, host: str, port: int, loopback: bool) -> None:
    """A port alone means loopback."""
    address = HttpAddress.parse(text)
    assert (address.host, address.port, address.is_loopback) == (host, port, loopback)


@pytest.mark.parametrize("text", ["", ":80", "a:", "a:b", "a:70000", "a:-1", "a:1.5"])
def test_wrong_address(text: str) -> None:
    """Is refused."""
    with pytest.raises(ConfigurationError, match="--http"):
        HttpAddress.parse(text)


async def test_lines_in_whatever_pieces_they_come() -> None:
    """The last needs no end; what is no UTF-8 is replaced."""
    reading, writing = os.pipe()
    lines = Lines(reading)
    os.write(writing, b"one\ntwo\nth")
    assert [await anext(lines), await anext(lines)] == ["one", "two"]
    os.write(writing, b"ree\xff\n\nlast")
    os.close(writing)
    assert [line async for line in lines] == ["three\ufffd", "", "last"]
    os.close(reading)
