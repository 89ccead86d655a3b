"""E2B's calls for files and directories of a sandbox, and for what happens to them."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
from starlette.routing import Route

from interpreter_tools._config.paths import WORKSPACE
from interpreter_tools.server.wires.e2b.calls import streaming, timeout_of, unary
from interpreter_tools.server.wires.e2b.connect import ConnectError, frame
from interpreter_tools.server.wires.e2b.finding import sandbox_of
from interpreter_tools.server.wires.e2b.paths import to_inside, to_outside

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from interpreter_tools._commands.processes import Entry, FileEvent
    from interpreter_tools.server._core import Core
    from interpreter_tools.server.wires.e2b.state import State, States
    from interpreter_tools.server.wires.e2b.streams import Sink

_SERVICE = "/filesystem.Filesystem"
_KEEPALIVE = frame({"keepalive": {}})
_MOST_DEPTH = 100
_TYPES = {"file": "FILE_TYPE_FILE", "directory": "FILE_TYPE_DIRECTORY", "other": "FILE_TYPE_UNSPECIFIED"}
_NANO = 10**9
_USER = {"sandbox": "user"}  # here and there


class _Path(msgspec.Struct):
    path: str = ""


class _List(msgspec.Struct):
    path: str = ""
    depth: int = 1


class _Move(msgspec.Struct):
    source: str
    destination: str


class _Watch(msgspec.Struct, rename="camel"):
    path: str = ""
    recursive: bool = False
    include_entry: bool = False


class _Watcher(msgspec.Struct, rename="camel"):
    watcher_id: str


class FilesystemService:
    """The calls of E2B's ``filesystem.Filesystem``.

    Args:
        core: what all wires share.
        states: what this wire keeps of sandboxes.
    """

    def __init__(self, core: Core, states: States) -> None:
        self._core = core
        self._states = states

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        core = self._core
        calls = {
            "Stat": unary(core, _Path, self.stat),
            "ListDir": unary(core, _List, self.list),
            "MakeDir": unary(core, _Path, self.make),
            "Move": unary(core, _Move, self.move),
            "Remove": unary(core, _Path, self.remove),
            "WatchDir": streaming(core, _Watch, self.watch, beat=_KEEPALIVE),
            "CreateWatcher": unary(core, _Watch, self.create_watcher),
            "GetWatcherEvents": unary(core, _Watcher, self.take_events),
            "RemoveWatcher": unary(core, _Watcher, self.remove_watcher),
        }
        return [Route(f"{_SERVICE}/{name}", endpoint, methods=["POST"]) for name, endpoint in calls.items()]

    def _state(self, request: Request) -> State:
        return self._states.of(sandbox_of(self._core, self._states, request))

    async def stat(self, request: Request, message: _Path) -> object:
        """Tell what a path is."""
        state = self._state(request)
        return {"entry": _entry(state, await state.processes.entry(to_inside(message.path)))}

    async def list(self, request: Request, message: _List) -> object:
        """List a directory."""
        state = self._state(request)
        depth = min(message.depth or 1, _MOST_DEPTH)
        found = await state.processes.entries(to_inside(message.path), depth=depth)
        return {"entries": [_entry(state, entry) for entry in found]}

    async def make(self, request: Request, message: _Path) -> object:
        """Make a directory, with those above it. The client hears of one that is there already, and of a file."""
        state = self._state(request)
        path = to_inside(message.path)
        try:
            made = await state.processes.make_directory(path)
        except FileExistsError:
            if (await state.processes.entry(path)).type == "directory":
                raise
            text = f"path already exists but it is not a directory: {to_outside(path)}"
            raise ConnectError("invalid_argument", text) from None
        return {"entry": _entry(state, made)}

    async def move(self, request: Request, message: _Move) -> object:
        """Rename a file or directory."""
        state = self._state(request)
        moved = await state.processes.move(to_inside(message.source), to_inside(message.destination))
        return {"entry": _entry(state, moved)}

    async def remove(self, request: Request, message: _Path) -> object:
        """Remove a file or directory; one that is not there is as good as removed."""
        with contextlib.suppress(FileNotFoundError):
            await self._state(request).processes.remove(to_inside(message.path), keep=WORKSPACE)
        return {}

    async def watch(self, request: Request, message: _Watch, sink: Sink) -> None:
        """Tell what happens in a directory, for as long as the client listens."""
        state = self._state(request)
        observation = await state.processes.observe(to_inside(message.path), recursive=message.recursive)
        try:
            await sink.send(frame({"start": {}}))
            async with asyncio.timeout(timeout_of(request)):
                async for event in observation:
                    await sink.send(frame({"filesystem": _event(state, event, with_entry=message.include_entry)}))
        except TimeoutError:
            raise ConnectError("deadline_exceeded", "the time of the call is over") from None
        finally:
            await observation.aclose()

    async def create_watcher(self, request: Request, message: _Watch) -> object:
        """Keep what happens in a directory until the client asks for it."""
        state = self._state(request)
        observation = await state.processes.observe(to_inside(message.path), recursive=message.recursive)
        name = state.watch(observation, with_entries=message.include_entry)
        if name is None:
            await observation.aclose()
            raise ConnectError("resource_exhausted", "the sandbox has too many watchers: remove one")
        return {"watcherId": name}

    async def take_events(self, request: Request, message: _Watcher) -> object:
        """Tell what has happened since the last call."""
        state = self._state(request)
        watcher = state.watchers.get(message.watcher_id)
        if watcher is None:
            raise ConnectError("not_found", f"watcher with id {message.watcher_id[:80]} not found")
        return {"events": [_event(state, event, with_entry=watcher.with_entries) for event in watcher.take()]}

    async def remove_watcher(self, request: Request, message: _Watcher) -> object:
        """Forget a watcher."""
        state = self._state(request)
        watcher = state.watchers.pop(message.watcher_id, None)
        if watcher is None:
            raise ConnectError("not_found", f"watcher with id {message.watcher_id[:80]} not found")
        await watcher.aclose()
        return {}


def _entry(state: State, entry: Entry) -> dict[str, object]:
    seconds, nano = divmod(entry.modified_ns, _NANO)
    moment = datetime.fromtimestamp(max(0, min(seconds, 1 << 37)), UTC).strftime("%Y-%m-%dT%H:%M:%S")
    told: dict[str, object] = {
        "name": entry.name,
        "type": _TYPES[entry.type],
        "path": to_outside(entry.path),
        "size": str(entry.size),
        "mode": entry.mode,
        "permissions": entry.permissions,
        "owner": _USER.get(entry.owner, entry.owner),
        "group": _USER.get(entry.group, entry.group),
        "modifiedTime": f"{moment}.{nano:09d}Z",
    }
    if entry.target is not None:
        told["symlinkTarget"] = to_outside(entry.target)  # without isSymlink, which clients take for a type of its own
        if entry.type == "other":
            told["type"] = "FILE_TYPE_SYMLINK"  # it leads nowhere, or to a device: clients list none without a type
    metadata = state.metadata(entry.identity)
    if metadata:
        told["metadata"] = metadata
    return told


def _event(state: State, event: FileEvent, *, with_entry: bool) -> dict[str, object]:
    told: dict[str, object] = {"name": event.name, "type": f"EVENT_TYPE_{event.kind.upper()}"}
    if with_entry and event.entry is not None:
        told["entry"] = _entry(state, event.entry)
    return told
