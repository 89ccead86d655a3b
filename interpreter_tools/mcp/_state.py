"""What a server holds while it runs: the engine and the sessions made through it."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from interpreter_tools._engine import ExecutionEngine
from interpreter_tools._exceptions import MachineError, UnknownSession
from interpreter_tools.tool._outputs import Outputs

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from interpreter_tools._config.model import EngineConfig
    from interpreter_tools._session.session import Session

_LOG = logging.getLogger("interpreter_tools.mcp")


class State:
    """The engine and its sessions.

    Attributes:
        sessions: those that were made and not closed, by id; one that has expired is found out when it is used.
        outputs: what runs wrote that was too long to be told whole.
    """

    def __init__(self, engine: ExecutionEngine) -> None:
        self.sessions: dict[str, Session] = {}
        self.outputs = Outputs()
        self._engine = engine

    async def engine(self) -> ExecutionEngine:
        """The engine, running. Where Docker was not there at the server's start, it is looked for again.

        Raises:
            MachineError: it is still not there.
        """
        return await self._engine.start()

    async def open(self) -> Session:
        """A new session, whose runs share one workspace over all languages.

        Raises:
            TooManySessions: there are as many as may be.
        """
        engine = await self.engine()
        self.sessions = {name: session for name, session in self.sessions.items() if session.info().is_active}
        session = engine.session()
        self.sessions[session.id] = session
        return session

    async def session(self, session_id: str) -> Session:
        """The session of that name.

        Raises:
            UnknownSession: there is none.
        """
        await self.engine()
        session = self.sessions.get(session_id)
        if session is None or not session.info().is_active:
            raise UnknownSession(session_id)
        return session

    async def close(self, session_id: str) -> None:
        """Kills what runs in a session, and removes its files.

        Raises:
            UnknownSession: there is none.
        """
        session = await self.session(session_id)
        await session.aclose()
        self.sessions.pop(session_id, None)


@asynccontextmanager
async def running(config: EngineConfig | None) -> AsyncGenerator[State]:
    """An engine for the time of a server. One that cannot start is told to whoever calls a tool, who can be helped."""
    async with _closing(ExecutionEngine(config)) as engine:
        try:
            await engine.start()
        except MachineError as error:
            _LOG.warning("%s", error)
        yield State(engine)


@asynccontextmanager
async def _closing(engine: ExecutionEngine) -> AsyncGenerator[ExecutionEngine]:
    try:
        yield engine
    finally:
        await engine.aclose()
