"""What a project's own files ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from interpreter_tools import ConfigurationError, LanguageRegistry, Mount, RunApp
from interpreter_tools._app import MOST_BYTES, app_packages, read_mounted

if TYPE_CHECKING:
    from pathlib import Path

APP = RunApp(entry_file="main.py", cwd="app")


async def packages(language: str, **files: str) -> tuple[str, ...]:
    """What an app asks for whose directory holds the files; ``__`` in a name stands for a dot."""
    contents = {f"/workspace/app/{name.replace('__', '.')}": text.encode() for name, text in files.items()}

    async def read(path: str) -> bytes | None:
        return contents.get(path)

    return await app_packages(LanguageRegistry.get(language), APP, read)


async def test_requirements() -> None:
    """Lines with comments, continuations and blanks; they count before a pyproject.toml."""
    text = "six==1.16  # a comment\n\n# another\nrequests[socks] \\\n  >=2; python_version > '3'\n"
    found = await packages("python", requirements__txt=text, pyproject__toml="[project]\ndependencies = ['numpy']")
    assert found == ("six==1.16", "requests[socks]    >=2; python_version > '3'")


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
