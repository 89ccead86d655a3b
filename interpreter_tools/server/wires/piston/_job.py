"""A job of Piston's clients: the program that is to be run, checked."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Literal

import msgspec

from interpreter_tools.server._errors import BadRequest
from interpreter_tools.server._run_limits import compile_timeout, memory_limit, run_timeout

if TYPE_CHECKING:
    from interpreter_tools._config.options import RunOptions
    from interpreter_tools._languages import LanguageConfig
    from interpreter_tools.server._core import Core

_FILES_LIMIT = 1000


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


def prepare(core: Core, job: Job, language: LanguageConfig) -> tuple[bytes, RunOptions]:
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
        asked: float | None = getattr(job, f"{stage}_timeout")
        if asked is not None and asked < 0:
            raise BadRequest(f"{stage}_timeout must be non-negative")
        if asked is not None and most is not None and asked > most * 1000:
            raise BadRequest(f"{stage}_timeout cannot exceed the configured limit of {most * 1000:g}")
    files: dict[str, str | bytes] = {}
    for number, file in enumerate(job.files):
        name = file.name or f"file{number}.code"
        if file is not main or (file.name and name != language.code_filename):
            files[name] = file.data()
    wanted = (job.compile_timeout or 0) / 1000 or config.compile_timeout
    options: RunOptions = {
        "compile_timeout": compile_timeout(core, wanted, field="compile_timeout"),
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
