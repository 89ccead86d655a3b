"""The checks of a machine, from the engine up to a timed run."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import TYPE_CHECKING

import msgspec

from interpreter_tools._config.certificates import read_certificates
from interpreter_tools._config.model import EngineConfig, PoolConfig
from interpreter_tools._dependencies.indexes import IndexSettings
from interpreter_tools._docker import DockerClient, ensure_supervisor_volume
from interpreter_tools._engine import ExecutionEngine
from interpreter_tools._exceptions import DockerUnavailable, InterpreterToolsError, SandboxUnavailable
from interpreter_tools.setup.images import choose_targets, image_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from interpreter_tools._docker import EngineInfo
    from interpreter_tools.setup.recipes import Recipe

_OLDEST_API = (1, 41)  # Docker 20.10
_MACHINES = ("aarch64", "x86_64")
_SLOW_DRIVERS = ("vfs", "devicemapper")
_LITTLE_MEMORY = 1 << 30
_TIMED_RUNS = 5
_COUNTING_KERNEL = (5, 5)  # the first that asks the supervisor before a call, and goes on with it
_TERMINALS_OF_A_CONTAINER = 64  # as in the specification of a container
_ENOUGH_CONTAINERS = 16
_SPARE_TERMINALS = 1024  # which the kernel keeps for the host itself: pty_reserve in drivers/tty/pty.c
_FILES_OF_A_PROCESS = 1024
_INSTALL_DEADLINE = 30.0
_PACKAGE = "six"  # small, without requirements of its own, and on every mirror
_SETUP = "run `interpreter-tools setup`"


class Check(msgspec.Struct, frozen=True):
    """The result of one check.

    Attributes:
        name: the thing that was checked.
        ok: True when it is as it should be.
        detail: the state that was found.
        remedy: the way to mend it; empty when it is ok.
        needed: True when code cannot run, or not safely, without it.
    """

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    needed: bool = True


async def diagnose(docker_host: str | None = None) -> AsyncGenerator[Check]:
    """Check the machine, one thing after the other; a missing engine ends it.

    Args:
        docker_host: address of the engine; None means the first that answers.

    Yields:
        Each check as it is done.
    """
    try:
        client = await DockerClient.connect(docker_host)
    except DockerUnavailable as error:
        yield Check("engine", ok=False, detail=error.message, remedy=error.hint or _SETUP)
        return
    async with client:
        for check in await _check_engine(client):
            yield check
        unusable: list[str] = []
        for target in choose_targets(()):
            check = await _check_image(client, target)
            if not check.ok:
                unusable.append(image_of(target))
            yield check
        yield await _check_supervisor(client)
    if image_of(*choose_targets(["python"])) not in unusable:
        yield await _check_run(docker_host)
        yield await _check_sandboxes(docker_host)
        for check in await _check_from_inside(docker_host):
            yield check


async def _check_engine(client: DockerClient) -> list[Check]:
    version = client.version
    checks = [Check("engine", ok=True, detail=f"{version.name} {version.version} at {client.endpoint.url}".strip())]
    try:
        info = await client.info()
    except InterpreterToolsError as error:
        return [*checks, Check("engine info", ok=False, detail=error.message, remedy=error.hint)]
    checks += check_version(version.api_version, version.arch, version.kernel) + check_info(info)
    return [*checks, check_kernel_memory(info.cgroup_version, counts=version.kernel_is(*_COUNTING_KERNEL))]


def check_version(api_version: str, machine: str, kernel: str) -> list[Check]:
    """Check that the engine is new enough, and that there is a supervisor for its processor."""
    numbers = tuple(int(part) for part in api_version.split(".") if part.isdigit())
    return [
        Check(
            "API",
            ok=numbers >= _OLDEST_API,
            detail=api_version,
            remedy="" if numbers >= _OLDEST_API else "upgrade the engine: Docker 20.10 is the oldest that works",
        ),
        Check(
            "machine",
            ok=machine in _MACHINES,
            detail=f"{machine}, kernel {kernel}",
            remedy="" if machine in _MACHINES else f"use an engine on one of {', '.join(_MACHINES)}",
        ),
    ]


def check_info(info: EngineInfo) -> list[Check]:
    """Check the engine's host: limits, storage, runtimes, seccomp, memory."""
    limits = {"memory": info.memory_limit, "cpu": info.cpu_limit, "pids": info.pids_limit}
    lacking = [name for name, there in limits.items() if not there]
    cgroup_hint = "use cgroup v2, or mount the missing controllers (package cgroupfs-mount)"
    if info.rootless:
        cgroup_hint = "delegate the controllers to your user (systemd Delegate=), or use an engine that runs as root"
    slow = info.storage_driver in _SLOW_DRIVERS
    return [
        Check(
            "cgroups",
            ok=not lacking,
            detail=f"version {info.cgroup_version}" + (f", cannot limit {', '.join(lacking)}" if lacking else ""),
            remedy=cgroup_hint if lacking else "",
        ),
        Check(
            "swap limit",
            ok=info.swap_limit,
            detail="memory limits include swap" if info.swap_limit else "memory limits do not include swap",
            remedy="" if info.swap_limit else "turn swap off, or boot with `swapaccount=1`",
            needed=False,
        ),
        Check(
            "seccomp",
            ok=info.seccomp,
            detail="available" if info.seccomp else "not available",
            remedy="" if info.seccomp else "use a kernel and an engine with seccomp: there is no sandbox without it",
        ),
        Check(
            "storage",
            ok=not slow,
            detail=info.storage_driver,
            remedy="use overlay2: with this driver every container copies its image" if slow else "",
            needed=False,
        ),
        Check("runtimes", ok=True, detail=_list_runtimes(info), needed=False),
        Check(
            "memory",
            ok=info.memory >= _LITTLE_MEMORY,
            detail=f"{info.memory >> 20} MB, {info.cpus} cores",
            remedy="" if info.memory >= _LITTLE_MEMORY else "lower ContainerConfig.memory_limit",
            needed=False,
        ),
    ]


def check_kernel_memory(cgroup_version: str, *, counts: bool) -> Check:
    """Check that a container cannot take the kernel's own memory beyond its limit, see SECURITY.md.

    Args:
        cgroup_version: ``"1"`` or ``"2"``.
        counts: the kernel is new enough for the supervisor to count what it charges to nobody.
    """
    found: list[str] = []
    remedies: list[str] = []
    if not counts:
        found.append("record locks and netlink sockets are not counted")
        remedies.append("use Linux 5.5 or newer")
    if cgroup_version == "1":
        found.append("buffers of TCP and UDP are " + ("counted by sockets" if counts else "not limited"))
        remedies.append("use cgroup v2, which charges them as memory")
    return Check(
        "kernel memory",
        ok=not found,
        detail="; ".join(found) or "charged or counted",
        remedy=" and ".join(remedies),
        needed=False,
    )


def check_tables(files: int, terminals: int, pids: int) -> list[Check]:
    """Check that one container cannot use up a table that the whole host shares.

    Args:
        files: what the host may have open, ``fs.file-max``.
        terminals: pseudo terminals of the host, ``kernel.pty.max``.
        pids: processes of a container.
    """
    most = pids * _FILES_OF_A_PROCESS
    left = terminals - _SPARE_TERMINALS
    is_enough = left >= _ENOUGH_CONTAINERS * _TERMINALS_OF_A_CONTAINER
    return [
        Check(
            "open files",
            ok=files > 2 * most,
            detail=f"a container may open {most}, the host {files}",
            remedy=""
            if files > 2 * most
            else "raise fs.file-max on the engine's host, or lower ContainerConfig.pids_limit",
            needed=False,
        ),
        Check(
            "terminals",
            ok=is_enough,
            detail=f"a container may have {_TERMINALS_OF_A_CONTAINER}, all containers together {left}",
            remedy="" if is_enough else "raise kernel.pty.max on the engine's host",
            needed=False,
        ),
    ]


def _list_runtimes(info: EngineInfo) -> str:
    return ", ".join(f"{name} (default)" if name == info.default_runtime else name for name in sorted(info.runtimes))


async def _check_image(client: DockerClient, target: Recipe | str) -> Check:
    image = image_of(target)
    what = target if isinstance(target, str) else target.name
    name = f"image {what}"
    try:
        found = await client.inspect_image(image)
    except InterpreterToolsError as error:
        return Check(name, ok=False, detail=error.message, remedy=error.hint)
    if found is None:
        return Check(
            name, ok=False, detail=f"there is no image {image}", remedy=f"run `interpreter-tools setup {what}`"
        )
    machine = client.version.arch
    if found.architecture != machine:
        detail = f"{image} is for {found.architecture}, the engine's machine is {machine}"
        return Check(name, ok=False, detail=detail, remedy=f"run `interpreter-tools setup --update {what}`")
    return Check(name, ok=True, detail=f"{image}, {found.size >> 20} MB")


async def _check_supervisor(client: DockerClient) -> Check:
    try:
        volume = await ensure_supervisor_volume(client)
    except InterpreterToolsError as error:
        return Check("supervisor", ok=False, detail=error.message, remedy=error.hint)
    return Check("supervisor", ok=True, detail=f"volume {volume.name}")


# What forbids a step of a sandbox, and the way out
_FORBIDDEN = {
    "none": "the runtime shows no sandbox of ours: use runc or crun",
    "user": "allow user namespaces on its host: sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone",
    "ids": "AppArmor may restrict user namespaces on its host: sysctl kernel.apparmor_restrict_unprivileged_userns=0",
    "namespaces": "allow namespaces on its host: sysctl user.max_pid_namespaces, max_net_namespaces and the like",
    "files": "AppArmor (docker-default) or SELinux forbids mounts in containers",
    "proc": "AppArmor (docker-default), SELinux or the runtime forbids a new /proc in containers",
    "masks": "AppArmor (docker-default) or SELinux forbids mounts in containers",
    "network": "SELinux or the runtime keeps the loopback interface of a new network down",
    "filter": "its kernel needs CONFIG_SECCOMP_FILTER",
}
_WITHOUT = "safe without: each run has a container of its own, which costs more processor time"


async def _check_sandboxes(docker_host: str | None) -> Check:
    """Make a sandbox inside of a container, and tell which step fails where none can be had."""
    pool = PoolConfig(min_size=0, max_size=1)
    config = EngineConfig(docker_host=docker_host, isolation="sandbox", prewarm=(), pool=pool)
    try:
        async with ExecutionEngine(config) as engine:
            result = await engine.run("python", "print('hi')", timeout=20.0)
    except SandboxUnavailable as error:
        why = _FORBIDDEN.get(error.step)
        return Check(
            "sandboxes",
            ok=False,
            detail=error.message,
            remedy=f"{_WITHOUT}. {why}" if why else _WITHOUT,
            needed=False,
        )
    except InterpreterToolsError as error:
        return Check("sandboxes", ok=False, detail=error.message, remedy=error.hint, needed=False)
    detail = "each run can have a sandbox of its own in a container that is used again"
    return Check("sandboxes", ok=result.ok, detail=detail if result.ok else result.stderr[-500:], needed=False)


async def _check_run(docker_host: str | None) -> Check:
    """Run code, as a program that uses the library would, and take the time."""
    config = EngineConfig(docker_host=docker_host, prewarm=(), pool=PoolConfig(min_size=1, max_size=2))
    times: list[float] = []
    try:
        async with ExecutionEngine(config) as engine:
            for _ in range(_TIMED_RUNS):
                await engine.warm("python")
                started = time.perf_counter()
                result = await engine.run("python", "print('hi')", timeout=20.0)
                times.append((time.perf_counter() - started) * 1000)
                if result.stdout != "hi\n":
                    detail = f"printed {result.stdout!r}, outcome {result.outcome}: {result.stderr.strip()[-500:]}"
                    return Check("run", ok=False, detail=detail, remedy="run `interpreter-tools setup --update python`")
    except InterpreterToolsError as error:
        return Check("run", ok=False, detail=error.message, remedy=error.hint)
    return Check("run", ok=True, detail=f"print('hi') in a fresh warm container: {statistics.median(times):.1f} ms")


_READ_TABLES = "print(open('/proc/sys/fs/file-max').read(), open('/proc/sys/kernel/pty/max').read())"

# As an installer does it, but for nothing that stays
_TRY_INDEX = f"""
import os, shutil, subprocess, sys
name = os.environ.pop("AUTHORITIES", "")
if name:
    usual = [path for path in os.environ.pop("OF_IMAGE").split(":") if os.path.isfile(path)]
    with open(name, "ab") as file:
        for path in usual[:1]: file.write(open(path, "rb").read())
    os.environ |= dict.fromkeys(("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE"), os.path.abspath(name))
uv = shutil.which("uv")
command = [uv, "pip"] if uv else [sys.executable, "-m", "pip", "--no-input"]
options = ["--python", sys.executable] if uv else ["--retries", "0", "--timeout", "10"]
command += ["install", "--quiet", "--no-deps", *options, "--target", "/tmp/target", "{_PACKAGE}"]
sys.exit(subprocess.run(command, env=os.environ | {{"UV_CACHE_DIR": "/tmp/cache"}}).returncode)
"""


async def _check_from_inside(docker_host: str | None) -> list[Check]:
    """Look at the engine's host, and at the way to the packages, from where programs and installers are."""
    config = EngineConfig(docker_host=docker_host, prewarm=(), pool=PoolConfig(min_size=0, max_size=1))
    checks: list[Check] = []
    async with ExecutionEngine(config) as engine:
        try:
            tables = await engine.run("python", _READ_TABLES, timeout=20.0)
            files, terminals = (int(number) for number in tables.stdout.split())
            checks += check_tables(files, terminals, config.container.pids_limit)
        except ValueError:  # a runtime with a kernel of its own has no such files, and no tables to share
            pass
        except InterpreterToolsError as error:
            checks.append(Check("host", ok=False, detail=error.message, remedy=error.hint, needed=False))
        checks.append(await _check_packages(engine, config))
    return checks


async def _check_packages(engine: ExecutionEngine, config: EngineConfig) -> Check:
    """Fetch a package in the network of installers, from the index that they use."""
    remedy = (
        f"let containers in the network {config.dependency_network!r} reach the index (routes, firewall, DNS), or"
        " set index_url, https_proxy and ca_bundle; programs without packages run all the same"
    )
    settings = IndexSettings.of(config)
    environment = dict(settings.environment)
    files: dict[str, bytes] = {}
    try:
        if settings.authorities.files:
            found = [await asyncio.to_thread(read_certificates, path) for path in settings.authorities.files.values()]
            files["authorities.pem"] = b"\n".join(certificate for some in found for certificate in some) + b"\n"
            environment |= {"AUTHORITIES": "authorities.pem", "OF_IMAGE": "/etc/ssl/certs/ca-certificates.crt"}
        result = await engine.run(
            "python",
            _TRY_INDEX,
            network=config.dependency_network,
            environment=environment,
            files=files,
            timeout=_INSTALL_DEADLINE,
        )
    except (InterpreterToolsError, ValueError) as error:
        return Check("packages", ok=False, detail=str(error), remedy=remedy, needed=False)
    if result.outcome == "ok":
        return Check("packages", ok=True, detail=f"{_PACKAGE} comes from the index in {result.execution_time:.1f} s")
    said = " ".join(result.stderr.split())[-300:] or result.outcome
    detail = f"no answer within {_INSTALL_DEADLINE:g} s" if result.outcome == "timeout" else said
    return Check("packages", ok=False, detail=f"no package can be installed: {detail}", remedy=remedy, needed=False)
