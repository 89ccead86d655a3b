"""A context: a live interpreter in a session, which keeps its variables from cell to cell."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
import secrets
from enum import Enum, auto
from typing import TYPE_CHECKING, Self, TypeVar, Unpack, overload

from interpreter_tools._config.checks import as_bytes, check_count
from interpreter_tools._config.host_tools import check_tools
from interpreter_tools._config.options import CellLimits, CellOptions, CheckpointLimits, cell_limits
from interpreter_tools._config.results import Checkpoint, Completeness, Completion, ContextInfo, History, Inspected
from interpreter_tools._context import words
from interpreter_tools._context.cell import Cell
from interpreter_tools._context.interpreter import Interpreter
from interpreter_tools._context.parking import ParkedEnded
from interpreter_tools._context.processes import Branch, Processes
from interpreter_tools._context.question import Question
from interpreter_tools._context.ring import Ring
from interpreter_tools._context.timeline import Timeline
from interpreter_tools._deadline import awake_limit
from interpreter_tools._exceptions import (
    CheckpointRefused,
    ConfigurationError,
    ContextClosed,
    ContextDied,
    InterpreterToolsError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
    from types import TracebackType

    from interpreter_tools._config.host_tools import HostTool
    from interpreter_tools._config.options import OnDeath
    from interpreter_tools._config.results import ExecutionResult
    from interpreter_tools._context.place import Place
    from interpreter_tools._context.ring import Parked
    from interpreter_tools._languages import LanguageConfig

T = TypeVar("T")

_MOST_BRANCHES = 1000  # of one call
_MISSING = 78  # the exit code of a cell runner whose package is missing: EX_CONFIG of sysexits.h
_READY_DEADLINE = 60.0  # seconds for a cell runner to be ready
_END_DEADLINE = 6.0  # seconds for a process to end that was killed
_HOW = frozenset({"notebook", "silent", "history"})  # the options of a cell that its runner is told
_MOST_INDENT = 1000  # characters
_ANSWER_DEADLINE = 5.0  # seconds for the answer to ``complete`` and ``inspect``


class _State(Enum):
    OPEN = auto()
    CLOSED = auto()


class Context:
    """A live interpreter: ``run`` runs a cell, and the variables stay for the next one.

    It is made by ``engine.context`` or ``session.context``, and its process starts with the first cell, or with
    ``async with``. Cells of one context run one after another, in the order of the calls; cells of several contexts run
    side by side. A context shares the files of its session with the other contexts and the runs of the session, and
    nothing else. It ends with its session. A context belongs to the event loop of its engine; other threads use
    ``interpreter_tools.blocking``.

    A cell whose turn has not come when its caller is cancelled does not begin. Cancelling a question (``complete``,
    ``is_complete``, ``inspect``) changes nothing.

    Attributes:
        id: the id of the context, for ``engine.run_cell``.
        name: the name of the context in its session.
    """

    def __init__(
        self,
        name: str | None,
        language: LanguageConfig,
        *,
        place: Place,
        limits: CellLimits,
        on_death: OnDeath,
        tools: Mapping[str, HostTool] | None = None,
        checkpoints: CheckpointLimits | None = None,
        another: Callable[[], Context] | None = None,
        processes: Processes | None = None,
        begins_with: Parked | None = None,
        timeline: Timeline | None = None,
    ) -> None:
        self.id = secrets.token_hex(16)
        self.name = name or f"{language.language}-{self.id[:8]}"
        self._language = language
        self._place = place
        self._limits = limits
        self._tools = tools or {}
        self._on_death: OnDeath = on_death
        self._make_another = another
        self._state = _State.OPEN
        self._processes = processes or Processes()
        self._branch = Branch(
            self.name, Ring(self.id, checkpoints or CheckpointLimits(), self._processes.release), self._leave
        )
        self._branch.head, self._branch.diverges = begins_with, begins_with is not None
        self._processes.add(self._branch)
        self._cell: Cell | None = None
        self._cells = 0
        self._timeline = timeline or Timeline()
        self._entry = 0  # of the cell that runs, in the timeline
        self._tasks: set[asyncio.Task[object]] = set()  # checkpoints and rewinds, which end whatever their callers do
        self._closing: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Context {self.name} {self._language.language} [{self.state}]>"

    @property
    def language(self) -> str:
        """The name of the language."""
        return self._language.language

    @property
    def session_id(self) -> str:
        """The id of the session whose files the context sees."""
        return self._place.session_id

    @property
    def state(self) -> str:
        """``new``, ``idle``, ``busy``, ``dead`` or ``closed``."""
        if self._state is _State.CLOSED:
            return "closed"
        if self.busy:
            return "busy"
        if self._interpreter is None:
            return "new"
        return "idle" if self._died() is None else "dead"

    @property
    def busy(self) -> bool:
        """True while a cell runs, here or in a branch."""
        return self._turn.locked()

    @property
    def _turn(self) -> asyncio.Lock:
        return self._processes.turn

    @property
    def _interpreter(self) -> Interpreter | None:
        return self._processes.interpreter

    @property
    def _is_alive(self) -> bool:
        return self._interpreter is not None and self._died() is None

    def _died(self) -> InterpreterToolsError | None:
        """Return how the process ended that has the variables; None while there is one, or none was started."""
        interpreter = self._interpreter
        if interpreter is None:
            return None
        if interpreter.death is not None:
            return interpreter.death
        if self._processes.live is self._branch:
            return interpreter.fallen
        return self._branch.died()

    def info(self) -> ContextInfo:
        """Return the state of the context."""
        return ContextInfo(
            context_id=self.id, name=self.name, language=self.language, state=self.state, cells=self._cells
        )

    # -- life

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def start(self) -> Self:
        """Start the process of the context, and wait until it is ready. Does nothing while it lives.

        If ``start`` is cancelled, the next cell starts the process.

        Returns:
            The context itself.

        Raises:
            ContextDied: the process has ended; ``restart`` starts another one.
            InterpreterToolsError: the process cannot be started.
        """
        async with self._my_turn():
            await self._living()
        return self

    async def aclose(self) -> None:
        """End the process, and forget the context; a session that was made for it is cleaned up. Idempotent.

        A cell that runs gets the outcome ``killed``; a cell that waits for its turn gets ``ContextClosed``. If
        ``aclose`` is cancelled, the context is closed in the background.
        """
        if self._closing is None:
            self._shut()
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    def _shut(self) -> None:
        """Take no more cells: for ``aclose``, the end of the process and that of the session, which may follow it."""
        self._state = _State.CLOSED

    async def _close(self) -> None:
        processes = self._processes
        if processes.members[0] is self._branch:  # the others came from it
            await self._end_process()
            for branch in tuple(processes.members):
                branch.leave()
        else:
            if self._cell is not None and self._interpreter is not None:
                self._interpreter.announce_end()
                self._interpreter.end_program()
            processes.remove(self._branch)
            self._leave()
        await self._place.aclose()

    def _leave(self) -> None:
        """Be closed, and unknown to the session."""
        self._shut()
        self._place.leave(self)

    async def _end_process(self) -> None:
        interpreter = self._interpreter
        if interpreter is None or interpreter.death is not None:
            return
        if self._cell is not None:
            interpreter.announce_end()
        interpreter.kill()
        with awake_limit(_END_DEADLINE, shield=True):
            await interpreter.over()

    async def restart(self) -> None:
        """End the process and start a new one over the same files: the variables are gone.

        A cell that runs gets the outcome ``killed``; cells that wait for their turn run in the new process. If
        ``restart`` is cancelled, the old process ends all the same.

        Raises:
            ContextClosed: the context was closed.
            CheckpointRefused: the context has branches, which the end of the process would end.
            InterpreterToolsError: the process cannot be started.
        """
        self._check()
        self._check_alone()
        await self._end_process()
        async with self._my_turn():
            if self._interpreter is not None and self._interpreter.death is not None:
                self._processes.interpreter = None
            await self._living()

    async def interrupt(self) -> None:
        """Interrupt the cell that runs, as Ctrl-C does; the variables are kept. Does nothing without one.

        The call does not wait. The cell's result has the outcome ``error``, and ``KeyboardInterrupt`` as its error.
        """
        if self._cell is not None:
            self._cell.interrupt()

    # -- cells

    async def run(self, code: str, **options: Unpack[CellOptions]) -> ExecutionResult:
        """Run a cell to its end, once the cells before it have ended.

        If ``run`` is cancelled, the cell is interrupted.

        Args:
            code: the code of the cell.
            options: the options of the cell; see ``CellOptions``.

        Returns:
            The result of the cell. ``result.text`` is the text of its last expression, ``result.error`` the exception
            that ended it. Code that fails, is interrupted or reaches a limit gives a result as well.

        Raises:
            ContextDied: the process has ended before the cell began.
            ContextClosed, SessionClosed, EngineClosed: the context, session or engine was closed.
            ConfigurationError: an option cannot work.
            ContainerLost: the container went away.
        """
        if options.get("stdin") is None:
            options["stdin"] = b""
        async with self.stream(code, **options) as cell:
            return await cell.result()

    def stream(self, code: str, **options: Unpack[CellOptions]) -> Cell:
        """Return a cell, whose output can be read while it runs; ``async with`` runs it.

        Args:
            code: the code of the cell.
            options: the options of the cell; see ``CellOptions``.

        Raises:
            ContextClosed, SessionClosed, EngineClosed: the context, session or engine was closed.
            ConfigurationError: an option cannot work.
        """
        self._check()
        if not isinstance(code, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError("code", code, "is not a text")
        try:
            code.encode()
        except UnicodeEncodeError as error:
            reason = f"at character {error.start} is a lone surrogate"
            raise ConfigurationError("code", code[error.start : error.end], reason) from None
        limits = cell_limits(options, self._limits)
        stdin = options.get("stdin")
        lacks = self._place.lacks(code, options)
        return Cell(
            code,
            begin=functools.partial(self._begin, packages_for=options) if lacks else self._begin,
            over=self._over,
            timeout=limits.timeout,
            output_limit=limits.output_limit,
            stdin=None if stdin is None else as_bytes(stdin, field="stdin"),
            capture=options.get("capture", True),
            tools=check_tools(options["tools"]) if "tools" in options else self._tools,
            how={name: bool(value) for name, value in options.items() if name in _HOW},
        )

    async def _begin(
        self, cell: Cell, *, packages_for: CellOptions | None = None
    ) -> tuple[Interpreter, tuple[str, ...]] | None:
        """Wait for the turn of a cell, and return the process that runs it.

        Args:
            cell: the cell.
            packages_for: the options of a cell whose packages must be installed first.

        Returns:
            The process, and notes for the result; None when the packages could not be installed.
        """
        await self._turn.acquire()
        self._cell = cell
        begun = None
        try:
            begun = await self._begun(cell, packages_for)
        finally:
            if begun is None:
                self._cell = None
                self._turn.release()
        return begun

    async def _begun(self, cell: Cell, packages_for: CellOptions | None) -> tuple[Interpreter, tuple[str, ...]] | None:
        """Return what ``_begin`` returns, for a cell that has the turn."""
        if packages_for is not None:
            self._check()
            cell.packages = await self._place.install(cell.code, packages_for, alive=self._is_alive)
            self._check()
            if cell.packages.failed:
                return None
        interpreter, notes = await self._living()
        cell.found = self._place.found
        await self._place.begin()
        self._cells += 1
        self._entry = self._timeline.cell(cell.code)
        return interpreter, (*notes, *self._branch.ring.notes())

    def _over(self, files: tuple[str, ...]) -> tuple[str, ...]:
        """End the turn of a cell."""
        self._timeline.end(self._entry, None if self._cell is None else self._cell.outcome)
        self._cell = None
        try:
            return self._place.end(files)
        finally:
            self._turn.release()

    async def _living(self, *, has_files: bool = False) -> tuple[Interpreter, tuple[str, ...]]:
        """Return the process, started if need be, and notes for the result; for the one that has the turn.

        Args:
            has_files: the caller has the turn of the session, too.
        """
        await self._processes.settle()
        self._check()
        notes: tuple[str, ...] = ()
        interpreter, died = self._interpreter, self._died()
        if died is not None:
            if self._on_death != "restart" or self._processes.others(self._branch):
                raise copy.copy(died)  # each caller has a traceback of its own
            notes = (f"the context was restarted, without its variables: {died.message}",)
            await self._end_process()
            interpreter = None
        if interpreter is None:
            interpreter = await self._started()
        elif self._processes.live is not self._branch:
            self._check_others(allow=False)
            async with contextlib.nullcontext() if has_files else self._place.files():
                await _to_the_end(self._processes.resume(self._branch))
        return interpreter, notes

    async def _started(self) -> Interpreter:
        """Start a process. An image without the package of the cell runner gets it from the dependency store."""
        try:
            return await self._start(())
        except ContextDied:
            died = self._interpreter
            runner = self._language.cells
            missing = died is not None and died.exited is not None and died.exited.exit_code == _MISSING
            if not missing or runner is None or not runner.package:
                raise
        return await self._start((runner.package,))

    async def _start(self, packages: tuple[str, ...]) -> Interpreter:
        runner = self._language.cells
        assert runner is not None
        interpreter = Interpreter(self.name, program=runner.command[0], image=self._language.default_image)
        link = await self._place.start(self, interpreter, packages=packages)
        interpreter.isolation = self._place.isolation
        self._processes.begin(interpreter, self._branch)
        self._timeline.begin()
        try:
            await interpreter.start(link, within=_READY_DEADLINE)
        except BaseException:
            if interpreter.death is None:  # it was killed, and the next caller must not wait for it
                self._processes.interpreter = None
            raise
        return interpreter

    @contextlib.asynccontextmanager
    async def _my_turn(self) -> AsyncGenerator[None]:
        async with self._turn:
            self._check()
            yield

    def _check(self) -> None:
        if self._state is _State.CLOSED:
            raise ContextClosed(f"the context {self.name!r} was closed")
        self._place.check()

    # -- checkpoints

    async def checkpoint(self) -> Checkpoint:
        """Hold the variables and the files of this moment, once the cells before it have ended.

        The process forks, and the fork waits. Held are the variables of this context, and all files of the workspace;
        files elsewhere (``/tmp``) are not, nor are those of mounts. SECURITY.md says which changes go unseen. Where
        ``checkpoint_limit`` or ``checkpoint_memory`` is reached the oldest checkpoint goes, and ``dropped`` says which.
        Checkpoints end with the process of the context.

        If ``checkpoint`` is cancelled, the checkpoint is made all the same.

        Raises:
            CheckpointRefused: something would not survive a fork: another thread, a socket, a pipe, a child process, a
                background job, a shared mapping, a deleted file that is open. ``what`` names it, and nothing has
                changed.
            ContextDied, ContextClosed: there is no process.
        """
        self._check_forkable()
        return await self._change(self._save)

    async def rewind(self, checkpoint: Checkpoint, *, allow_others: bool = False) -> None:
        """Go back to the variables and files of a checkpoint, once the cells before it have ended.

        The process of now is ended with all that it has begun, and the checkpoint stays: it can be gone back to again.
        Files that were made since are removed. The session's other contexts keep their variables; but the files are
        theirs, too. Where memory or processes lack to hold the checkpoint of a Python context further, it is gone
        after the rewind, and the next result says so.

        If ``rewind`` is cancelled, it happens all the same.

        Args:
            checkpoint: a checkpoint of this context.
            allow_others: True goes back although other contexts of the session use the same files.

        Raises:
            CheckpointGone: the checkpoint is not held any more, or is one of another context.
            CheckpointRefused: other contexts use the files, or no process can be made; nothing has changed.
            ContextDied: the files could not be brought back, which has ended the process.
        """
        self._check_forkable()
        if self._interpreter is not None and self._interpreter.death is not None:
            raise copy.copy(self._interpreter.death)
        self._branch.ring.find(checkpoint)
        await self._change(lambda: self._wake(checkpoint, allow_others=allow_others))

    @overload
    async def fork(self) -> Context: ...

    @overload
    async def fork(self, count: int) -> tuple[Context, ...]: ...

    async def fork(self, count: int | None = None) -> Context | tuple[Context, ...]:
        """Return branches: contexts that begin with the variables and files of this moment, and go their own way.

        The branches and this context take turns: while a cell of one runs, the processes of the others are parked, with
        their files. So each finds the workspace as its own cells left it, and a cell that leaves what cannot be parked
        (see ``checkpoint``) holds the others up: their cells raise ``CheckpointRefused`` until it is gone. File calls
        of the session reach the files of the one whose cell came last. Random numbers differ from branch to branch.

        Branches end with the context that the first of them was forked from, or by ``aclose``. A branch whose process
        ends harms no other one. If ``fork`` is cancelled, the branches are made all the same.

        Args:
            count: how many; None returns one, and not a tuple.

        Raises:
            CheckpointRefused: something would not survive a fork, other contexts of the session use the files, or too
                many processes are parked; nothing has changed.
            ContextDied, ContextClosed: there is no process.
        """
        if count is not None and check_count(count, field="count", least=1) > _MOST_BRANCHES:
            raise ConfigurationError("count", count, f"is more than {_MOST_BRANCHES}")
        self._check_forkable()
        branches = await self._change(lambda: self._fork(1 if count is None else count))
        return branches[0] if count is None else branches

    async def _fork(self, count: int) -> tuple[Context, ...]:
        interpreter, _ = await self._living(has_files=True)
        self._check_others(allow=False)
        parked, _ = await self._processes.park(interpreter, users=count)
        branches = tuple(self._twin(parked) for _ in range(count))
        for branch in branches:
            self._place.adopt(branch)
        return branches

    def _twin(self, parked: Parked) -> Context:
        return Context(
            None,
            self._language,
            place=self._place.branch(),
            limits=self._limits,
            on_death=self._on_death,
            tools=self._tools,
            checkpoints=self._branch.ring.limits,
            another=self._make_another,
            processes=self._processes,
            begins_with=parked,
            timeline=self._timeline.branch(),
        )

    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """Return the checkpoints that can be gone back to, oldest first."""
        return self._branch.ring.all()

    def history(self) -> History:
        """Return the cells and checkpoints of the context as a tree: after a rewind it grows a new branch.

        The last 10,000 steps are kept, and 16 million characters of code.
        """
        return self._timeline.history(self._branch.ring.ids())

    async def replay(self) -> Context:
        """Run the cells that led here anew, in a new context of the session; return it.

        This is for languages whose process cannot be forked. What the cells do to files and elsewhere they do again.
        A cell that fails, fails again, and the next one runs. If ``replay`` is cancelled, the new context is closed.

        Raises:
            CheckpointRefused: cells of the beginning are forgotten; see ``history``.
        """
        self._check()
        if self._timeline.is_cut:
            raise CheckpointRefused("first cells, which are forgotten", hint="the last 10,000 steps are kept")
        codes = self._timeline.codes()
        context = self._another()
        try:
            await context.start()
            for code in codes:
                await context.run(code)
        except BaseException:
            await context.aclose()
            raise
        return context

    def _another(self) -> Context:
        """Return another context of the session, with the options of this one."""
        assert self._make_another is not None
        return self._make_another()

    def _check_forkable(self) -> None:
        self._check()
        runner = self._language.cells
        if runner is not None and runner.unforkable:
            hint = "await context.replay() runs the cells anew in a new context"
            raise CheckpointRefused(f"{runner.unforkable} ({self.language})", hint=hint)

    async def _change(self, change: Callable[[], Coroutine[object, object, T]]) -> T:
        """Change the process and the files, in a task of its own: nobody can end it halfway."""

        async def inside() -> T:
            async with self._my_turn(), self._place.files():
                self._check()
                return await change()

        task = asyncio.create_task(inside())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_retrieve)
            raise

    def _check_alone(self) -> None:
        names = self._processes.others(self._branch)
        if names:
            raise CheckpointRefused(f"branches that a restart would end: {', '.join(names)}", hint="close them first")

    def _check_others(self, *, allow: bool) -> None:
        others = () if allow else self._place.others(self)
        if others:
            names = ", ".join(map(repr, others))
            hint = "rewind(checkpoint, allow_others=True) changes the files under them"
            raise CheckpointRefused(f"other contexts in the same workspace: {names}", hint=hint)

    async def _save(self) -> Checkpoint:
        interpreter, _ = await self._living(has_files=True)
        parked, copied = await self._processes.park(interpreter, users=1)
        ring = self._branch.ring
        dropped = ring.make_room()
        checkpoint_id = ring.new_id()
        checkpoint = Checkpoint(
            checkpoint_id=checkpoint_id,
            context_id=self.id,
            number=self._timeline.checkpoint(checkpoint_id),
            file_bytes=copied,
            dropped=dropped,
        )
        ring.add(checkpoint, parked)
        self._processes.weigh()
        return checkpoint

    async def _wake(self, checkpoint: Checkpoint, *, allow_others: bool) -> None:
        parked = self._branch.ring.find(checkpoint)
        self._check_others(allow=allow_others)
        try:
            await self._processes.wake(self._branch, parked, diverges=False)
        except ParkedEnded:
            self._branch.ring.find(checkpoint)  # it says that the checkpoint is gone
            raise
        self._timeline.rewind(checkpoint.number)

    # -- questions

    async def complete(self, code: str, cursor: int | None = None) -> Completion:
        """Return what may follow at a place of the code; waits for the cells before it.

        Args:
            code: the code so far.
            cursor: the place, in characters; None means the end.

        Raises:
            ContextDied, ContextClosed: there is no process.
        """
        at = _place(code, cursor)
        said = await self._ask("complete", code=code, cursor=at)
        if not isinstance(said, words.Completions):
            return Completion(matches=(), start=at, end=at)
        start, end = max(0, min(said.start, at)), max(at, min(said.end, len(code)))
        return Completion(matches=tuple(said.matches), start=start, end=end)

    async def is_complete(self, code: str) -> Completeness:
        """Return whether some code can run as it is, or goes on; waits for the cells before it.

        Args:
            code: the code so far.

        Raises:
            ContextDied, ContextClosed: there is no process.
        """
        said = await self._ask("is_complete", code=code)
        if not isinstance(said, words.Checked):
            return Completeness(status="unknown")
        return Completeness(status=said.status, indent=said.indent[:_MOST_INDENT])

    async def inspect(self, code: str, cursor: int | None = None, *, detail: int = 0) -> Inspected:
        """Return what the context knows of the name at a place of the code; waits for the cells before it.

        Args:
            code: the code.
            cursor: the place, in characters; None means the end.
            detail: 1 asks for the source as well.

        Raises:
            ContextDied, ContextClosed: there is no process.
        """
        said = await self._ask("inspect", code=code, cursor=_place(code, cursor), detail=detail)
        if not isinstance(said, words.Inspection):
            return Inspected(found=False, data={})
        return Inspected(found=said.found, data=said.data)

    async def _ask(self, operation: str, **fields: object) -> words.Said | None:
        async with self._my_turn():
            interpreter, _ = await self._living()
            if operation not in interpreter.features:
                return None
            question = Question(interpreter.number())
            interpreter.task = question
            try:
                await interpreter.tell(words.say(operation, id=question.number, **fields))
                return await question.answer(interpreter, within=_ANSWER_DEADLINE)
            finally:
                interpreter.task = None

    def _lost(self, error: InterpreterToolsError) -> None:
        """End the context: its session or engine is closed."""
        self._shut()
        if self._interpreter is not None:
            self._interpreter.ended(error)


async def _to_the_end(change: Coroutine[object, object, None]) -> None:
    """Await a change that must not be left halfway. If the wait is cancelled, the change ends first."""
    task = asyncio.create_task(change)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        _retrieve(task)
        raise


def _retrieve(task: asyncio.Task[object]) -> None:
    """Look at the error of a change whose caller has gone: it was told by what it left behind."""
    if not task.cancelled():
        task.exception()


def _place(code: str, cursor: int | None) -> int:
    if cursor is None:
        return len(code)
    if isinstance(cursor, bool) or not isinstance(cursor, int) or not 0 <= cursor <= len(code):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError("cursor", cursor, f"is not between 0 and {len(code)}, the length of the code")
    return cursor
