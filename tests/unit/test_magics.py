"""The lines of a cell that install packages."""

from __future__ import annotations

import pytest

from interpreter_tools._languages.magics import installs, read_installs


@pytest.mark.parametrize(
    ("line", "packages"),
    [
        ("%pip install six", ("six",)),
        ("x = 1\n  !pip3 install -q 'numpy>=2' \"pandas[excel]\"  # both", ("numpy>=2", "pandas[excel]")),
        ("!python3 -m pip install --upgrade six", ("six",)),
        ("!{sys.executable} -m pip install six\n%pip install toolz", ("six", "toolz")),
        ("% pip install six", ("six",)),
    ],
)
def test_lines_are_read(line: str, packages: tuple[str, ...]) -> None:
    """As pip and notebooks write them."""
    assert installs("pip", line)
    found = read_installs("pip", line, hosts=frozenset())
    assert (found.packages, found.notes) == (packages, ())


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("%pip install -r list.txt", "'-r' is not read"),
        ("%pip install --index-url http://localhost six", "'--index-url' is not read"),
        ("%pip install 'six", "No closing quotation"),
        ("%pip install {name}", "is not a requirement"),
        ("%pip install ./six", "is not a requirement"),
        ("%pip install six @ https://localhost/six.whl", "is not"),
    ],
)
def test_line_that_cannot_be_used_is_told_of(line: str, why: str) -> None:
    """And installs nothing."""
    found = read_installs("pip", f"{line}\n%pip install toolz", hosts=frozenset())
    assert found.packages == ("toolz",)
    assert why in found.notes[0]
    assert line in found.notes[0]


@pytest.mark.parametrize(
    "code", ["pip install six", "# %pip install six", "'%pip install six'", "%pip list", "!uv sync"]
)
def test_other_lines_install_nothing(code: str) -> None:
    """Nor does anything in other languages."""
    assert not installs("pip", code)
    assert not installs("npm", "%pip install six")
    assert read_installs("npm", "%pip install six", hosts=frozenset()).packages == ()
