# ruff: noqa: E501 - tables of cases
"""What the arguments of models are taken to mean, and what they are told when it is not plain."""

from __future__ import annotations

import contextlib
import json
import re

import pytest
from hypothesis import example, given, strategies

from interpreter_tools import InvalidArguments, LanguageConfig, LanguageRegistry, UsageError
from interpreter_tools.tool import ToolArguments, create_code_execution_tool
from interpreter_tools.tool._arguments import read_arguments, read_call
from interpreter_tools.tool._options import ToolOptions
from interpreter_tools.tool._texts import read_seconds, split_requirements, unfence

OPTIONS = ToolOptions()
HELLO = {"language": "python", "code": "print(1)"}


def read(given: object = None, **fields: object) -> ToolArguments:
    """As the tool reads them, with its defaults."""
    return read_arguments(given, OPTIONS, fields)


@pytest.fixture
def cobol() -> None:
    """A language that comes and goes."""
    LanguageRegistry.register(
        LanguageConfig(
            language="cobol", default_image="cobol:1", code_filename="main.cob", run_command=("cobol", "{file}")
        )
    )


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
        ("pip install requests==2.31 'beautifulsoup4>=4' six", ["requests==2.31", "beautifulsoup4>=4", "six"]),
        ("uvicorn[standard]>=0.3 six~=1.0", ["uvicorn[standard]>=0.3", "six~=1.0"]),
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
    ("code", "meant", "packages"),
    [
        ("%matplotlib inline\nx = 1", "\nx = 1", None),
        ("!pip install -q six 'numpy>=2'\nimport six", "\nimport six", ["numpy>=2", "six"]),
        ("import sys\n!{sys.executable} -m pip install six", "import sys\n", ["six"]),
    ],
)
def test_lines_of_a_notebook_are_no_part_of_a_program(code: str, meant: str, packages: list[str] | None) -> None:
    """What they install is installed; in cells they stay."""
    call = {"language": "python", "code": code}
    arguments, notes = read_call(call, OPTIONS, {})
    assert (arguments.code, arguments.dependencies) == (meant, packages)
    assert len(notes) == 1
    assert "for notebooks" in notes[0]
    assert read_call(call, OPTIONS, {}, is_cell=True)[0].code == code
    assert read_call(call, ToolOptions(stateful=True), {})[0].code == code


@pytest.mark.parametrize(
    "code",
    [
        'x = """\n%pip install six\n"""',
        "x = 7\\\n%pip\n",
        "!pip install -r list.txt",
        "!ls\n!pip install six",
        "if x:\n    !pip install six",
    ],
)
def test_lines_that_only_look_like_a_notebook_s_stay(code: str) -> None:
    """Texts, what installs in a way that is not known, and what would leave no program."""
    arguments, _ = read_call({"language": "python", "code": code}, OPTIONS, {})
    assert (arguments.code, arguments.dependencies) == (code, None)
    kept = read_call({"language": "python", "code": "%pip install six"}, ToolOptions(dependencies=False), {})[0]
    assert kept.code == "%pip install six"


@pytest.mark.parametrize(
    ("given", "text"), [(5, "5"), ({"a": [1, "é"]}, '{"a": [1, "é"]}'), ([1], "[1]"), (["a", "b"], "a\nb")]
)
def test_stdin_that_is_data(given: object, text: str) -> None:
    """Is read as JSON by the program; several texts are its lines."""
    assert read(HELLO, stdin=given).stdin == text


@given(strategies.text())
@example("' 0")
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


# -- calls that are not plain


def call(**given: object) -> tuple[str, tuple[str, ...]]:
    """The program that is run, and what is said about the call."""
    arguments, notes = read_call(given, OPTIONS, {})
    return arguments.code, notes


def test_unknown_arguments_are_ignored_and_told() -> None:
    """Models describe what they do; a name that nearly means a field is asked about."""
    code, notes = call(language="python", code="1", description="adds", explanation="why", timout=3)
    assert code == "1"
    assert notes == ("Ignored, as there is no such argument: description, explanation, timout. Did you mean timeout?",)
    _, (note,) = call(language="python", code="1", **{"a\n[ok, exit code 0]": 1})
    assert note.isprintable()


@pytest.mark.parametrize("name", ["cmd", "command", "content", "script", "program", "snippet"])
def test_code_has_other_names(name: str) -> None:
    """A command without a language is one for a shell."""
    assert call(language="python", **{name: "1"}) == ("1", ())
    if name in {"cmd", "command"}:
        assert read_call({name: "ls"}, OPTIONS, {})[0].language == "shell"


@pytest.mark.parametrize(
    ("language", "given", "meant", "said"),
    [
        ("python", ">>> for n in 1,:\n...     print(n)\n...\n1\n>>> 3\n3", "for n in 1,:\n    print(n)\n\n3\n", "prompts"),
        ("python", "In [1]: x = 1\n\nIn [2]: x\nOut[2]: 1", "x = 1\nx\n", "prompts"),
        ("shell", "$ ls\n$ pwd\n", "ls\npwd\n", "prompts"),
        ("bash", "$ for x in 1; do\n> echo $x; done\n1\n$ pwd\n/", "for x in 1; do\necho $x; done\npwd\n", "prompts"),
        ("python", "print(\u201chi\u201d)", 'print("hi")', "typographic quotes"),
        ("javascript", "console.log(\u2018hi\u2019)", "console.log('hi')", "typographic quotes"),
        ("python", "if 1:\n\u00a0\u00a0\u00a0 print(1)", "if 1:\n    print(1)", "blanks"),
        ("javascript", "if (1) {\n\u00a0 x()\n}", "if (1) {\n  x()\n}", "blanks"),
        ("python", "\ufeffprint(1)", "print(1)", "blanks"),
        ("python", "print(1 &lt; 2 and &quot;a&quot;)", 'print(1 < 2 and "a")', "entities"),
        ("javascript", "if (1 &lt; 2) x()", "if (1 < 2) x()", "entities"),
        ("python", "import os\\nprint(os.name)\\n", "import os\nprint(os.name)\n", "line breaks"),
        ("python", 'x = 1\\nprint(\\"a\\\\nb\\")', 'x = 1\nprint("a\\nb")', "line breaks"),
        ("javascript", "let x = 1;\\nconsole.log(x);", "let x = 1;\nconsole.log(x);", "line breaks"),
        ("shell", "cd /tmp\\nls", "cd /tmp\nls", "line breaks"),
    ],
)  # fmt: skip
def test_damage_is_mended_and_told(language: str, given: str, meant: str, said: str) -> None:
    """What a model wrote, of what arrived."""
    code, (note,) = call(language=language, code=given)
    assert code == meant
    assert said in note.lower()


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("python", 'print("\u201chi\u201d &lt; \\n \u00a0")'),
        ("python", 'print("""\n>>> x\n""")'),
        ("python", "print('a\\nb')"),
        ("python", "this is no Python \u201d &lt;"),
        ("javascript", "console.log('\u201chi\u201d')"),
        ("javascript", "console.log('a\\nb')"),
        ("javascript", "x = '&lt;' < 3"),
        ("shell", "printf 'a\\nb'"),
        ("shell", "echo hi; echo $HOME"),
        ("shell", "cat <<EOF > README.md\nSee:\n```bash\nls\n```\nEOF"),
        ("javascript", "const s = 1\n// Example:\n"),
    ],
)
def test_sound_program_stays(language: str, code: str) -> None:
    """Odd characters inside of texts are the program's own."""
    assert call(language=language, code=code) == (code, ())


@pytest.mark.parametrize(
    "text",
    [
        "Sure! Here it is:\n```python\nprint(1)\n```",
        "Sure! Here it is:\n\n```python\nprint(1)\n```\n\nThis prints one.",
        "```python\nprint(1)\n```\nThis prints one.",
        "# Answer\n```py\nprint(1)\n```",
    ],
)
def test_words_around_a_block_are_left_out(text: str) -> None:
    """As code, or in place of the whole call."""
    assert call(language="python", code=text)[0].strip() == "print(1)"
    assert read(text).code.strip() == "print(1)"


@pytest.mark.parametrize(("language", "fence"), [("python", "bash"), ("shell", "python"), ("javascript", "py")])
def test_fence_of_another_language_is_answered(language: str, fence: str) -> None:
    """With what to change; related languages and words that are none do no harm."""
    with pytest.raises(InvalidArguments, match="fence says") as caught:
        call(language=language, code=f"```{fence}\n1\n```")
    assert "give language=" in caught.value.hint
    assert call(language="shell", code="```bash\nls\n```")[0] == "ls\n"
    assert call(language="python", code="```text\n1\n```")[0] == "1\n"


@pytest.mark.parametrize(
    "given",
    [["--name", "a b", "2"], '["--name", "a b", "2"]', "--name 'a b' 2", {"--name": "a b", "2": None}, ["--name", "a b", 2]],
)  # fmt: skip
def test_program_gets_arguments(given: object) -> None:
    """As a list, a command line, or options by name."""
    assert read(language="python", code="1", args=given).args == ["--name", "a b", "2"]


@pytest.mark.parametrize(
    ("language", "line", "found"),
    [
        ("shell", "#!/usr/bin/env python3", "python"),
        ("python", "#!/bin/bash -e", "bash"),
        ("bash", "#!/usr/bin/env -S node --no-warnings", "javascript"),
        ("python", "#!/usr/bin/python3.12", "python"),
        ("typescript", "#!/usr/bin/env node", "typescript"),
        ("shell", "#!/bin/bash", "shell"),
        ("shell", "#!/usr/bin/perl", "shell"),
        ("shell", "#!/bin/zsh", "shell"),
        ("python", "# /bin/bash", "python"),
        ("javascript", "#![allow(dead_code)]", "javascript"),
    ],
)
def test_first_line_chooses_among_the_languages_that_have_images(language: str, line: str, found: str) -> None:
    """The image of one language rarely has the interpreter of another."""
    arguments, notes = read_call({"language": language, "code": f"{line}\nx = 1"}, ToolOptions(), {})
    assert arguments.language == found
    assert bool(notes) == (found != language)


def test_first_line_chooses_no_language_that_is_not_allowed() -> None:
    """The tool's own list holds."""
    given = {"language": "shell", "code": "#!/usr/bin/env python3\nprint(1)"}
    assert read_call(given, ToolOptions(languages=("shell",)), {})[0].language == "shell"
