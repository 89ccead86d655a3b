"""The file of the current directory does not decide what a sandbox sees, or where it is."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from .command import call

_TOML = """
docker_host = "unix://{socket}"
[container]
network = "bridge"
ports = [8000]
mounts = [{{source = "/etc", target = "/data"}}]
"""


@pytest.mark.parametrize(
    "arguments",
    [("run", "-c", "print(1)"), ("shell",), ("mcp",), ("ps",), ("clean", "--dry-run"), ("deps", "list")],
    ids=lambda arguments: arguments[0],
)
def test_commands_do_not_follow_the_current_directory(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every command says what it ignored, and how to allow it; the engine that the file names hears nothing."""
    trap = str(tmp_path / "trap.sock")
    Path(tmp_path, "interpreter-tools.toml").write_text(_TOML.format(socket=trap))
    monkeypatch.chdir(tmp_path)
    heard: list[bool] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(trap)
        listener.listen()
        listener.settimeout(30)

        def listen() -> None:
            connection, _ = listener.accept()
            heard.append(True)
            connection.close()

        thread = threading.Thread(target=listen)
        thread.start()
        done = call(*arguments, environment={"DOCKER_HOST": f"unix://{tmp_path}/nobody.sock", "XDG_CONFIG_HOME": ""})
        assert not heard
        with socket.socket(socket.AF_UNIX) as ender:
            ender.connect(trap)
            thread.join()
    said = done.stderr.decode()
    assert "interpreter-tools.toml" in said
    for field in ("docker_host", "container.network", "container.ports", "container.mounts"):
        assert field in said
    assert "INTERPRETER_TOOLS_CONFIG=interpreter-tools.toml" in said


@pytest.mark.parametrize("way", ["--config", "INTERPRETER_TOOLS_CONFIG"])
def test_file_that_the_user_names_is_followed(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the option or by the variable, also when it is that of the current directory."""
    name = "interpreter-tools.toml"
    Path(tmp_path, name).write_text(f'docker_host = "unix://{tmp_path}/chosen.sock"')
    monkeypatch.chdir(tmp_path)
    options, environment = (["--config", name], {}) if way == "--config" else ([], {way: name})
    done = call("run", "-c", "print(1)", *options, environment=environment)
    assert done.returncode == 125
    assert b"ignored" not in done.stderr
    assert b"chosen.sock" in done.stderr
