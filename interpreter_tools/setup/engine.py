"""The search for the Docker engine, which is installed and started when there is none."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from interpreter_tools._docker import DockerClient
from interpreter_tools._exceptions import DockerUnavailable
from interpreter_tools.setup.daemon import (
    find_process,
    is_listening,
    remove_leftovers,
    settle,
    start_dockerd,
    stop_dockerd,
)
from interpreter_tools.setup.errors import ProgramFailed, SetupFailed
from interpreter_tools.setup.host import is_root, read_os_release
from interpreter_tools.setup.packages import install_packages
from interpreter_tools.setup.process import run_program
from interpreter_tools.setup.progress import Progress

if TYPE_CHECKING:
    from interpreter_tools.setup.daemon import Dockerd
    from interpreter_tools.setup.packages import Consent
    from interpreter_tools.setup.progress import Reporter

_STEP = "engine"
_START_SECONDS = 60.0
_INTERVAL = 0.2
_SOCKETS = ("unix:///var/run/docker.sock", "unix:///run/docker.sock")
_SYSTEMD = Path("/run/systemd/system")  # there exactly when systemd runs: sd_booted(3)


async def open_engine(docker_host: str | None, *, consent: Consent, report: Reporter) -> DockerClient:
    """Return a client of the engine that answers; it is installed and started first where need be.

    Args:
        docker_host: the engine's address; None means the first that answers.
        consent: is asked before anything is installed, started or ended.
        report: is told how it goes.

    Raises:
        DockerUnavailable: an engine elsewhere was asked for, and does not answer.
        SetupFailed: no engine could be brought to life; the message says what to do.
    """
    report(Progress(_STEP, "working", "looking for a Docker engine"))
    try:
        client = await DockerClient.connect(docker_host)
    except DockerUnavailable as error:
        if not _is_ours(docker_host):
            raise
        client = await _EngineStarter(docker_host, consent=consent, report=report).start(error)
    version = client.version
    name = version.name if version.name.lower() != "engine" else "Docker"
    text = f"{name} {version.version}, API {version.api_version}, at {client.endpoint.url}"
    report(Progress(_STEP, "done", text, 1.0))
    return client


def _is_ours(docker_host: str | None) -> bool:
    """Return True when the engine that was asked for, if any, is that of this machine's ``dockerd``."""
    asked = docker_host or os.environ.get("DOCKER_HOST", "")
    context = os.environ.get("DOCKER_CONTEXT", "default")
    return asked in _SOCKETS if asked else context in {"", "default"}


class _EngineStarter:
    """Brings this machine's engine to life."""

    def __init__(self, docker_host: str | None, *, consent: Consent, report: Reporter) -> None:
        self._docker_host = docker_host
        self._consent = consent
        self._report = report

    async def start(self, unavailable: DockerUnavailable) -> DockerClient:
        """Wait for an engine that is starting; start one that is stopped; install one where there is none."""
        if "ermission denied" in unavailable.message and not is_root():
            raise unavailable
        running = find_process("dockerd")
        client = None if running is None else await self._wait_for(running)
        if client is not None:
            return client
        if sys.platform != "linux":
            raise SetupFailed(unavailable.message, hint="install Docker Desktop, or another engine, and start it")
        if not is_root():
            raise SetupFailed(unavailable.message, hint="run `sudo interpreter-tools setup`")
        installed = shutil.which("dockerd") is None
        if installed:
            await self._install()
        if await anyio.Path(_SYSTEMD).is_dir():
            return await self._start_service(agreed=installed)
        running = find_process("dockerd")
        if running is None:
            return await self._start_daemon(agreed=installed)
        client = await self._wait_for(running) if installed else None  # a package's script may have started it
        return client or await self._replace_daemon(running)

    async def _install(self) -> None:
        system = read_os_release()
        if not system.has_apt:
            raise SetupFailed(
                f"no Docker engine answers, and interpreter-tools does not know how to install one on {system.pretty}",
                hint="install Docker, or Podman with its API socket, by this system's means; then run this again",
            )
        await install_packages(
            ["docker.io"],
            question="No Docker engine answers. Install and start one",
            step=_STEP,
            consent=self._consent,
            report=self._report,
        )

    async def _agree(self, question: str) -> None:
        if not await self._consent(question):
            raise SetupFailed("no Docker engine answers", hint="start it, or run `interpreter-tools setup --yes`")

    async def _start_service(self, *, agreed: bool) -> DockerClient:
        verb = "restart" if is_listening() and not agreed else "start"
        if not agreed:
            await self._agree(f"{verb.capitalize()} the Docker engine (`systemctl {verb} docker`)?")
        self._report(Progress(_STEP, "working", f"systemctl {verb} docker"))
        hint = "`journalctl -u docker` tells why"
        try:
            await run_program(["systemctl", verb, "docker"])
        except ProgramFailed as error:
            raise SetupFailed(error.message, hint=hint) from error
        client = await self._wait_for(None)
        if client is None:
            raise SetupFailed(f"the docker service does not answer within {_START_SECONDS:g} s", hint=hint)
        return client

    async def _replace_daemon(self, running: int) -> DockerClient:
        if not is_listening():
            raise SetupFailed(
                f"dockerd (process {running}) runs, but does not listen at its usual address",
                hint=f"set DOCKER_HOST to its address, or end it (`kill {running}`) and run this again",
            )
        await self._agree(f"dockerd (process {running}) hangs. End it and start another?")
        await stop_dockerd(running)
        return await self._start_daemon(agreed=True)

    async def _start_daemon(self, *, agreed: bool) -> DockerClient:
        if not agreed:
            await self._agree("Start the Docker engine (`dockerd`)?")
        await settle()
        for path in remove_leftovers():
            self._report(Progress(_STEP, "working", f"removed {path}, which a dead engine left"))
        daemon = start_dockerd()
        client = await self._wait_for(daemon)
        if client is None and not daemon.runs():
            other = find_process("dockerd")  # somebody else's was quicker
            client = None if other is None else await self._wait_for(other)
        if client is None:
            raise await daemon.failure("does not answer" if daemon.runs() else "ended")
        return client

    async def _wait_for(self, daemon: Dockerd | int | None) -> DockerClient | None:
        """Return the client of an engine that is starting; None when it died, or does not answer in time."""
        self._report(Progress(_STEP, "working", "waiting for the Docker engine to answer"))
        with anyio.move_on_after(_START_SECONDS):
            while True:
                try:
                    return await DockerClient.connect(self._docker_host)
                except DockerUnavailable:
                    alive = (
                        find_process("dockerd") == daemon if isinstance(daemon, int) else not daemon or daemon.runs()
                    )
                    if not alive:
                        return None
                await anyio.sleep(_INTERVAL)
        return None
