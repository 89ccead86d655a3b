# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportPrivateUsage=false
"""The clients of Jupyter's wire, unchanged: libraries, a notebook server over the gateway, and requests of others."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import httpx2
import pytest
import websockets
from jupyter_kernel_client import JupyterKernelClient
from smolagents import DockerExecutor, Tool
from smolagents.monitoring import AgentLogger, LogLevel
from smolagents.remote_executors import RemotePythonExecutor, _create_kernel_http
from smolagents.utils import AgentError

from .serving import KEY, serving

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator
    from pathlib import Path

    from interpreter_tools import ExecutionEngine

    from .serving import Served

pytestmark = pytest.mark.docker


@pytest.fixture
async def served(engine: ExecutionEngine) -> AsyncGenerator[Served]:
    """A server with all wires: this one is found among them."""
    async with serving(engine) as served:
        yield served


def _use_kernel_client(url: str) -> None:
    with JupyterKernelClient(server_url=url, token=KEY) as kernel:
        reply = kernel.execute("import sys\nprint('out')\nprint('err', file=sys.stderr)\n'é' * 3")
        assert (reply["status"], reply["execution_count"]) == ("ok", 1)
        outputs = {each.get("name", each["output_type"]): each for each in reply["outputs"]}
        assert outputs["stdout"]["text"] == "out\n"
        assert outputs["stderr"]["text"] == "err\n"
        assert outputs["execute_result"]["data"]["text/plain"] == "'ééé'"
        kernel.execute("given = [1, 2]", silent=True)
        assert "given" in [variable["name"] for variable in kernel.list_variables()]
        failed = kernel.execute("1 / 0")
        assert (failed["status"], failed["outputs"][0]["ename"]) == ("error", "ZeroDivisionError")
        answers = kernel.execute(
            "input('Name? ')", allow_stdin=True, stdin_hook=lambda message: kernel._manager.client.input("me")
        )
        assert answers["outputs"][-1]["data"]["text/plain"] == "'me'"
        kernel.restart()
        assert kernel.execute("'given' in globals()")["outputs"][0]["data"]["text/plain"] == "False"


async def test_jupyter_kernel_client(served: Served) -> None:
    """Cells, variables, errors, input and restart; nothing is left of it. Its release reads no other framing."""
    await asyncio.to_thread(_use_kernel_client, served.url)
    assert len(served.core.sandboxes) == 0


_NOTEBOOK = """
import sys

import nbformat
from jupyter_server.gateway.gateway_client import GatewayClient
from jupyter_server.gateway.managers import GatewayKernelManager
from nbclient import NotebookClient

GatewayClient.instance().url = sys.argv[1]
notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in sys.argv[2:]])
NotebookClient(notebook, kernel_manager_class=GatewayKernelManager, kernel_name="python3", timeout=60).execute()
nbformat.validate(notebook)
print(nbformat.writes(notebook))
"""


async def test_notebook_by_nbclient_over_the_gateway_manager(served: Served, tmp_path: Path) -> None:
    """``GatewayKernelManager`` has its kernels here, and a whole notebook runs in a sandbox."""
    cells = [
        "from IPython.display import clear_output, display, HTML\nx = 40\nprint('printed')\none = HTML('<b>1</b>')",
        "x + 2",
        "print('gone')\nclear_output()\ndisplay(one, display_id=True).update(HTML('<i>2</i>'))",
        "import socket, os\nos.path.exists('/workspace'), open('kept.txt', 'w').write('1')",
    ]
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _NOTEBOOK, f"{served.url}/key/{KEY}", *cells,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=tmp_path, env=_environment(tmp_path),
    )  # fmt: skip
    stdout, stderr = await program.communicate()
    assert program.returncode == 0, stderr.decode()
    outputs = [cell["outputs"] for cell in json.loads(stdout)["cells"]]
    assert "".join(outputs[0][0]["text"]) == "printed\n"
    assert outputs[1][0]["data"]["text/plain"] == ["42"]
    assert [each["data"]["text/html"] for each in outputs[2]] == [["<i>2</i>"]]
    assert outputs[3][0]["data"]["text/plain"] == ["(True, 1)"]
    assert not (tmp_path / "kept.txt").exists()


def _environment(home: Path) -> dict[str, str]:
    """Return the environment of a program of Jupyter's that finds no settings of this machine."""
    places = {name: str(home) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "HOME")}
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return {**kept, **places, "PYTHONWARNINGS": "ignore"}


@contextlib.contextmanager
def _notebook_server(gateway: str, home: Path) -> Generator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    words = (
        f"--gateway-url={gateway}", "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0", f"--IdentityProvider.token={KEY}", "--allow-root", "--no-browser",
    )  # fmt: skip
    environment = {**_environment(home), "JUPYTER_GATEWAY_AUTH_TOKEN": KEY}
    log = home / "log"
    with log.open("wb") as file:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyter_server", *words], cwd=home, env=environment, stdout=file, stderr=file
        )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                httpx2.get(f"http://127.0.0.1:{port}/api", trust_env=False).raise_for_status()
                break
            except httpx2.HTTPError:
                assert time.monotonic() < deadline, log.read_text()
                assert server.poll() is None, log.read_text()
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


def _use_notebook_server(gateway: str, home: Path) -> None:
    with (
        _notebook_server(gateway, home) as url,
        httpx2.Client(base_url=url, headers={"Authorization": f"token {KEY}"}, trust_env=False, timeout=60) as api,
    ):
        assert "bash" in api.get("/api/kernelspecs").json()["kernelspecs"]
        with JupyterKernelClient(server_url=url, token=KEY) as kernel:
            assert kernel.execute("6 * 7")["outputs"][0]["data"]["text/plain"] == "42"
            kernel.interrupt()
            kernel.restart()
            found = kernel.execute("import os; os.environ.get('KERNEL_USERNAME', ''), os.getcwd()")
            assert "'/workspace'" in found["outputs"][0]["data"]["text/plain"]
        session = {"name": "n", "path": "n.ipynb", "type": "notebook", "kernel": {"name": "bash"}}
        made = api.post("/api/sessions", json=session)
        assert made.status_code == 201, made.text
        assert api.delete(f"/api/sessions/{made.json()['id']}").status_code == 204


async def test_notebook_server_whose_kernels_are_sandboxes(served: Served, tmp_path: Path) -> None:
    """An unchanged Jupyter server over the gateway: kernels, sessions, interrupt, restart."""
    await asyncio.to_thread(_use_notebook_server, served.url, tmp_path)
    assert len(served.core.sandboxes) == 0


async def _run_as_open_webui(served: Served, code: str, *, token: str = "", password: str = "") -> tuple[str, str, str]:
    """Make the requests that Open WebUI's code interpreter makes, and return stdout, stderr and the results."""
    base, params, headers = served.url + "/", {"token": token} if token else {}, dict[str, str]()
    async with httpx2.AsyncClient(base_url=base, trust_env=False, timeout=60, follow_redirects=False) as session:
        if password and not token:
            xsrf = (await session.get("login")).raise_for_status().cookies["_xsrf"]
            session.headers["X-XSRFToken"] = xsrf
            response = await session.post("login", data={"_xsrf": xsrf, "password": password})
            assert response.status_code == 302
            cookies = "; ".join(f"{name}={value}" for name, value in session.cookies.items())
            headers = {"Cookie": cookies, "X-XSRFToken": xsrf}
        kernel_id = (await session.post("api/kernels", params=params)).raise_for_status().json()["id"]
        url = f"{base.replace('http', 'ws', 1)}api/kernels/{kernel_id}/channels" + (f"?token={token}" if token else "")
        stdout, stderr, results = "", "", list[str]()
        async with websockets.connect(url, additional_headers=headers, proxy=None) as ws:
            header = {
                "msg_id": "m", "msg_type": "execute_request", "username": "user", "session": "s", "date": "",
                "version": "5.3",
            }  # fmt: skip
            content = {
                "code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False,
                "stop_on_error": True,
            }  # fmt: skip
            message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
            await ws.send(json.dumps(message))
            while True:
                told = json.loads(await asyncio.wait_for(ws.recv(), 60))
                content = told["content"]
                match told["msg_type"]:
                    case "stream" if content["name"] == "stdout":
                        stdout += content["text"]
                    case "stream":
                        stderr += content["text"]
                    case "execute_result" | "display_data":
                        results.append(content["data"].get("image/png") or content["data"]["text/plain"])
                    case "error":
                        stderr += "\n".join(content["traceback"])
                    case "status" if content["execution_state"] == "idle":
                        break
                    case _:
                        pass
        (await session.delete(f"api/kernels/{kernel_id}", params=params)).raise_for_status()
    return stdout, stderr, "\n".join(results)


@pytest.mark.parametrize("how", ["token", "password"])
async def test_requests_of_open_webui(served: Served, how: str) -> None:
    """Its code interpreter starts a kernel for each run, and ends it."""
    found = await _run_as_open_webui(served, "print('hello')\n1 + 1", **{how: KEY})
    assert found == ("hello\n", "", "2")
    stdout, stderr, results = await _run_as_open_webui(served, "raise ValueError('no')", **{how: KEY})
    assert (stdout, results) == ("", "")
    assert stderr.count("ValueError: no") == 1
    assert len(served.core.sandboxes) == 0


class _Executor(DockerExecutor):
    """The executor without its container: its kernel is here, and all of its requests are its own."""

    def __init__(self, served: Served) -> None:
        RemotePythonExecutor.__init__(self, [], AgentLogger(LogLevel.OFF))
        kernels = f"{served.url}/api/kernels"
        self.kernel_id = _create_kernel_http(f"{kernels}?token={KEY}", self.logger)
        self.ws_url = f"ws://127.0.0.1:{served.port}/api/kernels/{self.kernel_id}/channels?token={KEY}"


class _Doubler(Tool):
    name = "double"
    description = "Doubles a number."
    inputs = {"number": {"type": "integer", "description": "The number."}}  # noqa: RUF012 - as their interface has it
    output_type = "integer"

    def forward(self, number: int) -> int:
        """Return twice the number."""
        return 2 * number


def _use_executor(served: Served) -> None:
    executor = _Executor(served)
    executor.send_variables({"given": [1, 2, 3]})
    executor.send_tools({"double": _Doubler()})
    output = executor("print('logged')\ndouble(number=sum(given))")
    assert (output.output, output.logs, output.is_final_answer) == ("12", "logged\n", False)
    executor("class FinalAnswerException(Exception): pass")  # as their tool of that name has it, without Pillow
    output = executor("import json\nraise FinalAnswerException('safe:' + json.dumps({'answer': double(21)}))")
    assert (output.output, output.is_final_answer) == ({"answer": 42}, True)
    with pytest.raises(AgentError, match="ZeroDivisionError"):
        executor("1 / 0")
    assert executor("given").output == "[1, 2, 3]"


async def test_docker_executor_of_smolagents(served: Served) -> None:
    """Its tools, variables, final answer and errors; each run is a websocket of its own."""
    await asyncio.to_thread(_use_executor, served)
    assert len(served.core.sandboxes) == 1
