"""Patterns of the files that come along with a result."""

from __future__ import annotations

import time

import pytest

from interpreter_tools import ConfigurationError
from interpreter_tools._config.patterns import check_patterns, matches


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("*.png", "a.png", True),
        ("*.png", "out/deep/a.png", True),
        ("*.png", "a.png/b", False),
        ("*.PNG", "a.png", False),
        ("out/*.csv", "out/a.csv", True),
        ("out/*.csv", "out/deep/a.csv", False),
        ("out/*.csv", "in/out/a.csv", False),
        ("./out/*", "out/a", True),
        ("/workspace/*.csv", "a.csv", True),
        ("out/**", "out/a", True),
        ("out/**", "out/a/b/c", True),
        ("out/**", "out", False),
        ("out/**/c", "out/c", True),
        ("out/**/c", "out/a/b/c", True),
        ("**/a/**/b", "x/a/y/z/b", True),
        ("**", "a", True),
        ("**", "a/b", True),
        ("*", "a/b", True),
        ("[ab]?", "ax", True),
        ("a\\nb*", "a\\nbc", True),
    ],
)
def test_pattern(pattern: str, path: str, fits: bool) -> None:
    """A name anywhere, a path, or all that lies below a directory."""
    assert matches(path, check_patterns([pattern], field="collect")) is fits


@pytest.mark.parametrize("patterns", ["*.png", b"*", [""], ["/etc/*"], ["../a"], ["a/"], [1], [None], ["/"]])
def test_pattern_that_matches_nothing_is_refused(patterns: object) -> None:
    """With the field and the way out."""
    with pytest.raises(ConfigurationError, match="collect") as caught:
        check_patterns(patterns, field="collect")  # pyright: ignore[reportArgumentType]
    assert caught.value.hint


def test_path_of_a_program_takes_no_long_time() -> None:
    """However a path and a pattern are made."""
    patterns = check_patterns(["**/a/" * 60 + "b", "*a*a*a*a*a*b"], field="collect")
    began = time.process_time()
    assert not matches("a/" * 2000 + "c", patterns)
    assert not matches("a" * 4000, patterns)
    assert time.process_time() - began < 5
