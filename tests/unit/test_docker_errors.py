"""What the Docker engine says, as an exception of ours."""

from __future__ import annotations

import pytest

from interpreter_tools._docker.errors import CONNECTION_FAILED, Refusal, hint_for, map_docker_errors
from interpreter_tools._exceptions import DockerApiError, DockerUnavailable, ImageMissing, NetworkMissing, ProtocolError


def test_refusal() -> None:
    """Operation, status and text stay apart."""
    with pytest.raises(DockerApiError) as caught, map_docker_errors("create container"):
        raise Refusal(500, "mkdir /var/lib/docker/x: no space left on device")
    error = caught.value
    assert (error.operation, error.status) == ("create container", 500)
    assert error.detail == "mkdir /var/lib/docker/x: no space left on device"
    assert "disk is full" in error.hint
    assert isinstance(error.__cause__, Refusal)


@pytest.mark.parametrize("words", ["No such image: a:1", "a:1: image not known", "failed to find image a:1"])
def test_missing_image(words: str) -> None:
    """In Docker's words and in Podman's."""
    with pytest.raises(ImageMissing, match="'a:1'"), map_docker_errors("create container", image="a:1"):
        raise Refusal(404, words)


def test_missing_something_else() -> None:
    """A 404 may be about anything."""
    with pytest.raises(DockerApiError), map_docker_errors("create container", image="a:1"):
        raise Refusal(404, "volume x not found")


@pytest.mark.parametrize(
    "words",
    [
        "network x not found",
        "could not find the network x: network x not found",
        "unable to find network with name or ID x: network not found",
    ],
)
def test_missing_network(words: str) -> None:
    """Said by Docker when a container is started or made, and by Podman."""
    with pytest.raises(NetworkMissing, match="docker network create") as caught, map_docker_errors("start container"):
        raise Refusal(404, words)
    assert caught.value.network == "x"


@pytest.mark.parametrize(
    "error",
    [
        Refusal(CONNECTION_FAILED, "Cannot connect"),
        ConnectionResetError("reset"),
        FileNotFoundError("no socket"),
    ],
)
def test_connection_is_no_answer(error: Exception) -> None:
    """However it breaks."""
    with pytest.raises(DockerUnavailable) as caught, map_docker_errors("list containers"):
        raise error
    assert caught.value.message.startswith("list containers: ")
    assert "interpreter-tools setup" in caught.value.hint


def test_deadline() -> None:
    """Status 0 stands for no answer."""
    with pytest.raises(DockerApiError, match="no answer within 3 s") as caught, map_docker_errors("attach", deadline=3):
        raise TimeoutError
    assert caught.value.status == 0


def test_other_errors_pass() -> None:
    """Ours are not translated twice."""
    with pytest.raises(ProtocolError, match=r"^x\b"), map_docker_errors("attach"):
        raise ProtocolError("x")


def test_unknown_text_has_no_hint() -> None:
    """Better none than a wrong one."""
    assert hint_for("something new") == ""
