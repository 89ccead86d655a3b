"""A Docker engine that is played by a script: real pools, sessions and runs, without containers."""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import msgspec

from interpreter_tools._docker import (
    ContainerSummary,
    DockerClient,
    Endpoint,
    EngineInfo,
    EngineVersion,
    ImageInfo,
    SupervisorVolume,
    VolumeSummary,
)
from interpreter_tools._docker.spec import SUPERVISOR_PATH
from interpreter_tools._engine import ExecutionEngine
from interpreter_tools._exceptions import DockerApiError
from interpreter_tools._protocol import (
    Clean,
    Content,
    Credit,
    Event,
    Exited,
    Files,
    Hello,
    Output,
    Ready,
    Refused,
)
from interpreter_tools._protocol.constants import FILES_UNCHANGED, VERSION, Ended, Flag, Frame, Verdict, Why
from interpreter_tools.testing.sandbox import ScriptedTransport
from interpreter_tools.testing.wire import encode, piece, requests

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from interpreter_tools._config.model import EngineConfig

_ENOENT = 2
_WORKSPACE = b"/workspace/"
_VERSION = EngineVersion(version="99", api_version="1.45", arch="x86_64", os="linux", kernel="6.1", name="scripted")


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """A program that a run starts.

    Attributes:
        argv: the program and its arguments.
        environment: its variables, all of them.
        files: the files in the workspace, by their path below it.
        code: the code that was given to ``run``; empty where an app is run.
        stdin: all that the program reads.
        timeout: seconds; None means no limit.
    """

    argv: tuple[str, ...]
    environment: dict[str, str]
    files: dict[str, bytes]
    code: str
    stdin: bytes
    timeout: float | None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The output and the end of a program.

    Attributes:
        stdout: what it prints.
        stderr: what it prints there.
        exit_code: how it ends.
        signal: the signal that ends it; 0 means none.
        files: what it writes into the workspace, by path.
        seconds: how long it runs; a run whose limit is shorter ends with ``timeout``.
        lost: its container goes away in the middle of the run.
    """

    stdout: str | bytes = ""
    stderr: str | bytes = ""
    exit_code: int = 0
    signal: int = 0
    files: dict[str, bytes] = {}
    seconds: float = 0.0
    lost: bool = False


def answer_with_nothing(program: Program) -> Answer:
    """Return the answer of a program that prints nothing and ends with exit code 0."""
    del program
    return Answer()


class ScriptedContainer(ScriptedTransport):
    """A container and its supervisor: takes the requests of a channel and answers them.

    Attributes:
        id: its id.
        spec: the body of the request that made it.
        state: ``"created"`` or ``"running"``.
        files: what is in its workspace, by path.
        answers: it answers at all; a paused container does not.
    """

    def __init__(self, docker: ScriptedDocker, container_id: str, spec: Mapping[str, object], name: str) -> None:
        super().__init__()
        self.id = container_id
        self.name = name
        self.spec = spec
        self.state = "created"
        self.files: dict[bytes, bytes] = {}
        self.answers = True
        self._docker = docker
        self._protocol: asyncio.Protocol | None = None
        self._put = b""
        self._needed: bytes | None = None
        self._start: tuple[Any, ...] | None = None
        self._stdin = bytearray()
        self._timer: asyncio.TimerHandle | None = None

    def connect(self, protocol: asyncio.Protocol) -> None:
        """Hand the stream to a channel."""
        self._protocol = protocol
        protocol.connection_made(self)

    def start(self) -> None:
        """Begin to run: the supervisor greets."""
        self.state = "running"
        self.say(Hello(VERSION, 62, 1))

    def say(self, *events: Event) -> None:
        """Send events to the channel, in the next round of the event loop."""
        asyncio.get_running_loop().call_soon(self._say, piece(encode(*events)))

    def _say(self, data: bytes) -> None:
        protocol = self._protocol
        if not self.aborted and self.answers and protocol is not None:
            protocol.data_received(data)

    def lose(self) -> None:
        """End the container, as a kill from outside does."""
        self._docker.containers.pop(self.id, None)
        if self._timer is not None:
            self._timer.cancel()
        if not self.aborted and self._protocol is not None:
            self._protocol.connection_lost(None)

    def abort(self) -> None:
        """End the container when the channel has given up the connection."""
        super().abort()
        if self._timer is not None:
            self._timer.cancel()
        if self.state == "running":
            self._docker.containers.pop(self.id, None)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take whole frames of the channel, and answer them."""
        super().write(data)
        self.release()
        for kind, *fields in requests(bytes(self.written)):
            self._hear(Frame(kind), fields)
        self.written.clear()

    def _hear(self, kind: Frame, fields: list[Any]) -> None:  # noqa: C901, PLR0912 - one line for each frame
        match kind:
            case Frame.BOOT | Frame.STAGE | Frame.EVICT | Frame.ENTRIES:
                self.say(Ready())
            case Frame.SYNC:
                lacks = self._take_need()
                self.say(Ready() if lacks is None else lacks)
            case Frame.NEED:
                self._needed = fields[0]
            case Frame.PUBLISH:
                if self._docker.store is not None:
                    self._docker.store.add(fields[0].decode())
                self.say(Ready())
            case Frame.PUT:
                self._put = fields[2]
                self.files[self._put] = b""
            case Frame.DATA:
                self.files[self._put] += fields[0]
            case Frame.START:
                if (lacks := self._take_need()) is not None:
                    self.say(lacks)
                    return
                self._start = tuple(fields)
                self._stdin.clear()
                if not fields[1] & Flag.STDIN:
                    self._run()
            case Frame.STDIN:
                self._take_stdin(fields[0])
            case Frame.KILL:
                self._end(Exited(Ended.KILLED, -1, 9, unclean=False, wall_us=0, cpu_us=0, peak_memory=0, oom_kills=0))
            case Frame.RESET:
                self.files.clear()
                self.say(Clean(Verdict.OK, ""))
            case Frame.LIST:
                listed = tuple((len(data), path) for path, data in sorted(self.files.items()))
                self.say(Files(listed, partial=False), Ready())
            case Frame.GET:
                self._read(fields[3], fields[1], fields[2])
            case _:
                pass

    def _take_need(self) -> Refused | None:
        """Return the refusal of what follows a NEED of an entry that the store lacks."""
        needed, self._needed, store = self._needed, None, self._docker.store
        if needed is None or store is None or needed.decode() in store:
            return None
        return Refused(Why.NEED, _ENOENT, needed)

    def _read(self, path: bytes, offset: int, count: int) -> None:
        data = self.files.get(path)
        if data is None:
            self.say(Refused(Why.GET, _ENOENT, path))
            return
        data = data[offset : offset + count]
        self.say(*([Content(data)] if data else []), Content(b""))

    def _take_stdin(self, data: bytes) -> None:
        if data:
            self._stdin += data
            self.say(Credit(len(data)))
        elif self._start is not None:
            self._run()

    def _program(self) -> Program:
        assert self._start is not None
        _, _, timeout_ms, _, _, _, argv, environment = self._start
        variables = dict(variable.decode("utf-8", "surrogateescape").split("=", 1) for variable in environment)
        words = tuple(word.decode("utf-8", "surrogateescape") for word in argv)
        path = next((word for word in argv if word.startswith(_WORKSPACE)), b"")
        code = self.files.get(path.removeprefix(_WORKSPACE), b"")
        return Program(
            argv=words,
            environment=variables,
            files={path.decode("utf-8", "surrogateescape"): data for path, data in self.files.items()},
            code=code.decode(errors="replace"),
            stdin=bytes(self._stdin),
            timeout=timeout_ms / 1000 if timeout_ms else None,
        )

    def _run(self) -> None:
        program = self._program()
        answer = self._docker.script(program)
        if isinstance(answer, str):
            answer = Answer(stdout=answer)
        late = program.timeout is not None and answer.seconds > program.timeout
        seconds = program.timeout if late and program.timeout is not None else answer.seconds
        self._timer = asyncio.get_running_loop().call_later(seconds, self._finish, answer, late)

    def _finish(self, answer: Answer, late: bool) -> None:
        if answer.lost:
            self.lose()
            return
        changed = {path.encode(): data for path, data in answer.files.items()}
        self.files.update(changed)
        events: list[Event] = []
        for stream, written in (("stdout", answer.stdout), ("stderr", answer.stderr)):
            data = written.encode() if isinstance(written, str) else written
            pieces = (data[at : at + 65536] for at in range(0, len(data), 65536))
            events += [Output("stdout" if stream == "stdout" else "stderr", part) for part in pieces]
        listed = [(len(data), path) for path, data in changed.items()]
        if self._start is not None and self._start[1] & Flag.LIST:
            listed += [(len(data) | FILES_UNCHANGED, path) for path, data in self.files.items() if path not in changed]
        if listed:
            events.append(Files(tuple(listed), partial=False))
        ended = Ended.TIMEOUT if late else Ended.EXITED
        signal = 9 if late else answer.signal
        wall = round(answer.seconds * 1e6)
        code = -1 if signal else answer.exit_code
        end = Exited(ended, code, signal, unclean=False, wall_us=wall, cpu_us=0, peak_memory=0, oom_kills=0)
        self._end(end, *events)

    def _end(self, end: Exited, *events: Event) -> None:
        if self._start is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        start, self._start = self._start, None
        self.say(*events, end)
        if start[4] != (0, 0):  # a reset follows by itself
            self.files.clear()
            self.say(Clean(Verdict.OK, ""))


class ScriptedDocker(DockerClient):
    """A Docker engine without a machine. Its containers run the programs of a script.

    Attributes:
        script: what programs do.
        containers: those that there are, by id.
        volumes: the labels of the volumes, by name.
        images: the names of images that it has; None means every name.
        store: the keys of the entries in the dependency store; None means that it holds every entry.
        calls: how often each method was called.
        before: coroutine functions by the name of a method, which are awaited before it: they may wait, or raise what
            an engine raises.
    """

    def __init__(self, script: Callable[[Program], Answer | str] = answer_with_nothing) -> None:
        self.script = script
        self.version = _VERSION
        self.containers: dict[str, ScriptedContainer] = {}
        self.volumes: dict[str, dict[str, str]] = {}
        self.images: set[str] | None = None
        self.store: set[str] | None = None
        self.calls: defaultdict[str, int] = defaultdict(int)
        self.before: dict[str, Callable[[], Awaitable[None]]] = {}
        self._numbers = itertools.count(1)
        self.closed = False

    def __repr__(self) -> str:
        return f"<ScriptedDocker [{len(self.containers)} containers]>"

    async def _call(self, method: str) -> None:
        self.calls[method] += 1
        if (wait := self.before.get(method)) is not None:
            await wait()
        await asyncio.sleep(0)

    @property
    def endpoint(self) -> Endpoint:
        """An address that leads nowhere."""
        return Endpoint(url="tcp://scripted:1", source="a script")

    def sever(self) -> None:
        """End every container."""
        self.containers.clear()

    async def late_removals(self, *, deadline: float) -> bool:
        """Return True: no container is late."""
        del deadline
        return True

    async def aclose(self, *, deadline: float = 0.0) -> None:
        """Note that the engine is done."""
        del deadline
        self.closed = True

    async def info(self) -> EngineInfo:
        """Return the description of a small machine."""
        return EngineInfo(
            id="scripted",
            host="scripted",
            operating_system="",
            cgroup_version="2",
            cgroup_driver="cgroupfs",
            storage_driver="overlay2",
            runtimes=("runc",),
            default_runtime="runc",
            security_options=("name=seccomp,profile=default",),
            memory_limit=True,
            swap_limit=True,
            cpu_limit=True,
            pids_limit=True,
            cpus=2,
            memory=8 << 30,
            containers_running=len(self.containers),
            images=0,
            root_dir="/var/lib/docker",
            system_time=None,
            warnings=(),
        )

    async def create_container(self, spec: Mapping[str, object], *, name: str | None = None) -> str:
        """Make a container."""
        await self._call("create_container")
        if any(container.name == name for container in self.containers.values()):
            raise DockerApiError("create container", 409, f"The container name {name!r} is already in use")
        container_id = f"{next(self._numbers):064x}"
        self.containers[container_id] = ScriptedContainer(self, container_id, spec, name or container_id)
        return container_id

    async def attach(
        self, container_id: str, protocol_factory: Callable[[], asyncio.Protocol]
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        """Connect a channel with its container."""
        await self._call("attach")
        protocol = protocol_factory()
        self._container(container_id).connect(protocol)
        return self._container(container_id), protocol

    async def start_container(self, container_id: str) -> None:
        """Start a container."""
        await self._call("start_container")
        self._container(container_id).start()

    async def published_ports(self, container_id: str) -> dict[int, int]:
        """Return an empty mapping: no port is published."""
        del container_id
        return {}

    async def update_container(self, container_id: str, changes: Mapping[str, object]) -> None:
        """Take the limits, and do nothing with them."""
        del container_id, changes
        await self._call("update_container")

    async def remove_container(self, container_id: str) -> None:
        """Remove a container."""
        await self._call("remove_container")
        container = self.containers.pop(container_id, None)
        if container is not None:
            container.state = "removed"
            container.lose()

    async def end_container(self, container_id: str) -> None:
        """Remove a container, as ``remove_container`` does: nothing else removes one here."""
        await self.remove_container(container_id)

    async def wait_removed(self, container_id: str, seconds: float) -> bool:
        """Return True when a container is gone."""
        del seconds
        return container_id not in self.containers

    async def list_containers(self, *, labels: Mapping[str, str | None]) -> list[ContainerSummary]:
        """Return the containers that bear the labels."""
        await self._call("list_containers")
        found: list[ContainerSummary] = []
        for container in self.containers.values():
            own = msgspec.convert(container.spec.get("Labels", {}), dict[str, str])
            if _bears(own, labels):
                image = str(container.spec.get("Image", ""))
                found.append(
                    ContainerSummary(
                        id=container.id,
                        names=(container.name,),
                        image=image,
                        labels=own,
                        state=container.state if container.answers else "paused",
                        created=0,
                    )
                )
        return found

    async def inspect_image(self, name: str) -> ImageInfo | None:
        """Return an image of that name."""
        await self._call("inspect_image")
        if self.images is not None and name not in self.images:
            return None
        return ImageInfo(
            id=f"sha256:{name}", tags=(name,), architecture="x86_64", os="linux", size=0, labels={}, environment=(),
            volumes=(),
        )  # fmt: skip

    async def create_volume(
        self, name: str, labels: Mapping[str, str], *, options: Mapping[str, str] | None = None
    ) -> VolumeSummary:
        """Make a volume."""
        del options
        await self._call("create_volume")
        self.volumes.setdefault(name, dict(labels))
        return VolumeSummary(name=name, labels=self.volumes[name], mountpoint=f"/volumes/{name}")

    async def remove_volume(self, name: str) -> None:
        """Remove a volume."""
        await self._call("remove_volume")
        self.volumes.pop(name, None)

    async def list_volumes(self, labels: Mapping[str, str | None]) -> list[VolumeSummary]:
        """Return the volumes that bear the labels."""
        await self._call("list_volumes")
        return [
            VolumeSummary(name=name, labels=own, mountpoint=f"/volumes/{name}")
            for name, own in self.volumes.items()
            if _bears(own, labels)
        ]

    def _container(self, container_id: str) -> ScriptedContainer:
        try:
            return self.containers[container_id]
        except KeyError:
            raise DockerApiError("find container", 404, f"No such container: {container_id}") from None


def _bears(own: Mapping[str, str], wanted: Mapping[str, str | None]) -> bool:
    return all(name in own and (value is None or own[name] == value) for name, value in wanted.items())


class ScriptedEngine(ExecutionEngine):
    """An ``ExecutionEngine`` whose programs are played by a script: for tests of what uses an engine.

    Everything but Docker and the supervisor is real: pools, sessions, limits of time, errors.

    Args:
        script: is given a ``Program`` and returns an ``Answer``, or a text that is printed. It must not wait.
        config: of the engine.

    Attributes:
        docker: the Docker engine that it believes to have.
    """

    def __init__(
        self,
        script: Callable[[Program], Answer | str] = answer_with_nothing,
        config: EngineConfig | None = None,
        *,
        docker: ScriptedDocker | None = None,
    ) -> None:
        super().__init__(config)
        self.docker = docker or ScriptedDocker(script)

    async def _connect(self) -> DockerClient:
        return self.docker

    async def _supervisor(self, client: DockerClient) -> SupervisorVolume:
        return SupervisorVolume(
            name="supervisor", entrypoint=SUPERVISOR_PATH, mountpoint="/volumes/supervisor", engine=client.version
        )
