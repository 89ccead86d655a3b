"""The state of a sandbox on this wire, beside what all wires have of it."""

from __future__ import annotations

import asyncio
import posixpath
import secrets
import time
from collections import deque
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from interpreter_tools.server.wires.e2b.paths import HOME, to_inside, to_outside

if TYPE_CHECKING:
    from collections.abc import Mapping

    from interpreter_tools._commands.process import Process
    from interpreter_tools._commands.processes import FileEvent, Observation, Processes
    from interpreter_tools._context.context import Context
    from interpreter_tools.server._sandbox import Sandbox

_MOST_EVENTS = 10_000  # of one watcher that its client has not asked for
_MOST_WATCHERS = 64
_MOST_METADATA = 10_000  # files with metadata


class Watcher:
    """An observation whose events are kept until their client asks for them."""

    def __init__(self, observation: Observation, *, with_entries: bool) -> None:
        self.with_entries = with_entries
        self._observation = observation
        self._events: deque[FileEvent] = deque(maxlen=_MOST_EVENTS)
        self._task = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        async for event in self._observation:
            self._events.append(event)

    def take(self) -> list[FileEvent]:
        """Return the events since the last call."""
        events = list(self._events)
        self._events.clear()
        return events

    async def aclose(self) -> None:
        """End the observation."""
        self.stop()
        await asyncio.wait([self._task])
        await self._observation.aclose()

    def stop(self) -> None:
        """Listen no more: the sandbox ends."""
        self._task.cancel()


class State:
    """The facts that the wire keeps of a sandbox.

    Attributes:
        defaults: the context of each language that cells run in when they name none.
        cwd: the directory of each context, as its client named it.
        watchers: observations, by id.
        tags: the names that clients gave to processes, by process id.
        given: the variables that clients gave to processes, by process id.
        sample: processor time and the time of its measurement, for the next one.
        auto_resume: True has a paused sandbox run again when it is used.
        internet: what its client said about the internet; None for nothing.
        has_home: programs in the sandbox know the workspace by the name of E2B's home, too.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self.defaults: dict[str, Context] = {}
        self.cwd: dict[str, str] = {}
        self.watchers: dict[str, Watcher] = {}
        self.tags: dict[int, str] = {}
        self.given: dict[int, dict[str, str]] = {}
        self.sample: tuple[float, float] = (0.0, time.monotonic())
        self.auto_resume = False
        self.internet: bool | None = None
        self.has_home = False
        self._metadata: dict[tuple[int, int], dict[str, str]] = {}
        self._turns: WeakKeyDictionary[Context, asyncio.Lock] = WeakKeyDictionary()

    @property
    def processes(self) -> Processes:
        """The processes of the sandbox."""
        self._sandbox.check()
        return self._sandbox.session.processes()

    def context(self, language: str, *, cwd: str = HOME) -> Context:
        """Return a new context."""
        context = self._sandbox.context(
            language,
            working_dir=self.directory(cwd),
            environment={"PWD": posixpath.normpath(posixpath.join(HOME, cwd))},  # bash says it where a link leads there
            timeout=None,
            output_limit=None,
            on_death="restart",
        )
        self.cwd[context.id] = cwd
        return context

    def directory(self, cwd: str) -> str:
        """Return a directory of a client as programs in the sandbox are to know it."""
        inside = to_inside(cwd)
        return to_outside(inside) if self.has_home else inside

    def default(self, language: str) -> Context:
        """Return the context of a language for cells that name none."""
        context = self.defaults.get(language)
        if context is None or context.state == "closed":
            context = self.defaults[language] = self.context(language)
        return context

    def turn(self, context: Context) -> asyncio.Lock:
        """Return the turn of a context, for a cell with what is done before and after it."""
        return self._turns.setdefault(context, asyncio.Lock())

    def watch(self, observation: Observation, *, with_entries: bool) -> str | None:
        """Keep an observation, and return its id; None when there are too many."""
        if len(self.watchers) >= _MOST_WATCHERS:
            return None
        name = secrets.token_hex(8)
        self.watchers[name] = Watcher(observation, with_entries=with_entries)
        return name

    def note(self, process: Process, tag: str | None, environment: Mapping[str, str]) -> None:
        """Keep what a client said about a process, until its end."""
        pid = process.pid
        self.given[pid] = dict(environment)
        if tag is not None:
            self.tags[pid] = tag

        def forget(_: object) -> None:
            self.given.pop(pid, None)
            self.tags.pop(pid, None)

        process.ended.add_done_callback(forget)

    def limit(self, process: Process, seconds: float) -> None:
        """Have a process be killed after a time, unless it ends before."""
        loop = asyncio.get_running_loop()
        timer = loop.call_later(seconds, process.kill_soon)
        process.ended.add_done_callback(lambda _: timer.cancel())

    def metadata(self, identity: tuple[int, int]) -> dict[str, str]:
        """Return what a client wants to know a file by."""
        return self._metadata.get(identity, {})

    def set_metadata(self, identity: tuple[int, int], metadata: Mapping[str, str]) -> None:
        """Keep what a client wants to know a file by, in place of what was kept before."""
        self._metadata.pop(identity, None)
        if metadata:
            if len(self._metadata) >= _MOST_METADATA:
                del self._metadata[next(iter(self._metadata))]
            self._metadata[identity] = dict(metadata)

    def end(self) -> None:
        """Let go of what lives by itself: the sandbox ends."""
        for watcher in self.watchers.values():
            watcher.stop()
        self.watchers.clear()


class States:
    """The states of all sandboxes."""

    def __init__(self) -> None:
        self._by_sandbox: dict[Sandbox, State] = {}

    def of(self, sandbox: Sandbox) -> State:
        """Return the state of a sandbox."""
        state = self._by_sandbox.get(sandbox)
        if state is None:
            state = self._by_sandbox[sandbox] = State(sandbox)
            sandbox.on_end(lambda: self._end(sandbox))
        return state

    def _end(self, sandbox: Sandbox) -> None:
        self._by_sandbox.pop(sandbox).end()
