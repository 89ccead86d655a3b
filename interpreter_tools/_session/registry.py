"""The sessions of one engine, by name."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

import msgspec

from interpreter_tools._exceptions import SessionExists, TooManySessions, UnknownSession
from interpreter_tools._session.session import Session

if TYPE_CHECKING:
    from interpreter_tools._config.model import SessionConfig
    from interpreter_tools._runtime.runtime import Runtime

_LOG = logging.getLogger("interpreter_tools")
_PATIENCE = 10.0  # seconds that a copy of generated files to this machine may go on when the engine closes


class Sessions:
    """Sessions that can be used; one that nobody has used for its idle time is cleaned up."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._by_id: dict[str, Session] = {}
        self._expiry: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<Sessions [{len(self._by_id)} open]>"

    def open(self, config: SessionConfig) -> Session:
        """Return a new session, or the one of that id if the configuration allows.

        Raises:
            SessionExists: a session of that id exists, and must be new, or its configuration differs.
            TooManySessions: the engine holds ``EngineConfig.max_sessions`` sessions.
        """
        found = self._by_id.get(config.session_id) if config.session_id is not None else None
        if found is not None:
            if not found.is_active:
                raise SessionExists(found.id, "and is being cleaned up")
            if config.enforce_new_session:
                raise SessionExists(found.id, "and enforce_new_session asks for a new one")
            if _kind(found.config) != _kind(config):
                raise SessionExists(found.id, "with another configuration")
            found.used = time.monotonic()
            return found
        most = self._runtime.config.max_sessions
        if len(self._by_id) >= most:
            raise TooManySessions(
                f"there are {most} sessions", hint="clean some up, or raise EngineConfig.max_sessions"
            )
        session = Session(config, runtime=self._runtime, on_close=self._forget)
        self._by_id[session.id] = session
        self._schedule()
        return session

    def get(self, session_id: str) -> Session:
        """The session of that name.

        Raises:
            UnknownSession: there is none.
        """
        session = self._by_id.get(session_id)
        if session is None:
            raise UnknownSession(session_id)
        return session

    def _forget(self, session: Session) -> None:
        if self._by_id.get(session.id) is session:
            del self._by_id[session.id]

    def _schedule(self) -> None:
        dues = [due for session in self._by_id.values() if (due := _due(session)) is not None]
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        if dues:
            delay = max(0.01, min(dues) - time.monotonic())
            self._expiry = asyncio.get_running_loop().call_later(delay, self._expire)

    def _expire(self) -> None:
        now = time.monotonic()
        for session in tuple(self._by_id.values()):
            due = _due(session)
            if due is not None and due <= now:
                self._forget(session)
                self._runtime.tasks.spawn(session.aclose)
        self._schedule()

    async def aclose(self) -> None:
        """Clean every session up."""
        if self._expiry is not None:
            self._expiry.cancel()
        ends = (session.end(patience=_PATIENCE) for session in tuple(self._by_id.values()))
        for result in await asyncio.gather(*ends, return_exceptions=True):
            if isinstance(result, BaseException):
                _LOG.warning("a session could not be cleaned up", exc_info=result)


def _kind(config: SessionConfig) -> SessionConfig:
    """Return a configuration without the fields that only find the session."""
    return msgspec.structs.replace(config, session_id=None, enforce_new_session=False)


def _due(session: Session) -> float | None:
    """When a session expires; not while it is busy."""
    idle_timeout = session.config.idle_timeout
    if idle_timeout is None:
        return None
    return (time.monotonic() if session.busy else session.used) + idle_timeout
