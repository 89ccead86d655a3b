"""Piston's wire, version 2: ``/api/v2/runtimes``, ``/api/v2/execute`` and the websocket ``/api/v2/connect``.

The formats are those of engineer-man/piston (``api/src/api/v2.js``, ``api/src/job.js``).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
import signal
from typing import TYPE_CHECKING, Literal

import msgspec
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocketDisconnect, WebSocketState

from interpreter_tools._background import beside
from interpreter_tools._container.images import image_name
from interpreter_tools._exceptions import ExecutionClosed, InterpreterToolsError, UnknownLanguage
from interpreter_tools._languages import LanguageRegistry
from interpreter_tools.server._bodies import read_json
from interpreter_tools.server._errors import BadRequest, ServerError, as_server_error
from interpreter_tools.server._gone import unless_gone
from interpreter_tools.server._run_limits import memory_limit, run_timeout
from interpreter_tools.server._wire import Site, Wire

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import BaseRoute
    from starlette.websockets import WebSocket

    from interpreter_tools._config.options import RunOptions
    from interpreter_tools._config.results import ExecutionResult
    from interpreter_tools._execution.execution import Execution
    from interpreter_tools._languages import LanguageConfig
    from interpreter_tools.server._core import Core
    from interpreter_tools.server._keys import Owner

_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")
_PROBES = {
    "python": "python3 --version",
    "javascript": "node --version",
    "typescript": "node --version",
    "bash": "bash --version",
    "shell": "bash --version",
    "sql": "sqlite3 --version",
    "awk": "gawk --version",
    "c": "gcc --version",
    "cpp": "g++ --version",
    "fortran": "gfortran --version",
    "pascal": "fpc -iV",
    "go": "go version",
    "rust": "rustc --version",
    "java": "javac --version",
    "perl": "perl -v",
    "lua": "lua5.4 -v",
    "php": "php --version",
    "r": "Rscript --version",
}
"""Commands that print the version of a language's interpreter or compiler."""

_UNKNOWN_VERSION = "1.0.0"  # of a language whose image does not say
_FILES_LIMIT = 1000
_INIT_DEADLINE = 1.0  # seconds for the first message of a websocket, as Piston has it
_MESSAGE_LIMIT = 1 << 20  # characters of a message that the server sends
_ENDING = {"SIGHUP", "SIGINT", "SIGQUIT", "SIGABRT", "SIGKILL", "SIGTERM"}


class PistonFile(msgspec.Struct, kw_only=True):
    """A file of a program."""

    content: str
    name: str | None = None
    encoding: Literal["utf8", "base64", "hex"] | None = None

    def data(self) -> bytes:
        """Return the contents.

        Raises:
            BadRequest: they are not in the encoding.
        """
        try:
            if self.encoding == "base64":
                return base64.b64decode(self.content)
            if self.encoding == "hex":
                return bytes.fromhex(self.content)
        except (binascii.Error, ValueError):
            raise BadRequest(f"the content of {self.name!r} is not {self.encoding}") from None
        return self.content.encode("utf-8", "surrogatepass")


class Job(msgspec.Struct, kw_only=True):
    """The body of ``/execute``, and the first message of ``/connect``."""

    language: str
    version: str
    files: list[PistonFile]
    stdin: str | None = ""
    args: list[str] | None = None
    run_timeout: float | None = None
    compile_timeout: float | None = None
    run_cpu_time: float | None = None
    compile_cpu_time: float | None = None
    run_memory_limit: float | None = None
    compile_memory_limit: float | None = None


class Stage(msgspec.Struct, kw_only=True):
    """The end of a compiler or a program."""

    stdout: str
    stderr: str
    output: str
    code: int | None
    signal: str | None
    message: str | None = None
    status: str | None = None
    cpu_time: float | None = None
    wall_time: float | None = None
    memory: int | None = None


class Answer(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The answer of ``/execute``."""

    language: str
    version: str
    run: Stage
    compile: Stage | None = None


class Runtime(msgspec.Struct, kw_only=True):
    """A language that can be run."""

    language: str
    version: str
    aliases: list[str]
    runtime: str | None = None


class _Init(Job, tag_field="type", tag="init", kw_only=True):
    pass


class _Data(msgspec.Struct, tag_field="type", tag="data"):
    stream: str
    data: str


class _Signal(msgspec.Struct, tag_field="type", tag="signal"):
    signal: str


_encode = msgspec.json.Encoder().encode
_decode_message = msgspec.json.Decoder(_Init | _Data | _Signal).decode


class Runtimes:
    """The languages whose images are on the Docker host, with the versions of their interpreters; asked for once."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._versions: dict[str, str] = {}  # by image and language
        self._lock = asyncio.Lock()

    async def all(self) -> list[Runtime]:
        """Return them, by name."""
        languages = [LanguageRegistry.get(name) for name in LanguageRegistry.names()]
        async with self._lock:
            found = [await self._find(language) for language in languages]
        return [runtime for runtime in found if runtime is not None]

    async def get(self, name: str, version: str) -> tuple[LanguageConfig, Runtime]:
        """Return the language of a name whose version fits, such as ``*``, ``3.x``, ``3.12`` or ``^3.1.0``.

        Raises:
            BadRequest: there is none, in Piston's words.
        """
        unknown = BadRequest(f"{name[:80]}-{version[:80]} runtime is unknown")
        try:
            language = LanguageRegistry.get(name)
        except UnknownLanguage:
            raise unknown from None
        async with self._lock:
            runtime = await self._find(language)
        if runtime is None or not _fits(runtime.version, version):
            raise unknown
        return language, runtime

    async def _find(self, language: LanguageConfig) -> Runtime | None:
        config = self._core.engine.config
        image = image_name(language, override=config.container.image, images=config.images)
        if not await self._core.engine.has_image(image):
            return None
        key = f"{image} {language.language}"
        version = self._versions.get(key)
        if version is None:
            version = self._versions[key] = await self._probe(language, image)
        return Runtime(language=language.language, version=version, aliases=list(language.aliases))

    async def _probe(self, language: LanguageConfig, image: str) -> str:
        command = _PROBES.get(language.language)
        if command is None:
            return _UNKNOWN_VERSION
        result = await self._core.engine.run("shell", command, image=image, merge_output=True)
        found = _VERSION.search(result.stdout)
        return _UNKNOWN_VERSION if found is None else ".".join(part or "0" for part in found.groups())


def _fits(version: str, wanted: str) -> bool:
    """Return whether a version is one of those that a simple semantic range means."""
    plain = wanted.strip().lstrip("=v^~")
    if wanted.startswith(">"):
        return True
    parts = version.split(".")
    exact = 1 if wanted.startswith("^") else 2 if wanted.startswith("~") else 3
    for part, asked in zip(parts[:exact], plain.split("."), strict=False):
        if asked in {"*", "x", "X", ""}:
            return True
        if part != asked:
            return False
    return True


def _render(request: Request, error: ServerError) -> Response:
    return JSONResponse({"message": error.text}, error.status, headers=error.headers)


def _routes(core: Core) -> list[BaseRoute]:
    runtimes = Runtimes(core)

    async def list_runtimes(request: Request) -> Response:
        core.authenticate(request)
        return Response(_encode(await runtimes.all()), media_type="application/json")

    async def execute(request: Request) -> Response:
        owner = core.authenticate(request)
        job = await read_json(request, Job, limit=core.config.body_limit)
        answer = await unless_gone(request, _execute(core, runtimes, owner, job))
        return Response(_encode(answer), media_type="application/json")

    async def connect(websocket: WebSocket) -> None:
        await _Connection(core, runtimes, core.authenticate(websocket), websocket).serve()

    found: list[BaseRoute] = []
    for end in ("", "/"):
        found.append(Route(f"/api/v2/runtimes{end}", list_runtimes))
        found.append(Route(f"/api/v2/execute{end}", execute, methods=["POST"]))
        found.append(WebSocketRoute(f"/api/v2/connect{end}", connect))
    return found


def _exports(site: Site) -> dict[str, str]:
    return {"PISTON_URL": f"{site.url}/key/{site.key}", "PISTON_API_URL": f"{site.url}/key/{site.key}/api/v2/"}


WIRE = Wire("piston", _routes, render=_render, exports=_exports)


def _prepare(core: Core, job: Job, language: LanguageConfig) -> tuple[bytes, RunOptions]:
    """Return the code of a job, which its first file in UTF-8 holds, and the options of its run.

    Raises:
        BadRequest: there is no such file, or a limit is above the server's.
    """
    if len(job.files) > _FILES_LIMIT:
        raise BadRequest(f"files: {len(job.files)} are more than {_FILES_LIMIT}")
    main = next((file for file in job.files if file.encoding in {None, "utf8"}), None)
    if main is None:
        raise BadRequest("files must include at least one utf8 encoded file")
    config = core.engine.config
    for stage, most in (("run", config.timeout), ("compile", config.compile_timeout)):
        wanted = getattr(job, f"{stage}_timeout")
        if wanted is not None and wanted < 0:
            raise BadRequest(f"{stage}_timeout must be non-negative")
        if wanted is not None and most is not None and wanted > most * 1000:
            raise BadRequest(f"{stage}_timeout cannot exceed the configured limit of {most * 1000:g}")
    files: dict[str, str | bytes] = {}
    for number, file in enumerate(job.files):
        name = file.name or f"file{number}.code"
        if file is not main or (file.name and name != language.code_filename):
            files[name] = file.data()
    options: RunOptions = {
        "files": files,
        "args": job.args or (),
        "stdin": (job.stdin or "").encode("utf-8", "surrogatepass"),
    }
    if job.run_timeout:
        options["timeout"] = run_timeout(core, job.run_timeout / 1000, field="run_timeout")
    memory = memory_limit(core, None if job.run_memory_limit is None else int(job.run_memory_limit))
    if memory is not None:
        options["memory_limit"] = memory
    return main.data(), options


async def _execute(core: Core, runtimes: Runtimes, owner: Owner, job: Job) -> Answer:
    language, runtime = await runtimes.get(job.language, job.version)
    code, options = _prepare(core, job, language)
    options["tenant"] = owner.tenant
    owner.use_bytes(sum(map(len, options.get("files", {}).values())))
    output: dict[str, list[str]] = {"run": [], "compile": []}
    async with core.run(owner, wire="piston", language=language.language) as run:
        async with core.engine.stream(language.language, code, **options) as execution:
            async for chunk in execution:
                stage = "compile" if chunk.stream.startswith("compile") else "run"
                output[stage].append(chunk.text)
            result = await execution.result()
        run.end(result)
    compiled = None
    if language.compile is not None:
        compiled = _compile_stage(result, "".join(output["compile"]))
    if result.outcome in {"compile_error", "dependency_error"}:
        # The run stage is the compiler's then, for older clients, as Piston has it.
        ran = _compile_stage(result, "".join(output["compile"]))
    else:
        ran = _run_stage(result, "".join(output["run"]))
    return Answer(language=runtime.language, version=runtime.version, run=ran, compile=compiled)


def _compile_stage(result: ExecutionResult, output: str) -> Stage:
    refused = result.outcome in {"compile_error", "dependency_error"}
    return Stage(
        stdout=result.compile_stdout or result.dependency_stdout,
        stderr=result.compile_stderr or result.dependency_stderr,
        output=output,
        code=result.exit_code if refused else 0,
        signal=_name_of(result.signal) if refused else None,
        wall_time=result.compile_time * 1000,
    )


_STATUS = {"timeout": ("TO", "Time limit exceeded"), "output_limit": ("OL", "output length exceeded")}


def _run_stage(result: ExecutionResult, output: str) -> Stage:
    status, message = _STATUS.get(result.outcome, (None, None))
    code: int | None = result.exit_code
    name = _name_of(result.signal)
    if status is not None:
        code, name = None, "SIGKILL"
    elif result.signal:
        code, status, message = None, "SG", f"Caught fatal signal {result.signal}"
    elif result.exit_code:
        status, message = "RE", f"Exited with error status {result.exit_code}"
    if result.outcome == "oom":
        message = "Memory limit exceeded"
    return Stage(
        stdout=result.stdout,
        stderr=result.stderr,
        output=output,
        code=code,
        signal=name,
        message=message,
        status=status,
        cpu_time=result.cpu_time * 1000,
        wall_time=result.execution_time * 1000,
        memory=result.peak_memory,
    )


def _name_of(number: int | None) -> str | None:
    if not number:
        return None
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"


class _Closed(Exception):
    """The connection is to be closed with a code of Piston's."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class _Connection:
    """A websocket: one program, whose output is sent as it comes, and whose input comes while it runs."""

    def __init__(self, core: Core, runtimes: Runtimes, owner: Owner, websocket: WebSocket) -> None:
        self._core = core
        self._runtimes = runtimes
        self._owner = owner
        self._websocket = websocket
        self._end = _Closed(4999, "Job Completed")

    async def serve(self) -> None:
        """Serve the connection to its end."""
        await self._websocket.accept()
        end = self._end
        try:
            await self._run()
            end = self._end
        except _Closed as closed:
            end = closed
        except WebSocketDisconnect:
            return
        except InterpreterToolsError as error:
            await self._send(type="error", message=as_server_error(error).text)
            end = _Closed(4002, "Notified Error")
        if self._websocket.application_state is WebSocketState.CONNECTED:
            await self._websocket.close(end.code, end.reason)

    async def _run(self) -> None:
        try:
            async with asyncio.timeout(_INIT_DEADLINE):
                first = await self._receive()
        except TimeoutError:
            raise _Closed(4001, "Initialization Timeout") from None
        if not isinstance(first, _Init):
            raise _Closed(4003, "Not yet initialized")
        language, runtime = await self._runtimes.get(first.language, first.version)
        code, options = _prepare(self._core, first, language)
        options["stdin"] = None
        options["capture"] = False
        options["tenant"] = self._owner.tenant
        async with self._core.run(self._owner, wire="piston", language=language.language) as run:
            await self._send(type="runtime", language=runtime.language, version=runtime.version)
            async with (
                self._core.engine.stream(language.language, code, **options) as execution,
                beside(self._listen(execution)),
            ):
                result = await self._tell(execution, is_compiled=language.compile is not None)
            run.end(result)

    async def _tell(self, execution: Execution, *, is_compiled: bool) -> ExecutionResult:
        """Send the output of a program, and how it ended."""
        stage = "compile" if is_compiled else "run"
        await self._send(type="stage", stage=stage)
        async for chunk in execution:
            kind, _, stream = chunk.stream.rpartition("_")
            if stage == "compile" and not kind:
                await self._send(type="exit", stage=stage, code=0, signal=None)
                stage = "run"
                await self._send(type="stage", stage=stage)
            if stream in {"stdout", "stderr"}:
                for at in range(0, len(chunk.text), _MESSAGE_LIMIT):
                    await self._send(type="data", stream=stream, data=chunk.text[at : at + _MESSAGE_LIMIT])
        result = await execution.result()
        refused = result.outcome in {"compile_error", "dependency_error"}
        if stage == "compile" and not refused:
            await self._send(type="exit", stage=stage, code=0, signal=None)
            stage = "run"
            await self._send(type="stage", stage=stage)
        ended = _compile_stage(result, "") if refused else _run_stage(result, "")
        await self._send(type="exit", stage=stage, code=ended.code, signal=ended.signal)
        return result

    async def _listen(self, execution: Execution) -> None:
        """Take the messages of the client while its program runs; a client that goes away ends it."""
        try:
            while True:
                await self._take(await self._receive(), execution)
        except ExecutionClosed:
            return  # it has ended already
        except _Closed as closed:
            self._end = closed
        except ServerError as error:
            self._end = _Closed(4002, error.message[:100])
        except WebSocketDisconnect:
            pass
        await execution.kill()

    async def _take(self, message: _Init | _Data | _Signal, execution: Execution) -> None:
        match message:
            case _Init():
                raise _Closed(4000, "Already Initialized")
            case _Signal(signal=name) if name in _ENDING:
                await execution.kill()
            case _Signal():
                raise _Closed(4005, "Invalid signal")
            case _Data(stream="stdin", data=data):
                await execution.send_stdin(data.encode("utf-8", "surrogatepass"))
            case _Data():
                raise _Closed(4004, "Can only write to stdin")

    async def _receive(self) -> _Init | _Data | _Signal:
        text = await self._websocket.receive_text()
        try:
            return _decode_message(text)
        except (msgspec.DecodeError, RecursionError) as error:
            raise BadRequest(str(error)) from None

    async def _send(self, **fields: object) -> None:
        try:
            await self._websocket.send_text(_encode(fields).decode())
        except (RuntimeError, OSError) as error:  # Starlette's word for a connection that is closed
            raise WebSocketDisconnect from error
