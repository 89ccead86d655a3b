"""The state of a running server: the engine, and the sessions made through it."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from interpreter_tools._engine import ExecutionEngine
from interpreter_tools._exceptions import MachineError, UnknownSession
from interpreter_tools.tool._outputs import Outputs

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from interpreter_tools._config.host_tools import HostTool
    from interpreter_tools._config.model import EngineConfig
    from interpreter_tools._session.session import Session

_LOG = logging.getLogger("interpreter_tools.mcp")


class State:
    """The engine and its sessions.

    Attributes:
        sessions: the sessions that were made and not closed, by id; an expired one is noticed when it is used.
        outputs: the output of runs that was too long for an answer.
        host_tools: functions of this process that programs may call.
    """

    def __init__(self, engine: ExecutionEngine, host_tools: tuple[HostTool, ...] = ()) -> None:
        self.host_tools = host_tools
        self.sessions: dict[str, Session] = {}
        self.outputs = Outputs()
        self._engine = engine

    async def engine(self) -> ExecutionEngine:
        """Return the engine, running. If Docker was missing at the server's start, look for it again.

        Raises:
            MachineError: Docker is still missing.
        """
        return await self._engine.start()

    async def open(self) -> Session:
        """Return a new session, whose runs share one workspace for all languages.

        Raises:
            TooManySessions: the engine holds as many sessions as it may.
        """
        engine = await self.engine()
        self.sessions = {name: session for name, session in self.sessions.items() if session.info().is_active}
        session = engine.session(workspace_sharing="shared")  # contexts of several languages see its files
        self.sessions[session.id] = session
        return session

    async def session(self, session_id: str) -> Session:
        """Return the session of an id.

        Raises:
            UnknownSession: there is no such session.
        """
        await self.engine()
        session = self.sessions.get(session_id)
        if session is None or not session.info().is_active:
            raise UnknownSession(session_id)
        return session

    async def close(self, session_id: str) -> None:
        """Kill the run of a session, and remove its files.

        Raises:
            UnknownSession: there is none.
        """
        session = await self.session(session_id)
        await session.aclose()
        self.sessions.pop(session_id, None)


@asynccontextmanager
async def running(config: EngineConfig | None, host_tools: tuple[HostTool, ...] = ()) -> AsyncGenerator[State]:
    """Yield the state of a server. The tools report an engine that cannot start: their callers can act on it."""
    async with _closing(ExecutionEngine(config)) as engine:
        try:
            await engine.start()
        except MachineError as error:
            _LOG.warning("%s", error)
        yield State(engine, host_tools)


@asynccontextmanager
async def _closing(engine: ExecutionEngine) -> AsyncGenerator[ExecutionEngine]:
    try:
        yield engine
    finally:
        await engine.aclose()
