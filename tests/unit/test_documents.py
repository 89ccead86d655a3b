"""Documents are true where a test can tell."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from interpreter_tools import RunLimits, RunOptions

_ROOT = Path(__file__).parents[2]
_PAGES = sorted([*_ROOT.glob("*.md"), *_ROOT.glob("docs/*.md")], key=lambda page: page.name)


def _anchors(page: Path) -> set[str]:
    """Return the anchors of the headings of a page, as forges make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """A link to a page or a heading of this project finds it."""
    broken: list[str] = []
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text("utf-8")):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_files_of_the_project_that_a_page_names_exist(page: Path) -> None:
    """A path in code marks, from one of the project's folders, is a file of the project."""
    there = [folder for place in (_ROOT, _ROOT / "interpreter_tools") for folder in place.iterdir() if folder.is_dir()]
    folders = "|".join(folder.name for folder in there if folder.name[0] not in "._")  # neither .nox nor caches
    named = re.findall(rf"`((?:{folders})/[\w/.-]+\.\w+)`", page.read_text("utf-8"))
    assert [
        path for path in named if not (_ROOT / path).exists() and not (_ROOT / "interpreter_tools" / path).exists()
    ] == []


def test_tests_that_the_security_page_names_exist() -> None:
    """Each promise is held by a test of that name."""
    named = set(re.findall(r"`(test_\w+)`", (_ROOT / "SECURITY.md").read_text("utf-8")))
    tests = "\n".join(file.read_text("utf-8") for file in (_ROOT / "tests").rglob("test_*.py"))
    assert len(named) > 20
    assert {name for name in named if f"def {name}(" not in tests} == set()


def test_architecture_names_each_part_of_the_package() -> None:
    """Each folder and file of the package's first level is in its section about layers."""
    section = (_ROOT / "ARCHITECTURE.md").read_text("utf-8").partition("## Layers")[2].partition("\n## ")[0]
    parts = {f"{each.name}/" if each.is_dir() else each.name for each in (_ROOT / "interpreter_tools").iterdir()}
    assert parts - set(re.findall(r"`([\w./]+)`", section)) <= {"__init__.py", "__pycache__/", "py.typed"}


def test_readme_names_each_option_of_a_run() -> None:
    """Its table has the options of ``RunOptions``, each once."""
    table = (_ROOT / "README.md").read_text("utf-8").partition("| for | options |")[2].partition("\n\n")[0]
    assert sorted(re.findall(r"`(\w+)`", table)) == sorted({*RunLimits.__annotations__, *RunOptions.__annotations__})


def test_each_example_is_named_in_a_page() -> None:
    """README says what it shows."""
    pages = "\n".join(page.read_text("utf-8") for page in _PAGES)
    examples = [file.name for file in (_ROOT / "examples").rglob("*.py") if not file.name.startswith("_")]
    assert len(examples) > 30
    assert [name for name in examples if name not in pages] == []


def test_change_log_tells_nothing_twice() -> None:
    """No two of its entries begin alike."""
    entries = re.findall(r"^- (.{40})", (_ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert len(entries) > 100
    assert sorted(entries) == sorted(set(entries))


def test_change_log_tells_each_entry_to_its_end() -> None:
    """A merge that loses a line leaves an entry without its full stop."""
    entries = re.split(r"^(?=- |#)", (_ROOT / "CHANGELOG.md").read_text("utf-8"), flags=re.MULTILINE)
    assert [entry for entry in entries if entry.startswith("- ") and not entry.rstrip().endswith((".", ".)"))] == []


def test_glossary_has_one_meaning_for_each_word() -> None:
    """No word of its table stands there twice."""
    words = re.findall(r"^\| \*\*(.+?)\*\* \|", (_ROOT / "docs" / "glossary.md").read_text("utf-8"), re.MULTILINE)
    assert len(words) > 30
    assert sorted(words) == sorted(set(words))


def test_contributing_names_each_session_of_nox() -> None:
    """Its table has the sessions of noxfile.py."""
    functions = [
        node for node in ast.parse((_ROOT / "noxfile.py").read_text("utf-8")).body if isinstance(node, ast.FunctionDef)
    ]
    sessions = {
        each.name for each in functions if any("nox.session" in ast.unparse(mark) for mark in each.decorator_list)
    }
    named = set(re.findall(r"^\| `(\w+)` \|", (_ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.MULTILINE))
    assert named == sessions


def test_protocol_page_names_c_files_that_exist() -> None:
    """Its table says which file has which frame."""
    named = re.findall(r"^\| `(\w+\.c)` \|", (_ROOT / "docs" / "protocol.md").read_text("utf-8"), re.MULTILINE)
    assert len(named) > 5
    assert [name for name in named if not (_ROOT / "interpreter_tools" / "supervisor" / name).exists()] == []


_FILES_OF_TESTS = sorted(_ROOT.glob("tests/*/test_*.py"))


@pytest.mark.parametrize(
    "file", [file for file in _FILES_OF_TESTS if file.parent.name in {"docker", "corpus", "examples"}]
)
def test_files_of_the_engine_are_marked(file: Path) -> None:
    """A file without the mark would run in no session of nox."""
    assert re.search(r"^pytestmark = .*\bpytest\.mark\.docker\b", file.read_text("utf-8"), re.MULTILINE)


def test_tests_that_run_alone_are_where_their_session_looks() -> None:
    """The session ``alone`` collects one folder, and no other session runs such a test."""
    alone = {
        file.parent.name
        for file in _FILES_OF_TESTS
        if re.search(r"^(@|pytestmark).*\bmark\.alone\b", file.read_text("utf-8"), re.MULTILINE)
    }
    assert alone == {"docker"}
