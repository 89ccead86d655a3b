"""Records of the Docker engine's answers, with the fields that this library uses."""

from __future__ import annotations

import base64
import posixpath
import re
from datetime import datetime
from typing import Any

import msgspec

_MACHINES = {"amd64": "x86_64", "arm64": "aarch64", "x86_64": "x86_64", "aarch64": "aarch64"}


def machine(architecture: str) -> str:
    """Return an architecture as ``uname -m`` names it: Docker says ``amd64``, the kernel ``x86_64``."""
    return _MACHINES.get(architecture, architecture)


class EngineVersion(msgspec.Struct, frozen=True, kw_only=True):
    """The product, version and platform of an engine.

    Attributes:
        version: its version, such as ``"20.10.24"``.
        api_version: the newest version of the API that it speaks, such as ``"1.41"``.
        arch: the processor as ``uname -m`` names it: ``"x86_64"``, ``"aarch64"``.
        os: ``"linux"``.
        kernel: the release of the kernel it runs on.
        name: the product, such as ``"Docker Engine - Community"`` or ``"Podman Engine"``; may be empty.
    """

    version: str
    api_version: str
    arch: str
    os: str
    kernel: str
    name: str

    def speaks(self, major: int, minor: int) -> bool:
        """Return True when the API is at least of that version."""
        parts = self.api_version.split(".")
        return tuple(int(part) for part in parts if part.isdecimal()) >= (major, minor)

    def kernel_is(self, major: int, minor: int) -> bool:
        """Return True when the kernel is at least of that version."""
        parts = re.match(r"(\d+)\.(\d+)", self.kernel)
        return parts is not None and (int(parts[1]), int(parts[2])) >= (major, minor)

    @property
    def is_podman(self) -> bool:
        """True for Podman behind Docker's API."""
        return "podman" in self.name.lower()


class EngineInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The abilities of an engine and its host.

    Attributes:
        id: the engine's own name for itself, the same until it is installed again.
        host: the host's name.
        operating_system: such as ``"Debian GNU/Linux 12 (bookworm)"``.
        cgroup_version: ``"1"`` or ``"2"``.
        cgroup_driver: ``"cgroupfs"``, ``"systemd"`` or ``"none"``.
        storage_driver: such as ``"overlay2"``.
        runtimes: names that ``ContainerConfig.runtime`` may hold.
        default_runtime: the one that is used where none is named.
        security_options: such as ``"name=seccomp,profile=default"``, ``"name=rootless"``.
        memory_limit: True when the engine can limit memory.
        swap_limit: True when the engine can limit swap.
        cpu_limit: True when the engine can limit cores.
        pids_limit: True when the engine can limit processes.
        cpus: cores of the host.
        memory: bytes of the host.
        containers_running: containers of all owners that run now.
        images: images that the engine holds.
        root_dir: the engine's directory on its host.
        system_time: the time of the engine's clock.
        warnings: the engine's own warnings.
    """

    id: str
    host: str
    operating_system: str
    cgroup_version: str
    cgroup_driver: str
    storage_driver: str
    runtimes: tuple[str, ...]
    default_runtime: str
    security_options: tuple[str, ...]
    memory_limit: bool
    swap_limit: bool
    cpu_limit: bool
    pids_limit: bool
    cpus: int
    memory: int
    containers_running: int
    images: int
    root_dir: str
    system_time: datetime | None
    warnings: tuple[str, ...]

    @property
    def seccomp(self) -> bool:
        """True when containers can have a seccomp profile."""
        return any(option.startswith("name=seccomp") for option in self.security_options)

    @property
    def rootless(self) -> bool:
        """True when the engine runs without root."""
        return any(option.startswith("name=rootless") for option in self.security_options)


class ContainerSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One container of a list.

    Attributes:
        id: its id.
        names: its names, without the leading slash.
        image: the image that it was made from, by the name that was asked for.
        labels: its labels.
        state: ``"created"``, ``"running"``, ``"paused"``, ``"restarting"``, ``"removing"``, ``"exited"`` or ``"dead"``.
        created: seconds since the epoch, by the engine's clock.
    """

    id: str
    names: tuple[str, ...]
    image: str
    labels: dict[str, str]
    state: str
    created: int


class ImageInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One image.

    Attributes:
        id: its digest, ``"sha256:..."``, which identifies it under any name.
        tags: its names.
        architecture: the processor as ``uname -m`` names it.
        os: ``"linux"``.
        size: bytes.
        labels: its labels.
        environment: its variables, as ``NAME=value``.
        volumes: places for which the engine makes an anonymous volume in each container.
    """

    id: str
    tags: tuple[str, ...]
    architecture: str
    os: str
    size: int
    labels: dict[str, str]
    environment: tuple[str, ...]
    volumes: tuple[str, ...]


class ImageSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One image of a list.

    Attributes:
        id: its digest.
        tags: its names.
        labels: its labels.
        size: bytes, those of the images that it is made from among them.
        created: seconds since the epoch, by the engine's clock.
    """

    id: str
    tags: tuple[str, ...]
    labels: dict[str, str]
    size: int
    created: int


class VolumeSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One volume.

    Attributes:
        name: its name.
        labels: its labels.
        mountpoint: its directory on the engine's host.
    """

    name: str
    labels: dict[str, str]
    mountpoint: str


class FileStat(msgspec.Struct, frozen=True, rename={"modified": "mtime"}):
    """The engine's description of a file in a container.

    Attributes:
        size: bytes.
        mode: permissions; above them the bits by which Go marks files that are not regular.
        modified: the time at which its content was written.
    """

    size: int
    mode: int
    modified: datetime


class _Platform(msgspec.Struct, rename="pascal"):
    name: str = ""


class _Component(msgspec.Struct, rename="pascal"):
    name: str = ""


class _Version(msgspec.Struct, rename="pascal"):
    version: str
    api_version: str
    arch: str = ""
    os: str = "linux"
    kernel_version: str = ""
    platform: _Platform | None = None
    components: list[_Component] | None = None


class _Info(msgspec.Struct, rename="pascal"):
    id: str = msgspec.field(name="ID", default="")
    name: str = ""
    operating_system: str = ""
    cgroup_version: str = "1"
    cgroup_driver: str = ""
    driver: str = ""
    runtimes: dict[str, Any] | None = None
    default_runtime: str = ""
    security_options: list[str] | None = None
    memory_limit: bool = False
    swap_limit: bool = False
    cpu_cfs_quota: bool = msgspec.field(name="CpuCfsQuota", default=False)
    pids_limit: bool = False
    cpus: int = msgspec.field(name="NCPU", default=0)
    memory: int = msgspec.field(name="MemTotal", default=0)
    containers_running: int = 0
    images: int = 0
    docker_root_dir: str = ""
    system_time: str = ""
    warnings: list[str] | None = None


class _Container(msgspec.Struct, rename="pascal"):
    id: str
    names: list[str] | None = None
    image: str = ""
    labels: dict[str, str] | None = None
    state: str = ""
    created: int = 0


class _Binding(msgspec.Struct, rename="pascal"):
    host_port: str = ""


class _NetworkSettings(msgspec.Struct, rename="pascal"):
    ports: dict[str, list[_Binding] | None] | None = None


class _Inspected(msgspec.Struct, rename="pascal"):
    network_settings: _NetworkSettings


class _CpuUsage(msgspec.Struct):
    total_usage: int


class _CpuStats(msgspec.Struct):
    cpu_usage: _CpuUsage


class _Stats(msgspec.Struct):
    cpu_stats: _CpuStats


class _ImageConfig(msgspec.Struct, rename="pascal"):
    labels: dict[str, str] | None = None
    env: list[str] | None = None
    volumes: dict[str, Any] | None = None


class _Image(msgspec.Struct, rename="pascal"):
    id: str
    repo_tags: list[str] | None = None
    architecture: str = ""
    os: str = "linux"
    size: int = 0
    config: _ImageConfig | None = None


class _ListedImage(msgspec.Struct, rename="pascal"):
    id: str
    repo_tags: list[str] | None = None
    labels: dict[str, str] | None = None
    size: int = 0
    created: int = 0


class _Volume(msgspec.Struct, rename="pascal"):
    name: str
    labels: dict[str, str] | None = None
    mountpoint: str = ""


class _Volumes(msgspec.Struct, rename="pascal"):
    volumes: list[Any] | None = None


def read_version(answer: bytes) -> EngineVersion:
    """Read the answer to ``GET /version``."""
    raw = msgspec.json.decode(answer, type=_Version)
    names = [raw.platform.name] if raw.platform else []
    names += [component.name for component in raw.components or []]
    return EngineVersion(
        version=raw.version,
        api_version=raw.api_version,
        arch=machine(raw.arch),
        os=raw.os,
        kernel=raw.kernel_version,
        # Podman leaves the platform's name to the host's: its first component says what it is
        name=next((name for name in names if "podman" in name.lower()), next(filter(None, names), "")),
    )


def read_info(answer: object) -> EngineInfo:
    """Read the answer to ``GET /info``."""
    raw = msgspec.convert(answer, _Info)
    try:
        system_time = datetime.fromisoformat(raw.system_time) if raw.system_time else None
    except ValueError:
        system_time = None
    return EngineInfo(
        id=raw.id,
        host=raw.name,
        operating_system=raw.operating_system,
        cgroup_version=raw.cgroup_version.removeprefix("v"),
        cgroup_driver=raw.cgroup_driver,
        storage_driver=raw.driver,
        runtimes=tuple(sorted(raw.runtimes or {})),
        default_runtime=raw.default_runtime,
        security_options=tuple(raw.security_options or ()),
        memory_limit=raw.memory_limit,
        swap_limit=raw.swap_limit,
        cpu_limit=raw.cpu_cfs_quota,
        pids_limit=raw.pids_limit,
        cpus=raw.cpus,
        memory=raw.memory,
        containers_running=raw.containers_running,
        images=raw.images,
        root_dir=raw.docker_root_dir,
        system_time=system_time,
        warnings=tuple(raw.warnings or ()),
    )


class _Created(msgspec.Struct, rename="pascal"):
    id: str


def ignore(answer: object) -> None:
    """Ignore the answer: its arrival is enough."""
    del answer


def read_id(answer: object) -> str:
    """Read the id in the answer to ``POST /containers/create``."""
    return msgspec.convert(answer, _Created).id


def read_containers(answer: object) -> list[ContainerSummary]:
    """Read the answer to ``GET /containers/json``."""
    return [_read_container(raw) for raw in msgspec.convert(answer, list[_Container])]


def _read_container(raw: _Container) -> ContainerSummary:
    names = tuple(name.removeprefix("/") for name in raw.names or ())
    return ContainerSummary(
        id=raw.id, names=names, image=raw.image, labels=raw.labels or {}, state=raw.state, created=raw.created
    )


def read_ports(answer: object) -> dict[int, int]:
    """Read the published TCP ports in the answer to ``GET /containers/{id}/json``: the host's by the container's."""
    raw = msgspec.convert(answer, _Inspected).network_settings.ports or {}
    return {
        int(name.removesuffix("/tcp")): int(bindings[0].host_port)
        for name, bindings in raw.items()
        if name.endswith("/tcp") and bindings
    }


def read_processor_time(answer: object) -> float:
    """Read the answer to ``GET /containers/{id}/stats``: the seconds of processor time since the container's start."""
    return msgspec.convert(answer, _Stats).cpu_stats.cpu_usage.total_usage / 1e9


def read_image(answer: object) -> ImageInfo:
    """Read the answer to ``GET /images/{name}/json``."""
    raw = msgspec.convert(answer, _Image)
    config = raw.config or _ImageConfig()
    return ImageInfo(
        id=raw.id,
        tags=tuple(raw.repo_tags or ()),
        architecture=machine(raw.architecture),
        os=raw.os,
        size=raw.size,
        labels=config.labels or {},
        environment=tuple(config.env or ()),
        volumes=tuple(sorted({posixpath.normpath(f"/{path}").replace("//", "/") for path in config.volumes or ()})),
    )


_NO_TAG = "<none>:<none>"  # of an image that has lost its name to another one


def read_listed_images(answer: object) -> list[ImageSummary]:
    """Read the answer to ``GET /images/json``."""
    return [
        ImageSummary(
            id=raw.id,
            tags=tuple(tag for tag in raw.repo_tags or () if tag != _NO_TAG),
            labels=raw.labels or {},
            size=raw.size,
            created=raw.created,
        )
        for raw in msgspec.convert(answer, list[_ListedImage])
    ]


def read_stat(header: str) -> FileStat:
    """Read the header ``X-Docker-Container-Path-Stat`` of the answer to ``HEAD /containers/{id}/archive``."""
    return msgspec.json.decode(base64.b64decode(header), type=FileStat)


def read_volume(answer: object) -> VolumeSummary:
    """Read the answer to ``POST /volumes/create``."""
    raw = msgspec.convert(answer, _Volume)
    return VolumeSummary(name=raw.name, labels=raw.labels or {}, mountpoint=raw.mountpoint)


def read_volumes(answer: object) -> list[VolumeSummary]:
    """Read the answer to ``GET /volumes``."""
    return [read_volume(volume) for volume in msgspec.convert(answer, _Volumes).volumes or []]
