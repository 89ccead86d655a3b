"""Packages of the image's distribution: an image of its own for each set, as they cannot live in a directory."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from interpreter_tools._dependencies.authorities import FILE, JOIN, of_image
from interpreter_tools._docker.build import STDERR, build_image
from interpreter_tools._exceptions import DockerApiError
from interpreter_tools._execution.installing import Installed

if TYPE_CHECKING:
    from interpreter_tools._dependencies.indexes import IndexSettings
    from interpreter_tools._dependencies.requirement import Requirement
    from interpreter_tools._dependencies.sink import Sink
    from interpreter_tools._docker import DockerClient

LABEL = "interpreter-tools.dependencies"
"""On derived images: the packages, as JSON."""

STORE_LABEL = "interpreter-tools.dependency-store"
"""On derived images: the volume of the engine that made them, with whose entries they are listed and pruned."""

# The packages are arguments of the script, never a part of it.
_SCRIPT = f"""set -e
authorities=/{FILE}
options=
if [ -e $authorities ]; then
    sh -c '{JOIN}' sh $authorities "$SSL_CERT_FILE" {" ".join(of_image({}))}
    export SSL_CERT_FILE=$authorities SSL_CA_CERT_FILE=$authorities
    options="-o Acquire::https::CaInfo=$authorities"
fi
if command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get $options -q update
    apt-get $options -qy install --no-install-recommends --no-remove -- "$@"
    rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin
elif command -v apk >/dev/null; then
    apk add --no-cache -- "$@"
else
    echo "this image has neither apt-get nor apk" >&2
    exit 127
fi
rm -f $authorities"""
_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
_BUILDER = re.compile(r"Step \d+/\d+ : |---> |Removing intermediate container |Successfully (built|tagged) ")
_CODES = (
    re.compile(r"returned a non-zero code: (\d+)\s*$"),  # Docker
    re.compile(r"exit status (\d+)\s*$"),  # Podman
)


def write_dockerfile(requirement: Requirement, *, with_authorities: bool = False) -> str:
    """Return the Dockerfile of a derived image.

    Args:
        requirement: the packages in it.
        with_authorities: certificate authorities are brought for the time of the installation.
    """
    import json  # noqa: PLC0415 - few processes build an image

    command = json.dumps(["/bin/sh", "-c", _SCRIPT, "sh", *requirement.packages])
    label = json.dumps(requirement.manifest().decode())
    lines = (
        f"FROM {requirement.shape.image_id}",
        "USER 0:0",
        *([f"COPY {FILE} /{FILE}"] if with_authorities else []),
        f"RUN {command}",
        f"LABEL {LABEL}={label} {STORE_LABEL}={requirement.store}",
    )
    return "\n".join(lines) + "\n"


async def build_derived(
    client: DockerClient, requirement: Requirement, settings: IndexSettings, sink: Sink, *, timeout: float, network: str
) -> Installed:
    """Build the image with the packages.

    Raises:
        DockerApiError: the engine cannot build at all, or not in time.
        DockerUnavailable: the connection broke.
        ConfigurationError: the certificate authorities that are configured cannot be read.
    """
    certificates = await settings.authorities.read(sink)

    def on_line(line: str) -> None:
        text = _ESCAPE.sub("", line)
        if _BUILDER.match(text):
            return
        sink("dependency_stderr" if line.startswith(STDERR) else "dependency_stdout", f"{text}\n".encode())

    try:
        await build_image(
            client,
            write_dockerfile(requirement, with_authorities=bool(certificates)),
            tag=requirement.image,
            files={FILE: certificates} if certificates else {},
            arguments=settings.proxies,
            on_line=on_line,
            deadline=timeout,
            network=network,
        )
    except DockerApiError as error:
        match = next(filter(None, (code.search(error.detail) for code in _CODES)), None)
        if match is None:
            raise
        sink("dependency_stderr", f"interpreter-tools: the installation ended with exit code {match[1]}\n".encode())
        return Installed(exit_code=int(match[1]) or 1)
    return Installed()
