"""A Python executor for smolagents, which keeps variables: ``CodeAgent(..., executor=SandboxExecutor())``."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import PIL.Image
from smolagents import AgentLogger
from smolagents.local_python_executor import CodeOutput
from smolagents.remote_executors import RemotePythonExecutor
from smolagents.utils import AgentError

from interpreter_tools.blocking import Engine

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from interpreter_tools._config.display import DisplayResult
    from interpreter_tools._config.host_tools import ToolLike

_SHOWN = ("chart", "table", "html", "javascript", "json", "latex", "markdown", "pdf", "svg", "text")


class SandboxExecutor(RemotePythonExecutor):
    """The code of an agent, in a live Python in a sandbox.

    It speaks smolagents' own protocol: ``send_tools`` defines the agent's tools in the sandbox, ``send_variables`` its
    state, and ``final_answer`` ends the agent. What the code displays last is the output of a step; a picture is one
    of PIL's. Packages of tools come through the dependency store, so the sandbox needs no network.

    Args:
        engine: the engine; None makes one, which ends with ``cleanup``.
        additional_imports: packages that the code may use.
        timeout: seconds that a step may take; None means the engine's limit.
        host_tools: functions of this process that the code may call: ``import tools; tools.search("x")``. The agent's
            own tools run in the sandbox instead.
        logger: the agent's logger.
        allow_pickle: see smolagents.

    Raises:
        InterpreterToolsError: the engine or the sandbox cannot be started.
    """

    def __init__(
        self,
        engine: Engine | None = None,
        *,
        additional_imports: Sequence[str] = (),
        timeout: float | None = None,
        host_tools: Sequence[ToolLike] = (),
        logger: AgentLogger | None = None,
        allow_pickle: bool = False,
    ) -> None:
        super().__init__(list(additional_imports), logger or AgentLogger(), allow_pickle)
        used = engine or Engine()
        self._own = None if engine is not None else used
        self._options: dict[str, Any] = {} if timeout is None else {"timeout": timeout}
        try:
            self._context = used.context(
                "python", dependencies=list(additional_imports), auto_dependencies=True, tools=tuple(host_tools)
            )
            self._context.__enter__()
        except BaseException:
            if self._own is not None:
                self._own.close()
            raise
        self.installed_packages = list(additional_imports)

    def run_code_raise_errors(self, code: str) -> CodeOutput:
        """Run a step. Return its value and what it printed.

        Raises:
            AgentError: the code failed, or reached a limit; the agent's model is told.
        """
        result = self._context.run(code, **self._options)
        logs = result.stdout
        error = result.error
        if error is not None and error.name == self.FINAL_ANSWER_EXCEPTION:
            return CodeOutput(
                output=self._deserialize_final_answer(error.value, self.allow_pickle), logs=logs, is_final_answer=True
            )
        if error is not None:
            raise AgentError(f"{logs}\nExecuting code yielded an error:\n{error.traceback}", self.logger)
        if result.outcome != "ok":
            said = "\n".join((result.stderr, result.dependency_stderr, *result.notes)).strip()
            raise AgentError(f"{logs}\nThe code ended with {result.outcome}:\n{said}", self.logger)
        main = [each for each in result.results if each.is_main_result]
        return CodeOutput(output=_output(main[-1]) if main else None, logs=logs, is_final_answer=False)

    def install_packages(self, additional_imports: list[str]) -> list[str]:
        """Install packages that tools need."""
        if additional_imports:
            result = self._context.run("", dependencies=additional_imports)
            if result.outcome == "dependency_error":
                raise AgentError(f"packages cannot be installed:\n{result.dependency_stderr}", self.logger)
        return additional_imports

    def cleanup(self) -> None:
        """End the sandbox, and the engine that was made for it. Idempotent."""
        self._context.close()
        if self._own is not None:
            self._own.close()


def _output(result: DisplayResult) -> object:
    for picture in (result.jpeg, result.png):
        if picture is not None:
            return PIL.Image.open(io.BytesIO(picture))
    shown: Mapping[str, object] = {name: getattr(result, name) for name in _SHOWN}
    return next((value for value in shown.values() if value is not None), None)
