"""Configuration is checked when it is made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interpreter_tools import (
    ConfigurationError,
    ContainerConfig,
    ContainerStrategy,
    EngineConfig,
    Mount,
    PoolConfig,
    RunApp,
    SessionConfig,
)
from interpreter_tools._config.checks import check_environment

if TYPE_CHECKING:
    from collections.abc import Callable

_MIB = 1 << 20

_WRONG: list[tuple[Callable[..., object], dict[str, Any], str, str]] = [
    (ContainerConfig, {"image": " "}, "container.image", "is not a name of an image"),
    (ContainerConfig, {"memory_limit": "much"}, "container.memory_limit", "'512m'"),
    (ContainerConfig, {"memory_limit": "31m"}, "container.memory_limit", "the least is 33554432 bytes"),
    (ContainerConfig, {"memory_limit": None}, "container.memory_limit", "is not a size"),
    (ContainerConfig, {"cpu_limit": "two"}, "container.cpu_limit", "0.5"),
    (ContainerConfig, {"cpu_limit": 0}, "container.cpu_limit", "0.5"),
    (ContainerConfig, {"pids_limit": 7}, "container.pids_limit", "at least 8"),
    (ContainerConfig, {"workspace_size": "1k"}, "container.workspace_size", "the least is 1048576 bytes"),
    (ContainerConfig, {"tmp_size": 0}, "container.tmp_size", "the least is 1048576 bytes"),
    (ContainerConfig, {"working_dir": "here"}, "container.working_dir", "is not an absolute path"),
    (ContainerConfig, {"working_dir": "/a\0b"}, "container.working_dir", "is not an absolute path"),
    (ContainerConfig, {"working_dir": "/\ud800"}, "container.working_dir", "is not an absolute path"),
    (ContainerConfig, {"network": ""}, "container.network", "'none'"),
    (ContainerConfig, {"network": "host"}, "container.network", "open the host"),
    (ContainerConfig, {"network": "container:db"}, "container.network", "open the host"),
    (PoolConfig, {"min_size": -1}, "pool.min_size", "at least 0"),
    (PoolConfig, {"max_size": 0}, "pool.max_size", "at least 1"),
    (PoolConfig, {"min_size": 9, "max_size": 8}, "pool.min_size", "is more than max_size, 8"),
    (PoolConfig, {"max_uses": 0}, "pool.max_uses", "at least 1"),
    (PoolConfig, {"parallel_creates": 0}, "pool.parallel_creates", "at least 1"),
    (PoolConfig, {"max_idle": 0}, "pool.max_idle", "above 0"),
    (PoolConfig, {"max_age": -1}, "pool.max_age", "above 0"),
    (PoolConfig, {"wait_timeout": "long"}, "pool.wait_timeout", "None for no limit"),
    (EngineConfig, {"timeout": 0}, "timeout", "None for no limit"),
    (EngineConfig, {"output_limit": "0"}, "output_limit", "too small"),
    (EngineConfig, {"prewarm": "python"}, "prewarm", "('python',)"),
    (EngineConfig, {"dependency_network": "host"}, "dependency_network", "open the host"),
    (EngineConfig, {"dependency_network": "a b"}, "dependency_network", "is not a name of a Docker network"),
    (SessionConfig, {"strategy": "forever"}, "strategy", "'per_execution', 'pool', 'per_session'"),
    (SessionConfig, {"workspace_sharing": "both"}, "workspace_sharing", "'isolated', 'shared'"),
    (SessionConfig, {"when_busy": "wait"}, "when_busy", "'queue', 'error'"),
    (SessionConfig, {"session_id": "a/b"}, "session_id", "letters, digits"),
]

_WRONG_TYPES: list[tuple[Callable[..., object], dict[str, Any], str, str]] = [
    (ContainerConfig, {"image": 5}, "container.image", "str or None"),
    (ContainerConfig, {"working_dir": None}, "container.working_dir", "str"),
    (ContainerConfig, {"network": 5}, "container.network", "str"),
    (ContainerConfig, {"environment": None}, "container.environment", "{} for none"),
    (ContainerConfig, {"environment": ["A=1"]}, "container.environment", "{} for none"),
    (ContainerConfig, {"mounts": None}, "container.mounts", "tuple[Mount, ...]"),
    (ContainerConfig, {"mounts": Mount(target="a")}, "container.mounts", "give a tuple: (Mount("),
    (ContainerConfig, {"ports": None}, "container.ports", "tuple[int, ...]"),
    (ContainerConfig, {"ports": 80}, "container.ports", "(80,)"),
    (ContainerConfig, {"runtime": 5}, "container.runtime", "str or None"),
    (SessionConfig, {"session_id": 5}, "session_id", "str or None"),
    (SessionConfig, {"container": {"image": "a"}}, "container", "ContainerConfig or None"),
    (SessionConfig, {"strategy": None}, "strategy", "'per_execution'"),
    (SessionConfig, {"enforce_new_session": "no"}, "enforce_new_session", "bool"),
    (SessionConfig, {"timeout": "5"}, "timeout", "None for no limit"),
    (EngineConfig, {"container": {}}, "container", "ContainerConfig"),
    (EngineConfig, {"pool": {"max_size": 3}}, "pool", "PoolConfig"),
    (EngineConfig, {"index_url": 5}, "index_url", "str or None"),
    (EngineConfig, {"extra_index_urls": "https://a"}, "extra_index_urls", "('https://a',)"),
    (EngineConfig, {"images": None}, "images", "dict[str, str]"),
    (EngineConfig, {"images": {"python": 3}}, "images", "dict[str, str]"),
    (EngineConfig, {"dependency_store": None}, "dependency_store", "str"),
    (RunApp, {"entry_file": 5}, "run_app.entry_file", "str"),
    (Mount, {"target": None}, "mount.target", "str"),
    (Mount, {"read_only": "false", "target": "a"}, "mount.read_only", "bool"),
    (Mount, {"source": 5, "target": "a"}, "mount.source", "str or None"),
    (Mount, {"kind": "socket", "target": "a"}, "mount.kind", "'directory', 'file', 'tmpfs', 'zip'"),
]


@pytest.mark.parametrize(("make", "fields", "field", "way_out"), _WRONG + _WRONG_TYPES)
def test_wrong_value(make: Callable[..., object], fields: dict[str, Any], field: str, way_out: str) -> None:
    """The error names the field, its value and a way out."""
    with pytest.raises(ConfigurationError) as caught:
        make(**fields)
    error = caught.value
    assert error.field == field
    assert error.value == next(iter(fields.values()))
    assert str(error).startswith(f"{field}: {error.value!r} ")
    assert way_out in str(error)


@pytest.mark.parametrize("make", [ContainerConfig, PoolConfig, EngineConfig])
def test_unknown_field(make: Callable[..., object]) -> None:
    """A slip of the pen is not passed over."""
    with pytest.raises(TypeError, match="memory"):
        make(memory=1)


@pytest.mark.parametrize("make", [ContainerConfig, PoolConfig, EngineConfig])
def test_defaults_work_and_are_frozen(make: Callable[..., object]) -> None:
    """They can be shared."""
    config = make()
    field = msgspec.structs.fields(config)[0].name  # pyright: ignore[reportArgumentType]
    with pytest.raises(AttributeError, match="immutable"):
        setattr(config, field, None)


def test_defaults_are_not_shared() -> None:
    """Two configurations never hold the same dictionary."""
    ContainerConfig().environment["A"] = "1"
    EngineConfig().images["python"] = "mine"
    assert ContainerConfig().environment == {}
    assert EngineConfig().images == {}


def test_mounts_follow_the_memory_limit() -> None:
    """A half and an eighth, up to 256 and 64 MiB."""
    small, large = ContainerConfig(memory_limit="64m"), ContainerConfig(memory_limit="8g")
    assert (small.workspace_bytes, small.tmp_bytes) == (32 * _MIB, 8 * _MIB)
    assert (large.workspace_bytes, large.tmp_bytes) == (256 * _MIB, 64 * _MIB)


@given(memory=st.integers(32 * _MIB, 1 << 40))
def test_default_mounts_fit_into_any_memory(memory: int) -> None:
    """Nobody has to set three fields to lower one."""
    config = ContainerConfig(memory_limit=memory)
    assert config.workspace_bytes + config.tmp_bytes + 8 * _MIB <= config.memory_bytes == memory


def test_mounts_that_leave_no_memory() -> None:
    """They lie in it."""
    with pytest.raises(ConfigurationError, match="leaves no room for programs") as caught:
        ContainerConfig(memory_limit="128m", workspace_size="120m")
    assert (caught.value.field, caught.value.value) == ("container.memory_limit", "128m")
    assert "lower workspace_size, tmp_size" in caught.value.hint


def test_amounts_as_numbers() -> None:
    """What Docker is told."""
    config = ContainerConfig(memory_limit="1g", cpu_limit="1.5", workspace_size="100m", tmp_size=_MIB)
    assert (config.memory_bytes, config.cpus) == (1 << 30, 1.5)
    assert (config.workspace_bytes, config.tmp_bytes) == (100 * _MIB, _MIB)
    assert ContainerConfig().cpus is None


def test_strategies_have_names() -> None:
    """As in configuration files: the text is the member from then on."""
    assert ContainerStrategy("per_execution") is ContainerStrategy.PER_EXECUTION
    assert ContainerStrategy("pool") is ContainerStrategy.POOL
    named = SessionConfig(strategy=cast("ContainerStrategy", "per_session"))
    assert named.strategy is ContainerStrategy.PER_SESSION
    assert named == SessionConfig(strategy=ContainerStrategy.PER_SESSION)
    assert msgspec.structs.replace(SessionConfig(), strategy="pool").strategy is ContainerStrategy.POOL


def test_pool_has_no_shared_workspace() -> None:
    """By whichever name it is asked for."""
    for strategy in (ContainerStrategy.POOL, cast("ContainerStrategy", "pool")):
        with pytest.raises(ConfigurationError, match="which wipes the workspace") as caught:
            SessionConfig(strategy=strategy, workspace_sharing="shared")
        assert (caught.value.field, caught.value.value) == ("workspace_sharing", "shared")


def test_entry_of_the_wrong_type_is_named() -> None:
    """With its place in the sequence."""
    with pytest.raises(ConfigurationError) as caught:
        ContainerConfig(network="bridge", ports=cast("tuple[int, ...]", (80, "81")))
    assert (caught.value.field, caught.value.value) == ("container.ports[1]", "81")
    with pytest.raises(ConfigurationError) as caught:
        ContainerConfig(mounts=cast("tuple[Mount, ...]", ("/srv",)))
    assert (caught.value.field, caught.value.value) == ("container.mounts[0]", "/srv")


def test_lists_do_as_tuples() -> None:
    """And what the caller adds to them later, or to a dictionary, is not in the configuration."""
    ports, variables = [80], {"A": "1"}
    config = ContainerConfig(network="bridge", ports=cast("tuple[int, ...]", ports), environment=variables)
    ports.append(0)
    variables["="] = "2"
    assert (config.ports, config.environment) == ((80,), {"A": "1"})


def test_path_is_a_source() -> None:
    """As it stands for a place on this machine; it is kept as a text."""
    mount = Mount(source=Path("/srv/data"), target="data")
    assert mount == Mount(source="/srv/data", target="data")
    assert type(mount.source) is str
    assert ContainerConfig(mounts=(mount,)).mounts == (mount,)


@pytest.mark.parametrize("name", ["", "A=B", "A\0", "\ud800", "a\udfff", 1])
def test_what_is_no_name_of_a_variable(name: object) -> None:
    """The kernel takes such a thing, but nobody reads it back."""
    with pytest.raises(ConfigurationError, match="is not a name of a variable") as caught:
        check_environment(cast("dict[str, str]", {name: "1"}), field="environment")
    assert (caught.value.field, caught.value.value) == (f"environment.{name}", name)


@pytest.mark.parametrize("value", ["a\0b", "\ud800", "a\udc7f", "b\udd00c", 1, None, b"x"])
def test_what_is_no_value_of_a_variable(value: object) -> None:
    """A lone surrogate is no text that could be sent."""
    with pytest.raises(ConfigurationError, match="is not a value of a variable") as caught:
        ContainerConfig(environment=cast("dict[str, str]", {"A": value}))
    assert (caught.value.field, caught.value.value) == ("container.environment.A", value)


@given(environment=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3))
def test_environment_that_passes_can_be_sent(environment: dict[str, str]) -> None:
    """Nothing is found out later, when a container is already in use."""
    try:
        assert check_environment(environment, field="f") is environment
    except ConfigurationError:
        return
    for name, value in environment.items():
        assert b"\0" not in f"{name}={value}".encode("utf-8", "surrogateescape")


def test_unusual_variables_pass() -> None:
    """Empty values, newlines, ``=`` in a value, bytes that are not UTF-8."""
    environment = {"A": "", "b c": "x\ny", "D": "e=f", "ä": "\udcff\udc80"}
    assert check_environment(environment, field="f") is environment


@pytest.mark.parametrize(
    ("kind", "name", "hint"),
    [
        (EngineConfig, "memory_limit", "EngineConfig(container=ContainerConfig(memory_limit=...))"),
        (EngineConfig, "memory", "ContainerConfig(memory_limit=...)"),
        (EngineConfig, "max_size", "EngineConfig(pool=PoolConfig(max_size=...))"),
        (EngineConfig, "timeuot", "did you mean 'timeout'?"),
        (ContainerConfig, "env", "did you mean 'environment'?"),
        (ContainerConfig, "mem", "did you mean 'memory_limit'?"),
        (PoolConfig, "colour", "known: "),
    ],
)
def test_field_that_there_is_not_is_refused_with_the_right_one(kind: type, name: str, hint: str) -> None:
    """Its place as well, where it belongs to a part."""
    with pytest.raises(ConfigurationError, match=f"is not a field of {kind.__name__}") as caught:
        kind(**{name: 1})
    assert hint in caught.value.hint
