"""The translation of the Docker engine's errors into this library's exceptions, in this one place."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import TYPE_CHECKING

from interpreter_tools._exceptions import (
    DockerApiError,
    DockerUnavailable,
    ImageMissing,
    InterpreterToolsError,
    NetworkMissing,
)

if TYPE_CHECKING:
    from collections.abc import Generator

CONNECTION_FAILED = 900
"""The status, as of aiodocker, of an error that is no answer: the connection could not be made, or broke."""

GARBLED = 502
"""The status of an answer that cannot be decoded."""

_GARBLED_HINT = "a proxy on the way to the Docker engine changes its answers, or no Docker engine listens there"
_EXCERPT = 200  # characters of an answer

SETUP_HINT = (
    "run `interpreter-tools setup` on the machine that is to run the code, or `interpreter-tools doctor` to see more"
)

# Docker's words when a container is made and when it is started, and Podman's
_MISSING_NETWORK = re.compile(
    r"(?:could not find the network|unable to find network with name or ID) (\S+?):|network (\S+) not found"
)

_RUNTIME_HINT = "install this runtime on the Docker host, or leave ContainerConfig.runtime at None"

_HINTS = (
    ("no space left on device", "the Docker host's disk is full: `docker system df` shows what fills it"),
    ("runtime name", _RUNTIME_HINT),
    ("unknown runtime", _RUNTIME_HINT),
    ("seccomp is not enabled", "use a Docker host whose kernel has seccomp: there is no sandbox without it"),
    (
        "bind source path does not exist",
        "give a path of the machine on which the Docker engine runs: that is another machine than this one",
    ),
    (
        "unable to set memory limit",
        "the container uses more memory than this limit already: raise memory_limit, or remove files",
    ),
    (
        "device or resource busy",
        "the container uses more memory than this limit already: raise memory_limit, or remove files",
    ),
    ("minimum memory limit", "raise ContainerConfig.memory_limit"),
    ("nanocpus", "lower ContainerConfig.cpu_limit"),
    ("range of cpus", "lower ContainerConfig.cpu_limit"),
    (
        "runsc did not terminate",
        "gVisor cannot change the limits of a container that runs: give them to the session, or run with PER_EXECUTION",
    ),
    (
        "volume options size",
        "Podman cannot limit a volume that containers share: give the session one image, or isolate its runs",
    ),
    ("client version", "upgrade the Docker engine: version 20.10 or newer is needed"),
    ("cgroup", "`interpreter-tools doctor` shows what the Docker host can limit"),
)


class Refusal(Exception):
    """The Docker engine refused a request, or did not get it.

    Attributes:
        status: of HTTP, or ``CONNECTION_FAILED``.
        message: the engine's text.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message


@contextlib.contextmanager
def map_docker_errors(operation: str, *, image: str | None = None, deadline: float | None = None) -> Generator[None]:
    """Translate whatever the Docker engine, or the way to it, raises in the block.

    Args:
        operation: a name of the request, for the message: ``"create container"``.
        image: the image that a 404 may be about.
        deadline: seconds after which the block gave up, for the message.

    Raises:
        ImageMissing: the engine has no such image.
        NetworkMissing: the engine has no such network.
        DockerUnavailable: the engine cannot be reached, or the connection broke.
        DockerApiError: the engine refused, or did not answer in time (status 0), or its answer makes no sense (502).
    """
    try:
        yield
    except Refusal as error:
        if error.status == CONNECTION_FAILED:
            raise DockerUnavailable(f"{operation}: {error.message}", hint=SETUP_HINT) from error
        if error.status == 404 and image is not None and is_about_image(error.message):
            raise ImageMissing(image) from error
        if (network := _MISSING_NETWORK.search(error.message)) is not None:
            raise NetworkMissing(network[1] or network[2]) from error
        raise DockerApiError(operation, error.status, error.message, hint=hint_for(error.message)) from error
    except InterpreterToolsError:
        raise
    except TimeoutError as error:
        within = "" if deadline is None else f" within {deadline:g} s"
        hint = "the Docker engine hangs or is overloaded: look at its log"
        raise DockerApiError(operation, 0, f"no answer{within}", hint=hint) from error
    except (OSError, asyncio.IncompleteReadError) as error:
        reason = str(error) or type(error).__name__
        raise DockerUnavailable(
            f"{operation}: the connection to the Docker engine failed: {reason}", hint=SETUP_HINT
        ) from error
    except (
        ValueError,
        TypeError,
        KeyError,
        RecursionError,
    ) as error:  # of what reads an answer
        said = getattr(error, "doc", "") or getattr(error, "object", b"")
        text = f"an answer that makes no sense: {error!r}" + (f" in {said[:_EXCERPT]!r}" if said else "")
        raise DockerApiError(operation, GARBLED, text, hint=_GARBLED_HINT) from error


def is_about_image(message: str) -> bool:
    """Return True when the engine's text says that an image is missing, in Docker's wording or in Podman's."""
    text = message.lower()
    return "no such image" in text or "image not known" in text or "failed to find image" in text


def hint_for(message: str) -> str:
    """Return the hint for an engine's text; empty when there is none."""
    text = message.lower()
    return next((hint for words, hint in _HINTS if words in text), "")
