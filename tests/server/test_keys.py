"""Keys: who is let in, and how much each may use."""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interpreter_tools import ConfigurationError
from interpreter_tools.server import Keys, Quota
from interpreter_tools.server._errors import Refused, Unauthorized
from interpreter_tools.server._keys import Owner
from interpreter_tools.server._presented import KEY_OF_PATH, presented_key

if TYPE_CHECKING:
    from pathlib import Path

KEY = "it_0123456789abcdef"


def test_known_key_has_its_owner_and_unknown_key_has_none():
    """Each key leads to its owner; anything else is refused."""
    keys = Keys.of(KEY, KEY + "2")
    assert keys.owner(KEY).id == "key-1"
    assert keys.owner(KEY + "2").id == "key-2"
    for wrong in (None, "", KEY[:-1], KEY + "3", "é" * 20, "\udc80" * 20):
        with pytest.raises(Unauthorized):
            keys.owner(wrong)


def test_key_itself_is_not_kept():
    """Only its hash is in memory."""
    keys, key = Keys.generate()
    assert key not in repr(vars(keys))
    assert keys.owner(key).is_admin


def test_file_of_keys_names_owners_and_quotas(tmp_path: Path):
    """A line has a key or its hash, and words."""
    file = tmp_path / "keys"
    digest = hashlib.sha256(b"the second key").hexdigest()
    file.write_text(
        f"# ours\n{KEY} name=alice sandboxes=2 runs=1 cpu_seconds=1.5 bytes=1k admin  # first\n\nsha256:{digest}\n"
    )
    keys = Keys.load(file)
    alice = keys.owner(KEY)
    assert (alice.id, alice.is_admin) == ("alice", True)
    assert alice.quota == Quota(sandboxes=2, runs=1, cpu_seconds=1.5, bytes=1024)
    assert keys.owner("the second key").id == "key-4"
    assert [owner.id for owner in keys.owners] == ["alice", "key-4"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no key"),
        ("# only this\n", "no key"),
        ("short", "shorter than 16"),
        ("sha256:abc", "64 hexadecimal"),
        (f"{KEY} runs=many", "line 1 of the keys: 'runs=many' is not a number"),
        (f"{KEY} runs=0", "not above 0"),
        (f"{KEY} cpu_seconds=nan", "not above 0"),
        (f"{KEY} colour=red", "'colour' is not name, admin"),
        (f"\n{KEY} bytes=1q", "bytes"),
    ],
)
def test_file_that_cannot_work_is_refused_with_its_line(tmp_path: Path, text: str, said: str):
    """The error names the line and what is wrong, and never a key."""
    file = tmp_path / "keys"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=said) as caught:
        Keys.load(file)
    assert KEY not in str(caught.value)


def test_used_up_allowance_refuses_and_fills_up_again():
    """What is used of an hour comes back evenly."""
    now = 0.0
    owner = Owner("x", Quota(cpu_seconds=3600, bytes=3600), clock=lambda: now)
    owner.check_cpu()
    owner.use_cpu(3700)
    with pytest.raises(Refused, match="cpu_seconds") as caught:
        owner.check_cpu()
    assert caught.value.headers["Retry-After"] == "101"
    now += 102
    owner.check_cpu()
    owner.use_bytes(3600)
    with pytest.raises(Refused, match="bytes"):
        owner.use_bytes(1)


def test_used_up_quota_is_told_as_it_was_given():
    """A large number keeps all its digits."""
    owner = Owner("x", Quota(bytes=2 << 20))
    owner.use_bytes(3 << 20)
    with pytest.raises(Refused, match="2097152"):
        owner.use_bytes(1)


@pytest.mark.parametrize(
    ("headers", "query", "key"),
    [
        ({"x-api-key": "a"}, b"", "a"),
        ({"open-sandbox-api-key": "a"}, b"", "a"),
        ({"authorization": "Bearer a"}, b"", "a"),
        ({"authorization": "token a"}, b"", "a"),
        ({"authorization": "a"}, b"", "a"),
        ({"authorization": "Basic dXNlcjphOmI="}, b"", "a:b"),
        ({"authorization": "Basic dXNlcjo="}, b"token=c", "c"),
        ({"authorization": "Basic %"}, b"", None),
        ({"authorization": "token "}, b"", None),
        ({"authorization": "Bearer"}, b"token=c", "c"),
        ({}, b"x=1&token=a%20b", "a b"),
        ({}, b"", None),
    ],
)
def test_key_is_found_where_clients_put_it(headers: dict[str, str], query: bytes, key: str | None):
    """Headers of several clients, and the parameter of Jupyter's."""
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    assert presented_key({"headers": pairs, "query_string": query}) == key
    if key is None:
        assert presented_key({"headers": pairs, "query_string": query, KEY_OF_PATH: "p"}) == "p"


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_any_bytes_are_some_key_or_none(header: bytes, query: bytes):
    """No header or query makes the server fail."""
    found = presented_key({"headers": [(b"authorization", header)], "query_string": b"token=" + query})
    with pytest.raises(Unauthorized):
        Keys.of(KEY).owner(found)


def test_websockets_of_a_key_are_limited() -> None:
    """Those of another key do not count, and one that has ended counts no more."""
    one, other = Keys.of("k" * 20, "l" * 20).owners
    with contextlib.ExitStack() as opened:
        for _ in range(256):
            opened.enter_context(one.websocket())
        with pytest.raises(Refused, match="256 websockets") as refused, one.websocket():
            pass
        assert (refused.value.status, refused.value.reason) == (429, "websockets")
        with other.websocket():
            pass
    assert (one.websockets, other.websockets) == (0, 0)


def test_owners_are_tenants_where_there_are_several() -> None:
    """One alone uses the containers that are warm for everybody."""
    alone, key = Keys.generate()
    assert alone.owner(key).tenant is None
    assert [owner.tenant for owner in Keys.of("k" * 20, "l" * 20).owners] == ["key-1", "key-2"]
