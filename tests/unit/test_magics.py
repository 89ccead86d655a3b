"""The lines of a cell that install packages."""

from __future__ import annotations

import pytest

from interpreter_tools._languages.magics import installs, read_calls, read_installs


@pytest.mark.parametrize(
    ("line", "packages"),
    [
        ("%pip install six", ("six",)),
        ("x = 1\n  !pip3 install -q 'numpy>=2' \"pandas[excel]\"  # both", ("numpy>=2", "pandas[excel]")),
        ("!python3 -m pip install --upgrade six", ("six",)),
        ("!{sys.executable} -m pip install six\n%pip install toolz", ("six", "toolz")),
        ("% pip install six", ("six",)),
        ("!uv pip install six\n%uv pip install --system toolz", ("six", "toolz")),
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


@pytest.mark.parametrize(
    ("kind", "code", "packages"),
    [
        ("pip", 'subprocess.check_call([sys.executable, "-m", "pip", "install", "cowsay"])', ("cowsay",)),
        ("pip", "subprocess.run(['uv', 'pip', 'install', 'a', 'b>=1'], check=True)", ("a", "b>=1")),
        ("pip", 'run((sys.executable, "-m", "pip", "install", "-q", "six",))', ("six",)),
        ("pip", 'os.system("pip install six toolz -q && echo done")', ("six", "toolz")),
        ("pip", 'os.system(f"{sys.executable} -m pip install six")', ("six",)),
        ("pip", 'subprocess.run("pip install -r list.txt", shell=True)', ()),
        ("pip", 'subprocess.run(["pip", "install", "--target", "x", "six"])', ()),
        ("pip", 'subprocess.run([sys.executable, "-m", "pip", "install", package])', ()),
        ("pip", 'os.system(f"pip install {package}")', ()),
        ("pip", 'print("pip install six")', ()),
        ("pip", "# pip install six", ()),
        ("system", 'os.system("pip install six")', ()),
    ],
)
def test_calls_of_installers_are_read(kind: str, code: str, packages: tuple[str, ...]) -> None:
    """Where names stand in the text."""
    found = read_calls(kind, code)
    assert (found.packages, found.notes) == (packages, ())
