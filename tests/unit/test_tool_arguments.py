"""What the arguments of models are taken to mean, and what they are told when it is not plain."""

from __future__ import annotations

import contextlib
import json
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies

from interpreter_tools import InvalidArguments, LanguageConfig, LanguageRegistry, UsageError
from interpreter_tools.tool import ToolArguments, create_code_execution_tool
from interpreter_tools.tool._arguments import read_arguments
from interpreter_tools.tool._options import ToolOptions
from interpreter_tools.tool._texts import read_seconds, split_requirements, unfence

if TYPE_CHECKING:
    from collections.abc import Iterator

OPTIONS = ToolOptions()
HELLO = {"language": "python", "code": "print(1)"}


def read(given: object = None, **fields: object) -> ToolArguments:
    """As the tool reads them, with its defaults."""
    return read_arguments(given, OPTIONS, fields)


@pytest.fixture
def cobol() -> Iterator[None]:
    """A language that comes and goes."""
    LanguageRegistry.register(
        LanguageConfig(
            language="cobol", default_image="cobol:1", code_filename="main.cob", run_command=("cobol", "{file}")
        )
    )
    yield
    LanguageRegistry.unregister("cobol")


# -- the object


@pytest.mark.parametrize(
    "given",
    [
        HELLO,
        json.dumps(HELLO),
        json.dumps(json.dumps(HELLO)),
        json.dumps(HELLO).encode(),
        f"```json\n{json.dumps(HELLO)}\n```",
        {"arguments": HELLO},
        {"arguments": json.dumps(HELLO)},
        {"name": "execute_code", "arguments": json.dumps(HELLO)},
        {"id": "c1", "type": "function", "function": {"name": "execute_code", "arguments": HELLO}},
        f"I shall call:\n```json\n{json.dumps(HELLO)}\n```\nIt prints 1.",
        "{'language': 'python', 'code': 'print(1)', 'stdin': None,}",
        {"language": ["python"], "code": "print(1)"},
        {"language": "Python script", "code": "print(1)"},
        {"language": "python (3.11)", "code": "print(1)", "timeout": "null", "dependencies": "None"},
        {"Language": "Python", "CODE": "print(1)"},
        {"lang": "py", "source_code": "print(1)"},
        {"language": " PYTHON ", "code": "print(1)", "timeout": None, "dependencies": None, "stdin": None, "x": None},
        {"language": "python3", "code": ["print(1)"]},
        {"language": "Python 3.11", "code": "print(1)"},
        ToolArguments(language="python", code="print(1)"),
    ],
    ids=repr,
)
def test_plain_meaning_is_taken(given: object) -> None:
    """However it is wrapped, spelt or typed."""
    assert read(given) == ToolArguments(language="python", code="print(1)", timeout=60.0)


def test_keywords_are_arguments() -> None:
    """Alone, or over those of an object."""
    assert read(language="js", code="1") == ToolArguments(language="javascript", code="1", timeout=60.0)
    assert read(HELLO, timeout=5).timeout == 5


def test_line_breaks_inside_strings_of_json() -> None:
    """Models forget to escape them."""
    assert read('{"language": "python", "code": "print(1)\nprint(2)"}').code == "print(1)\nprint(2)"


@pytest.mark.parametrize(
    ("text", "language", "code"),
    [
        ("```python\nprint(1)\n```", "python", "print(1)\n"),
        ("```py\nprint(1)\n```", "python", "print(1)\n"),
        ("  ~~~js\r\n1\r\n~~~ ", "javascript", "1\r\n"),
        ("```nodejs\n1", "javascript", "1"),
        ("\n  ```python\n  for n in 1,:\n    print(n)\n  ```", "python", "for n in 1,:\n  print(n)\n"),
        ("````python\nprint('''\n```\n''')\n````", "python", "print('''\n```\n''')\n"),
    ],
)
def test_fenced_program_is_unpacked(text: str, language: str, code: str) -> None:
    """The fence names the language, in the code or instead of the whole object."""
    expected = ToolArguments(language=language, code=code, timeout=60.0)
    assert read(text) == expected
    assert read(code=text) == expected
    assert read(code=text, language=None) == expected


def test_named_language_goes_before_the_fence() -> None:
    """It was asked for."""
    assert read(language="typescript", code="```js\n1\n```").language == "typescript"


def test_fences_inside_a_program_stay() -> None:
    """Only a text that is one fenced block and nothing else is unpacked."""
    for code in ('print("""\n```\nx\n```\n""")', "```python\n1\n```\n\n```python\n2\n```"):
        assert read(language="python", code=code).code == code


def test_fenced_json_inside_a_program_stays() -> None:
    """It is not what was meant, where the whole is JSON."""
    code = 'print("""\n```json\n{}\n```\n""")'
    for text in (json.dumps({"language": "python", "code": code}), f"{{'language': 'python', 'code': {code!r}}}"):
        assert read(text).code == code
    assert read('{"language": "python", "code": "1\n```json\n{}\n```\n2"}').code == "1\n```json\n{}\n```\n2"


def test_whole_call_whose_parts_are_alike() -> None:
    """The name of what is called has nothing to do with its arguments."""
    with pytest.raises(InvalidArguments, match="is not JSON"):
        read({"name": "a", "arguments": "a"})


@given(strategies.text())
def test_programs_are_not_changed(code: str) -> None:
    """Whatever is in them, unless they are fenced."""
    if code.strip() and not code.strip().startswith(("```", "~~~")):
        assert read({"language": "python", "code": code}).code == code
        assert unfence(code) == (None, code)


@given(
    strategies.recursive(
        strategies.none() | strategies.booleans() | strategies.floats() | strategies.text(),
        lambda inner: strategies.lists(inner) | strategies.dictionaries(strategies.text(), inner),
    )
)
def test_anything_is_read_or_refused(given: object) -> None:
    """Never anything else."""
    for value in (given, {"language": given, "code": "1"}, {"language": "python", "code": given, "timeout": given}):
        with contextlib.suppress(InvalidArguments):
            assert isinstance(read(value), ToolArguments)


def test_deep_json_is_refused() -> None:
    """Rather than overflow the stack."""
    with pytest.raises(InvalidArguments, match="JSON"):
        read("[" * 200_000)


# -- the fields


def test_language_may_be_left_out_when_there_is_one() -> None:
    """There is nothing else that it could be."""
    options = ToolOptions(languages=("py",))
    assert read_arguments({"code": "1"}, options, {}).language == "python"
    with pytest.raises(InvalidArguments, match=r"'javascript' is not available\n.*use one of: python$"):
        read_arguments({"code": "1", "language": "javascript"}, options, {})


@pytest.mark.usefixtures("cobol")
def test_languages_are_those_of_the_moment() -> None:
    """In the schema and in a call."""
    tool = create_code_execution_tool()
    assert "cobol" in languages(tool.json_schema)
    assert "cobol" in languages(tool.strict_json_schema)
    assert read(language="COBOL", code="x").language == "cobol"
    LanguageRegistry.unregister("cobol")
    assert "cobol" not in languages(tool.json_schema)
    with pytest.raises(InvalidArguments, match="not available"):
        read(language="COBOL", code="x")


def languages(schema: dict[str, object]) -> list[str]:
    """What a schema allows."""
    properties = schema["properties"]
    assert isinstance(properties, dict)
    return properties["language"]["enum"]  # pyright: ignore[reportUnknownVariableType]


@pytest.mark.parametrize(
    ("given", "seconds"),
    [(30, 30), ("30", 30), ("1.5s", 1.5), ("500 ms", 0.5), ("0.5 minutes", 30), ("", 60), (None, 60), (1000, 60)],
)
def test_timeout(given: object, seconds: float) -> None:
    """A number, or a text of one, never above the tool's limit."""
    assert read(HELLO, timeout=given).timeout == seconds
    assert read_arguments({**HELLO, "timeout": 1000}, ToolOptions(timeout=None), {}).timeout == 1000


def test_seconds_of_no_number() -> None:
    """They are none."""
    assert [read_seconds(text) for text in ("", "soon", "-1", "1 d", "1" * 400)] == [None] * 5


@pytest.mark.parametrize(
    ("given", "packages"),
    [
        ("numpy, pandas", ["numpy", "pandas"]),
        ("numpy pandas", ["numpy", "pandas"]),
        ("numpy>=1,<2\n# a comment\npandas==2.2  # why\n", ["numpy>=1,<2", "pandas==2.2"]),
        ("uvicorn[standard,x]>=0.3", ["uvicorn[standard,x]>=0.3"]),
        ('["numpy", "pandas"]', ["numpy", "pandas"]),
        ("pip install numpy pandas", ["numpy", "pandas"]),
        ("npm install @types/node lodash@4", ["@types/node", "lodash@4"]),
        (["numpy ", "numpy", ""], ["numpy"]),
        (["numpy>=1,<2"], ["numpy>=1,<2"]),
        (["pip install numpy pandas", "six"], ["numpy", "pandas", "six"]),
        ("['numpy', 'pandas',]", ["numpy", "pandas"]),
        ({"numpy": "2.1", "six": ">=1", "pandas": "*", "pillow": ""}, ["numpy==2.1", "six>=1", "pandas", "pillow"]),
        ("", None),
        ([], None),
        ({}, None),
        ([None, "none", ""], None),
        ("null", None),
        (False, None),
        ("none; rm -rf /", ["none; rm -rf /"]),
    ],
    ids=repr,
)
def test_dependencies(given: object, packages: list[str] | None) -> None:
    """A list, or a text that lists them; what is no name stays whole, for the installer to refuse."""
    assert read(HELLO, dependencies=given).dependencies == packages


def test_dependencies_of_a_project() -> None:
    """As its package.json lists them; where it is not known what stands before a version, they are refused."""
    read_js = read(language="js", code="1", dependencies={"@types/node": "^22", "lodash": "latest"})
    assert read_js.dependencies == ["@types/node@^22", "lodash"]
    with pytest.raises(InvalidArguments, match="is not a list of packages"):
        read(language="shell", code="1", dependencies={"jq": "1.6"})


@pytest.mark.parametrize(
    ("given", "text"), [(5, "5"), ({"a": [1, "é"]}, '{"a": [1, "é"]}'), ([1], "[1]"), (["a", "b"], "a\nb")]
)
def test_stdin_that_is_data(given: object, text: str) -> None:
    """Is read as JSON by the program; several texts are its lines."""
    assert read(HELLO, stdin=given).stdin == text


@given(strategies.text())
def test_requirements_are_never_empty(text: str) -> None:
    """Nor have they blanks around them."""
    assert all(piece and piece == piece.strip() for piece in split_requirements(text))


# -- what models are told


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"code": "1"}, r"^language: None is missing\n  hint: use one of: bash, javascript, python, "),
        ({"language": "cobol", "code": "1"}, r"^language: 'cobol' is not available\n.*python"),
        ({"language": 3, "code": "1"}, r"^language: 3 is not a text\n"),
        ({"language": "python"}, r"^code: None is missing\n  hint: give the complete program"),
        ({"language": "python", "code": "```python\n```"}, r"^code: .* is empty"),
        ({"language": "python", "code": {"a": 1}}, r"^code: \{'a': 1\} is not a text"),
        ({**HELLO, "timeout": "soon"}, r"^timeout: 'soon' is not a time .*\n.*above 0, at most 60$"),
        ({**HELLO, "timeout": True}, r"^timeout: True is not a time"),
        ({**HELLO, "timeout": -1}, r"^timeout: -1 is not a time"),
        ({**HELLO, "dependencies": [1]}, r"^dependencies: \[1\] is not a list of packages"),
        ({**HELLO, "stdin": True}, r"^stdin: True is not a text"),
        ({**HELLO, "shell": True}, r"^shell: True is not a field\n.*the fields are language, code, "),
        ({**HELLO, "source": "2"}, r"^code: '2' is given twice"),
        ("print(1)", r"^arguments: 'print\(1\)' is not JSON: .*\n.*give one JSON object"),
        ("[1]", r"^arguments: \[1\] is not an object\n"),
        (None, r"^arguments: None is not an object\n"),
    ],
    ids=repr,
)
def test_error_tells_what_to_change(given: object, message: str) -> None:
    """It names the field, what was given, and what is allowed."""
    with pytest.raises(InvalidArguments, match=message) as caught:
        read(given)
    assert isinstance(caught.value, UsageError)
    text = create_code_execution_tool(name="run_it").render_error(caught.value)
    assert text.startswith("run_it did not run the code. ")
    assert re.search(r"\nWhat to do: .", text)


def test_error_repeats_little_and_harmlessly() -> None:
    """A wrong value may be a megabyte of anything."""
    with pytest.raises(InvalidArguments) as caught:
        read(HELLO, language=[{"\x1b[2J\u202e" * 100_000: 1}])
    text = create_code_execution_tool().render_error(caught.value)
    assert len(text) < 500
    assert "\x1b" not in text
    assert "\u202e" not in text
