# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The wire of Jupyter: kernels over HTTP, and the messages of their websockets."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from typing import TYPE_CHECKING, Self, TypeAlias

import httpx2
import pytest
import websockets
from jupyter_server.services.kernels.connection.base import deserialize_msg_from_ws_v1, serialize_msg_to_ws_v1

from interpreter_tools.server import ServerConfig
from interpreter_tools.server.wires.jupyter._messages import V1
from tests.watch import eventually

from .serving import KEY, OTHER_KEY, serving

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from interpreter_tools import ExecutionEngine

    from .serving import Served

pytestmark = pytest.mark.docker

Message: TypeAlias = "dict[str, dict[str, object]]"
_IDS = itertools.count()


@pytest.fixture
async def served(engine: ExecutionEngine) -> AsyncGenerator[Served]:
    """A server with this wire alone."""
    async with serving(engine, wires=["jupyter"]) as served:
        yield served


@pytest.fixture
async def api(served: Served) -> AsyncGenerator[httpx2.AsyncClient]:
    """Its HTTP, with the key."""
    async with httpx2.AsyncClient(
        base_url=served.url, headers={"Authorization": f"token {KEY}"}, timeout=60, trust_env=False
    ) as api:
        yield api


class _Client:
    """A client of one kernel, in either framing."""

    def __init__(self, served: Served, kernel_id: str, *, v1: bool = False, key: str = KEY, session: str = "") -> None:
        query = f"token={key}" + (f"&session_id={session}" if session else "")
        self._url = f"ws://127.0.0.1:{served.port}/api/kernels/{kernel_id}/channels?{query}"
        self._v1 = v1

    async def __aenter__(self) -> Self:
        subprotocols = [websockets.Subprotocol(V1)] if self._v1 else None
        self.socket = await websockets.connect(
            self._url, subprotocols=subprotocols, proxy=None, max_size=None, compression=None
        )
        assert self.socket.subprotocol == (V1 if self._v1 else None)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.socket.close()

    async def send(self, msg_type: str, channel: str = "shell", **content: object) -> str:
        """Send a request, and return its id."""
        msg_id = f"m{next(_IDS)}"
        header = {"msg_id": msg_id, "msg_type": msg_type, "session": "s", "username": "u", "date": "", "version": "5.3"}
        if self._v1:
            parts = [json.dumps(part).encode() for part in (header, {}, {}, content)]
            await self.socket.send(serialize_msg_to_ws_v1(parts, channel))
        else:
            message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": channel}
            await self.socket.send(json.dumps(message))
        return msg_id

    async def receive(self) -> Message:
        """Return the next message."""
        async with asyncio.timeout(60):
            data = await self.socket.recv()
        if isinstance(data, str):
            return json.loads(data)
        channel, parts = deserialize_msg_from_ws_v1(data)
        names = ("header", "parent_header", "metadata", "content")
        message = dict(zip(names, map(json.loads, parts), strict=True))
        return {**message, "msg_type": message["header"]["msg_type"], "channel": channel}

    async def answers(self, msg_id: str) -> list[Message]:
        """Return the messages of a request up to ``idle`` and its reply."""
        found: list[Message] = []
        idle = replied = False
        while not (idle and replied):
            message = await self.receive()
            if message["parent_header"].get("msg_id") == msg_id:
                found.append(message)
                idle = idle or message["content"].get("execution_state") == "idle"
                replied = replied or str(message["msg_type"]).endswith("_reply")
        return found

    async def ask(self, msg_type: str, channel: str = "shell", **content: object) -> dict[str, object]:
        """Return the content of the reply to a request."""
        answers = await self.answers(await self.send(msg_type, channel, **content))
        return next(each["content"] for each in answers if str(each["msg_type"]).endswith("_reply"))

    async def execute(self, code: str, **options: bool | dict[str, str]) -> list[tuple[str, dict[str, object]]]:
        """Run a cell, and return types and contents of all messages but those of the state."""
        answers = await self.answers(await self.send("execute_request", "shell", code=code, **options))
        return [(str(each["msg_type"]), each["content"]) for each in answers if str(each["msg_type"]) != "status"]


async def _start(api: httpx2.AsyncClient, name: str = "python3") -> str:
    response = await api.post("/api/kernels", json={"name": name})
    assert response.status_code == 201, response.text
    return response.json()["id"]


async def _nothing_left(served: Served) -> None:
    async def seen() -> int:
        return len(served.core.sandboxes)

    await eventually(seen, lambda count: count == 0, within=20)


async def test_kernels_are_listed_started_and_ended(served: Served, api: httpx2.AsyncClient) -> None:
    """Each in Jupyter's own words."""
    assert set((await api.get("/api")).json()) == {"version"}
    specs = (await api.get("/api/kernelspecs")).json()
    assert specs["default"] == "python3"
    assert {"python3", "javascript", "typescript", "bash"} <= set(specs["kernelspecs"])
    assert specs["kernelspecs"]["python3"]["spec"]["language"] == "python"
    assert (await api.get("/api/kernelspecs/python3")).json() == specs["kernelspecs"]["python3"]
    assert (await api.get("/api/kernelspecs/ir")).status_code == 404
    response = await api.post("/api/kernels")
    kernel = response.json()
    assert (response.status_code, kernel["name"], kernel["execution_state"]) == (201, "python3", "idle")
    assert response.headers["Location"] == f"/api/kernels/{kernel['id']}"
    assert (await api.get("/api/kernels")).json() == [kernel]
    assert (await api.get(f"/api/kernels/{kernel['id']}")).json() == kernel
    status = (await api.get("/api/status")).json()
    assert (status["kernels"], status["connections"]) == (1, 0)
    assert (await api.delete(f"/api/kernels/{kernel['id']}")).status_code == 204
    assert (await api.delete(f"/api/kernels/{kernel['id']}")).status_code == 404
    assert (await api.get("/api/kernels")).json() == []
    await _nothing_left(served)


@pytest.mark.parametrize(
    ("body", "said"),
    [(b'{"name": "ir"}', "known: "), (b"{", "cannot be read"), (b'{"name": 1}', "name"), (b'{"env": {"A": 1}}', "env")],
)
async def test_wrong_kernels_are_refused(api: httpx2.AsyncClient, body: bytes, said: str) -> None:
    """With what is there, and nothing is left of them."""
    response = await api.post("/api/kernels", content=body)
    assert response.status_code == 400
    assert said in response.json()["message"]
    assert (await api.get("/api/kernels")).json() == []


@pytest.mark.parametrize("v1", [False, True], ids=["plain", "v1"])
async def test_a_cell_is_told_as_kernels_tell_it(served: Served, api: httpx2.AsyncClient, v1: bool) -> None:
    """State, input, output, results, error and reply, in their order, in both framings."""
    async with _Client(served, await _start(api), v1=v1) as client:
        msg_id = await client.send("execute_request", code="print(1)\n40 + 2")
        answers = await client.answers(msg_id)
        assert [(str(each["channel"]), str(each["msg_type"])) for each in answers] == [
            ("iopub", "status"), ("iopub", "execute_input"), ("iopub", "stream"), ("iopub", "execute_result"),
            ("shell", "execute_reply"), ("iopub", "status"),
        ]  # fmt: skip
        contents = [each["content"] for each in answers]
        assert contents[1] == {"code": "print(1)\n40 + 2", "execution_count": 1}
        assert contents[2] == {"name": "stdout", "text": "1\n"}
        assert contents[3] == {"data": {"text/plain": "42"}, "metadata": {}, "execution_count": 1}
        assert contents[4] == {"status": "ok", "execution_count": 1, "user_expressions": {}, "payload": []}
        (_, _), (_, error), (_, reply) = await client.execute("1 / 0")
        assert (error["ename"], error["evalue"]) == ("ZeroDivisionError", "division by zero")
        assert "1 / 0" in str(error["traceback"])
        assert (reply["status"], reply["ename"], reply["execution_count"]) == ("error", "ZeroDivisionError", 2)


async def test_displays_are_replaced_and_cleared(served: Served, api: httpx2.AsyncClient) -> None:
    """``display``, ``update_display`` and ``clear_output``."""
    code = (
        "from IPython.display import HTML, clear_output, display\n"
        "handle = display(HTML('<b>1</b>'), display_id='it')\n"
        "clear_output(wait=True)\n"
        "handle.update(HTML('<b>2</b>'))"
    )
    async with _Client(served, await _start(api)) as client:
        found = (await client.execute(code))[1:-1]
    assert [kind for kind, _ in found] == ["display_data", "clear_output", "update_display_data"]
    assert found[0][1]["transient"] == found[2][1]["transient"] == {"display_id": "it"}
    assert found[1][1] == {"wait": True}
    assert found[2][1]["data"]["text/html"] == "<b>2</b>"  # pyright: ignore[reportIndexIssue]


async def test_silent_cells_and_expressions(served: Served, api: httpx2.AsyncClient) -> None:
    """Counts go on for those cells alone that are counted."""
    async with _Client(served, await _start(api)) as client:
        assert [kind for kind, _ in await client.execute("x = 5; x", silent=True)] == ["execute_reply"]
        (_, told), (_, result), (_, reply) = await client.execute("x", store_history=False)
        assert (told["execution_count"], result["execution_count"], reply["execution_count"]) == (0, 0, 0)
        expressions = {"sum": "x + 1", "wrong": "nothing"}
        *_, (_, reply) = await client.execute("x += 1", user_expressions=expressions)
        values: dict[str, dict[str, object]] = reply["user_expressions"]  # pyright: ignore[reportAssignmentType]
        assert reply["execution_count"] == 1
        assert values["sum"] == {"status": "ok", "data": {"text/plain": "7"}, "metadata": {}}
        assert (values["wrong"]["status"], values["wrong"]["ename"]) == ("error", "NameError")
        history = await client.ask("history_request", hist_access_type="tail", n=5)
        assert history["history"] == [[0, 1, "x += 1"]]
        assert (await client.ask("history_request", hist_access_type="search", pattern="*y*", n=5))["history"] == []
        ranged = await client.ask("history_request", hist_access_type="range", start=1, stop=2)
        assert ranged["history"] == [[0, 1, "x += 1"]]


async def test_input_is_asked_of_the_client_that_runs_the_cell(served: Served, api: httpx2.AsyncClient) -> None:
    """With its prompt, hidden where it is a password, ended by the end of the input; others cannot answer."""
    kernel_id = await _start(api)
    code = (
        "from getpass import getpass\nprint(input('Name? '), getpass('Word? '))\n"
        "try: input()\nexcept EOFError: print('end')"
    )
    async with _Client(served, kernel_id) as client, _Client(served, kernel_id) as other:
        msg_id = await client.send("execute_request", code=code, allow_stdin=True)
        asked: list[tuple[object, object]] = []
        lines = iter(["me", "secret", "\x04"])
        output = ""
        while True:
            message = await client.receive()
            if str(message["msg_type"]) == "input_request":
                assert message["parent_header"]["msg_id"] == msg_id
                asked.append((message["content"]["prompt"], message["content"]["password"]))
                await other.send("input_reply", "stdin", value="not me")
                await client.send("input_reply", "stdin", value=next(lines))
            elif str(message["msg_type"]) == "stream":
                output += str(message["content"]["text"])
            elif message["content"].get("execution_state") == "idle":
                break
        assert asked == [("Name? ", False), ("Word? ", True), ("", False)]
        assert output == "me secret\nend\n"
        *_, (_, reply) = await client.execute("input('Name? ')", allow_stdin=False)
        assert reply["ename"] == "EOFError"


async def test_cell_that_waits_for_input_keeps_no_other_waiting(engine: ExecutionEngine) -> None:
    """A server with one turn runs the cell of another kernel meanwhile; the turns are counted to the end."""
    headers = {"Authorization": f"token {KEY}"}
    async with (
        serving(engine, wires=["jupyter"], config=ServerConfig(runs=1)) as served,
        httpx2.AsyncClient(base_url=served.url, headers=headers, timeout=60, trust_env=False) as api,
        _Client(served, await _start(api)) as asking,
        _Client(served, await _start(api)) as other,
    ):
        await asking.send("execute_request", code="print(input() * 2)", allow_stdin=True)
        while str((await asking.receive())["msg_type"]) != "input_request":
            pass
        *_, (_, reply) = await other.execute("1 + 1")
        assert reply["status"] == "ok"
        await asking.send("input_reply", "stdin", value="ab")
        while str((message := await asking.receive())["msg_type"]) != "stream":
            pass
        assert str(message["content"]["text"]).strip() == "abab"

        async def running() -> int:
            return served.core.admission.running

        await eventually(running, lambda count: count == 0, within=20)


async def test_questions(served: Served, api: httpx2.AsyncClient) -> None:
    """Completion, inspection, completeness, comms, and the kernel itself, also on the control channel."""
    async with _Client(served, await _start(api)) as client:
        await client.execute("value = 1\ndef twice(x):\n    'Doubled.'\n    return 2 * x")
        found = await client.ask("complete_request", code="print(val", cursor_pos=9)
        assert (found["matches"], found["cursor_start"], found["cursor_end"]) == (["value"], 6, 9)
        looked = await client.ask("inspect_request", code="twice", cursor_pos=99, detail_level=7)
        assert "Doubled." in str(looked["data"])
        assert (await client.ask("is_complete_request", code="if 1:"))["status"] == "incomplete"
        assert (await client.ask("comm_info_request")) == {"status": "ok", "comms": {}}
        info = await client.ask("kernel_info_request")
        assert (info["protocol_version"], info["language_info"]["name"]) == ("5.3", "python")  # pyright: ignore[reportIndexIssue, reportArgumentType]
        await client.send("kernel_info_request", "control")
        assert (await client.receive())["channel"] == "control"
        refused = await client.ask("nonsense_request")
        assert refused["ename"] == "UnknownRequest"
        await client.send("comm_open", comm_id="c", target_name="t", data={})
        messages = [await client.receive() for _ in range(3)]
        assert messages[1]["content"] == {"comm_id": "c", "data": {}}
        for content in ({}, {"code": 1}):
            reply = await client.ask("execute_request", "shell", **content)
            assert (reply["status"], reply["ename"]) == ("error", "BadRequest")


@pytest.mark.parametrize("how", ["http", "message"])
async def test_interrupt_keeps_the_variables(served: Served, api: httpx2.AsyncClient, how: str) -> None:
    """The cells that wait behind the one that was interrupted are dropped."""
    kernel_id = await _start(api)
    async with _Client(served, kernel_id) as client:
        await client.execute("x = 1")
        first = await client.send("execute_request", code="print('on', flush=True)\nwhile True: pass")
        second = await client.send("execute_request", code="x = 2")
        while str((await client.receive())["msg_type"]) != "stream":
            pass
        if how == "http":
            assert (await api.post(f"/api/kernels/{kernel_id}/interrupt")).status_code == 204
        else:
            await client.send("interrupt_request", "control")
        replies = [each for each in await client.answers(first) if str(each["msg_type"]) == "execute_reply"]
        assert replies[0]["content"]["ename"] == "KeyboardInterrupt"
        replies = [each for each in await client.answers(second) if str(each["msg_type"]) == "execute_reply"]
        assert replies[0]["content"] == {"status": "aborted"}
        assert (await client.execute("x"))[1][1]["data"] == {"text/plain": "1"}


@pytest.mark.parametrize("how", ["http", "message"])
async def test_restart_forgets_the_variables(served: Served, api: httpx2.AsyncClient, how: str) -> None:
    """The files stay, the count begins anew, and the websocket goes on."""
    kernel_id = await _start(api)
    async with _Client(served, kernel_id) as client:
        await client.execute("x = 1; open('kept', 'w').close()")
        if how == "http":
            assert (await api.post(f"/api/kernels/{kernel_id}/restart")).json()["execution_state"] == "idle"
        else:
            assert (await client.ask("shutdown_request", restart=True))["restart"] is True
        (_, told), (_, result), _ = await client.execute("import os; 'x' in globals(), os.path.exists('kept')")
        assert (told["execution_count"], result["data"]) == (1, {"text/plain": "(False, True)"})


async def test_shutdown_by_a_message_ends_the_kernel(served: Served, api: httpx2.AsyncClient) -> None:
    """The reply still comes; then the websockets are closed."""
    kernel_id = await _start(api)
    async with _Client(served, kernel_id) as client:
        msg_id = await client.send("shutdown_request", "control", restart=False)
        message = await client.receive()
        assert (message["content"], message["parent_header"]["msg_id"]) == ({"status": "ok", "restart": False}, msg_id)
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await client.answers("none")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001
    assert (await api.get(f"/api/kernels/{kernel_id}")).status_code == 404
    await _nothing_left(served)


async def test_death_of_the_process_is_told_and_the_next_cell_runs(served: Served, api: httpx2.AsyncClient) -> None:
    """The client hears why, and that the variables are gone."""
    async with _Client(served, await _start(api)) as client:
        *_, (_, error), (_, reply) = await client.execute("import os; os._exit(3)")
        assert error["ename"] == reply["ename"] == "KernelDied"
        assert "exit code 3" in str(error["evalue"])
        assert (await client.execute("1 + 1"))[1][1]["data"] == {"text/plain": "2"}


async def test_all_websockets_of_a_kernel_see_what_it_shows(served: Served, api: httpx2.AsyncClient) -> None:
    """The reply goes to the one that asked, and nothing of one kernel reaches another's client."""
    kernel_id = await _start(api)
    async with (
        _Client(served, kernel_id) as client,
        _Client(served, kernel_id, v1=True) as watcher,
        _Client(served, await _start(api)) as stranger,
    ):
        assert (await api.get(f"/api/kernels/{kernel_id}")).json()["connections"] == 2
        msg_id = await client.send("execute_request", code="print('seen')")
        await client.answers(msg_id)
        seen = [await watcher.receive() for _ in range(4)]
        assert [str(each["msg_type"]) for each in seen] == ["status", "execute_input", "stream", "status"]
        assert seen[2]["parent_header"]["msg_id"] == msg_id
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await stranger.socket.recv()


async def test_a_client_that_comes_back_gets_what_it_missed(served: Served, api: httpx2.AsyncClient) -> None:
    """By the id of its session; a client of another session does not get it."""
    kernel_id = await _start(api)
    async with _Client(served, kernel_id, session="mine") as client:
        msg_id = await client.send("execute_request", code="import time; time.sleep(1); print('late')")
        while str((await client.receive())["msg_type"]) != "execute_input":
            pass

    async def state() -> str:
        return (await api.get(f"/api/kernels/{kernel_id}")).json()["execution_state"]

    await eventually(state, lambda state: state == "idle", within=20)
    async with _Client(served, kernel_id, session="mine") as client:
        answers = await client.answers(msg_id)
        assert [str(each["msg_type"]) for each in answers] == ["stream", "execute_reply", "status"]
    async with _Client(served, kernel_id, session="mine"):
        pass
    async with _Client(served, kernel_id, session="another") as other:
        assert (await other.ask("kernel_info_request"))["status"] == "ok"


@pytest.mark.parametrize(
    ("name", "code", "expected"),
    [
        ("javascript", "const x = 20; x * 2 + 2", "42"),
        ("typescript", "let x: number = 42; x", "42"),
        ("bash", "echo $((40 + 2))", "42\n"),
    ],
)
async def test_kernels_of_other_languages(
    served: Served, api: httpx2.AsyncClient, name: str, code: str, expected: str
) -> None:
    """State, results and errors as with Python."""
    async with _Client(served, await _start(api, name)) as client:
        told = await client.execute(code)
        shown = told[1][1]
        assert shown.get("text", shown.get("data")) in (expected, {"text/plain": expected})
        assert told[-1][1]["status"] == "ok"
        failing = {"bash": "false"}.get(name, "throw new Error('no')")
        *_, (_, reply) = await client.execute(failing)
        wanted = ("SystemExit", "1") if name == "bash" else ("Error", "no")
        assert (reply["status"], reply["ename"], reply["evalue"]) == ("error", *wanted)
        info = await client.ask("kernel_info_request")
        assert info["language_info"]["name"] == name  # pyright: ignore[reportIndexIssue, reportArgumentType]


async def test_a_key_sees_no_kernel_of_another(served: Served, api: httpx2.AsyncClient) -> None:
    """Neither by HTTP nor by websocket; and no key sees none."""
    kernel_id = await _start(api)
    other = {"Authorization": f"token {OTHER_KEY}"}
    assert (await api.get("/api/kernels", headers=other)).json() == []
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/interrupt"), ("POST", "/restart")):
        response = await api.request(method, f"/api/kernels/{kernel_id}{path}", headers=other)
        assert response.status_code == 404
        assert response.json()["message"] == f"Kernel does not exist: {kernel_id}"
    for key in (OTHER_KEY, "wrong", ""):
        with pytest.raises(websockets.InvalidStatus):
            await _Client(served, kernel_id, key=key).__aenter__()
    async with httpx2.AsyncClient(base_url=served.url, trust_env=False) as anonymous:
        for path in ("/api/kernels", "/api/kernelspecs", "/api/status", f"/api/kernels/{kernel_id}"):
            assert (await anonymous.get(path)).status_code == 401
        assert (await anonymous.post("/api/kernels")).status_code == 401
    assert (await api.get(f"/api/kernels/{kernel_id}")).status_code == 200


async def test_login_by_password(served: Served) -> None:
    """A cookie stands for the key; requests that change something repeat the other cookie."""
    async with httpx2.AsyncClient(base_url=served.url, timeout=60, trust_env=False) as browser:
        xsrf = (await browser.get("/login")).cookies["_xsrf"]
        assert (await browser.post("/login", data={"_xsrf": "wrong", "password": KEY})).status_code == 403
        assert (await browser.post("/login", data={"_xsrf": xsrf, "password": "wrong"})).status_code == 401
        assert (await browser.post("/login", data={"_xsrf": xsrf, "password": "x" * 20_000})).status_code == 413
        response = await browser.post("/login", data={"_xsrf": xsrf, "password": KEY})
        assert (response.status_code, response.headers["Location"]) == (302, "/api")
        assert (await browser.get("/api/kernels")).json() == []
        assert (await browser.post("/api/kernels")).status_code == 403
        response = await browser.post("/api/kernels", headers={"X-XSRFToken": xsrf})
        assert response.status_code == 201
        cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
        url = f"ws://127.0.0.1:{served.port}/api/kernels/{response.json()['id']}/channels"
        headers = {"Cookie": cookies}
        async with websockets.connect(url, additional_headers=headers, proxy=None):
            pass
        with pytest.raises(websockets.InvalidStatus):
            await websockets.connect(
                url, additional_headers=headers, origin=websockets.Origin("http://evil"), proxy=None
            )


async def test_slow_clients_make_the_program_wait(served: Served, api: httpx2.AsyncClient) -> None:
    """What it prints does not pile up in the server."""
    kernel_id = await _start(api)
    async with _Client(served, kernel_id) as client:
        client.socket.transport.pause_reading()
        code = (
            "import sys\nfor i in range(2000):\n    sys.stdout.write('x' * 100_000)\n    sys.stdout.flush()\n"
            "    open('at', 'w').write(str(i))"
        )
        msg_id = await client.send("execute_request", code=code)
        sandbox = served.core.sandboxes.all()[0]
        before, at = -1, 0
        while before != at or at == 0:
            before = at
            await asyncio.sleep(1)
            with contextlib.suppress(Exception):
                at = int(await sandbox.session.read_file_binary("at"))
        assert at < 500
        client.socket.transport.resume_reading()
        answers = await client.answers(msg_id)
        assert sum(len(str(each["content"].get("text", ""))) for each in answers) == 200_000_000


async def test_a_flood_of_requests_is_refused(served: Served, api: httpx2.AsyncClient) -> None:
    """Beyond a bound, each with a reply that says so."""
    kernel_id = await _start(api)
    async with _Client(served, kernel_id) as client:
        await client.send("execute_request", code="while True: pass")
        last = [await client.send("execute_request", code="1") for _ in range(1100)][-1]
        while (message := await client.receive())["parent_header"].get("msg_id") != last:
            pass
        assert message["content"]["ename"] == "TooManyRequests"
        assert (await api.post(f"/api/kernels/{kernel_id}/restart")).status_code == 200
        assert (await client.execute("6 * 7"))[1][1]["data"] == {"text/plain": "42"}


@pytest.mark.parametrize(
    ("name", "asks"),
    [
        ("python3", "import platform; print(platform.python_version())"),
        ("javascript", "console.log(process.versions.node)"),
        ("bash", "printf '%s.%s.%s\\n' ${BASH_VERSINFO[@]:0:3}"),
    ],
)
async def test_kernel_says_the_version_of_its_language(
    served: Served, api: httpx2.AsyncClient, name: str, asks: str
) -> None:
    """The interpreter's own, told before a cell and while one runs; the question is no cell of the user's."""
    async with _Client(served, await _start(api, name)) as client:
        info = await client.ask("kernel_info_request")
        ((_, _), (_, told), (_, reply)) = await client.execute(asks)
        assert info["language_info"]["version"] == str(told["text"]).strip()  # pyright: ignore[reportIndexIssue, reportArgumentType]
        assert reply["execution_count"] == 1
        nap = {"python3": "import time; time.sleep(1)", "javascript": "await new Promise(f => setTimeout(f, 1000))"}
        running = await client.send("execute_request", code=nap.get(name, "sleep 1"))
        while str((await client.receive())["msg_type"]) != "execute_input":
            pass
        await client.send("kernel_info_request", "control")
        while str((answer := await client.receive())["msg_type"]) != "kernel_info_reply":
            assert str(answer["msg_type"]) != "execute_reply"
        assert answer["content"]["language_info"] == info["language_info"]
        await client.answers(running)


async def test_history_is_told_with_outputs_and_once(served: Served, api: httpx2.AsyncClient) -> None:
    """Outputs are not kept, and have their place all the same: clients that ask for them expect pairs."""
    async with _Client(served, await _start(api)) as client:
        for code in ("1", "2", "1"):
            await client.execute(code)
        pairs = await client.ask("history_request", hist_access_type="tail", n=1, output=True)
        assert pairs["history"] == [[0, 3, ["1", None]]]
        once = await client.ask("history_request", hist_access_type="search", pattern="*", n=9, unique=True)
        assert sorted(code for _, _, code in once["history"]) == ["1", "2"]  # pyright: ignore[reportGeneralTypeIssues]
