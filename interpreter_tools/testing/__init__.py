r"""Tests without Docker, for what uses an engine.

``ScriptedEngine`` is an ``ExecutionEngine`` whose programs are played by a function of the test::

    from interpreter_tools.testing import Answer, Program, ScriptedEngine

    def script(program: Program) -> Answer:
        return Answer(stdout="42\n") if "6 * 7" in program.code else Answer(stderr="?", exit_code=1)

    async with ScriptedEngine(script) as engine:
        result = await engine.run("python", "print(6 * 7)")
        assert result.stdout == "42\n"

Pools, sessions, time limits, streams and errors are the real ones. ``engine.docker`` is the scripted Docker engine: a
test can make it wait, fail, or lose a container.
"""

from interpreter_tools.testing.docker import Answer, Program, ScriptedContainer, ScriptedDocker, ScriptedEngine

__all__ = ["Answer", "Program", "ScriptedContainer", "ScriptedDocker", "ScriptedEngine"]
