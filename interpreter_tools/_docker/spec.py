"""The limits and walls of a sandbox, as the body of ``POST /containers/create``. Pure."""

from __future__ import annotations

from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from interpreter_tools._config.mounts import bind_spec
from interpreter_tools._config.paths import WORKSPACE
from interpreter_tools._docker.users import account_files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from interpreter_tools._config.model import ContainerConfig

SUPERVISOR_DIRECTORY = "/.interpreter-tools"
"""The directory at which the volume with the supervisor is mounted, read-only."""

SUPERVISOR_PATH = f"{SUPERVISOR_DIRECTORY}/supervisor"

HOSTS = "hosts"
"""The file below ``SUPERVISOR_DIRECTORY`` that is ``/etc/hosts`` of sandboxes without a network."""

PYTHON_MODULES = "python-modules"
"""The file below ``SUPERVISOR_DIRECTORY`` with the modules that programs of Python import from us; boot.py reads it."""

STORE_DIRECTORY = "/.interpreter-tools-store"
"""The directory at which the volume with the dependencies is mounted; only an installer may write there."""

WRITABLE = (WORKSPACE, "/tmp", "/dev/shm")  # noqa: S108 - paths in the container
"""The writable directories of each sandbox, the workspace first; the supervisor wipes them."""

_KIB = 1 << 10
_MIB = 1 << 20
_BYTES_PER_INODE = 4 * _KIB  # a page: no file that holds anything takes less
_INODES = (1024, 200_000)

# setresuid and friends, killing what another uid started, writing and removing files in directories of another uid
_CAPABILITIES = ("DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETUID")

# An installer gives what a user installed to root
_INSTALLER_CAPABILITIES = ("CHOWN", *_CAPABILITIES)

# System V and POSIX IPC objects outlive their process and have no owner to wipe them by, so none can be made. The
# seccomp profile refuses them too: not every runtime has both walls.
_SYSCTLS = {
    "kernel.shmmni": "0",
    "kernel.msgmni": "0",
    "kernel.sem": "32000 0 32 0",
    "fs.mqueue.queues_max": "0",
    # A connection that has ended keeps its ports in TIME_WAIT for a minute, in sight of the next user of the container
    "net.ipv4.tcp_max_tw_buckets": "0",
}
# Version 1 of control groups does not charge what a TCP connection holds unread, which may be 36 MB. Without a network
# there is no way that is long enough to need it
_SHORT_WAY = {"net.ipv4.tcp_rmem": "4096 131072 262144", "net.ipv4.tcp_wmem": "4096 16384 262144"}
_OWN_KERNELS = ("runsc", "gvisor", "kata")  # runtimes with a kernel of their own, which lacks these

# The host has one limit for the pseudo terminals of all, which one container could use up. A mount of devpts has a
# limit of its own, and the engine's own mount has none. Without a name the volume is this container's, and goes with it
_TERMINALS: Mapping[str, object] = {
    "Type": "volume",
    "Target": "/dev/pts",
    "VolumeOptions": {
        "NoCopy": True,
        "DriverConfig": {
            "Name": "local",
            "Options": {"type": "devpts", "device": "devpts", "o": "max=64,ptmxmode=0666,mode=0620,gid=5"},
        },
    },
}

# A limit of 1 byte keeps core files from eating the workspace, and of all values it alone also keeps the kernel from
# starting a program of the host's where core_pattern names one (do_coredump in fs/coredump.c). Open files count towards
# fs.file-max of the whole host, so each process has as many as select() takes, and no more for the asking
_ULIMITS = (("core", 1, 1), ("msgqueue", 0, 0), ("nofile", 1024, 1024))

_PODMAN_ULIMIT: dict[str, object] = {"Name": "nproc", "Soft": 4096, "Hard": 4096}

PODMAN_ULIMITS: list[dict[str, object]] = [_PODMAN_ULIMIT, {"Name": "nofile", "Soft": 1024, "Hard": 1024}]
"""Podman's own defaults may lie above what its service may grant; a container without limits then does not start."""

_BOX_CALLS = ("mount", "setns", "unshare")


class _Rule(msgspec.Struct, omit_defaults=True):
    """One rule of a seccomp profile."""

    names: tuple[str, ...]
    action: str
    comment: str = ""
    args: list[dict[str, object]] = []
    errnoRet: int | None = None  # noqa: N815 - Docker's name
    includes: dict[str, object] = {}


class _Profile(msgspec.Struct):
    """A seccomp profile, as Docker takes it."""

    defaultAction: str  # noqa: N815 - Docker's name
    defaultErrnoRet: int  # noqa: N815 - Docker's name
    archMap: list[dict[str, object]]  # noqa: N815 - Docker's name
    syscalls: list[_Rule]


def _profile(*, boxes: bool) -> str:
    """Return a profile as JSON; with ``boxes`` that of containers whose supervisor makes sandboxes."""
    text = Path(__file__).with_name("seccomp.json").read_bytes()
    profile = msgspec.json.decode(text, type=_Profile)
    if boxes:
        for rule in profile.syscalls:
            if rule.names == ("clone",):
                rule.args = []
        comment = "for the supervisor, which makes sandboxes; a second filter takes them from every program"
        profile.syscalls.append(_Rule(names=_BOX_CALLS, action="SCMP_ACT_ALLOW", comment=comment))
    return msgspec.json.encode(profile).decode()


SECCOMP = _profile(boxes=False)
"""The system calls that a sandbox may make; JSON, as Docker takes it.

64-bit calls only: with ``SCMP_ARCH_X86`` the rule for ``socket`` also lets ``socketcall`` pass, whose arguments no
filter sees, so that ``int 0x80`` opened an AF_VSOCK socket (measured with libseccomp 2.5.4). A 32-bit call ends its
program with SIGSYS.
"""

BOX_SECCOMP = _profile(boxes=True)
"""``SECCOMP`` and the calls that make and enter namespaces, which supervisor/filter.c takes from programs."""


class BoxWay(Enum):
    """The ways in which a container can have sandboxes of its own, the better one first.

    Attributes:
        UNMASKED: no part of /proc is masked for the supervisor, which therefore may mount a new one.
        ADMIN: the engine's masks stay; the supervisor is given CAP_SYS_ADMIN until it has mounted a /proc of its own.
    """

    UNMASKED = auto()
    ADMIN = auto()


class OwnFiles(msgspec.Struct, frozen=True, kw_only=True):
    """The way in which files of the supervisor's volume are mounted one by one.

    Attributes:
        volume: the volume, a part of which is mounted; empty where files are mounted by their path.
        directory: the directory of the volume on the engine's host.
    """

    volume: str = ""
    directory: str = ""

    def mount(self, name: str, target: str) -> dict[str, object]:
        """Return the read-only mount of one file.

        Args:
            name: its path in the volume.
            target: its path in the container.
        """
        mount: dict[str, object] = {"Target": target, "ReadOnly": True}
        if self.volume:
            return {**mount, "Type": "volume", "Source": self.volume, "VolumeOptions": {"Subpath": name}}
        return {**mount, "Type": "bind", "Source": f"{self.directory}/{name}"}


class HostTraits(msgspec.Struct, frozen=True, kw_only=True):
    """The traits of an engine and its host that a specification depends on, beside the configuration.

    Attributes:
        cgroup_version: ``"1"`` or ``"2"``.
        default_runtime: the runtime that the engine uses where none is named.
        own_files: the way to mount ``/etc/hosts``, ``/etc/passwd`` and ``/etc/group``, see ``SupervisorVolume``; None
            means that the engine must make the first, and that the image has the others.
        seccomp: the seccomp profile, or its path on the engine's host where the engine takes only that (Podman).
        store: the volume that holds the dependencies.
        podman: True for Podman, which cannot limit the inodes of a tmpfs: memory bounds the number of files.
        recursive: a read-only mount of a directory makes all that is mounted below it read-only.
        cpus: cores of the host.
        memory: bytes of the host; 0 means that the host does not tell.
    """

    cgroup_version: str = "2"
    default_runtime: str = "runc"
    own_files: OwnFiles | None = None
    seccomp: str = SECCOMP
    store: str = "interpreter-tools-store"
    podman: bool = False
    recursive: bool = False
    cpus: int = 1
    memory: int = 0


def container_spec(
    image: str,
    config: ContainerConfig,
    *,
    volume: str,
    labels: Mapping[str, str],
    uid: int = 0,
    traits: HostTraits | None = None,
    installs: bool = False,
    box: BoxWay | None = None,
    new_networks: bool = False,
    workspace_volume: str | None = None,
    image_volumes: Sequence[str] = (),
) -> dict[str, object]:
    """Return the body of ``POST /containers/create`` for a sandbox.

    Args:
        image: name or id of its image.
        config: its limits, and its mounts, with real paths.
        volume: the volume that holds the supervisor.
        labels: the labels of its owner.
        uid: the user that programs run as first; 0 means one without a name.
        traits: the traits of the engine's host.
        installs: True for an installer, which can write the dependency store.
        box: the way in which it has sandboxes of its own; None means that it is one.
        new_networks: True when each of its sandboxes has a new network namespace. Those of a container with a network
            share the container's.
        workspace_volume: a volume, see ``workspace_options``, that is the workspace; None means a tmpfs of its own.
        image_volumes: directories for which the engine would make volumes, because the image asks for them.
    """
    traits = traits or HostTraits()
    writable = [*WRITABLE, *(mount.path for mount in config.mounts if mount.is_tmpfs)]
    networks = ["network=container"] if config.network != "none" else ["network=new"] if new_networks else []
    boxes = [] if box is None else ["box=shared" if workspace_volume else "box", *networks]
    return {
        "Image": image,
        "Hostname": "localhost" if config.network == "none" else "sandbox",  # a name that resolves, unlike the id
        "User": "0:0",
        "Entrypoint": [SUPERVISOR_PATH],
        "Cmd": [*boxes, f"store={STORE_DIRECTORY}", *writable],
        "WorkingDir": "/",
        "Env": [],
        "Labels": dict(labels),
        "Tty": False,
        "OpenStdin": True,
        "StdinOnce": True,  # a client that dies closes the supervisor's stdin, at which the supervisor leaves
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": False,
        "Healthcheck": {"Test": ["NONE"]},  # the image's own would run programs beside ours
        "StopSignal": "SIGKILL",
        "NetworkDisabled": _brings_hosts(config, traits),
        "ExposedPorts": {f"{port}/tcp": {} for port in config.ports},
        "HostConfig": host_config(
            config,
            volume=volume,
            uid=uid,
            traits=traits,
            workspace_volume=workspace_volume,
            image_volumes=image_volumes,
            installs=installs,
            box=box,
            labels=labels,
        ),
    }


def host_config(
    config: ContainerConfig,
    *,
    volume: str,
    traits: HostTraits,
    uid: int = 0,
    workspace_volume: str | None = None,
    installs: bool = False,
    box: BoxWay | None = None,
    image_volumes: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
) -> dict[str, object]:
    """Return ``HostConfig``, the part of a specification with the limits.

    Args:
        config: the limits, and the mounts.
        volume: the volume that holds the supervisor.
        traits: the traits of the engine's host.
        uid: the user that programs run as first; 0 means one without a name.
        installs: True when the dependency store can be written.
        box: the way in which the container has sandboxes of its own.
        workspace_volume: the volume that is the workspace; None means a tmpfs of its own.
        image_volumes: directories for which the engine would make volumes.
        labels: the labels of a volume that the engine makes for the workspace, if there is none yet.
    """
    ulimits: list[dict[str, object]] = [{"Name": name, "Soft": soft, "Hard": hard} for name, soft, hard in _ULIMITS]
    own_kernel = (config.runtime or traits.default_runtime).startswith(_OWN_KERNELS)
    mounts = _mounts(
        config, traits, volume=volume, workspace=workspace_volume, labels=labels or {}, installs=installs, uid=uid
    )
    if not own_kernel and not traits.podman:
        mounts.append(_TERMINALS)
    result: dict[str, object] = {
        "AutoRemove": True,
        "CapDrop": ["ALL"],
        "CapAdd": _capabilities(installs, box),
        "IpcMode": "private",
        "LogConfig": {"Type": "none", "Config": {}},  # a log file would fill the host's disk, and slow output
        "Memory": config.memory_bytes,
        "MemorySwap": config.memory_bytes,  # memory and swap together: no swap
        "Mounts": mounts,
        "NetworkMode": config.network,
        "PidsLimit": config.pids_limit,
        "ReadonlyRootfs": True,
        "SecurityOpt": ["no-new-privileges", f"seccomp={traits.seccomp if box is None else BOX_SECCOMP}"],
        "Tmpfs": _tmpfs(
            config, podman=traits.podman, own_workspace=workspace_volume is None, image_volumes=image_volumes
        ),
        "Ulimits": ulimits,
        **({"MaskedPaths": [], "ReadonlyPaths": []} if box is BoxWay.UNMASKED else {}),
    }
    if config.ports:  # "0": a port that is free
        result["PortBindings"] = {f"{port}/tcp": [{"HostIp": "127.0.0.1", "HostPort": "0"}] for port in config.ports}
    if traits.podman:
        ulimits.append(_PODMAN_ULIMIT)
    if config.cpus is not None:
        result["NanoCpus"] = round(config.cpus * 1_000_000_000)
    if config.runtime is not None:
        result["Runtime"] = config.runtime
    if not own_kernel:
        uncharged = traits.cgroup_version == "1" and config.network == "none"
        result["Sysctls"] = _SYSCTLS | (_SHORT_WAY if uncharged else {})
    if traits.cgroup_version == "2":  # version 1 has no namespace to make private where the host's tree is a hybrid
        result["CgroupnsMode"] = "private"
    return result


def _mounts(
    config: ContainerConfig,
    traits: HostTraits,
    *,
    volume: str,
    workspace: str | None,
    labels: Mapping[str, str],
    installs: bool,
    uid: int,
) -> list[Mapping[str, object]]:
    mounts: list[Mapping[str, object]] = [
        _volume(volume, SUPERVISOR_DIRECTORY, read_only=True),
        _volume(traits.store, STORE_DIRECTORY, read_only=not installs),
    ]
    if workspace is not None:
        mounts.append(_workspace(workspace, config, labels, podman=traits.podman))
    if traits.own_files is not None:
        if _brings_hosts(config, traits):
            mounts.append(traits.own_files.mount(HOSTS, "/etc/hosts"))
        theirs = {
            mount.path for mount in config.mounts
        }  # the engine would make a mount point in a directory of the user's
        accounts = account_files(uid) if "/etc" not in theirs else {}
        mounts += [traits.own_files.mount(name, place) for name, place in accounts.items() if place not in theirs]
    mounts += [bind_spec(mount, recursive=traits.recursive) for mount in config.mounts if mount.is_bind]
    return mounts


def _capabilities(installs: bool, box: BoxWay | None) -> list[str]:
    """Return the capabilities that the supervisor begins with."""
    if installs:
        return list(_INSTALLER_CAPABILITIES)
    return [*_CAPABILITIES, *(("SYS_ADMIN",) if box is BoxWay.ADMIN else ())]


def _volume(name: str, target: str, *, read_only: bool) -> dict[str, object]:
    return {
        "Type": "volume",
        "Source": name,
        "Target": target,
        "ReadOnly": read_only,
        "VolumeOptions": {"NoCopy": True},  # an image with a directory of that name must not fill the volume
    }


def _workspace(name: str, config: ContainerConfig, labels: Mapping[str, str], *, podman: bool) -> dict[str, object]:
    """Return the mount of a volume that is the workspace.

    The engine makes a volume that does not exist. So the mount has the options of ``workspace_options``: a volume that
    is made after the end of the session is still limited, and has an owner who removes it.
    """
    mount = _volume(name, WORKSPACE, read_only=False)
    driver = {"Name": "local", "Options": workspace_options(config, podman=podman)}
    return {**mount, "VolumeOptions": {"NoCopy": True, "Labels": dict(labels), "DriverConfig": driver}}


def _brings_hosts(config: ContainerConfig, traits: HostTraits) -> bool:
    """Return True when the engine need not set up a network, because the sandbox has none.

    The engine's set-up would only add an /etc/hosts that names localhost, and the host's resolv.conf, for 130 of 214 ms
    from start to running. The kernel provides the loopback interface in any case.
    """
    return config.network == "none" and traits.own_files is not None


def workspace_options(config: ContainerConfig, *, podman: bool) -> dict[str, str]:
    """Return the options of a volume that containers share as their workspace: a tmpfs while one of them runs."""
    size = config.workspace_bytes
    options = f"size={size},mode=1777,nosuid,nodev"
    return {"type": "tmpfs", "device": "tmpfs", "o": options if podman else f"{options},nr_inodes={_inodes(size)}"}


def _inodes(size: int) -> int:
    least, most = _INODES
    return max(least, min(most, size // _BYTES_PER_INODE))


def _tmpfs(
    config: ContainerConfig, *, podman: bool, own_workspace: bool, image_volumes: Sequence[str]
) -> dict[str, str]:
    """Return the writable mounts and their options. All of them lie in memory, and leave some of it to programs."""
    shm = (config.memory_bytes - config.workspace_bytes - config.tmp_bytes - config.tmpfs_bytes) // 2
    sizes = dict(zip(WRITABLE, (config.workspace_bytes, config.tmp_bytes, shm), strict=True))
    sizes |= {mount.path: mount.tmpfs_bytes for mount in config.mounts if mount.is_tmpfs}
    # An image's volumes would be directories on the host, without a limit, which programs may write and nobody wipes;
    # and Podman puts tmpfs of its own over two places when the root is read-only
    covered = [*image_volumes, *(("/run", "/var/tmp") if podman else ())]  # noqa: S108
    bound = {SUPERVISOR_DIRECTORY, *(mount.path for mount in config.mounts if mount.is_bind)}
    if not own_workspace:
        del sizes[WORKSPACE]
        bound.add(WORKSPACE)
    result: dict[str, str] = dict.fromkeys((path for path in covered if path not in bound), "ro,size=4096")
    for path, size in sizes.items():
        runs = "noexec" if path == "/dev/shm" else "exec"  # noqa: S108
        result[path] = f"rw,nosuid,nodev,{runs},mode=1777,size={size}"
        if not podman:
            result[path] += f",nr_inodes={_inodes(size)}"
    return result
