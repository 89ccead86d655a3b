"""The supervisor's way to any Docker host: a named volume, filled once for each version.

Docker fills an empty volume with the image's files at its mount point when a container is created, before anything
runs. So an image with nothing but the supervisor, and a container of it that is never started, fill the volume. This
needs no mount from the host, which a remote engine does not have. It takes about 10 ms, so each engine does it. An
existing volume proves nothing, so the client then checks the file in it: its time is set last, and stands for the
content. An engine that finds the volume checks it in the first container that mounts it, before it starts that.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import msgspec

from interpreter_tools._docker.records import EngineVersion, FileStat
from interpreter_tools._docker.spec import (
    HOSTS,
    PODMAN_ULIMITS,
    PYTHON_MODULES,
    SECCOMP,
    SUPERVISOR_DIRECTORY,
    SUPERVISOR_PATH,
    HostTraits,
    OwnFiles,
)
from interpreter_tools._docker.sweep import Owner
from interpreter_tools._docker.users import ACCOUNTS, NAMED, account_contents
from interpreter_tools._exceptions import (
    ArchitectureMismatch,
    ContainerStartFailed,
    DockerApiError,
    ImageMissing,
    InterpreterToolsError,
    MachineError,
)
from interpreter_tools._languages.python import sandbox_modules

if TYPE_CHECKING:
    from interpreter_tools._docker.client import DockerClient
    from interpreter_tools._docker.records import EngineInfo, VolumeSummary

LABEL = "interpreter-tools.supervisor"
"""On the volume, the image and the container: the supervisor's digest."""

_ARCHITECTURES = ("aarch64", "x86_64")
_NAME = "interpreter-tools-supervisor"
_CONFLICT = 409
_HOSTS = b"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
_SECCOMP_NAME = "seccomp.json"
_MODE = 0o700  # for root only: a program that could read the file could watch the starts of all sandboxes of the host
_YEAR_2000 = 946_684_800  # before which the time of the file lies, by its digest
_ATTEMPTS = 10
_PATIENCE = 5  # conflicts in a row; about two seconds
_CLEANUP = 10.0


class SupervisorVolume(msgspec.Struct, frozen=True, kw_only=True):
    """A volume that holds the supervisor.

    Attributes:
        name: the volume's name, to be mounted at ``SUPERVISOR_DIRECTORY``.
        entrypoint: the supervisor's path in the container.
        mountpoint: the directory of the volume on the engine's host.
        engine: the engine that has the volume.
        expected: the supervisor's file, to be looked for in the first container that mounts the volume; None where the
            volume was checked.
    """

    name: str
    entrypoint: str
    mountpoint: str
    engine: EngineVersion
    expected: FileStat | None = None

    async def check(self, client: DockerClient, container: str) -> None:
        """Check that the volume holds the supervisor.

        Args:
            client: the engine.
            container: a container that mounts the volume, and was not started.

        Raises:
            ContainerStartFailed: the volume does not hold the supervisor, or not yet.
        """
        if self.expected is not None and await client.stat_created_file(container, SUPERVISOR_PATH) != self.expected:
            raise ContainerStartFailed(f"the volume {self.name} does not hold the supervisor")

    def traits(self, info: EngineInfo) -> HostTraits:
        """Return the traits that a sandbox's specification depends on, beside its configuration.

        Args:
            info: the abilities of the engine.
        """
        podman = self.engine.is_podman
        return HostTraits(
            cgroup_version=info.cgroup_version,
            default_runtime=info.default_runtime,
            own_files=self._own_files(),
            # Podman takes the path of a file on its own host, where the volume lies
            seccomp=f"{self.mountpoint}/{_SECCOMP_NAME}" if podman else SECCOMP,
            podman=podman,
            # Docker 25 and Linux 5.12 introduced recursive read-only mounts
            recursive=not podman and self.engine.speaks(1, 44) and self.engine.kernel_is(5, 12),
            cpus=info.cpus,
            memory=info.memory,
        )

    def _own_files(self) -> OwnFiles | None:
        """Return the way to mount files of the volume: by their path on the engine's own host, or as its parts.

        Docker Desktop takes a path for one of the user's machine, on which its engine does not run.
        """
        if "docker desktop" not in self.engine.name.lower():
            return OwnFiles(directory=self.mountpoint) if self.mountpoint else None
        return OwnFiles(volume=self.name) if self.engine.speaks(1, 45) else None


class _Unfilled(Exception):
    """The volume does not hold the supervisor, or not yet."""


async def find_supervisor_volume(client: DockerClient) -> SupervisorVolume:
    """Return the volume with the supervisor for the engine's processor, unchecked. Two requests less than to fill it.

    Raises:
        ArchitectureMismatch: there is no supervisor for that processor.
        MachineError: the engine refused.
    """
    if client.version.is_podman:  # which shows no file of a container before it is started
        return await ensure_supervisor_volume(client)
    program = await asyncio.to_thread(load_supervisor, client.version.arch)
    owner = await asyncio.to_thread(Owner.current)
    return await (await asyncio.to_thread(_Filling, client, program, owner)).find()


async def ensure_supervisor_volume(client: DockerClient, *, program: bytes | None = None) -> SupervisorVolume:
    """Return the volume with the supervisor for the engine's processor; make it if it does not exist.

    Many processes may call this at once.

    Args:
        client: the engine.
        program: the supervisor itself; None means the one that came with this package.

    Raises:
        ArchitectureMismatch: there is no supervisor for that processor.
        MachineError: the engine refused, or the volume cannot be filled.
    """
    if program is None:
        program = await asyncio.to_thread(load_supervisor, client.version.arch)
    owner = await asyncio.to_thread(Owner.current)
    filling = await asyncio.to_thread(_Filling, client, program, owner)  # it reads files
    import tenacity  # noqa: PLC0415 - most engines have the volume

    retry = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception_type(_Unfilled),
        stop=tenacity.stop_after_attempt(_ATTEMPTS),
        wait=tenacity.wait_random_exponential(multiplier=0.05, max=2.0),
        reraise=True,
    )
    try:
        volume: VolumeSummary = await retry(filling.attempt)
    except _Unfilled as error:
        hint = f"look for a full disk, and remove the volume with `docker volume rm {filling.volume}`"
        raise MachineError(f"the volume {filling.volume} cannot be filled: {error}", hint=hint) from error
    return SupervisorVolume(
        name=volume.name, entrypoint=SUPERVISOR_PATH, mountpoint=volume.mountpoint, engine=client.version
    )


async def supervisor_digest(client: DockerClient) -> str:
    """Return the digest in the names of the supervisor's volume and image, for the engine's processor.

    Raises:
        ArchitectureMismatch: there is no supervisor for that processor.
    """
    return await asyncio.to_thread(lambda: _digest(load_supervisor(client.version.arch)))


def is_about_supervisor(error: InterpreterToolsError, volume: str) -> bool:
    """Return True when a container did not start because its volume has lost the supervisor."""
    return SUPERVISOR_PATH in error.message or volume in error.message


def load_supervisor(architecture: str) -> bytes:
    """Return the supervisor for a processor. The function reads a file, so call it off the event loop.

    Args:
        architecture: as ``uname -m`` names it.

    Raises:
        ArchitectureMismatch: there is none for it.
        MachineError: this installation lacks it.
    """
    if architecture not in _ARCHITECTURES:
        known = " and ".join(_ARCHITECTURES)
        raise ArchitectureMismatch(f"the Docker host's processor is {architecture!r}; sandboxes run on {known}")
    try:
        return (Path(__file__).parents[1] / "supervisor" / "bin" / f"supervisor-{architecture}").read_bytes()
    except FileNotFoundError as error:
        hint = "install from a wheel, or from the sources with `pip install .`, which builds it"
        raise MachineError(f"this installation lacks the supervisor for {architecture}", hint=hint) from error


class _Filling:
    """Attempts at one volume."""

    def __init__(self, client: DockerClient, program: bytes, owner: Owner) -> None:
        digest = _digest(program)
        self.volume = f"{_NAME}-{digest}"
        self._client = client
        self._program = program
        self._time = int(digest, 16) % _YEAR_2000
        modified = datetime.fromtimestamp(self._time, UTC)
        self._expected = FileStat(size=len(program), mode=_MODE, modified=modified)
        self._image = f"{_NAME}:{digest}"
        self._label = {LABEL: digest}
        self._spec: dict[str, object] = {
            "Image": self._image,
            "Entrypoint": [SUPERVISOR_PATH],
            "Labels": {**owner.labels(), **self._label},  # so that the sweep removes it if this client is killed
            "NetworkDisabled": True,
            "HostConfig": {
                "CapDrop": ["ALL"],
                "LogConfig": {"Type": "none", "Config": {}},
                "Mounts": [{"Type": "volume", "Source": self.volume, "Target": SUPERVISOR_DIRECTORY}],
                "NetworkMode": "none",
                **({"Ulimits": PODMAN_ULIMITS} if client.version.is_podman else {}),
            },
        }
        self._conflicts = 0
        self._imported = False

    async def find(self) -> SupervisorVolume:
        """Return the volume, which may be empty."""
        volume = await self._client.create_volume(self.volume, self._label)
        return SupervisorVolume(
            name=volume.name,
            entrypoint=SUPERVISOR_PATH,
            mountpoint=volume.mountpoint,
            engine=self._client.version,
            expected=self._expected,
        )

    async def attempt(self) -> VolumeSummary:
        """Create the container that fills the volume, check the volume, remove the container; return the volume.

        Raises:
            _Unfilled: the volume does not hold the supervisor.
        """
        volume = await self._client.create_volume(self.volume, self._label)
        container = await self._create()
        if container is None:
            await self._check(self.volume)  # the other's container shows what is in the volume as well as one of ours
            return volume
        try:
            if (
                self._client.version.is_podman
            ):  # it fills a volume when the container starts; without stdin it ends at once
                await self._client.start_container(container)
            await self._check(container)
        except _Unfilled:
            await self._client.remove_container(container)
            await self._discard_volume()
            raise
        finally:
            with anyio.move_on_after(_CLEANUP, shield=True):
                await self._client.remove_container(container)
            if self._imported:
                await self._remove_unnamed()
        return volume

    async def _remove_unnamed(self) -> None:
        """Remove images that have lost their name: another client imported the same at the same time."""
        for image in await self._client.list_images(dict(self._label)):
            if not image.tags:
                with contextlib.suppress(DockerApiError):  # a container of another client holds it
                    await self._client.remove_image(image.id)

    async def _create(self) -> str | None:
        """Return the container's id; None when another process has a container of that name.

        The name is the lock: one process at a time creates the container, so only one copies into the volume.
        """
        try:
            try:
                return await self._client.create_container(self._spec, name=self.volume)
            except ImageMissing:
                changes = [f"LABEL {name}={value}" for name, value in self._label.items()]
                tree = await asyncio.to_thread(_tree, self._program, self._time)
                await self._client.import_image(tree, tag=self._image, changes=changes)
                self._imported = True
                return await self._client.create_container(self._spec, name=self.volume)
        except DockerApiError as error:
            if error.status != _CONFLICT and "already in use" not in error.detail:  # Podman says 500
                raise
        self._conflicts += 1
        if self._conflicts >= _PATIENCE:  # nobody takes that long: its process was killed in the middle
            await self._client.remove_container(self.volume)
        return None

    async def _check(self, container: str) -> None:
        stat = await self._client.stat_created_file(container, SUPERVISOR_PATH)
        if stat is None:
            raise _Unfilled("the supervisor is not in it")
        if stat != self._expected:
            raise _Unfilled("what is in it is not the whole supervisor")

    async def _discard_volume(self) -> None:
        """Remove a volume with other content, and its image: Docker fills only an empty volume."""
        try:
            await self._client.remove_volume(self.volume)
        except DockerApiError as error:
            if error.status != _CONFLICT:
                raise
            raise _Unfilled(f"it holds something else, and is in use: {error.detail}") from error
        await self._client.remove_image(self._image)


def _files(program: bytes) -> list[tuple[str, int, bytes]]:
    """Return the files of the volume beside users and groups, each with its mode and content.

    The supervisor must be the last by name: Docker copies in that order, and sets a file's time after its content.
    """
    return [
        (HOSTS, 0o644, _HOSTS),
        (PYTHON_MODULES, 0o600, sandbox_modules()),
        (_SECCOMP_NAME, 0o644, SECCOMP.encode()),
        (SUPERVISOR_PATH.rpartition("/")[2], _MODE, program),
    ]


def _digest(program: bytes) -> str:
    """Return a digest of all that is in the volume; users and groups follow from those of the first pair."""
    digest = hashlib.sha256(repr((NAMED, account_contents(0))).encode())
    for name, mode, content in _files(program):
        digest.update(f"{name} {mode} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:12]


def _tree(program: bytes, time: int) -> bytes:
    """Return the files of the image as a compressed tar: most of them are alike."""
    import tarfile  # noqa: PLC0415 - most engines have the volume

    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w:gz", compresslevel=1) as tar:
        top = SUPERVISOR_DIRECTORY.removeprefix("/")
        for path in (top, f"{top}/{ACCOUNTS}"):
            directory = tarfile.TarInfo(path)
            directory.type = tarfile.DIRTYPE
            directory.mode = _MODE
            tar.addfile(directory)
        accounts = [item for pair in range(NAMED) for item in account_contents(pair).items()]
        for name, mode, content in (*((name, 0o644, content) for name, content in accounts), *_files(program)):
            member = tarfile.TarInfo(f"{top}/{name}")
            member.mode = mode
            member.mtime = time
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return output.getvalue()
