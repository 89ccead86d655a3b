"""Languages: what they hold, how they are found, what they come to."""

from __future__ import annotations

import ast
import codecs
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args, get_type_hints

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import interpreter_tools
from interpreter_tools import (
    CompileStep,
    ConfigurationError,
    ContainerConfig,
    EngineConfig,
    InterpreterBoot,
    InvalidPath,
    LanguageConfig,
    LanguageRegistry,
    UnknownLanguage,
)
from interpreter_tools._config.options import resolve
from interpreter_tools._container.images import image_name
from interpreter_tools._languages import BASE_ENVIRONMENT, Job, boot_environment, job_code, job_files, plan, python
from interpreter_tools._protocol.constants import MAX_PAYLOAD

if TYPE_CHECKING:
    from collections.abc import Callable


_LANGUAGE: Callable[..., LanguageConfig] = LanguageConfig  # takes what a type checker would refuse
_BOOT: Callable[..., InterpreterBoot] = InterpreterBoot


def ruby(**fields: object) -> LanguageConfig:
    """A language that is not among ours."""
    return _LANGUAGE(
        **{
            "language": "ruby",
            "default_image": "ruby:3",
            "code_filename": "main.rb",
            "run_command": ("ruby", "{file}"),
            **fields,
        }
    )


def plan_of(
    language: LanguageConfig, *, image: dict[str, str] | None = None, environment: dict[str, str] | None = None
) -> Job:
    """The job for an empty program."""
    options = resolve(EngineConfig(), {"environment": environment or {}, "timeout": 3.0, "output_limit": 10})
    return plan(language, b"", {}, options, image_environment=image or {})


# -- the configuration of one


@pytest.mark.parametrize(
    ("fields", "field", "value", "words"),
    [
        ({"language": "Ruby"}, "language", "Ruby", "lower case"),
        ({"language": ""}, "language", "", "is not a name"),
        ({"language": "a b"}, "language", "a b", "is not a name"),
        ({"language": "r" * 65}, "language", "r" * 65, "is not a name"),
        ({"aliases": ("rb", "R B")}, "language", "R B", "is not a name"),
        ({"aliases": "rb"}, "aliases", "rb", "('rb',)"),
        ({"default_image": " "}, "default_image", " ", "is not a name of an image"),
        ({"code_filename": ""}, "code_filename", "", "is not the name of a file"),
        ({"code_filename": "a/b.rb"}, "code_filename", "a/b.rb", "is not the name of a file"),
        ({"code_filename": ".."}, "code_filename", "..", "is not the name of a file"),
        ({"code_filename": "a\0"}, "code_filename", "a\0", "is not the name of a file"),
        ({"run_command": "ruby {file}"}, "run_command", "ruby {file}", "is not a sequence"),
        ({"run_command": ()}, "run_command", (), "is not a sequence"),
        ({"run_command": ("ruby",)}, "run_command", ("ruby",), "'{file}'"),
        ({"environment": {"A=": ""}}, "environment.A=", "A=", "is not a name of a variable"),
    ],
)
def test_wrong_language(fields: dict[str, Any], field: str, value: object, words: str) -> None:
    """The error names the field, its value and what would do."""
    with pytest.raises(ConfigurationError) as caught:
        ruby(**fields)
    assert (caught.value.field, caught.value.value) == (field, value)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"command": ()}, "boot.command", "is not a sequence"),
        ({"command": "ruby"}, "boot.command", "is not a sequence"),
        ({"mode": "twice"}, "boot.mode", "'fork' or 'single'"),
        ({"environment": {"A": "\0"}}, "boot.environment.A", "without NUL"),
    ],
)
def test_wrong_boot(fields: dict[str, Any], field: str, words: str) -> None:
    """The same for what is booted ahead."""
    with pytest.raises(ConfigurationError, match=words) as caught:
        _BOOT(**{"mode": "single", "command": ("ruby",), **fields})
    assert caught.value.field == field


@pytest.mark.parametrize("name", ["c", "c++", "c#", "f#", "python3.12", "objective-c", "a_b"])
def test_names_of_languages(name: str) -> None:
    """As people call them."""
    assert ruby(language=name).language == name


# -- the registry


def test_register() -> None:
    """One object is all it takes."""
    config = ruby(aliases=("rb",))
    LanguageRegistry.register(config)
    assert LanguageRegistry.get("ruby") is LanguageRegistry.get("rb") is config
    assert LanguageRegistry.get(" Ruby ") is config
    assert LanguageRegistry.names() == sorted(LanguageRegistry.names())
    assert "ruby" in LanguageRegistry.names()
    assert "rb" not in LanguageRegistry.names()


def test_register_again_replaces() -> None:
    """Aliases that the new one does not have are forgotten."""
    LanguageRegistry.register(ruby(aliases=("rb", "jruby")))
    config = ruby(aliases=("rb", "irb"))
    LanguageRegistry.register(config)
    assert LanguageRegistry.get("rb") is LanguageRegistry.get("irb") is config
    with pytest.raises(UnknownLanguage):
        LanguageRegistry.get("jruby")


@pytest.mark.parametrize(
    ("fields", "name", "owner"),
    [
        ({"aliases": ("rb", "js")}, "js", "javascript"),
        ({"language": "py"}, "py", "python"),
        ({"aliases": ("python",)}, "python", "python"),
    ],
)
def test_alias_of_another(fields: dict[str, Any], name: str, owner: str) -> None:
    """Refused, and nothing is changed."""
    before = dict(LanguageRegistry._by_name)
    with pytest.raises(ConfigurationError, match=f"{name!r} already means {owner}"):
        LanguageRegistry.register(ruby(**fields))
    assert LanguageRegistry._by_name == before


def test_all_that_a_language_is_made_of_is_public() -> None:
    """A language of one's own may be compiled, too, and be written with public names only."""
    hints = get_type_hints(LanguageConfig).values()
    parts = {kind.__name__ for hint in hints for kind in get_args(hint) if isinstance(kind, msgspec.StructMeta)}
    assert "CompileStep" in parts
    assert parts <= {*interpreter_tools.__all__}


def test_plan_of_a_compiled_language_of_ones_own() -> None:
    """The compiler is told the file, and the program is started where the compiler put it."""
    step = CompileStep(command=("zig", "build-exe", "{file}", "-femit-bin={directory}/program"))
    job = plan_of(ruby(language="zig", code_filename="main.zig", compile=step, run_command=("{directory}/program",)))
    assert job.compilation is not None
    assert "/workspace/main.zig" in job.compilation.argv
    assert f"-femit-bin={job.argv[0]}" in job.compilation.argv


def test_unregister() -> None:
    """By any of its names; twice does no harm."""
    LanguageRegistry.register(ruby(aliases=("rb",)))
    LanguageRegistry.unregister("rb")
    LanguageRegistry.unregister("rb")
    LanguageRegistry.unregister("ruby")
    assert "ruby" not in LanguageRegistry.names()


def test_name_given_twice() -> None:
    """It can be replaced and forgotten like any other."""
    LanguageRegistry.register(ruby(aliases=("ruby", "rb", "rb")))
    LanguageRegistry.register(ruby())
    LanguageRegistry.unregister("ruby")
    assert "ruby" not in LanguageRegistry.names()


@pytest.mark.parametrize("name", [5, None, ["python"], b"python"])
def test_language_that_is_no_text_is_refused(name: object) -> None:
    """With its value, and what to give."""
    with pytest.raises(ConfigurationError, match="is not a name"):
        LanguageRegistry.get(name)  # type: ignore[arg-type]


def test_unknown_language() -> None:
    """The error lists what is known, and how to add one."""
    with pytest.raises(UnknownLanguage, match="unknown language 'cobol'; known: awk, bash, bun, c, cpp") as caught:
        LanguageRegistry.get("cobol")
    assert caught.value.language == "cobol"
    assert {"bash", "javascript", "python", "shell", "typescript"} < set(caught.value.known)
    assert "LanguageRegistry.register" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("py", "python"),
        ("python3", "python"),
        ("js", "javascript"),
        ("node", "javascript"),
        ("ts", "typescript"),
        ("sh", "shell"),
        ("bash", "bash"),
        ("JavaScript", "javascript"),
    ],
)
def test_built_in_languages(name: str, language: str) -> None:
    """Under the names that people use."""
    assert LanguageRegistry.get(name).language == language


# -- its image


@pytest.mark.parametrize("language", ["javascript", "typescript"])
def test_a_cell_runner_leaves_room_for_variables(language: str) -> None:
    """Its source travels in one frame, with the variables of the context."""
    cells = LanguageRegistry.get(language).cells
    assert cells is not None
    assert sum(len(word.encode()) for word in cells.command) < MAX_PAYLOAD - 6000


def test_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the call, the configuration, the environment, and then the language's own."""
    config = ruby(language="ruby-3.x")
    assert image_name(config, override=None, images={}) == "ruby:3"
    monkeypatch.setenv("INTERPRETER_TOOLS_IMAGE_RUBY_3_X", "of-the-environment")
    assert image_name(config, override=None, images={"python": "x"}) == "of-the-environment"
    assert image_name(config, override=None, images={"ruby-3.x": "of-the-configuration"}) == "of-the-configuration"
    assert image_name(config, override="of-the-call", images={"ruby-3.x": "x"}) == "of-the-call"


# -- the job


def test_plan_of_a_command() -> None:
    """``{file}`` becomes the code's absolute path, wherever it stands."""
    job = plan_of(ruby(run_command=("ruby", "-r{file}", "{file}", "{}")))
    assert job.argv == ("ruby", "-r/workspace/main.rb", "/workspace/main.rb", "{}")
    assert not job.booted
    assert (job.directory, job.timeout, job.output_limit) == ("/workspace", 3.0, 10)


def test_plan_of_a_booted_interpreter() -> None:
    """It is told the code file only."""
    job = plan_of(ruby(boot=InterpreterBoot(mode="fork", command=("ruby",))))
    assert job.booted
    assert job.argv == ("/workspace/main.rb",)


def test_variables_of_a_job() -> None:
    """The run's over the language's over the image's over ours; those of the boot are its own."""
    boot = InterpreterBoot(mode="single", command=("ruby",), environment={"E": "boot"})
    language = ruby(environment={"C": "language", "D": "language"}, boot=boot)
    image = {"PATH": "/image", "C": "image"}
    job = plan_of(language, image=image, environment={"D": "run"})
    ours = {**BASE_ENVIRONMENT, "PATH": "/image", "C": "language"}
    assert {name: job.environment[name] for name in (*ours, "D")} == {**ours, "D": "run"}
    booted = boot_environment(language, image, ContainerConfig())
    assert {name: booted[name] for name in (*ours, "D", "E")} == {**ours, "D": "language", "E": "boot"}
    assert "E" not in job.environment
    assert boot_environment(ruby(), {}, ContainerConfig()) == {}


def test_variable_that_is_read_at_boot_only() -> None:
    """A run that changes it starts an interpreter of its own; one that repeats it does not."""
    python = LanguageRegistry.get("python")
    assert plan_of(python).booted
    assert plan_of(python, environment={"OTHER": "1"}).booted
    assert plan_of(python, image={"PYTHONPATH": "/x"}, environment={"PYTHONPATH": "/x"}).booted
    for name in ("PYTHONHASHSEED", "LANG", "LC_ALL"):
        job = plan_of(python, environment={name: "C"})
        assert not job.booted
        assert job.argv == ("python3", "-u", "/workspace/main.py")
    assert not plan_of(python, image={"PYTHONPATH": "/x"}, environment={"PYTHONPATH": "/y"}).booted


@given(
    code=st.text(st.characters(codec="utf-8")) | st.binary(),
    files=st.dictionaries(st.from_regex(r"[a-z]{1,5}(/[a-z]{1,5})?", fullmatch=True), st.binary(), max_size=3),
)
def test_files_of_a_job(code: str | bytes, files: dict[str, bytes]) -> None:
    """The code as it is, NUL included, and what comes with it."""
    raw = code.encode() if isinstance(code, str) else code
    assume(not raw.startswith(codecs.BOM_UTF8) and b"\r\n" not in raw)
    assert job_code(code) == raw
    assert job_files(files) == {name.encode(): data for name, data in files.items()}


@pytest.mark.parametrize(
    ("code", "written"),
    [
        ("\ufeffputs 1\r\n", b"puts 1\n"),
        (b"\xef\xbb\xbfputs 1", b"puts 1"),
        ("a\r\nb\r\nc\n", b"a\nb\nc\n"),
        ("a\nb\nc = 'x\r\ny'\n", b"a\nb\nc = 'x\r\ny'\n"),
        ("a\rb", b"a\rb"),
        ("# -*- coding: latin-1 -*-\n'\u00e9'", b"# -*- coding: utf-8 -*-\n'\xc3\xa9'"),
        (
            "#!/usr/bin/python3\n# vim: set fileencoding=cp1252 :",
            b"#!/usr/bin/python3\n# vim: set fileencoding=utf-8 :",
        ),
        ("x = 1\n# coding: latin-1", b"x = 1\n# coding: latin-1"),
        ("# coding: utf8", b"# coding: utf8"),
        (b"# coding: latin-1\n'\xe9'", b"# coding: latin-1\n'\xe9'"),
        ("\ufeffprint(1)\r\n".encode("utf-16-le"), b"print(1)\n"),
    ],
)
def test_code_of_another_system(code: str | bytes, written: bytes) -> None:
    """A byte order mark goes; line ends become plain where most are not; data in a program with plain ones stays."""
    assert job_code(code) == written


def test_file_that_cannot_be_written() -> None:
    """Its path leads elsewhere, or it is neither text nor bytes."""
    with pytest.raises(InvalidPath, match="leads upwards"):
        job_files({"../x": b""})
    assert job_files({"/workspace/a.txt": "\u00e4"})[b"a.txt"] == b"\xc3\xa4"
    files: dict[str, Any] = {"a.txt": 1}
    with pytest.raises(ConfigurationError, match="neither text nor bytes") as caught:
        job_files(files)
    assert caught.value.field == "files.a.txt"


@pytest.mark.parametrize("data", [bytearray(b"x"), memoryview(b"x")])
def test_files_are_kept_as_bytes(data: bytearray | memoryview) -> None:
    """What the caller changes later does not reach the sandbox."""
    assert type(job_files(cast("dict[str, bytes]", {"a": data}))[b"a"]) is bytes


def test_code_with_a_lone_surrogate() -> None:
    """No encoding can express it; the place is named."""
    with pytest.raises(ConfigurationError, match="at character 3 is a lone surrogate") as caught:
        job_code("abc\ud800")
    assert (caught.value.field, caught.value.value) == ("code", "\ud800")


@pytest.mark.parametrize("code", [b"abc", bytearray(b"abc"), memoryview(b"abc"), "abc"])
def test_code_is_text_or_bytes(code: str | bytes) -> None:
    """Of any kind; what the caller changes later does not reach the program."""
    written = job_code(code)
    assert (written, type(written)) == (b"abc", bytes)


@pytest.mark.parametrize("code", [None, 5, ["print(1)"]])
def test_code_that_is_neither_is_refused(code: object) -> None:
    """By its name."""
    with pytest.raises(ConfigurationError, match="is not a program") as caught:
        job_code(cast("str", code))
    assert (caught.value.field, caught.value.value) == ("code", code)
    assert "as a text, or as bytes" in caught.value.hint


def test_finder_completes_the_modules_that_have_a_hook() -> None:
    """The zygote must not import the hooks, so it has a list of its own."""
    folder = Path(python.__file__).parent
    boot, hooks = ((folder / name).read_text() for name in ("boot.py", "display/hooks.py"))
    (completed,) = re.findall(r"completed = frozenset\((.*?)\.split\(\)", boot, re.DOTALL)
    (table,) = re.findall(r"^_HOOKS = (\{.*?^\})", hooks, re.DOTALL | re.MULTILINE)
    names = ast.literal_eval(f"({completed})").split()
    assert sorted(names) == sorted(re.findall(r'"([\w.]+)":', table))
