"""The engine that most tests share, and the proof at the end that nothing was left behind."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from interpreter_tools import EngineConfig, ExecutionEngine, LanguageRegistry, PoolConfig
from interpreter_tools._config.language_names import LANGUAGE_NAMES
from interpreter_tools._container.boxes import Boxes
from interpreter_tools._docker import DockerClient

from .watch import CLIENTS, eventually, nothing_is_left_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from interpreter_tools._container.shape import Shape
    from interpreter_tools._docker.spec import BoxWay


# A shell that starts us in the background has us ignore SIGINT, and with us every program that a test interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that stands for a Docker host which allows no sandboxes inside of containers."""
    about = "run as on a Docker host that allows no sandboxes inside of containers, but for tests that insist on them"
    parser.addoption("--without-sandboxes", action="store_true", help=about)


_LONGEST = (
    "test_hazards.py", "test_context.py", "test_examples.py", "test_garbled.py", "test_context_checkpoint.py",
    "test_context_fork.py", "test_display.py", "test_further.py", "test_e2b.py", "test_dependencies_indexes.py",
)  # fmt: skip
"""Files that take longest: of all that a session runs, they take half of the time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files, so that no process works at one of them alone when the others have ended."""
    places = {name: place for place, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


@pytest.fixture(scope="session", autouse=True)
def sandboxes_of_the_host(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Whether ``isolation="auto"`` finds sandboxes."""
    without = bool(request.config.getoption("--without-sandboxes"))
    with pytest.MonkeyPatch.context() as patch:
        if without:
            find = Boxes.way

            def way(boxes: Boxes, shape: Shape, *, installs: bool) -> BoxWay | None:
                return find(boxes, shape, installs=installs) if boxes._isolation == "sandbox" else None

            patch.setattr(Boxes, "way", way)
        yield not without


@pytest.fixture(autouse=True)
def languages_of_before() -> Iterator[None]:
    """What a test registers or replaces, the next one does not see."""
    known, names, looked = dict(LanguageRegistry._by_name), set(LANGUAGE_NAMES), LanguageRegistry._looked
    yield
    LanguageRegistry._by_name, LanguageRegistry._looked = known, looked
    LANGUAGE_NAMES.clear()
    LANGUAGE_NAMES.update(names)


@pytest.fixture(scope="session")
async def docker_client() -> AsyncIterator[DockerClient]:
    """The Docker engine that the machine has."""
    async with await DockerClient.connect() as client:
        yield client


@pytest.fixture(scope="session")
async def shared_engine() -> AsyncIterator[ExecutionEngine]:
    """The engine behind ``engine``, for fixtures that live longer than one test."""
    config = EngineConfig(prewarm=("python",), pool=PoolConfig(min_size=2, max_size=4, wait_timeout=120))
    async with ExecutionEngine(config) as engine:
        yield engine


@pytest.fixture
async def engine(shared_engine: ExecutionEngine) -> AsyncIterator[ExecutionEngine]:
    """An engine for tests that ask for nothing special and break nothing. What a test took it gives back."""
    yield shared_engine

    async def held() -> tuple[int, int]:
        running = shared_engine._running
        assert running is not None
        return shared_engine.stats().busy, len(running.sessions._by_id)

    await eventually(held, lambda seen: seen == (0, 0), within=30)


@pytest.fixture(scope="session", autouse=True)
async def nothing_is_left(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """After the last test no container is there that this process, or a client that it started, has made."""
    yield
    if not any(item.get_closest_marker("docker") for item in request.session.items):
        return
    async with await DockerClient.connect() as client:
        await nothing_is_left_of(client, (os.getpid(), *CLIENTS))
