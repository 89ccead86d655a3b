"""What a project's own files ask for."""

from __future__ import annotations

import codecs
import json
import os
from typing import TYPE_CHECKING

import pytest

from interpreter_tools import ConfigurationError, LanguageRegistry, Mount, RunApp
from interpreter_tools._languages.manifests import (
    MOST_BYTES,
    Declared,
    app_packages,
    python_is_met,
    read_mounted,
    requirement_lines,
    script_header,
)
from interpreter_tools._languages.specifiers import add_packages, normalise

if TYPE_CHECKING:
    from pathlib import Path

APP = RunApp(entry_file="main.py", cwd="app")


HOSTS = frozenset({"packages.example"})


async def declared(language: str, **files: str | bytes) -> Declared:
    """What an app asks for whose directory holds the files; ``__`` in a name stands for a dot."""
    contents = {
        f"/workspace/app/{name.replace('__', '.')}": text.encode() if isinstance(text, str) else text
        for name, text in files.items()
    }

    async def read(path: str) -> bytes | None:
        return contents.get(path)

    return await app_packages(LanguageRegistry.get(language), APP, read, hosts=HOSTS)


async def packages(language: str, **files: str | bytes) -> tuple[str, ...]:
    """The packages alone."""
    return (await declared(language, **files)).packages


async def test_requirements() -> None:
    """Lines with comments, continuations and blanks; they count before a pyproject.toml."""
    text = "six==1.16  # a comment\n\n# another\nrequests[socks] \\\n  >=2; python_version > '3'\n"
    found = await packages("python", requirements__txt=text, pyproject__toml="[project]\ndependencies = ['numpy']")
    assert found == ('requests[socks]>=2; python_version > "3"', "six==1.16")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16-le", "utf-16-be"])
async def test_requirements_as_windows_writes_them(encoding: str) -> None:
    """With a byte order mark, and lines that end and go on otherwise."""
    text = "six==1.16.0\r\nrequests \\\r\n  >=2\r\n"
    data = text.encode(encoding) if encoding == "utf-8-sig" else f"\ufeff{text}".encode(encoding)
    assert await packages("python", requirements__txt=data) == ("requests>=2", "six==1.16.0")


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
    assert await packages("javascript", package__json=package) == ("@scope/name@1.x", "express@^4")
    found = await packages(
        "typescript",
        package__json=package,
        **{"package-lock__json": '{"packages": {"": {}, "node_modules/express": {"version": "4.1.2"}}}'},
    )
    assert found == ("@scope/name@1.x", "express@4.1.2")
    found = await packages(
        "javascript",
        package__json=package,
        **{
            "npm-shrinkwrap__json": '{"packages": {"node_modules/express": {"version": "4.0.0"}}}',
            "package-lock__json": '{"packages": {"node_modules/express": {"version": "4.1.2"}}}',
        },
    )
    assert found == ("@scope/name@1.x", "express@4.0.0")


async def test_peers_of_a_package_json() -> None:
    """Are installed, as npm does it, unless they are optional; a dependency of the same name counts."""
    package = {
        "dependencies": {"a": "1"},
        "peerDependencies": {"a": "2", "b": ">=1", "c": "*"},
        "peerDependenciesMeta": {"c": {"optional": True}},
    }
    assert await packages("javascript", package__json=json.dumps(package)) == ("a@1", "b@>=1")


async def test_package_json_with_a_url() -> None:
    """Of an allowed host."""
    allowed = '{"dependencies": {"a": "https://packages.example/a.tgz"}}'
    assert await packages("javascript", package__json=allowed) == ("a@https://packages.example/a.tgz",)
    with pytest.raises(ConfigurationError, match="allowed_index_hosts"):
        await packages("javascript", package__json=allowed.replace("packages", "other"))


async def test_package_json_as_npm_reads_it() -> None:
    """A byte order mark, any version, another name, and what is not for running."""
    package = {
        "dependencies": {"is-odd": "", "odd": "npm:is-odd@^3", "scoped": "npm:@a/b", "or": ">=2 <3 || 3.x"},
        "devDependencies": {"x": "1"},
        "optionalDependencies": {"y": "1"},
    }
    data = codecs.BOM_UTF8 + json.dumps(package).encode()
    expected = ("is-odd", "odd@npm:is-odd@^3", "or@>=2 <3 || 3.x", "scoped@npm:@a/b")
    assert await packages("javascript", package__json=data) == expected
    assert len(normalise("npm", expected)) == 4
    pins = {"is-odd": {"version": "3.0.1"}, "odd": {"version": "3.0.0"}, "scoped": {"version": "2.0.0"}}
    lock = {"packages": {f"node_modules/{name}": pin for name, pin in pins.items()}}
    pinned = ("is-odd@3.0.1", "odd@npm:is-odd@3.0.0", "or@>=2 <3 || 3.x", "scoped@npm:@a/b@2.0.0")
    files = {"package__json": data, "package-lock__json": json.dumps(lock)}
    assert await packages("javascript", **files) == pinned
    assert len(normalise("npm", pinned)) == 4


async def test_lock_file_of_npm_6() -> None:
    """Its first format pins as well."""
    lock = {"lockfileVersion": 1, "dependencies": {"a": {"version": "3.0.0"}, "b": {"version": "npm:c@1.0.0"}}}
    package = {"dependencies": {"a": "^3", "b": "npm:c@^1"}}
    files = {"package__json": json.dumps(package), "package-lock__json": json.dumps(lock)}
    assert await packages("javascript", **files) == ("a@3.0.0", "b@npm:c@1.0.0")


def test_package_that_both_name_is_the_runs() -> None:
    """Whatever version, extra or marker the list wants of it; all else comes from both."""
    own = normalise("pip", ["Six==1.16", "requests[socks]; python_version < '4'", "numpy"])
    found = add_packages("pip", normalise("pip", ["six>=1.17", "toml"]), ("--pre", *own), field="x")
    assert found == ("--pre", "numpy", 'requests[socks]; python_version < "4"', "six>=1.17", "toml")
    own = normalise("npm", ["@a/b@1", "odd@3", "is-odd"])
    found = add_packages("npm", normalise("npm", ["@a/b@2", "odd@npm:is-odd"]), own, field="x")
    assert found == ("@a/b@2", "is-odd", "odd@npm:is-odd")
    assert add_packages("pip", (), (), field="x") == ()


async def test_what_a_list_cannot_ask_for_is_told_by_its_name() -> None:
    """Not as if the run had asked for it."""
    with pytest.raises(ConfigurationError, match=r"run_app\.package\.json\[1\]"):
        await packages("javascript", package__json='{"dependencies": {"a": "", "b": "git+https://x.example/b"}}')


# -- requirements.txt with options


async def test_requirements_with_options() -> None:
    """Of allowed hosts, with files that it names, hashes, formats and constraints."""
    digest = "sha256:" + "AB" * 32
    found = await packages(
        "python",
        requirements__txt=(
            "--extra-index-url https://packages.example/simple\n-i https://packages.example/main  # mine\n"
            "--find-links=https://packages.example/files\n--pre\n--only-binary=:all:\n--no-binary numpy\n"
            f"-r more/dev.txt\n-c limits.txt\nsix==1.17.0 \\\n  --hash={digest} \\\n  --hash={digest}\n"
            "https://packages.example/files/Toy_Thing-1.0-py3-none-any.whl#sha256=00\n"
            "other @ https://packages.example/other-2.tar.gz ; python_version > '3'\n"
        ),
        limits__txt="urllib3<3\n",
        **{"more/dev__txt": "-r deeper.txt", "more/deeper__txt": "tabulate"},
    )
    assert {each.replace(" @ ", "@ ") for each in found} == {
        "--extra-index-url https://packages.example/simple",
        "--index-url https://packages.example/main",
        "--find-links https://packages.example/files",
        "--pre",
        "--only-binary :all:",
        "--no-binary numpy",
        "-c urllib3<3",
        f"six==1.17.0 --hash={digest.lower()}",
        "tabulate",
        "toy-thing@ https://packages.example/files/Toy_Thing-1.0-py3-none-any.whl#sha256=00",
        'other@ https://packages.example/other-2.tar.gz ; python_version > "3"',
    }


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("--extra-index-url https://other.example/simple", "allowed_index_hosts"),
        ("--index-url=https://user:word@packages.example/", "password"),
        ("-i file:///srv", "http"),
        ("https://other.example/x-1.0-py3-none-any.whl", "allowed_index_hosts"),
        ("x @ git+https://packages.example/x.git", "http"),
        ("-e .", "as it stands"),
        ("-r ../elsewhere.txt", "away"),
        ("-r /etc/requirements.txt", "away"),
        ("-r missing.txt", "not there"),
        ("-r requirements.txt", "too many lists"),
        ("--trusted-host packages.example", "not taken"),
        ("--find-links https://packages.example/${SECRET}", "password"),
        ("./local", "not a"),
        ("six --global-option=x", "not a"),
    ],
)
async def test_line_that_is_not_taken(line: str, reason: str) -> None:
    """Is told with its number, and with what to do."""
    with pytest.raises(ConfigurationError) as caught:
        await packages("python", requirements__txt=f"six\n{line}\n")
    assert reason in str(caught.value)
    assert caught.value.field.startswith("run_app.")
    assert caught.value.hint
    if reason not in {"not there", "too many lists"}:
        assert caught.value.field == "run_app.requirements.txt:2"


# -- Poetry, and what is not read


async def test_poetry() -> None:
    """Ranges as Poetry writes them, extras, markers, URLs; neither groups nor what is optional."""
    found = await declared(
        "python",
        pyproject__toml="""
[tool.poetry.dependencies]
python = "^3.11"
caret = "^1.2.3"
early = "^0.2.3"
tilde = "~1.2"
exact = "1.0"
any = "*"
range = ">=1, <2"
starred = "1.2.*"
table = { version = "^2", extras = ["a"], markers = "sys_platform == 'linux'" }
extra = { version = "1", optional = true }
several = [{ version = "1", python = "<3.9" }, { version = "2", python = ">=3.9" }]
file = { url = "https://packages.example/file-1.0.tar.gz" }
repository = { git = "https://packages.example/x.git" }
[tool.poetry.group.dev.dependencies]
pytest = "*"
""",
    )
    assert {each.replace(" @ ", "@ ") for each in found.packages} == {
        "caret<2,>=1.2.3",
        "early<0.3,>=0.2.3",
        "tilde<1.3,>=1.2",
        "exact==1.0",
        "any",
        "range<2,>=1",
        "starred==1.2.*",
        'table[a]<3,>=2; sys_platform == "linux"',
        'several==1; python_version < "3.9"',
        'several==2; python_version >= "3.9"',
        "file@ https://packages.example/file-1.0.tar.gz",
    }
    assert found.python == ">=3.11,<4"
    assert "repository" in found.notes[0]


async def test_what_is_not_read_is_said() -> None:
    """A list of another kind, dependencies that a build makes."""
    assert "Pipfile is not read" in (await declared("python", Pipfile="[packages]")).notes[0]
    dynamic = await declared("python", pyproject__toml="[project]\ndynamic = ['dependencies']")
    assert "dynamic" in dynamic.notes[0]
    assert (await declared("python", pyproject__toml="[project]\ndynamic = ['version']")).notes == ()


# -- PEP 723

SCRIPT = """#!/usr/bin/env python3
# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "Six>=1",
#
#   "rich",
# ]
# ///
print(1)
"""


@pytest.mark.parametrize("text", [SCRIPT, SCRIPT.replace("\n", "\r\n"), f"\ufeff{SCRIPT}"])
def test_header_of_a_script(text: str) -> None:
    """Its packages, and the Python that it is for."""
    found = script_header(text.encode(), hosts=HOSTS)
    assert (found.packages, found.python, found.notes) == (("rich", "six>=1"), ">=3.11", ())


@pytest.mark.parametrize(
    "text",
    [
        SCRIPT.replace("# ///\n", ""),
        SCRIPT + SCRIPT,
        SCRIPT.replace("Six>=1", "-e ."),
        SCRIPT.replace("Six>=1", "x @ https://other.example/x.whl"),
        SCRIPT.replace("[", "<"),
        SCRIPT.replace('">=3.11"', "3"),
    ],
)
def test_header_that_cannot_be_used(text: str) -> None:
    """Is told of in a note; the program may run without."""
    found = script_header(text.encode(), hosts=HOSTS)
    assert found.packages == ()
    assert "is not read" in found.notes[0]


def test_tables_of_tools_in_a_header_are_told_of() -> None:
    """They may matter."""
    found = script_header(SCRIPT.replace("# ///\n", "# [tool.uv]\n# x = 1\n# ///\n").encode(), hosts=HOSTS)
    assert found.packages == ("rich", "six>=1")
    assert found.notes == ("the script's header has [tool.uv], which is not read",)


def test_versions_of_python() -> None:
    """A range that cannot be understood is not met."""
    assert python_is_met(">=3.11,<4", "3.11.2")
    assert not python_is_met(">=3.13", "3.11.2")
    assert not python_is_met("new", "3.11.2")


async def test_nothing_to_ask_for() -> None:
    """No file, or a language that installs nothing."""
    assert await packages("python") == ()
    assert await packages("shell", requirements__txt="six") == ()


@pytest.mark.parametrize(
    ("language", "name", "text"),
    [
        ("python", "pyproject__toml", "no toml"),
        ("python", "pyproject__toml", "project = 3"),
        ("python", "pyproject__toml", "[project]\ndependencies = 'numpy'"),
        ("python", "requirements__txt", "six==1.16.0 --hash=nonsense"),
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


@pytest.mark.parametrize(
    ("table", "kind"),
    [
        ('six = { git = "https://host.example/six" }', "git"),
        ('SIX = { path = "../six", editable = true }', "path"),
        ("six = { workspace = true }", "workspace"),
        ('six = [{ marker = "sys_platform == \'linux\'", index = "ours" }, { index = "theirs" }]', "index"),
    ],
)
async def test_package_that_comes_from_elsewhere_is_not_taken_from_an_index(table: str, kind: str) -> None:
    """A package of the same name there is another one, which anybody may have published: PEP 723 and pyproject.toml."""
    lines = f"# [tool.uv.sources]\n# {table}\n# ///\n"
    header = script_header(SCRIPT.replace("# ///\n", lines).encode(), hosts=HOSTS)
    text = f"[project]\ndependencies = ['rich', 'six>=1']\n[tool.uv.sources]\n{table}\n"
    project = await declared("python", pyproject__toml=text)
    for found in (header, project):
        assert found.packages == ("rich",)
        assert any(f"'six' comes from '{kind}', which is not read" in note for note in found.notes)
