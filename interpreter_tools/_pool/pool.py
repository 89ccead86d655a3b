"""The pool: warm containers of one shape, leased to runs, replaced ahead of need, and expired in time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from typing import TYPE_CHECKING

from interpreter_tools._config.results import PoolStats
from interpreter_tools._container.lease_end import LeaseEnd
from interpreter_tools._deadline import awake_timeout
from interpreter_tools._exceptions import (
    ArchitectureMismatch,
    ConfigurationError,
    ContainerStartFailed,
    DockerApiError,
    DockerUnavailable,
    EngineClosed,
    ImageMissing,
    InterpreterMissing,
    InterpreterToolsError,
    NetworkMissing,
    PoolClosed,
    PoolTimeout,
)
from interpreter_tools._pool.resets import Resets

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from interpreter_tools._background import BackgroundTasks
    from interpreter_tools._config.model import PoolConfig
    from interpreter_tools._container.boxes import Isolation
    from interpreter_tools._container.channel import Channel
    from interpreter_tools._container.container import Container
    from interpreter_tools._container.file_list import FileList
    from interpreter_tools._container.shape import Shape
    from interpreter_tools._protocol import Reset

_LOG = logging.getLogger("interpreter_tools")
_BACK_OFF = (0.1, 10.0)  # seconds before the next try after a failure: the first, and the most

# Starting a container keeps a small machine busy for 100 ms. So a replacement starts a little after the run: a short
# run ends first (measured: 4 ms instead of 11), and a long one is hardly delayed.
_REFILL_DELAY = 0.05
_REFILL_AFTER_RUN = 0.002
_SHORTEST_EXPIRY = 0.01  # seconds

# Trying again cannot help until the caller, or the machine, is changed.
_PERMANENT = (
    ImageMissing,
    InterpreterMissing,
    ArchitectureMismatch,
    ConfigurationError,
    DockerUnavailable,
    NetworkMissing,
)


class _Waiter:
    """A caller who waits for a container, since a moment of the monotonic clock."""

    __slots__ = ("future", "since")

    def __init__(self) -> None:
        self.future: asyncio.Future[Container] = asyncio.get_running_loop().create_future()
        self.since = time.monotonic()


class PoolLease:
    """A container of a pool for the time of one run."""

    def __init__(self, pool: Pool, container: Container) -> None:
        self._pool: Pool | None = pool
        self.container = container

    @property
    def channel(self) -> Channel:
        """The channel of the container."""
        return self.container.channel

    @property
    def uid(self) -> int:
        """The user that the program runs as."""
        return self.container.uid

    @property
    def image(self) -> str:
        """The image of the container."""
        return self.container.shape.image

    @property
    def isolation(self) -> Isolation:
        """The thing around the program, see ``ExecutionResult``."""
        return self.container.isolation

    @property
    def ports(self) -> Mapping[int, int]:
        """The port on 127.0.0.1 of the Docker host for each published port."""
        return self.container.ports

    @property
    def last(self) -> bool:
        """True when the container is reset or terminated after this run."""
        return True

    def plan_reset(self) -> Reset | None:
        """Return the reset that follows a run which begins now; None when the reset is sent later."""
        return self.container.plan_reset() if self.container.resets_at_once else None

    def ended(self, files: FileList) -> tuple[str, ...]:
        """Return the files of all runs of the session so far: without a session, those of this run."""
        return files.names()

    def detach(self) -> Container:
        """End the lease and take the container out of its pool. The caller has to terminate it."""
        pool, self._pool = self._pool, None
        assert pool is not None, "the lease has ended"
        pool.detach(self.container)
        return self.container

    def release(self, end: LeaseEnd) -> None:
        """End the lease: the pool resets the container, or terminates it. Does nothing the second time."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.release(self.container, end)


class Pool:
    """The containers of one shape.

    A container is either idle, busy or starting; ``size`` bounds the three together. ``_balance`` decides without an
    await, and tasks of the engine do the work.
    """

    def __init__(
        self,
        shape: Shape,
        config: PoolConfig,
        *,
        size: int,
        create: Callable[[Shape], Awaitable[Container | None]],
        tasks: BackgroundTasks,
        cores: int = 1,
    ) -> None:
        self.shape = shape
        self._config = config
        self._size = size
        self._create = create
        self._tasks = tasks
        self._floor = 0
        self._idle: list[Container] = []  # the last one was used last
        self._busy: set[Container] = set()
        self._starting = 0
        self._resets = Resets(
            slow=shape.boot_mode == "single",
            needed=lambda: 0 if self._idle else max(cores, len(self._waiters)),
            done=self._was_reset,
        )
        self._waiters: deque[_Waiter] = deque()
        self._peak = 0
        self._peak_at = time.monotonic()
        self._failures = 0
        self._retry: asyncio.TimerHandle | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._expiry_due = 0.0  # on the monotonic clock
        self._failure: InterpreterToolsError | None = None  # why the last one could not be started
        self._warm: list[asyncio.Future[None]] = []
        self._closed = False
        self._hits = self._misses = self._refills = 0
        self._terminated: Counter[str] = Counter()
        self._left_out: tuple[str, ...] = ()
        self._isolation: Isolation | None = None

    def __repr__(self) -> str:
        return f"<Pool {self.shape.label} [{len(self._busy)} busy, {len(self._idle)} idle, {self._starting} starting]>"

    def stats(self) -> PoolStats:
        """Return the numbers of containers now, and of events so far."""
        return PoolStats(
            shape=f"{self.shape.label} {self.shape.image}",
            idle=len(self._idle),
            busy=len(self._busy),
            starting=self._starting + len(self._resets),
            waiting=sum(not waiter.future.done() for waiter in self._waiters),
            hits=self._hits,
            misses=self._misses,
            refills=self._refills,
            discards=dict(self._terminated),
            left_out=self._left_out,
            isolation=self._isolation,
        )

    # -- acquire and release

    async def acquire(self) -> PoolLease:
        """Return a lease of a container: at once when one is idle, else when the caller's turn comes.

        Raises:
            PoolTimeout: no container became free within the wait limit.
            PoolClosed: the pool was closed meanwhile.
            InterpreterToolsError: no container could be started; the error says why.
        """
        if self._idle and not self._waiters:
            container = self._idle.pop()
            self._hits += 1
            self._resets.review()
        else:
            self._misses += 1
            container = await self._wait()
            while container.channel.error is not None:  # lost on its way to us
                self._busy.discard(container)
                self._terminate(container, "lost")
                container = await self._wait()
        self._busy.add(container)
        container.uses += 1
        self._note_demand()
        self._balance_in(_REFILL_DELAY)
        return PoolLease(self, container)

    async def _wait(self) -> Container:
        """Return a container that is counted as busy already."""
        if self._closed:
            raise PoolClosed("the pool is closed")
        waiter = _Waiter()
        self._waiters.append(waiter)
        self._note_demand()
        self._resets.review()
        self._balance()
        try:
            async with awake_timeout(self._config.wait_timeout):
                return await waiter.future
        except BaseException as error:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            future = waiter.future
            if future.done() and not future.cancelled() and future.exception() is None:
                self._busy.discard(future.result())
                self._arrive(future.result())  # it came when we had just stopped waiting
            if isinstance(error, TimeoutError) and not isinstance(error, InterpreterToolsError):
                raise self._too_late() from self._failure
            raise

    def _too_late(self) -> PoolTimeout:
        """Return the error for a caller whose wait limit has passed."""
        assert self._config.wait_timeout is not None
        if self._busy or (self._failure is None and not self._starting):
            return PoolTimeout(repr(self), self._config.wait_timeout)
        hint = "containers take long to start: the Docker engine hangs or is overloaded, see its log"
        if self._failure is not None:
            hint = f"the last container could not be started: {self._failure.message}"
        return PoolTimeout(repr(self), self._config.wait_timeout, hint=hint)

    def release(self, container: Container, end: LeaseEnd) -> None:
        """End a lease: reset the container and keep it, or terminate it."""
        self._busy.discard(container)
        if container.channel.error is None:
            self._failures = 0
        if end is LeaseEnd.UNUSED:
            container.withdraw_reset()
        cause = self._cause_to_terminate(container, end)
        if cause is not None:
            self._terminate(container, cause)
        elif self.shape.workspace_volume is None:
            self._resets.add(container)
        else:  # a reset would wipe the workspace that other containers share; this container has run nothing
            self._arrive(container)
        self._balance_in(_REFILL_AFTER_RUN)

    def _cause_to_terminate(self, container: Container, end: LeaseEnd) -> str | None:
        """Return why a container cannot serve another run, or None when it can after a reset."""
        if container.channel.error is not None:
            return "lost"
        if end is not LeaseEnd.UNUSED and not container.reused:
            return "used"
        if end is LeaseEnd.LEFT or (end is LeaseEnd.UNCLEAN and not container.boxed):
            return "unclean"  # what has outlived the end of a run in a box ends with the box: its reset tells when
        if time.monotonic() - container.born > self._config.max_age:
            return "age"
        return "uses" if container.uses >= self._config.max_uses else None

    def detach(self, container: Container) -> None:
        """End a lease whose container leaves the pool; the caller terminates it."""
        self._busy.discard(container)
        self._balance_in(_REFILL_AFTER_RUN)

    def _was_reset(self, container: Container, cause: str | None) -> None:
        """Keep a container whose reset succeeded, or terminate it for a cause."""
        if cause is None and not self._closed:
            self._arrive(container)
        else:
            self._terminate(container, cause or "closed")
            self._balance()

    # -- keeping up

    def keep(self, floor: int) -> None:
        """Keep at least ``floor`` containers idle or starting, as far as the size of the pool allows."""
        self._floor = max(self._floor, floor)
        self._balance()

    async def warm(self) -> None:
        """Wait until as many containers are idle as the pool keeps.

        Raises:
            PoolClosed: the pool is closed.
            InterpreterToolsError: no container could be started; the error says why.
        """
        if self._closed:
            raise PoolClosed("the pool is closed")
        if len(self._idle) >= self._floor:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._warm.append(waiter)
        self._balance()
        try:
            await waiter
        finally:
            self._warm.remove(waiter)

    def _note_demand(self) -> None:
        demand = len(self._busy) + len(self._waiters)
        if demand >= self._peak:
            self._peak, self._peak_at = demand, time.monotonic()

    def _wanted_idle(self) -> int:
        """Return how many idle containers to have: one for each waiting caller, else as many as runs lately needed.

        A busy container that is ready right after its run is one of these: runs one after another need no second.
        """
        if self._waiters:
            return len(self._waiters)
        return max(self._floor, self._peak - sum(container.resets_at_once for container in self._busy))

    def _balance_in(self, delay: float) -> None:
        """Balance after ``delay`` seconds; at once when callers wait."""
        if self._waiters:
            self._balance()
        elif not self._closed:
            asyncio.get_running_loop().call_later(delay, self._balance)

    def _balance(self) -> None:
        """Start the containers that are missing."""
        if self._closed or (self._retry is not None and not self._waiters):
            return
        coming = len(self._idle) + self._starting + len(self._resets)
        alive = coming + len(self._busy)
        missing = min(self._wanted_idle() - coming, self._size - alive)
        if self._failure is not None:
            missing = min(missing, 1 - self._starting)  # one attempt shows whether it works again
        for _ in range(missing):
            self._starting += 1
            if not self._tasks.spawn(self._start_one):
                self._starting -= 1
        self._schedule_expiry()

    async def _start_one(self) -> None:
        begun = time.monotonic()
        container: Container | None = None
        failure: InterpreterToolsError | None = None
        try:
            container = await self._create(self.shape)
        except InterpreterToolsError as error:
            failure = error
        except Exception as error:  # noqa: BLE001 - a fault of ours must not leave callers waiting
            failure = ContainerStartFailed(f"a container of {self.shape.image} did not start: {error!r}")
            failure.__cause__ = error
        finally:
            self._starting -= 1
        if failure is not None:
            self._failed(failure, begun)
        elif container is not None:
            self._refills += 1
            self._failure = None
            self._arrive(container)
            self._balance()

    def _arrive(self, container: Container) -> None:
        """Give a free container to the caller that has waited longest, or keep it."""
        if self._closed or container.channel.error is not None:
            self._terminate(container, "closed" if self._closed else "lost")
            self._balance()
            return
        self._left_out = container.left_out
        self._isolation = container.isolation
        container.channel.on_lost = lambda: self._lose(container)
        while self._waiters:
            future = self._waiters.popleft().future
            if not future.done():
                self._busy.add(container)  # not later: it must be counted while the waiter wakes up
                future.set_result(container)
                return
        container.idle_since = time.monotonic()
        if container.uses and self.shape.boot_mode == "single":
            self._idle.insert(0, container)  # the last to be taken: its next interpreter is booting
        else:
            self._idle.append(container)
        if len(self._idle) >= self._floor:
            _settle(self._warm, None)
        self._schedule_expiry()

    def _failed(self, error: InterpreterToolsError, begun: float) -> None:
        """Tell callers that a container could not be started.

        The caller that has waited longest gets the error; all callers get it when the next attempt would fail in the
        same way. A caller that came after the attempt began gets an attempt of its own, because the fault may be mended
        by then; but not when an attempt takes the whole deadline of the engine.

        Args:
            error: the error of the attempt.
            begun: the time at which the attempt began, on the monotonic clock.
        """
        self._terminated["failed"] += 1
        self._failure = error
        permanent = isinstance(error, _PERMANENT)
        hangs = isinstance(error, DockerApiError) and error.status == 0
        told = 0
        for waiter in tuple(self._waiters):
            if waiter.future.done():
                self._waiters.remove(waiter)
            elif (waiter.since <= begun or hangs) and (permanent or hangs or not told):
                self._waiters.remove(waiter)
                waiter.future.set_exception(error)
                told += 1
        _settle(self._warm, error)
        _LOG.warning("a container for %s could not be started: %s", self.shape.label, error.message)
        if permanent and self._retry is None and not isinstance(error, DockerUnavailable):
            self._peak = self._floor = 0  # until somebody asks again
        self._back_off()
        self._balance()

    def _back_off(self) -> None:
        """Start no container for a while. The while grows each time, until a container has served a run."""
        if self._retry is None and not self._closed:
            delay = min(_BACK_OFF[0] * 2**self._failures, _BACK_OFF[1])
            self._failures += 1
            self._retry = asyncio.get_running_loop().call_later(delay, self._try_again)

    def _try_again(self) -> None:
        self._retry = None
        self._balance()

    # -- giving up

    def _lose(self, container: Container) -> None:
        if container in self._idle:
            self._idle.remove(container)
            self._terminate(container, "lost")
            if not container.uses:
                self._back_off()  # it started, but cannot live: its image, perhaps
            self._balance()

    def _terminate(self, container: Container, cause: str) -> None:
        self._terminated[cause] += 1
        container.channel.close()  # now, as nobody listens to it any more; without this client its supervisor ends too
        self._tasks.spawn(container.aclose)

    def _schedule_expiry(self) -> None:
        """Set the timer to the moment in which the next container expires, unless it is set to an earlier one."""
        if not self._idle or self._closed:
            return
        due = min(container.born for container in self._idle) + self._config.max_age
        if len(self._idle) > self._floor:
            due = min(due, min(container.idle_since for container in self._idle) + self._config.max_idle)
        if self._expiry is not None:
            if self._expiry_due <= due:
                return
            self._expiry.cancel()
        self._expiry_due = due
        delay = max(_SHORTEST_EXPIRY, due - time.monotonic())
        self._expiry = asyncio.get_running_loop().call_later(delay, self._expire)

    def _expire(self) -> None:
        self._expiry = None
        now = time.monotonic()
        if now - self._peak_at >= self._config.max_idle:
            self._peak, self._peak_at = len(self._busy) + len(self._waiters), now
        for container in list(self._idle):
            if now - container.born >= self._config.max_age:
                cause = "age"
            elif len(self._idle) > self._floor and now - container.idle_since >= self._config.max_idle:
                cause = "idle"
            else:
                continue
            self._idle.remove(container)
            self._terminate(container, cause)
        self._balance()

    async def aclose(self) -> None:
        """Fail the waiting callers, and terminate every idle container; busy ones follow when their run ends."""
        if self._closed:
            return
        self._closed = True
        for timer in (self._retry, self._expiry):
            if timer is not None:
                timer.cancel()
        while self._waiters:
            future = self._waiters.popleft().future
            if not future.done():
                future.set_exception(PoolClosed("the pool was closed while a caller waited"))
        _settle(self._warm, PoolClosed("the pool was closed"))
        free, self._idle = self._idle, []
        for container in free:
            self._terminate(container, "closed")
        self._resets.close()
        for container in tuple(self._busy):  # whoever uses it is told, and gives it back
            container.channel.close(EngineClosed("the engine was closed while the code ran"))


def _settle(waiters: list[asyncio.Future[None]], error: InterpreterToolsError | None) -> None:
    for waiter in waiters:
        if not waiter.done():
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)
