"""The end of an engine, and what it looks after until then, on a scripted Docker engine."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
import warnings
from typing import TYPE_CHECKING

import msgspec
import pytest

from interpreter_tools import ContainerLost, ContainerStrategy, EngineConfig, PoolConfig
from interpreter_tools import _engine as engine_module
from interpreter_tools._container.container import Container
from interpreter_tools._exceptions import DockerApiError
from interpreter_tools._runtime import loop_guard, runtime
from interpreter_tools.testing import Answer, Program, ScriptedDocker, ScriptedEngine
from tests.watch import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PER_SESSION = ContainerStrategy.PER_SESSION
CONFIG = EngineConfig(prewarm=(), pool=PoolConfig(min_size=0, max_size=4))


def slow(program: Program) -> Answer:
    """Run for so long that somebody loses patience."""
    return Answer(seconds=60 if "slow" in program.code else 0)


async def until(look: Callable[[], bool], within: float = 30.0) -> None:
    """Wait until something is so."""

    async def seen() -> bool:
        return look()

    await eventually(seen, bool, within=within)


async def for_ever() -> None:
    """Hang, as an engine does that was stopped."""
    await asyncio.Event().wait()


async def test_end_has_one_deadline_though_the_docker_engine_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions, pools, creations and removals share it."""
    monkeypatch.setattr(engine_module, "_CLOSE_DEADLINE", 1.0)
    engine = await ScriptedEngine(config=CONFIG).start()
    for _ in range(3):
        session = engine.session(strategy=PER_SESSION)
        await session.run("python", "")
    await engine.run("python", "")
    for method in ("remove_container", "remove_volume", "list_containers", "create_container"):
        engine.docker.before[method] = for_ever
    runs = [asyncio.create_task(engine.run("javascript", "")) for _ in range(3)]
    await until(lambda: engine.docker.calls["create_container"] >= 6)
    began = time.monotonic()
    await engine.aclose()
    assert time.monotonic() - began < 15
    assert engine.docker.closed
    results = await asyncio.gather(*runs, return_exceptions=True)
    assert all(isinstance(result, Exception) for result in results)


async def test_session_that_cannot_be_ended_leaves_the_rest_to_be_ended(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An unforeseen error is logged; pools and client are closed all the same."""
    engine = await ScriptedEngine(config=CONFIG).start()
    session = engine.session(strategy=PER_SESSION)
    await session.run("python", "")
    original = Container.aclose
    broken: list[bool] = []

    async def break_once(self: Container) -> None:
        if not broken:
            broken.append(True)
            raise KeyError("unforeseen")
        await original(self)

    monkeypatch.setattr(Container, "aclose", break_once)
    with caplog.at_level(logging.WARNING):
        await engine.aclose()
    assert broken
    assert "unforeseen" in caplog.text
    assert engine.docker.closed
    assert not engine.docker.containers


async def test_what_could_not_be_removed_is_removed_at_the_end() -> None:
    """By its label, whoever failed to remove it before."""
    async with ScriptedEngine(config=CONFIG) as engine:

        async def refuse() -> None:
            raise DockerApiError("remove container", 500, "device or resource busy")

        engine.docker.before["remove_container"] = refuse
        await engine.run("python", "")
        await until(lambda: engine.docker.calls["remove_container"] > 0)
        assert engine.docker.containers
        del engine.docker.before["remove_container"]
    assert not engine.docker.containers


async def test_run_without_a_limit_ends_when_its_container_is_paused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller is told; what was asked of a session's files as well."""
    monkeypatch.setattr(runtime, "_LOOK", 0.05)
    async with ScriptedEngine(slow, CONFIG) as engine:
        run = asyncio.create_task(engine.run("python", "slow", timeout=None))
        await until(lambda: engine.stats().busy == 1)
        for container in engine.docker.containers.values():
            container.answers = False
        with pytest.raises(ContainerLost, match="paused"):
            async with asyncio.timeout(30):
                await run
        for container in engine.docker.containers.values():
            container.answers = True
        async with engine.session(strategy=PER_SESSION) as session:
            await session.write_file("a", b"abc")
            await session.run("python", "")
            for container in engine.docker.containers.values():
                container.answers = False
            with pytest.raises(ContainerLost, match="paused"):
                async with asyncio.timeout(30):
                    await session.read_file_binary("a")


async def test_silent_run_whose_container_runs_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """To say nothing is no fault."""
    monkeypatch.setattr(runtime, "_LOOK", 0.02)
    async with ScriptedEngine(lambda _: Answer(seconds=0.5), CONFIG) as engine:
        result = await engine.run("python", "", timeout=None)
        assert result.outcome == "ok"
        assert engine.docker.calls["list_containers"] > 2


async def test_volume_of_an_ended_session_does_not_come_back() -> None:
    """A creation that was queued when its session ended leaves no volume, as a Docker engine makes what is missing."""
    docker = VolumeMaker()
    async with ScriptedEngine(config=CONFIG, docker=docker) as engine:
        for _ in range(10):
            gate = asyncio.Event()

            async def wait(gate: asyncio.Event = gate) -> None:
                await gate.wait()

            session = engine.session(strategy=PER_SESSION, workspace_sharing="shared")
            docker.before["create_container"] = wait
            run = asyncio.create_task(session.run("python", ""))
            before = docker.calls["create_container"]
            await until(lambda before=before: docker.calls["create_container"] > before)
            end = asyncio.create_task(session.aclose())
            await asyncio.sleep(0.01)
            gate.set()
            await asyncio.wait([end, run])
            run.exception()
        await until(lambda: not docker.volumes)
    assert all("interpreter-tools.owner" in labels for labels in docker.made)


class VolumeMaker(ScriptedDocker):
    """An engine that makes the volumes of a container that are not there, as Docker does."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[dict[str, str]] = []

    async def create_container(self, spec: Mapping[str, object], *, name: str | None = None) -> str:
        """Make the container, and the volume of its workspace."""
        container = await super().create_container(spec, name=name)
        for mount in msgspec.convert(spec, _Spec).host_config.mounts:
            if mount.target == "/workspace" and mount.source not in self.volumes:
                labels = {} if mount.volume_options is None else mount.volume_options.labels
                self.volumes[mount.source] = labels
                self.made.append(labels)
        return container


class _Options(msgspec.Struct, rename="pascal"):
    labels: dict[str, str] = {}


class _Mount(msgspec.Struct, rename="pascal"):
    target: str
    source: str = ""
    volume_options: _Options | None = None


class _Host(msgspec.Struct, rename="pascal"):
    mounts: list[_Mount]


class _Spec(msgspec.Struct, rename="pascal"):
    host_config: _Host


def test_containers_end_when_the_event_loop_is_closed_without_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their streams are broken soon, and a warning is given, though somebody still holds the engine."""
    told: list[object] = []
    monkeypatch.setattr(loop_guard, "warnings", Collector(told))
    loop = asyncio.new_event_loop()
    engine = ScriptedEngine(config=CONFIG)

    async def use() -> None:
        await engine.start()
        await engine.run("python", "")
        await until(lambda: len(engine.docker.containers) > 0 and engine.stats().idle > 0)

    loop.run_until_complete(use())
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0.05))
    loop.close()
    assert engine.docker.containers
    end = time.monotonic() + 30
    while engine.docker.containers and time.monotonic() < end:
        time.sleep(0.02)
    assert not engine.docker.containers
    while not told and time.monotonic() < end:
        time.sleep(0.02)
    assert told
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        engine._running = None
        gc.collect()


class Collector:
    """Stands in for the module ``warnings`` in another thread, where pytest would see an error."""

    def __init__(self, told: list[object]) -> None:
        self.told = told

    def warn(self, message: str, kind: type[Warning], **_: object) -> None:
        """Keep the warning."""
        assert kind is ResourceWarning
        self.told.append(message)
