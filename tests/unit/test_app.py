"""What a project's own files ask for."""

from __future__ import annotations

import codecs
import json
import os
from typing import TYPE_CHECKING

import pytest

from interpreter_tools import ConfigurationError, LanguageRegistry, Mount, RunApp
from interpreter_tools._dependencies import add_own_dependencies, check_dependencies
from interpreter_tools._languages.manifests import MOST_BYTES, app_packages, read_mounted, requirement_lines
from interpreter_tools._languages.specifiers import normalise

if TYPE_CHECKING:
    from pathlib import Path

APP = RunApp(entry_file="main.py", cwd="app")


async def packages(language: str, **files: str | bytes) -> tuple[str, ...]:
    """What an app asks for whose directory holds the files; ``__`` in a name stands for a dot."""
    contents = {
        f"/workspace/app/{name.replace('__', '.')}": text.encode() if isinstance(text, str) else text
        for name, text in files.items()
    }

    async def read(path: str) -> bytes | None:
        return contents.get(path)

    name, found = await app_packages(LanguageRegistry.get(language), APP, read)
    assert (f"/workspace/app/{name}" in contents) == bool(name)
    return found


async def test_requirements() -> None:
    """Lines with comments, continuations and blanks; they count before a pyproject.toml."""
    text = "six==1.16  # a comment\n\n# another\nrequests[socks] \\\n  >=2; python_version > '3'\n"
    found = await packages("python", requirements__txt=text, pyproject__toml="[project]\ndependencies = ['numpy']")
    assert found == ("six==1.16", "requests[socks]    >=2; python_version > '3'")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16-le", "utf-16-be"])
async def test_requirements_as_windows_writes_them(encoding: str) -> None:
    """With a byte order mark, and lines that end and go on otherwise."""
    text = "six==1.16.0\r\nrequests \\\r\n  >=2\r\n"
    data = text.encode(encoding) if encoding == "utf-8-sig" else f"\ufeff{text}".encode(encoding)
    assert await packages("python", requirements__txt=data) == ("six==1.16.0", "requests    >=2")


def test_lines_of_requirements() -> None:
    """Their numbers are those of the file; a comment does not go on, and ends what did."""
    text = "a \\\n==1\n# no \\\nb\nc \\\n# ends\n==2 \\"
    assert requirement_lines(text) == [(1, "a  ==1"), (4, "b"), (5, "c"), (7, "==2")]


async def test_pyproject() -> None:
    """Its project's dependencies; none is none."""
    assert await packages("python", pyproject__toml="[project]\ndependencies = ['numpy>=2']") == ("numpy>=2",)
    assert await packages("python", pyproject__toml="[tool.x]\n") == ()


async def test_package_json() -> None:
    """Ranges, which a lock file pins."""
    package = '{"dependencies": {"express": "^4", "@scope/name": "1.x"}, "devDependencies": {"x": "1"}}'
    assert await packages("javascript", package__json=package) == ("express@^4", "@scope/name@1.x")
    found = await packages(
        "typescript",
        package__json=package,
        **{"package-lock__json": '{"packages": {"": {}, "node_modules/express": {"version": "4.1.2"}}}'},
    )
    assert found == ("express@4.1.2", "@scope/name@1.x")


async def test_package_json_as_npm_reads_it() -> None:
    """A byte order mark, any version, another name, and what is not for running."""
    package = {
        "dependencies": {"is-odd": "", "odd": "npm:is-odd@^3", "scoped": "npm:@a/b", "or": ">=2 <3 || 3.x"},
        "devDependencies": {"x": "1"},
        "optionalDependencies": {"y": "1"},
    }
    data = codecs.BOM_UTF8 + json.dumps(package).encode()
    expected = ("is-odd", "odd@npm:is-odd@^3", "scoped@npm:@a/b", "or@>=2 <3 || 3.x")
    assert await packages("javascript", package__json=data) == expected
    assert len(normalise("npm", expected)) == 4
    pins = {"is-odd": {"version": "3.0.1"}, "odd": {"version": "3.0.0"}, "scoped": {"version": "2.0.0"}}
    lock = {"packages": {f"node_modules/{name}": pin for name, pin in pins.items()}}
    pinned = ("is-odd@3.0.1", "odd@npm:is-odd@3.0.0", "scoped@npm:@a/b@2.0.0", "or@>=2 <3 || 3.x")
    files = {"package__json": data, "package-lock__json": json.dumps(lock)}
    assert await packages("javascript", **files) == pinned
    assert len(normalise("npm", pinned)) == 4


async def test_lock_file_of_npm_6() -> None:
    """Its first format pins as well."""
    lock = {"lockfileVersion": 1, "dependencies": {"a": {"version": "3.0.0"}, "b": {"version": "npm:c@1.0.0"}}}
    package = {"dependencies": {"a": "^3", "b": "npm:c@^1"}}
    files = {"package__json": json.dumps(package), "package-lock__json": json.dumps(lock)}
    assert await packages("javascript", **files) == ("a@3.0.0", "b@npm:c@1.0.0")


PYTHON, NODE = LanguageRegistry.get("python"), LanguageRegistry.get("javascript")


def test_package_that_both_name_is_the_runs() -> None:
    """Whatever version, extra or marker the list wants of it; all else comes from both."""
    own = ["Six==1.16", "requests[socks]; python_version < '4'", "numpy"]
    asked = check_dependencies(PYTHON, ["six>=1.17", "toml"])
    found = add_own_dependencies(PYTHON, asked, own, field="x")
    assert found == ("numpy", 'requests[socks]; python_version < "4"', "six>=1.17", "toml")
    asked = check_dependencies(NODE, ["@a/b@2", "odd@npm:is-odd"])
    found = add_own_dependencies(NODE, asked, ["@a/b@1", "odd@3", "is-odd"], field="x")
    assert found == ("@a/b@2", "is-odd", "odd@npm:is-odd")
    assert add_own_dependencies(PYTHON, (), [], field="x") == ()


def test_what_a_list_cannot_ask_for_is_told_by_its_name() -> None:
    """Not as if the run had asked for it."""
    with pytest.raises(ConfigurationError, match=r"run_app\.package\.json\[1\]"):
        add_own_dependencies(NODE, (), ["a", "b@git+https://x.example/b"], field="run_app.package.json")


async def test_nothing_to_ask_for() -> None:
    """No file, or a language that installs nothing."""
    assert await packages("python") == ()
    assert await packages("shell", requirements__txt="six") == ()


@pytest.mark.parametrize(
    ("language", "name", "text"),
    [
        ("python", "requirements__txt", "-r other.txt"),
        ("python", "requirements__txt", "--index-url http://x.example"),
        ("python", "pyproject__toml", "no toml"),
        ("python", "pyproject__toml", "project = 3"),
        ("python", "pyproject__toml", "[project]\ndependencies = 'numpy'"),
        ("python", "requirements__txt", "six==1.16.0 --hash=sha256:0"),
        ("javascript", "package__json", "no json"),
        ("javascript", "package__json", '{"dependencies": ["a"]}'),
        ("python", "requirements__txt", "#" * (MOST_BYTES + 1)),
    ],
)
async def test_file_that_cannot_be_understood(language: str, name: str, text: str) -> None:
    """Is named."""
    with pytest.raises(ConfigurationError, match=rf"run_app\.{name.replace('__', '.')}"):
        await packages(language, **{name: text})


def test_file_of_a_mounted_directory(tmp_path: Path) -> None:
    """Regular files only, and no links to elsewhere."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "requirements.txt").write_text("six")
    (tmp_path / "app" / "link").symlink_to("/etc/passwd")
    mounts = (Mount(source=str(tmp_path), target="/srv"), Mount(target="scratch", kind="tmpfs"))
    assert read_mounted(mounts, "/srv/app/requirements.txt") == b"six"
    for path in ("/srv/app/link", "/srv/app", "/srv/missing", "/etc/passwd", "/workspace/scratch/x"):
        assert read_mounted(mounts, path) is None


def test_no_part_of_the_path_to_a_mounted_file_is_a_link(tmp_path: Path) -> None:
    """A program plants one where it may write: the rest of this machine would be read through it."""
    outside = tmp_path / "outside" / "below"
    outside.mkdir(parents=True)
    (outside / "requirements.txt").write_text("secret")
    (outside.parent / "requirements.txt").write_text("secret")
    mounted = tmp_path / "mounted"
    (mounted / "real").mkdir(parents=True)
    (mounted / "real" / "requirements.txt").write_text("six")
    (mounted / "link").symlink_to(outside)
    (mounted / "inner").symlink_to("real")
    (mounted / "real" / "up").symlink_to("../../outside")
    os.mkfifo(mounted / "real" / "fifo")
    mounts = (Mount(source=str(mounted), target="/srv"),)
    assert read_mounted(mounts, "/srv/real/requirements.txt") == b"six"
    for way in ("link", "inner", "real/up", "real/up/below", "real/../../outside", "../outside"):
        assert read_mounted(mounts, f"/srv/{way}/requirements.txt") is None
    assert read_mounted(mounts, "/srv/real/fifo") is None
    gone = (Mount(source=str(tmp_path / "gone"), target="/srv"),)
    assert read_mounted(gone, "/srv/requirements.txt") is None
