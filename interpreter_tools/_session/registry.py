"""The sessions of one engine, by name."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from interpreter_tools._exceptions import SessionExists, TooManySessions, UnknownContext, UnknownSession
from interpreter_tools._session.session import Session
from interpreter_tools._session.turns import Turns

if TYPE_CHECKING:
    from interpreter_tools._config.model import SessionConfig
    from interpreter_tools._context.context import Context
    from interpreter_tools._runtime.runtime import Runtime

_LOG = logging.getLogger("interpreter_tools")
_LOOKS = 8  # at the sessions, in the shortest of their idle times
_STOPPED = 1.0  # seconds by which a look comes late where this process was stopped, and not just busy


class _Entry(NamedTuple):
    """A session with its turns, which tell whether it is used."""

    session: Session
    turns: Turns


class Sessions:
    """Sessions that can be used; one that nobody has used for its idle time is cleaned up."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._by_id: dict[str, _Entry] = {}
        self._expiry: asyncio.TimerHandle | None = None
        self._look_due = 0.0  # on the clock of the event loop

    def __repr__(self) -> str:
        return f"<Sessions [{len(self._by_id)} open]>"

    def open(self, config: SessionConfig) -> Session:
        """Return a new session, or the one of that id if the configuration allows.

        Raises:
            SessionExists: a session of that id exists, and must be new, or its configuration differs.
            TooManySessions: the engine holds ``EngineConfig.max_sessions`` sessions.
        """
        entry = self._by_id.get(config.session_id) if config.session_id is not None else None
        if entry is not None:
            found = entry.session
            if not found.is_active:
                raise SessionExists(found.id, "and is being cleaned up")
            if config.enforce_new_session:
                raise SessionExists(found.id, "and enforce_new_session asks for a new one")
            if _kind(found.config) != _kind(config):
                raise SessionExists(found.id, "with another configuration")
            entry.turns.used = time.monotonic()
            return found
        most = self._runtime.config.max_sessions
        if len(self._by_id) >= most:
            raise TooManySessions(
                f"there are {most} sessions", hint="clean some up, or raise EngineConfig.max_sessions"
            )
        session_id = config.session_id or secrets.token_hex(16)
        turns = Turns(session_id, self._runtime, queue=config.when_busy == "queue")
        session = Session(
            session_id, config, runtime=self._runtime, turns=turns, on_close=lambda: self._forget(session)
        )
        self._by_id[session_id] = _Entry(session, turns)
        self._schedule()
        return session

    def get(self, session_id: str) -> Session:
        """Return the session of that name.

        Raises:
            UnknownSession: there is none.
        """
        entry = self._by_id.get(session_id)
        if entry is None:
            raise UnknownSession(session_id)
        return entry.session

    def context(self, context_id: str) -> Context:
        """Return the context of an id.

        Raises:
            UnknownContext: no session has one of that id.
        """
        found = (entry.session.find_context(context_id) for entry in self._by_id.values())
        context = next(filter(None, found), None)
        if context is None:
            raise UnknownContext(context_id)
        return context

    def _forget(self, session: Session) -> None:
        entry = self._by_id.get(session.id)
        if entry is not None and entry.session is session:
            del self._by_id[session.id]

    def _schedule(self) -> None:
        dues = [due for entry in self._by_id.values() if (due := _due(entry)) is not None]
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        if dues:
            idle_times = (entry.session.config.idle_timeout for entry in self._by_id.values())
            most = min(filter(None, idle_times)) / _LOOKS
            loop = asyncio.get_running_loop()
            self._look_due = loop.time() + max(0.01, min(most, min(dues) - time.monotonic()))
            self._expiry = loop.call_at(self._look_due, self._expire)

    def _expire(self) -> None:
        """Clean up the sessions that nobody has used, and look again later.

        The time in which this process was stopped does not count: nobody could use a session meanwhile.
        """
        now = time.monotonic()
        late = asyncio.get_running_loop().time() - self._look_due
        if late > _STOPPED:
            for entry in self._by_id.values():
                entry.turns.used = min(now, entry.turns.used + late)
        for entry in tuple(self._by_id.values()):
            due = _due(entry)
            if due is not None and due <= now:
                self._forget(entry.session)
                self._runtime.tasks.spawn(entry.session.aclose)
        self._schedule()

    async def aclose(self) -> None:
        """Clean every session up, for an engine that closes. Cancelling it does not stop the clean-ups."""
        if self._expiry is not None:
            self._expiry.cancel()
        ends = (entry.session.aclose() for entry in tuple(self._by_id.values()))
        for result in await asyncio.gather(*ends, return_exceptions=True):
            if isinstance(result, BaseException):
                _LOG.warning("a session could not be cleaned up", exc_info=result)


def _kind(config: SessionConfig) -> SessionConfig:
    """Return a configuration without the fields that only find the session."""
    return msgspec.structs.replace(config, session_id=None, enforce_new_session=False)


def _due(entry: _Entry) -> float | None:
    """Return the time at which a session expires, on the monotonic clock; it does not expire while it is busy."""
    idle_timeout = entry.session.config.idle_timeout
    if idle_timeout is None:
        return None
    return (time.monotonic() if entry.turns.busy or entry.turns.cells else entry.turns.used) + idle_timeout
