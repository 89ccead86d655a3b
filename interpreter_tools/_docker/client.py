"""The client of a Docker engine: the calls of its API that this library uses."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import uuid
import weakref
from typing import TYPE_CHECKING, Any, Self, TypeVar

import msgspec

from interpreter_tools._docker.attach import open_attach
from interpreter_tools._docker.endpoint import find_endpoints
from interpreter_tools._docker.errors import GARBLED, SETUP_HINT
from interpreter_tools._docker.http import HttpConnection
from interpreter_tools._docker.images import Pull, import_tree
from interpreter_tools._docker.records import (
    ContainerSummary,
    EngineInfo,
    EngineVersion,
    FileStat,
    ImageInfo,
    ImageSummary,
    VolumeSummary,
    ignore,
    read_containers,
    read_id,
    read_image,
    read_info,
    read_listed_images,
    read_ports,
    read_processor_time,
    read_stat,
    read_version,
    read_volume,
    read_volumes,
)
from interpreter_tools._exceptions import (
    DockerApiError,
    DockerUnavailable,
    ImageMissing,
    MachineError,
    NetworkMissing,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable, Coroutine, Mapping, Sequence

    from interpreter_tools._docker.endpoint import Endpoint

_T = TypeVar("_T")

_DEADLINE = 60.0
_CONNECT_DEADLINE = 10.0
_IMPORT_DEADLINE = 600.0
_CLOSE_DEADLINE = 10.0
_LATE_DEADLINE = 600.0  # seconds; a creation whose caller has left is followed up for so long
_STATS = {"stream": "false", "one-shot": "true"}
_LEAVING = 1.0  # seconds that a supervisor may take to leave
_GOING = 5.0  # seconds that an engine may take to remove a container whose program has ended
_NOT_RUNNING = 409
_LATE_CHECKS = (0.0, 1.0, 5.0, 30.0)  # seconds to wait before each look for a container whose creation got no answer


class DockerClient:
    """One Docker engine. Made by ``connect``, closed by ``aclose``.

    Every call raises ``DockerUnavailable`` when the engine cannot be reached, and ``DockerApiError`` when it refuses or
    does not answer within the deadline (status 0). Calls that can be repeated without harm are, a few times.

    Attributes:
        endpoint: the address of the engine.
        version: the engine's product and version.
    """

    def __init__(self, connection: HttpConnection, version: EngineVersion) -> None:
        self._connection = connection
        self._late: set[asyncio.Task[None]] = set()
        self._closing = asyncio.Event()
        self._streams: weakref.WeakSet[asyncio.Transport] = weakref.WeakSet()
        self._closed = False
        self.version = version

    def __repr__(self) -> str:
        return f"<DockerClient {self.endpoint.url} {self.version.version} [{'closed' if self._closed else 'open'}]>"

    @classmethod
    async def connect(
        cls,
        docker_host: str | None = None,
        *,
        deadline: float = _DEADLINE,
        connect_deadline: float = _CONNECT_DEADLINE,
        brief: bool = False,
    ) -> Self:
        """Return a client of the first engine that answers.

        Args:
            docker_host: the address of the engine; None means those that ``find_endpoints`` finds.
            deadline: seconds that a call may take.
            connect_deadline: seconds that each address has to answer.
            brief: True for a process of our own that makes a few requests and ends. It does not wait for the import of
                aiodocker where plain requests over a Unix socket do.

        Raises:
            DockerUnavailable: no engine answers; the message lists each address and the reason.
        """
        failures: list[str] = []
        for endpoint in await asyncio.to_thread(find_endpoints, docker_host):
            why = endpoint.problem
            if not why:
                try:
                    return await cls._open(endpoint, deadline=deadline, connect_deadline=connect_deadline, brief=brief)
                except MachineError as error:
                    why = error.message
                except (OSError, msgspec.DecodeError) as error:  # a file for TLS; an answer that is not an engine's
                    why = str(error)
            failures.append(f"  {endpoint.source}, {endpoint.url or 'no address'}: {why}")
        denied = any("ermission denied" in failure for failure in failures)
        hint = (
            "let your user use the socket: `sudo usermod -aG docker $USER`, then log in again" if denied else SETUP_HINT
        )
        raise DockerUnavailable("no Docker engine answers:\n" + "\n".join(failures), hint=hint)

    @classmethod
    async def _open(cls, endpoint: Endpoint, *, deadline: float, connect_deadline: float, brief: bool) -> Self:
        connection = await HttpConnection.open(endpoint, deadline=deadline, brief=brief)
        try:
            answer = await connection.ask("connect", connection.ask_version, deadline=connect_deadline)
            version = read_version(answer)
            connection.use_version(f"v{version.api_version}")
            return cls(connection, version)
        except BaseException:
            await connection.aclose()
            raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def late_removals(self, *, deadline: float) -> bool:
        """Wait for the removal of containers that came into being after their callers had left.

        Args:
            deadline: seconds.

        Returns:
            True when no such container is left.
        """
        if self._late:
            await asyncio.wait(self._late, timeout=deadline)
        return not self._late

    async def aclose(self, *, deadline: float = _CLOSE_DEADLINE) -> None:
        """Remove the containers that came into being after their callers had left, then close the connections.

        Args:
            deadline: seconds for that removal.
        """
        if self._closed:
            return
        self._closed = True
        self._closing.set()
        try:
            await self.late_removals(deadline=deadline)
        finally:
            late = tuple(self._late)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)  # they have requests under way
            await self._connection.aclose()

    @property
    def endpoint(self) -> Endpoint:
        """The address of the engine."""
        return self._connection.endpoint

    async def info(self) -> EngineInfo:
        """Return the abilities of the engine and its host."""
        return await self._connection.request("inspect the engine", "GET", "info", read=read_info)

    async def ping(self, *, deadline: float) -> None:
        """Return once the engine has answered; it has ``deadline`` seconds for that."""
        await self._connection.request(
            "ask for an answer", "GET", "version", again=False, deadline=deadline, read=ignore
        )

    async def create_container(self, spec: Mapping[str, object], *, name: str | None = None) -> str:
        """Make a container and return its id.

        When the caller is cancelled, or the answer does not come in time, the container may come into being all the
        same. It is then removed in the background.

        Args:
            spec: the body of ``POST /containers/create``.
            name: the name of the container; None means a new random one.

        Raises:
            ImageMissing: its image is not there.
        """
        name = name or f"interpreter-tools-{uuid.uuid4().hex}"
        creating = asyncio.ensure_future(
            self._connection.request(
                "create container",
                "POST",
                "containers/create",
                params={"name": name},
                body=spec,
                image=str(spec.get("Image", "")),
                deadline=_LATE_DEADLINE,
                read=read_id,
            )
        )
        try:
            return await self._connection.ask("create container", lambda: asyncio.shield(creating))
        except BaseException as error:
            answered = isinstance(error, DockerApiError) and error.status not in {0, GARBLED}
            if not answered and not isinstance(error, (ImageMissing, NetworkMissing)):
                self._follow_up(self._remove_late(creating, name))
            raise

    def _follow_up(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def _remove_late(self, creating: asyncio.Future[str], name: str) -> None:
        """Remove a container that was asked for but is not wanted any more, as soon as it exists."""
        lost = False
        try:
            created = await creating
        except DockerUnavailable:
            lost = True
        except DockerApiError as error:
            if error.status not in {0, GARBLED}:
                return  # the engine refused, so no container was created
            lost = True
        except MachineError:
            return
        else:
            with contextlib.suppress(MachineError):  # a dead engine's containers are swept at the next start
                await self.remove_container(created)
        if lost:  # the answer was lost, but the engine may still create the container: look for its name
            for wait in _LATE_CHECKS:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._closing.wait()
                with contextlib.suppress(MachineError):  # the next engine start, or the next sweep, deals with the rest
                    await self.remove_container(name)
                if self._closing.is_set():  # the client closes, so it cannot look again later
                    break

    async def start_container(self, container_id: str) -> None:
        """Start a container. Its program runs when this returns."""
        await self._connection.request("start container", "POST", f"containers/{container_id}/start", read=ignore)

    async def published_ports(self, container_id: str) -> dict[int, int]:
        """Return the host's port by the container's, for each TCP port that a running container publishes."""
        path = f"containers/{container_id}/json"
        return await self._connection.request("inspect container", "GET", path, read=read_ports)

    async def processor_time(self, container_id: str) -> float | None:
        """Return the seconds of processor time that all processes of a container have used; None when it is gone.

        The Docker engine takes up to a second to answer.
        """
        return await self._find(
            "container stats", f"containers/{container_id}/stats", read_processor_time, params=_STATS
        )

    async def update_container(self, container_id: str, changes: Mapping[str, object]) -> None:
        """Change the limits of a container that runs.

        Args:
            container_id: its id or name.
            changes: the body of ``POST /containers/{id}/update``, such as ``{"Memory": bytes, "MemorySwap": bytes}``.
        """
        path = f"containers/{container_id}/update"
        try:
            await self._connection.request("update container", "POST", path, body=changes, again=True, read=ignore)
        except DockerApiError as error:
            if error.status != 404 or not self.version.is_podman:
                raise
            hint = "Podman's service does not know this call: give the limits to the session, or run with PER_EXECUTION"
            raise DockerApiError(error.operation, error.status, error.detail, hint=hint) from error

    async def end_container(self, container_id: str) -> None:
        """Wait for the end of a container whose stream was closed, and which its engine removes by itself.

        The supervisor leaves at the end of its stream. That takes the engine less work than to kill it, so it is killed
        only when it has not left within a second. A removal by the client would race with the engine's own, and the
        engine logs an error each time. So the client removes the container only when the engine has not done so within
        a few seconds.
        """
        if await self.wait_removed(container_id, _LEAVING):
            return
        try:
            path, params = f"containers/{container_id}/kill", {"signal": "SIGKILL"}
            await self._connection.request("kill container", "POST", path, params=params, again=True, read=ignore)
        except DockerApiError as error:
            if error.status == 404:
                return
            if error.status != _NOT_RUNNING and not self.version.is_podman:  # Podman says 500
                raise
        if not await self.wait_removed(container_id, _GOING):
            await self.remove_container(container_id)

    async def remove_container(self, container_id: str) -> None:
        """Kill and remove a container with its anonymous volumes; one that is gone, or going by itself, is no error."""
        path = f"containers/{container_id}"
        if await self._remove("remove container", path, {"force": "1", "v": "1"}):
            return
        try:
            await self._connection.request(
                "wait for a container's removal",
                "POST",
                f"{path}/wait",
                params={"condition": "removed"},
                read=ignore,
            )
        except DockerApiError as error:
            if error.status != 404:
                raise

    async def wait_removed(self, container_id: str, seconds: float) -> bool:
        """Wait until a container is gone; return False when it is still there after ``seconds``.

        Args:
            container_id: its id or name.
            seconds: the longest time to wait.
        """
        path, params = f"containers/{container_id}/wait", {"condition": "removed"}
        try:
            await self._connection.request(
                "wait for a container's end", "POST", path, params=params, deadline=seconds, read=ignore
            )
        except DockerApiError as error:
            if error.status not in {0, 404}:
                raise
            return error.status == 404
        return True

    async def list_containers(self, *, labels: Mapping[str, str | None]) -> list[ContainerSummary]:
        """Return the containers that bear all the labels, running or not; the value None stands for any value."""
        params = {"all": "1", "filters": _label_filter(labels)}
        return await self._connection.request(
            "list containers", "GET", "containers/json", params=params, read=read_containers
        )

    async def attach(
        self, container_id: str, protocol_factory: Callable[[], asyncio.Protocol]
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        """Connect to a container's stdin and stdout; Docker's stream headers are left in (see ``Demultiplexer``).

        Args:
            container_id: a container, started or not.
            protocol_factory: makes the protocol that gets the connection.
        """
        path = f"/v{self.version.api_version}/containers/{container_id}/attach?stream=1&stdin=1&stdout=1"
        connection = self._connection
        transport, protocol = await connection.ask(
            "attach", lambda: open_attach(connection.endpoint, connection.tls, path, protocol_factory)
        )
        self._streams.add(transport)
        return transport, protocol

    def sever(self) -> None:
        """Break every attached stream, from any thread, after the event loop was closed: the supervisors leave."""
        for transport in tuple(self._streams):
            plain: socket.socket | None = transport.get_extra_info("socket")
            if plain is not None:
                with contextlib.suppress(OSError):  # it is closed
                    plain.shutdown(socket.SHUT_RDWR)

    async def stat_created_file(self, container_id: str, path: str) -> FileStat | None:
        """Return size, mode and time of a file in a container that was never started; None when there is no such file.

        Never call this for a container that ran user code: the engine follows links in it, as root.
        """
        connection = self._connection

        async def head() -> FileStat:
            answer = await connection.send("HEAD", f"containers/{container_id}/archive", params={"path": path})
            return read_stat(answer.stat)

        try:
            return await connection.ask("look at a file of a new container", head, again=True)
        except DockerApiError as error:
            if error.status == 404:
                return None
            raise

    async def inspect_image(self, name: str) -> ImageInfo | None:
        """Return the description of an image; None when the engine does not have it."""
        return await self._find("inspect image", f"images/{name}/json", read_image)

    async def list_images(self, labels: Mapping[str, str | None]) -> list[ImageSummary]:
        """Return the images that bear all the labels; the value None stands for any value."""
        params = {"filters": _label_filter(labels)}
        return await self._connection.request(
            "list images", "GET", "images/json", params=params, read=read_listed_images
        )

    def pull_image(self, name: str) -> Pull:
        """Fetch an image from its registry: an async iterator of ``PullProgress``, to be drained or closed."""
        return Pull(self._connection, name)

    async def remove_image(self, name: str) -> None:
        """Remove an image, or only this name of it where it has more. One that is gone is no error."""
        await self._remove("remove image", f"images/{name}", {})

    async def import_image(
        self,
        source: AsyncIterable[bytes] | bytes,
        *,
        tag: str,
        changes: Sequence[str] = (),
        deadline: float = _IMPORT_DEADLINE,
    ) -> str:
        """Make an image of a tar of its files, and return its id.

        Args:
            source: the tar.
            tag: the image's name.
            changes: lines of a Dockerfile, such as ``"ENV LANG=C.UTF-8"``.
            deadline: seconds for all of it.
        """
        connection = self._connection
        return await connection.ask(
            "import image", lambda: import_tree(connection, source, tag=tag, changes=changes), deadline=deadline
        )

    async def create_volume(
        self, name: str, labels: Mapping[str, str], *, options: Mapping[str, str] | None = None
    ) -> VolumeSummary:
        """Make a volume. One of that name that exists already stays as it is.

        Args:
            name: its name.
            labels: its labels.
            options: of the local driver, such as ``{"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}``.
        """
        body = {"Name": name, "Labels": dict(labels), "DriverOpts": dict(options or {})}
        return await self._connection.request(
            "create volume", "POST", "volumes/create", body=body, again=True, read=read_volume
        )

    async def remove_volume(self, name: str) -> None:
        """Remove a volume. One that is gone is no error; one that a container uses is, with status 409."""
        await self._remove("remove volume", f"volumes/{name}", {})

    async def list_volumes(self, labels: Mapping[str, str | None]) -> list[VolumeSummary]:
        """Return the volumes that bear all the labels; the value None stands for any value."""
        params = {"filters": _label_filter(labels)}
        return await self._connection.request("list volumes", "GET", "volumes", params=params, read=read_volumes)

    async def _find(
        self, operation: str, path: str, read: Callable[[object], _T], *, params: Mapping[str, str] | None = None
    ) -> _T | None:
        try:
            return await self._connection.request(operation, "GET", path, params=params, read=read)
        except DockerApiError as error:
            if error.status == 404:
                return None
            raise

    async def _remove(self, operation: str, path: str, params: Mapping[str, str]) -> bool:
        """Remove an object; return False when another client, or the engine itself, is removing it already."""
        try:
            await self._connection.request(operation, "DELETE", path, params=params, read=ignore)
        except DockerApiError as error:
            if error.status == 409 and "already in progress" in error.detail:
                return False
            if error.status != 404:
                raise
        return True


def _label_filter(labels: Mapping[str, str | None]) -> str:
    wanted = [name if value is None else f"{name}={value}" for name, value in labels.items()]
    return msgspec.json.encode({"label": wanted}).decode()
