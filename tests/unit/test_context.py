"""Contexts over a link that is played here: turns, ends, limits, and what a hostile runner says."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import signal
from typing import TYPE_CHECKING, cast

import pytest

from interpreter_tools import (
    ClearChunk,
    Completeness,
    ConfigurationError,
    ContainerLost,
    Context,
    ContextClosed,
    ContextDied,
    ExecutionClosed,
    InputChunk,
    InterpreterToolsError,
    LanguageRegistry,
)
from interpreter_tools._config.options import CellLimits
from interpreter_tools._container.telling import Telling
from interpreter_tools._context.place import Packages
from interpreter_tools._protocol import Exited, Output
from interpreter_tools._protocol.constants import Ended
from interpreter_tools.testing.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from interpreter_tools import OutputChunk
    from interpreter_tools._config.options import CellOptions
    from interpreter_tools._container.side_run import SideListener, SideRun
    from interpreter_tools._context.place import Place, Resident

_RUNNER = 1  # the number of the runner's connection


class _Runner:
    """The process of a context: what it is told is a cell that says what to do."""

    number = 1

    def __init__(self, listener: SideListener) -> None:
        self.listener = listener
        self.telling = Telling(Sandbox().channel)
        self.told: list[dict[str, object]] = []
        self.signals: list[int] = []
        self.killed = self.paused = False
        self.news = asyncio.Event()
        self._parts = bytearray()
        self.on_cell: Callable[[dict[str, object]], None] = self.finish
        self.on_signal: Callable[[], None] = lambda: None
        self.delayed: Callable[[float], None] = lambda _seconds: None
        self.delays: Iterator[int] = iter(
            ()
        )  # seconds that it has waited for a processor, at each question; the last one stays
        self._delay = 0

    def say(self, connection: int = _RUNNER, **words: object) -> None:
        """Send a message of the runner."""
        self.listener.message(connection, b"c\0" + json.dumps(words).encode())

    async def until(self, count: int) -> None:
        """Wait until the runner was told so many messages, and has answered."""
        while len(self.told) < count:
            self.news.clear()
            await self.news.wait()
        await asyncio.sleep(0)

    def write(self, data: bytes, *, is_stderr: bool = False) -> None:
        """Print something."""
        self.listener.output(Output("stderr" if is_stderr else "stdout", data))

    def ready(self) -> None:
        """Say that the runner waits for cells."""
        self.say(event="ready", language="python")

    def start(self, cell: dict[str, object]) -> None:
        """Say that a cell begins."""
        self.say(event="started", cell=cell["cell"])

    def finish(self, cell: dict[str, object], **words: object) -> None:
        """Run a cell to its end: its code is what it prints."""
        self.start(cell)
        self.write(str(cell["code"]).encode())
        self.say(_RUNNER, event="done", cell=cell["cell"], count=len(self.told), **words)

    async def tell(self, connection: int, data: bytes) -> None:
        """Take what the runner is told."""
        assert connection == _RUNNER
        self._parts += data[2:]
        if data[1]:
            return
        message: dict[str, object] = json.loads(self._parts)
        self._parts.clear()
        self.told.append(message)
        self.news.set()
        if message["op"] == "cell":
            asyncio.get_running_loop().call_soon(self.on_cell, message)

    def signal(self, number: int) -> None:
        """Take a signal."""
        self.signals.append(number)
        self.on_signal()

    def ask_delay(self) -> None:
        """Say how long it has waited for a processor."""
        self._delay = next(self.delays, self._delay)
        asyncio.get_running_loop().call_soon(lambda: self.delayed(self._delay))

    def kill(self) -> None:
        """End by SIGKILL."""
        if not self.killed:
            self.killed = True
            asyncio.get_running_loop().call_soon(self.die)

    def die(self, *, exit_code: int = -1, signal: int = 9, oom_kills: int = 0) -> None:
        """End."""
        self.listener.ended(
            Exited(
                ended=Ended.EXITED,
                exit_code=exit_code,
                signal=signal,
                unclean=False,
                wall_us=0,
                cpu_us=0,
                peak_memory=0,
                oom_kills=oom_kills,
            )
        )

    def pause(self) -> None:
        """Stop."""
        self.paused = True

    def resume(self) -> None:
        """Go on."""
        self.paused = False


class _Place:
    """A session with room for one context."""

    session_id = "s"
    found: Mapping[str, str] = {}
    isolation = "sandbox"

    def __init__(self) -> None:
        self.runners: list[_Runner] = []
        self.packages: list[tuple[str, ...]] = []
        self.closed = False
        self.changed: set[str] = set()
        self.is_silent = False
        self.started = asyncio.Event()

    def check(self) -> None:
        """Be open."""

    def lacks(self, code: str, options: CellOptions) -> bool:
        """Return True for a cell with packages."""
        return bool(options.get("dependencies"))

    async def install(self, code: str, options: CellOptions, *, alive: bool) -> Packages:
        """Install packages, as far as they can be."""
        asked = tuple(options.get("dependencies", ()))
        if "never" in asked:
            return Packages(dependencies=asked, failed=True, stderr="no such package")
        self.found = {"PYTHONPATH": "/packages"} if alive else {}
        return Packages(dependencies=asked, notes=("a note",), seconds=2.0)

    async def start(self, context: Resident, listener: SideListener, *, packages: tuple[str, ...] = ()) -> SideRun:
        """Start a process."""
        runner = _Runner(listener)
        self.packages.append(packages)
        self.runners.append(runner)
        self.started.set()
        if not self.is_silent:
            asyncio.get_running_loop().call_soon(runner.ready)
        return cast("SideRun", runner)

    async def begin(self) -> None:
        """Note a cell."""

    def end(self, files: tuple[str, ...]) -> tuple[str, ...]:
        """Note the files of a cell."""
        self.changed.update(files)
        return tuple(sorted(self.changed))

    def leave(self, context: Resident) -> None:
        """Forget the context."""

    async def aclose(self) -> None:
        """End the session."""
        self.closed = True


def _context(place: _Place, *, on_death: str = "error", timeout: float | None = 5.0) -> Context:
    limits = CellLimits(timeout=timeout, output_limit=1000)
    restart = on_death == "restart"
    return Context(
        "it",
        LanguageRegistry.get("python"),
        place=cast("Place", place),
        limits=limits,
        on_death="restart" if restart else "error",
    )


async def test_cells_run_in_the_order_of_the_calls() -> None:
    """One at a time."""
    place = _Place()
    async with _context(place) as context:
        results = await asyncio.gather(*(context.run(f"{index}") for index in range(20)))
    assert [result.stdout for result in results] == [str(index) for index in range(20)]
    assert [result.execution_count for result in results] == list(range(1, 21))
    assert {result.isolation for result in results} == {"sandbox"}
    assert len(place.runners) == 1
    assert place.closed


async def test_packages_come_before_the_cell() -> None:
    """The process learns where they are; without them the cell does not run, and the next one has its turn."""
    place = _Place()
    async with _context(place) as context:
        result = await context.run("a", dependencies=["six"])
        assert (result.stdout, result.dependencies, result.notes, result.dependency_time) == (
            "a",
            ("six",),
            ("a note",),
            2,
        )
        assert place.runners[0].told[0]["environment"] == {"PYTHONPATH": "/packages"}
        results = await asyncio.gather(context.run("b", dependencies=["never"]), context.run("c"))
        assert [result.outcome for result in results] == ["dependency_error", "ok"]
        assert (results[0].dependency_stderr, results[0].exit_code) == ("no such package", 1)
        assert [result.isolation for result in results] == [None, "sandbox"]
        assert [told["code"] for told in place.runners[0].told] == ["a", "c"]


async def test_output_before_the_cell_began_is_dropped() -> None:
    """A thread of the cell before has printed it, and neither cell is to blame."""
    place = _Place()
    async with _context(place) as context:

        def late(cell: dict[str, object]) -> None:
            place.runners[0].write(b"late")
            place.runners[0].finish(cell)
            place.runners[0].write(b"later")

        place.runners[0].on_cell = late
        assert (await context.run("a")).stdout == "a"
        assert (await context.run("b")).stdout == "b"


async def test_words_of_other_connections_are_no_runners() -> None:
    """A cell that forges the end of itself, or of another cell, is not believed."""
    place = _Place()
    async with _context(place) as context:
        runner = place.runners[0]

        def forge(cell: dict[str, object]) -> None:
            runner.say(2, event="done", cell=cell["cell"], status="ok")
            runner.say(event="done", cell=99, status="ok")
            runner.listener.message(_RUNNER, b"c\0{not json")
            runner.listener.message(_RUNNER, b"c\0" + b"[" * 100_000)
            runner.listener.message(_RUNNER, b"")
            runner.finish(
                cell, status="error", error={"name": "E", "value": "v", "traceback": "t"}, files=["../x", "/etc/passwd"]
            )

        runner.on_cell = forge
        result = await context.run("a")
        assert result.error is not None
        assert (result.outcome, result.error.name, result.generated_files) == ("error", "E", ())


async def test_half_a_character_is_no_silence() -> None:
    """An exception whose words no encoding has, and a name of a file that is not UTF-8, end the cell all the same."""
    place = _Place()
    async with _context(place) as context:
        runner = place.runners[0]

        def show(cell: dict[str, object]) -> None:
            runner.start(cell)
            body = json.dumps({"data": {"text/plain": "a\ud800", "application/json": [float("nan"), "\ud800"]}})
            runner.listener.message(_RUNNER, b"d\0" + body.encode())
            error = {"name": "E\ud800", "value": "v\udfff", "traceback": "t\ud800"}
            words = {"event": "done", "cell": cell["cell"], "status": "error", "error": error, "files": ["ok", "b@"]}
            runner.listener.message(_RUNNER, b"c\0" + json.dumps(words).encode().replace(b"@", b"\xff"))

        runner.on_cell = show
        result = await context.run("a")
        assert result.error is not None
        assert (result.error.name, result.error.value, result.error.traceback) == ("E?", "v?", "t?")
        assert result.generated_files == ("b\udcff", "ok")
        assert (result.results[0].text, result.results[0].json) == ("a?", [None, "?"])
        result.to_json()
        asked = asyncio.create_task(context.complete("ab"))
        await runner.until(2)
        runner.say(event="complete", id=runner.told[1]["id"], matches=["\ud800"], start=0, end=2)
        assert (await asked).matches == ("?",)


def _until(end: Callable[[], None], count: int) -> Iterator[int]:
    """Return delays of a process that gets no processor; with the last one it answers its interrupt."""
    for number in range(count):
        yield 100 * number
    end()


async def test_timeout_interrupts_first() -> None:
    """And the result says that the variables are kept."""
    place = _Place()
    async with _context(place) as context:
        runner = place.runners[0]
        runner.on_cell = runner.start
        runner.on_signal = lambda: runner.say(event="done", cell=1, status="interrupted")
        result = await context.run("a", timeout=0.05)
        assert (result.outcome, runner.signals, runner.killed) == ("timeout", [2], False)
        assert "kept" in result.notes[0]


async def test_timeout_kills_what_an_interrupt_does_not_end() -> None:
    """And the result says so; the next cell is refused with the cause."""
    place = _Place()
    async with _context(place) as context:
        runner = place.runners[0]
        runner.on_cell = runner.start
        result = await context.run("a", timeout=0.05)
        assert (result.outcome, runner.signals, runner.killed) == ("timeout", [2], True)
        assert "killed" in result.notes[0]
        with pytest.raises(ContextDied, match="SIGKILL"):
            await context.run("b")
        await context.restart()
        assert (await context.run("c")).stdout == "c"


async def test_second_of_an_interrupt_does_not_count_waiting_for_a_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy host gives a process no processor to answer on; the state is kept when it answers later."""
    monkeypatch.setattr("interpreter_tools._context.cell._PATIENCE", 0.3)
    place = _Place()
    async with _context(place) as context:
        runner = place.runners[0]
        runner.on_cell = runner.start
        runner.delays = _until(lambda: runner.say(event="done", cell=1, status="interrupted"), 4)
        result = await context.run("a", timeout=0.05)
        assert (result.outcome, runner.killed, "kept" in result.notes[0]) == ("timeout", False, True)
        runner.on_signal = lambda: runner.say(event="done", cell=2, status="interrupted")
        assert (await context.run("b", timeout=0.05)).outcome == "timeout"


async def test_waiting_for_a_processor_puts_the_kill_off_for_ten_seconds_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever a cell does to its host; the result says how long it waited."""
    monkeypatch.setattr("interpreter_tools._context.cell._PATIENCE", 0.3)
    monkeypatch.setattr("interpreter_tools._context.cell._PATIENCE_AT_MOST", 1.0)
    place = _Place()
    async with _context(place) as context:
        runner = place.runners[0]
        runner.on_cell = runner.start
        runner.delays = itertools.count(0, 100)
        result = await context.run("a", timeout=0.05)
        assert (result.outcome, runner.killed) == ("timeout", True)
        assert "for a processor" in result.notes[0]


async def test_kill_needs_no_answer_about_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where none comes, the process is killed when it would be at the latest."""
    monkeypatch.setattr("interpreter_tools._context.cell._PATIENCE_AT_MOST", 1.0)
    place = _Place()
    async with _context(place) as context:
        runner = place.runners[0]
        runner.on_cell = runner.start
        monkeypatch.setattr(runner, "ask_delay", lambda: None)
        result = await context.run("a", timeout=0.05)
        assert (result.outcome, runner.killed) == ("timeout", True)


async def test_a_runner_that_sleeps_over_an_interrupt_is_urged() -> None:
    """SIGURG follows SIGINT until the cell ends, where the runner asks for it."""
    place = _Place()
    async with _context(place) as context:
        runner = place.runners[0]
        runner.on_cell = lambda cell: runner.say(event="started", cell=cell["cell"], urgent=True)
        woken = asyncio.Event()

        def sleep_over_the_first() -> None:
            if runner.signals[2:]:
                runner.say(event="done", cell=1, status="interrupted")
                woken.set()

        runner.on_signal = sleep_over_the_first
        async with context.stream("a") as cell:
            await runner.until(1)
            await context.interrupt()
            await woken.wait()
            assert (await cell.result()).exit_code == 130
        assert runner.signals == [signal.SIGINT, signal.SIGURG, signal.SIGURG]


async def test_output_limit_stops_the_cell() -> None:
    """What it wrote up to there is kept."""
    place = _Place()
    async with _context(place) as context:
        runner = place.runners[0]

        def flood(cell: dict[str, object]) -> None:
            runner.start(cell)
            for _ in range(30):
                runner.write(b"x" * 100, is_stderr=True)

        runner.on_cell = flood
        runner.on_signal = lambda: runner.say(event="done", cell=1, status="interrupted")
        result = await context.run("a")
        assert (result.outcome, len(result.stderr), result.truncated) == ("output_limit", 1000, True)


@pytest.mark.parametrize(("oom_kills", "outcome"), [(0, "error"), (1, "oom")])
async def test_death_in_a_cell_is_its_result(oom_kills: int, outcome: str) -> None:
    """With the cause; a context that restarts says so in the next result."""
    place = _Place()
    async with _context(place, on_death="restart") as context:
        place.runners[0].on_cell = lambda _: place.runners[0].die(oom_kills=oom_kills)
        result = await context.run("a")
        assert (result.outcome, result.signal) == (outcome, 9)
        assert "SIGKILL" in result.notes[0]
        again = await context.run("b")
        assert again.stdout == "b"
        assert "restarted" in again.notes[0]
        assert (await context.run("c")).notes == ()


async def test_process_that_never_becomes_ready_is_told() -> None:
    """With what it wrote."""
    place = _Place()
    place.is_silent = True
    context = _context(place)
    start = asyncio.create_task(context.start())
    await place.started.wait()
    place.runners[0].write(b"ModuleNotFoundError: IPython", is_stderr=True)
    place.runners[0].die(exit_code=1, signal=0)
    with pytest.raises(ContextDied, match="exit code 1: ModuleNotFoundError"):
        await start
    await context.aclose()


async def test_cancelled_start_leaves_no_half_started_process() -> None:
    """The next cell starts another one, though the first has not ended yet."""
    place = _Place()
    place.is_silent = True
    context = _context(place)
    starting = asyncio.create_task(context.run("1"))
    await place.started.wait()
    await asyncio.sleep(0)
    starting.cancel()
    await asyncio.wait([starting])
    assert place.runners[0].killed
    place.is_silent = False
    assert (await context.run("2")).stdout == "2"
    assert len(place.runners) == 2
    await context.aclose()


async def test_missing_package_of_the_runner_is_installed() -> None:
    """Once: a runner that lacks it says so by its exit code, and is started again."""
    place = _Place()
    place.is_silent = True
    context = _context(place)
    start = asyncio.create_task(context.start())
    await place.started.wait()
    place.is_silent = False
    place.runners[0].die(exit_code=78, signal=0)
    await start
    assert place.packages == [(), ("ipython",)]
    assert (await context.run("a")).stdout == "a"
    await context.aclose()


async def test_cancelled_cell_is_interrupted() -> None:
    """The next cell waits until it has ended."""
    place = _Place()
    async with _context(place) as context:
        runner = place.runners[0]
        runner.on_cell = runner.start
        cell = asyncio.create_task(context.run("a"))
        await runner.until(1)
        cell.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cell
        assert runner.signals == [2]
        following = asyncio.create_task(context.run("b"))
        await asyncio.sleep(0.01)
        assert len(runner.told) == 1
        runner.on_cell = runner.finish
        runner.say(event="done", cell=1, status="interrupted")
        assert (await following).stdout == "b"


async def test_cancelled_wait_for_the_turn_changes_nothing() -> None:
    """No cell begins."""
    place = _Place()
    async with _context(place) as context:
        runner = place.runners[0]
        runner.on_cell = runner.start
        first = asyncio.create_task(context.run("a"))
        second = asyncio.create_task(context.run("b"))
        await runner.until(1)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        runner.say(event="done", cell=1, status="ok")
        assert (await first).ok
        assert [message["code"] for message in runner.told] == ["a"]


async def test_restart_ends_the_cell_that_runs() -> None:
    """As killed; one that waits runs in the new process."""
    place = _Place()
    async with _context(place) as context:
        place.runners[0].on_cell = place.runners[0].start
        first = asyncio.create_task(context.run("a"))
        await place.runners[0].until(1)
        await context.restart()
        assert (await first).outcome == "killed"
        assert (await context.run("b")).stdout == "b"
        assert len(place.runners) == 2


async def test_closed_context_refuses_cells() -> None:
    """The one that ran is killed, the one that waited is refused."""
    place = _Place()
    context = await _context(place).start()
    place.runners[0].on_cell = place.runners[0].start
    first, second = asyncio.create_task(context.run("a")), asyncio.create_task(context.run("b"))
    await place.runners[0].until(1)
    await context.aclose()
    await context.aclose()
    assert (await first).outcome == "killed"
    with pytest.raises(ContextClosed):
        await second
    with pytest.raises(ContextClosed):
        await context.run("c")


async def test_lost_container_is_an_error() -> None:
    """Never a made-up result."""
    place = _Place()
    async with _context(place) as context:
        runner = place.runners[0]
        runner.on_cell = lambda _: runner.listener.ended(ContainerLost("gone"))
        with pytest.raises(ContainerLost):
            await context.run("a")


async def test_input_is_answered_line_by_line() -> None:
    """Then comes the end."""
    place = _Place()
    async with _context(place) as context:
        runner = place.runners[0]

        def ask(cell: dict[str, object]) -> None:
            runner.start(cell)
            for _ in range(3):
                runner.say(event="input", cell=cell["cell"], prompt="? ")

        runner.on_cell = ask
        cell = asyncio.create_task(context.run("a", stdin="one\ntwo"))
        await runner.until(4)
        runner.say(event="done", cell=1)
        await cell
        assert runner.told[1:] == [
            {"op": "input", "cell": 1, "text": "one"},
            {"op": "input", "cell": 1, "text": "two", "unended": True},
            {"op": "input", "cell": 1, "eof": True},
        ]


async def test_notebook_asks_and_clears_in_its_stream() -> None:
    """In their place among the output; a cell of another kind hears neither."""
    place = _Place()
    for notebook in (True, False):
        async with _context(place) as context:
            runner = place.runners[-1]

            def ask(cell: dict[str, object], runner: _Runner = runner) -> None:
                runner.start(cell)
                runner.write(b"first")
                runner.say(event="clear", cell=cell["cell"], wait=True)
                runner.say(event="input", cell=cell["cell"], prompt="Name? " + "x" * 100_000, password=True)

            runner.on_cell = ask
            seen: list[OutputChunk] = []
            async with context.stream("1", notebook=notebook) as cell:
                async for chunk in cell:
                    seen.append(chunk)
                    if isinstance(chunk, InputChunk) or not notebook:
                        break
                await cell.send_stdin(b"me\n")
                await runner.until(2)
                runner.say(event="done", cell=1)
                await cell.result()
            assert [chunk.stream for chunk in seen] == (["stdout", "clear", "input"] if notebook else ["stdout"])
            if notebook:
                assert seen[1] == ClearChunk("clear", b"", True)
                assert isinstance(seen[2], InputChunk)
                assert seen[2].password
                assert len(seen[2].text) == 65_536


async def test_a_flood_of_clears_waits_for_its_consumer() -> None:
    """They have no bytes, and count all the same."""
    place = _Place()
    async with _context(place) as context:

        def flood(cell: dict[str, object]) -> None:
            place.runners[0].start(cell)
            for _ in range(10_000):
                place.runners[0].say(event="clear", cell=cell["cell"])

        place.runners[0].on_cell = flood
        async with context.stream("1", notebook=True):
            while not place.runners[0].paused:  # noqa: ASYNC110 - the runner is no event
                await asyncio.sleep(0)


async def test_silent_and_uncounted_cells_are_told_so() -> None:
    """The runner hears only what was asked for."""
    place = _Place()
    async with _context(place) as context:
        await context.run("1")
        await context.run("1", silent=True, history=False, notebook=False)
    plain, told = place.runners[0].told
    assert plain == {"op": "cell", "cell": 1, "code": "1", "stdin": False}
    assert told == {**plain, "cell": 2, "silent": True, "history": False, "notebook": False}


@pytest.mark.parametrize("features", [["is_complete"], []])
async def test_completeness_is_asked_of_runners_that_know_it(features: list[str]) -> None:
    """Others are not asked."""
    place = _Place()
    place.is_silent = True
    context = _context(place)
    starting = asyncio.create_task(context.start())
    await place.started.wait()
    runner = place.runners[0]
    runner.say(event="ready", language="python", features=features)
    await starting
    asked = asyncio.create_task(context.is_complete("if 1:"))
    if features:
        await runner.until(1)
        runner.say(event="is_complete", id=runner.told[0]["id"], status="incomplete", indent=" " * 4)
        assert await asked == Completeness(status="incomplete", indent="    ")
    else:
        assert await asked == Completeness(status="unknown")
    await context.aclose()


async def test_slow_consumer_pauses_the_process() -> None:
    """And only its own."""
    place = _Place()
    async with _context(place) as context:
        runner = place.runners[0]
        async with context.stream("a", output_limit=None) as cell:
            await asyncio.sleep(0)
            for _ in range(30):
                runner.write(b"x" * 16384)
        assert not runner.paused
        runner.on_cell = runner.start
        async with context.stream("b", output_limit=None) as cell:
            await runner.until(2)
            await asyncio.sleep(0)
            for _ in range(30):
                runner.write(b"x" * 16384)
            assert runner.paused
            async for _ in cell:
                if not runner.paused:
                    break
            runner.say(event="done", cell=2)
            assert (await cell.result()).ok


async def test_completion_and_inspection() -> None:
    """Come from the runner, within the bounds of the code."""
    place = _Place()
    async with _context(place) as context:
        runner = place.runners[0]
        asked = asyncio.create_task(context.complete("ab", 1))
        await runner.until(1)
        runner.say(event="complete", id=runner.told[0]["id"], matches=["abs"], start=-5, end=900)
        completion = await asked
        assert (completion.matches, completion.start, completion.end) == (("abs",), 0, 2)
        about = asyncio.create_task(context.inspect("ab"))
        await runner.until(2)
        runner.say(event="inspect", id=runner.told[1]["id"], found=True, data={"text/plain": "words"})
        assert (await about).text == "words"
        with pytest.raises(ConfigurationError, match="cursor"):
            await context.complete("ab", 3)


async def test_wrong_options_are_refused_before_anything() -> None:
    """By the name of the field."""
    place = _Place()
    async with _context(place) as context:
        for options in ({"timeout": -1}, {"output_limit": "x"}, {"tiemout": 1}):
            with pytest.raises(ConfigurationError):
                context.stream("a", **options)  # pyright: ignore[reportArgumentType, reportCallIssue]
        with pytest.raises(ConfigurationError, match="surrogate"):
            await context.run("'\ud800'")
        assert place.runners[0].told == []


async def test_cell_left_before_its_end_is_interrupted() -> None:
    """Its result is refused, and the next cell waits for its end."""
    place = _Place()
    async with _context(place) as context:
        runner = place.runners[0]
        runner.on_cell = runner.start
        runner.on_signal = lambda: runner.say(event="done", cell=1, status="interrupted")
        with contextlib.suppress(InterpreterToolsError):
            async with context.stream("a") as cell:
                pass
            with pytest.raises(ExecutionClosed):
                await cell.result()
            await runner.until(1)
        assert runner.signals == [2]
