"""Configuration from a file and from environment variables: what is not understood is refused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from interpreter_tools import (
    ConfigurationError,
    ContainerConfig,
    EngineConfig,
    LanguageRegistry,
    Mount,
    PoolConfig,
    SettingsIgnored,
)
from interpreter_tools._container.images import image_name

if TYPE_CHECKING:
    import msgspec

EXAMPLE = """
timeout = 10
output_limit = "1m"
prewarm = ["python", "shell"]

[pool]
min_size = 2
max_idle = 1.5

[container]
memory_limit = "256m"
cpu_limit = 0.5
network = "bridge"
ports = [8000]
environment = {LANG = "C"}

[[container.mounts]]
source = "/srv/data"
target = "data"
read_only = false

[images]
python = "mine:1"
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a directory without files."""
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")


def refusal(toml: str = "", environ: dict[str, str] | None = None) -> ConfigurationError:
    """The error."""
    path = Path("settings.toml")
    path.write_text(toml)
    with pytest.raises(ConfigurationError) as caught:
        EngineConfig.load(path, environ or {})
    return caught.value


def of(**environ: str) -> EngineConfig:
    """The configuration of some variables alone."""
    return EngineConfig.load(environ={f"INTERPRETER_TOOLS_{name}": value for name, value in environ.items()})


# -- files


def test_file_says_everything_that_a_call_can() -> None:
    """Tables are fields that hold fields."""
    Path("a.toml").write_text(EXAMPLE)
    assert EngineConfig.load("a.toml", {}) == EngineConfig(
        timeout=10,
        output_limit="1m",
        prewarm=("python", "shell"),
        pool=PoolConfig(min_size=2, max_idle=1.5),
        container=ContainerConfig(
            memory_limit="256m",
            cpu_limit=0.5,
            network="bridge",
            ports=(8000,),
            environment={"LANG": "C"},
            mounts=(Mount(source="/srv/data", target="data", read_only=False),),
        ),
        images={"python": "mine:1"},
    )


def test_usual_files_are_found_in_order(tmp_path: Path) -> None:
    """The one that is named, else the user's with the one here over it; none is fine."""
    environ = {"XDG_CONFIG_HOME": str(tmp_path / "xdg"), "HOME": str(tmp_path / "home")}
    assert EngineConfig.load(environ=environ) == EngineConfig()
    for number, path in enumerate(
        (
            tmp_path / "home/.config/interpreter-tools/config.toml",
            tmp_path / "xdg/interpreter-tools/config.toml",
            Path("interpreter-tools.toml"),
            tmp_path / "named.toml",
        ),
        start=1,
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"timeout = {number}\nmax_sessions = {number}" if number < 3 else f"timeout = {number}")
    found = EngineConfig.load(environ={"HOME": environ["HOME"]})
    assert (found.timeout, found.max_sessions) == (3, 1)
    assert EngineConfig.load(environ={**environ, "INTERPRETER_TOOLS_CONFIG": str(tmp_path / "named.toml")}).timeout == 4
    Path("interpreter-tools.toml").unlink()
    assert EngineConfig.load(environ=environ).timeout == 2
    assert EngineConfig.load(environ={"HOME": environ["HOME"]}).timeout == 1
    assert EngineConfig.load(environ={"XDG_CONFIG_HOME": "../xdg"}) == EngineConfig()  # relative: as if it was not set


# -- the file of the current directory

# Everything that a file can say, and the fields that the file of the current directory may set.
_LIMITS = {"pool", "prewarm", "timeout", "output_limit", "max_sessions", "compile_timeout", "dependency_timeout"}
_CONTAINER_LIMITS = {
    "environment", "memory_limit", "cpu_limit", "pids_limit", "workspace_size", "tmp_size", "working_dir",
}  # fmt: skip


def _toml_of(struct: type[msgspec.Struct], *, leave_out: set[str]) -> list[str]:
    """A line for each other field; its value does not matter where it is ignored."""
    return [f"{name} = 'x'" for name in struct.__struct_fields__ if name not in leave_out]


def test_current_directory_sets_limits_only() -> None:
    """Whatever else the configuration has, now or later, is ignored and named, with the way to allow it."""
    top = _toml_of(EngineConfig, leave_out={*_LIMITS, "container"})
    inner = _toml_of(ContainerConfig, leave_out=_CONTAINER_LIMITS)
    text = "\n".join((*top, "timeout = 5", "[container]", *inner, "memory_limit = '128m'"))
    Path("interpreter-tools.toml").write_text(text)
    with pytest.warns(SettingsIgnored) as caught:
        config = EngineConfig.load(environ={})
    assert config == EngineConfig(timeout=5, container=ContainerConfig(memory_limit="128m"))
    warning = caught[0].message
    assert isinstance(warning, SettingsIgnored)
    assert {"docker_host", "images", "index_url", "container.mounts", "container.network"} <= set(warning.fields)
    assert len(warning.fields) == len(top) + len(inner)
    assert all(way in str(warning) for way in ("INTERPRETER_TOOLS_CONFIG=", "--config", "EngineConfig.load("))


@pytest.mark.parametrize("named", ["argument", "variable", "user"])
def test_file_that_the_user_chose_sets_everything(named: str, tmp_path: Path) -> None:
    """Also when it lies in the current directory."""
    directory = tmp_path / "xdg/interpreter-tools"
    directory.mkdir(parents=True)
    path = directory / "config.toml" if named == "user" else Path("interpreter-tools.toml")
    path.write_text("[container]\nnetwork = 'bridge'")
    environ = {"XDG_CONFIG_HOME": str(tmp_path / "xdg")}
    if named == "variable":
        environ["INTERPRETER_TOOLS_CONFIG"] = str(path)
    config = EngineConfig.load(path if named == "argument" else None, environ)
    assert config.container.network == "bridge"


def test_current_directory_takes_nothing_from_the_users_file(tmp_path: Path) -> None:
    """A file there does not hide what the user has chosen, such as a safer runtime."""
    users = tmp_path / "xdg/interpreter-tools/config.toml"
    users.parent.mkdir(parents=True)
    users.write_text("[container]\nruntime = 'runsc'\nmemory_limit = '64m'")
    Path("interpreter-tools.toml").write_text("[container]\nruntime = 'runc'\nmemory_limit = '128m'")
    with pytest.warns(SettingsIgnored, match=r"container\.runtime"):
        config = EngineConfig.load(environ={"XDG_CONFIG_HOME": str(tmp_path / "xdg")})
    assert (config.container.runtime, config.container.memory_limit) == ("runsc", "128m")


@pytest.mark.parametrize("text", ["timout = 1", "[container]\nmemory_limt = '1g'", '"a\\r\\nhint: b" = 1'])
def test_misspelt_limit_of_the_current_directory_is_refused(text: str) -> None:
    """It must not become no limit; what its name holds does not act on a terminal."""
    Path("interpreter-tools.toml").write_text(text)
    with pytest.raises(ConfigurationError, match="is not a setting") as caught:
        EngineConfig.load(environ={})
    assert "\r" not in str(caught.value)


def test_file_that_was_named_must_be_there() -> None:
    """By the caller or by the variable."""
    for path, environ in (("no.toml", dict[str, str]()), (None, {"INTERPRETER_TOOLS_CONFIG": "no.toml"})):
        with pytest.raises(ConfigurationError, match=r"no\.toml.*cannot be read"):
            EngineConfig.load(path, environ)


@pytest.mark.parametrize("text", [b"timeout = ", b"\xff", b"[pool]\n[pool]\n"])
def test_file_that_is_not_toml_is_refused(text: bytes) -> None:
    """The error tells where."""
    Path("a.toml").write_bytes(text)
    with pytest.raises(ConfigurationError, match=r"a\.toml.*is not TOML"):
        EngineConfig.load("a.toml", {})


@pytest.mark.parametrize(
    ("toml", "field", "value", "hint"),
    [
        ("timout = 1", "timout", 1, "timeout"),
        ("[pool]\nmax_sise = 1", "pool.max_sise", 1, "max_size"),
        ("[container.mounts]", "container.mounts", {}, ""),
        ("[[container.mounts]]\ntarget = 'a'\nsorce = 'b'", "container.mounts[0].sorce", "b", "source"),
        ("[[container.mounts]]\nsource = 'b'", "container.mounts[0].target", None, ""),
        ("[zzz]", "zzz", {}, "known"),
        ("pool = 3", "pool", 3, ""),
        ("[pool]\nmax_size = '4'", "pool.max_size", "4", ""),
        ("[pool]\nmax_size = 4.5", "pool.max_size", 4.5, ""),
        ("prewarm = 'python'", "prewarm", "python", ""),
        ("prewarm = [1]", "prewarm[0]", 1, ""),
        ("[container.environment]\nA = 1", "container.environment", {"A": 1}, ""),
        ("timeout = true", "timeout", True, ""),
    ],
)
def test_wrong_names_and_types_are_told_by_their_path(toml: str, field: str, value: object, hint: str) -> None:
    """With the value, and the nearest name where there is one."""
    error = refusal(toml)
    assert (error.field, error.value) == (field, value)
    assert hint in error.hint


@pytest.mark.parametrize(
    ("toml", "field"),
    [
        ("timeout = -1", "timeout"),
        ("[pool]\nmin_size = 9\nmax_size = 8", "pool.min_size"),
        ("[container]\nmemory_limit = 'lots'", "container.memory_limit"),
        ("[[container.mounts]]\nsource = '/x'\ntarget = '/proc'", "container.mounts[0].target"),
    ],
)
def test_values_that_cannot_work_are_told_by_the_same_path(toml: str, field: str) -> None:
    """As if they had been given in a call."""
    assert refusal(toml).field == field


def test_none_has_a_word() -> None:
    """TOML has none; where it is no choice, it is a text like others."""
    Path("a.toml").write_text("timeout = 'none'\noutput_limit = 'none'\n[container]\nnetwork = 'none'")
    config = EngineConfig.load("a.toml", {})
    assert (config.timeout, config.output_limit, config.container.network) == (None, None, "none")


def test_plain_data_will_do() -> None:
    """From JSON, for example."""
    config = EngineConfig.from_dict({"pool": {"max_size": 3}, "container": {"mounts": [{"target": "room"}]}})
    assert config.pool.max_size == 3
    assert config.container.mounts == (Mount(target="room"),)
    with pytest.raises(ConfigurationError):
        EngineConfig.from_dict({"pool": {"max_size": "3"}})


# -- environment variables


def test_variables_go_before_the_file() -> None:
    """One by one: what they do not say the file does."""
    Path("here.toml").write_text(EXAMPLE)
    config = of(
        CONFIG="here.toml",
        POOL__MAX_SIZE="4",
        TIMEOUT="none",
        CONTAINER__CPU_LIMIT="2",
        CONTAINER__ENVIRONMENT__TERM="dumb",
    )
    assert (config.pool.min_size, config.pool.max_size, config.timeout) == (2, 4, None)
    assert (config.container.cpu_limit, config.container.memory_limit) == ("2", "256m")
    assert config.container.environment == {"LANG": "C", "TERM": "dumb"}


def test_every_type_has_a_text() -> None:
    """Numbers, sequences, dictionaries, tables in a sequence."""
    config = of(
        TIMEOUT="2.5",
        OUTPUT_LIMIT="1m",
        PREWARM="python, shell",
        IMAGES='{"python": "a:1"}',
        POOL__WAIT_TIMEOUT="None",
        CONTAINER__NETWORK="bridge",
        CONTAINER__PORTS="80,443",
        CONTAINER__MOUNTS='[{"target": "room", "size": 4096}]',
        DOCKER_HOST="unix:///x",
    )
    assert config == EngineConfig(
        timeout=2.5,
        output_limit="1m",
        prewarm=("python", "shell"),
        images={"python": "a:1"},
        pool=PoolConfig(wait_timeout=None),
        container=ContainerConfig(network="bridge", ports=(80, 443), mounts=(Mount(target="room", size=4096),)),
        docker_host="unix:///x",
    )
    assert of(PREWARM="").prewarm == ()
    assert of(PREWARM='["ruby"]').prewarm == ("ruby",)


@pytest.mark.parametrize(
    ("name", "value", "field", "hint"),
    [
        ("POOL__MAX_SISE", "4", "pool.max_sise", "max_size"),
        ("TIMEOUT__X", "4", "timeout.x", ""),
        ("TIMOUT", "4", "timout", "timeout"),
        ("POOL__MAX_SIZE", "four", "pool.max_size", ""),
        ("POOL", "4", "pool", ""),
        ("IMAGES", "x", "images", ""),
        ("CONTAINER__MOUNTS", "[{]", "container.mounts", ""),
        ("CONTAINER__PORTS", "80,http", "container.ports[1]", ""),
        ("CONTAINER__PORTS", "", "container.ports", ""),
    ],
)
def test_wrong_variables_are_told_by_the_fields_path(name: str, value: str, field: str, hint: str) -> None:
    """A misspelt limit must not become no limit."""
    if not value:
        assert of(**{name: value}).container.ports == ()
        return
    error = refusal(environ={f"INTERPRETER_TOOLS_{name}": value})
    assert error.field == field
    assert hint in error.hint
    assert type(error.value) in {str, int}


def test_variables_of_other_parts_are_left_to_them() -> None:
    """Images by language, the compiler of a build, a registry; and those of other programs."""
    environ = {
        "INTERPRETER_TOOLS_IMAGE_PYTHON": "a:1",
        "INTERPRETER_TOOLS_CC_X86_64": "cc",
        "INTERPRETER_TOOLS_REGISTRY": "host:5000",
        "PATH": "/bin",
        "interpreter_tools_timeout": "1",
    }
    assert EngineConfig.load(environ=environ) == EngineConfig()


@pytest.mark.parametrize("name", ["CONFIGURE", "MODELS", "REGISTRYX", "CONFIG_FILE"])
def test_variable_that_only_begins_like_another_is_refused(name: str) -> None:
    """Those of other parts are known by their whole names."""
    assert refusal(environ={f"INTERPRETER_TOOLS_{name}": "1"}).field == name.lower()


def test_images_are_found_by_any_name_of_their_language() -> None:
    """Variables are in upper case; an alias means the same."""
    config = of(IMAGES__PYTHON="a:1", IMAGES__JS="b:1")
    assert image_name(LanguageRegistry.get("python"), override=None, images=config.images) == "a:1"
    assert image_name(LanguageRegistry.get("javascript"), override=None, images=config.images) == "b:1"
    assert image_name(LanguageRegistry.get("shell"), override=None, images=config.images).startswith(
        "interpreter-tools/"
    )


@pytest.mark.parametrize(
    ("name", "hint"), [("pyhton", "did you mean 'python'?"), ("cobol", "LanguageRegistry.register")]
)
def test_image_of_an_unknown_language_is_refused(name: str, hint: str) -> None:
    """It would never be used."""
    for error in (
        refusal(f"[images]\n{name} = 'x'"),
        refusal(environ={f"INTERPRETER_TOOLS_IMAGES__{name.upper()}": "x"}),
    ):
        assert (error.field.lower(), error.value) == (f"images.{name}", "x")
        assert hint in error.hint


def test_whole_and_part_of_a_table_are_told_by_its_path() -> None:
    """Nobody could say which is meant."""
    variables = {
        "INTERPRETER_TOOLS_CONTAINER__ENVIRONMENT": '{"A": "1"}',
        "INTERPRETER_TOOLS_CONTAINER__ENVIRONMENT__B": "2",
    }
    error = refusal(environ=variables)
    assert (error.field, error.value) == ("container.environment", '{"A": "1"}')
    assert "INTERPRETER_TOOLS_CONTAINER__ENVIRONMENT__B" in error.hint


def test_own_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read when it is asked for."""
    monkeypatch.setenv("INTERPRETER_TOOLS_TIMEOUT", "7")
    assert EngineConfig.load().timeout == 7
