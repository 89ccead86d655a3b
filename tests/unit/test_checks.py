"""Amounts as people write them."""

from __future__ import annotations

import math
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interpreter_tools._config.checks import check_count, check_seconds, parse_cpus, parse_size
from interpreter_tools._exceptions import ConfigurationError

_ANYTHING = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=5)


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (1, 1),
        ("1", 1),
        ("100b", 100),
        ("100B", 100),
        ("1k", 1 << 10),
        ("512m", 512 << 20),
        ("1.5g", 3 << 29),
        ("2T", 2 << 40),
        ("64 KiB", 64 << 10),
        ("64KB", 64 << 10),
        ("64ki", 64 << 10),
        ("  8m ", 8 << 20),
        ("0.5k", 512),
        ("1.9", 1),
        (1 << 50, 1 << 50),
    ],
)
def test_sizes(value: str | int, size: int) -> None:
    """Powers of 1024, as Docker counts."""
    assert parse_size(value, field="f") == size


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", "is not a size"),
        ("m", "is not a size"),
        ("-1m", "is not a size"),
        ("1,5g", "is not a size"),
        ("1e3", "is not a size"),
        ("5bb", "is not a size"),
        ("5ib", "is not a size"),
        ("5 mm", "is not a size"),
        ("nan", "is not a size"),
        (".5g", "is not a size"),
        (True, "is not a size"),
        (1.5, "is not a size"),
        (None, "is not a size"),
        (b"1m", "is not a size"),
        (0, "is too small: the least is 1 bytes"),
        (-1, "is too small"),
        ("0.5", "is too small"),
        ((1 << 50) + 1, "is larger than any machine"),
        ("1025t", "is larger than any machine"),
        ("9" * 400, "is larger than any machine"),
    ],
)
def test_what_is_no_size(value: object, words: str) -> None:
    """Field, value and way out are named."""
    with pytest.raises(ConfigurationError, match=words) as caught:
        parse_size(cast("int", value), field="container.memory_limit")
    error = caught.value
    assert error.field == "container.memory_limit"
    assert error.value is value
    assert str(error).startswith(f"container.memory_limit: {value!r} is ")
    assert "'512m'" in error.hint


def test_least_size() -> None:
    """A lower bound belongs to the field."""
    assert parse_size("4k", field="f", least=4096) == 4096
    with pytest.raises(ConfigurationError, match="the least is 4096 bytes"):
        parse_size(4095, field="f", least=4096)


@given(value=_ANYTHING)
def test_nothing_but_a_size_or_our_error(value: object) -> None:
    """Whatever is given."""
    try:
        size = parse_size(cast("int", value), field="f")
    except ConfigurationError:
        return
    assert type(size) is int
    assert 1 <= size <= 1 << 50


@pytest.mark.parametrize(("value", "cpus"), [(1, 1.0), (0.5, 0.5), ("0.5", 0.5), (" 2 ", 2.0), (0.01, 0.01)])
def test_cores(value: str | float, cpus: float) -> None:
    """Numbers, or texts that are numbers."""
    assert parse_cpus(value, field="f") == cpus


@pytest.mark.parametrize(
    "value", ["", "many", "nan", "inf", 0, -1, 0.009, 5000, 10**400, math.inf, math.nan, True, None, [1]]
)
def test_what_is_no_number_of_cores(value: object) -> None:
    """Field, value and way out are named."""
    with pytest.raises(ConfigurationError, match="is not a number of cores") as caught:
        parse_cpus(cast("float", value), field="cpu_limit")
    assert (caught.value.field, caught.value.value) == ("cpu_limit", value)
    assert "0.5" in caught.value.hint


@given(value=_ANYTHING)
def test_nothing_but_cores_or_our_error(value: object) -> None:
    """Whatever is given."""
    try:
        cpus = parse_cpus(cast("float", value), field="f")
    except ConfigurationError:
        return
    assert 0.01 <= cpus <= 4096


def test_seconds() -> None:
    """None stands for no limit."""
    assert check_seconds(None, field="f") is None
    assert check_seconds(3, field="f") == 3.0
    assert check_seconds(0.001, field="f") == 0.001


@pytest.mark.parametrize("value", [0, -1, 40 * 86400, 10**400, math.inf, math.nan, True, "3", b"3"])
def test_what_is_no_time(value: object) -> None:
    """Field, value and way out are named."""
    with pytest.raises(ConfigurationError, match="is not a time in seconds") as caught:
        check_seconds(cast("float", value), field="timeout")
    assert (caught.value.field, caught.value.value) == ("timeout", value)
    assert "None for no limit" in caught.value.hint


def test_counts() -> None:
    """From the least on."""
    assert check_count(2, field="f", least=2) == 2
    assert check_count(10**6, field="f", least=2) == 10**6


@pytest.mark.parametrize("value", [1, -1, 2.0, "2", True, None])
def test_what_is_no_count(value: object) -> None:
    """The message says what would do."""
    with pytest.raises(ConfigurationError, match="whole number of at least 2") as caught:
        check_count(cast("int", value), field="pool.max_size", least=2)
    assert (caught.value.field, caught.value.value) == ("pool.max_size", value)
