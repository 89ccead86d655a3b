"""A request on the way to be complete: files of archives, and packages that an app, a script or imports ask for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from interpreter_tools._config.paths import WORKSPACE
from interpreter_tools._dependencies.wanted import (
    Packages,
    correct,
    imported_packages,
    known_only,
    needed_system_packages,
)
from interpreter_tools._languages.imports import grammar_of
from interpreter_tools._languages.magics import read_calls, read_installs
from interpreter_tools._languages.manifests import HEADER, Declared, app_packages, python_is_met, script_header
from interpreter_tools._languages.specifiers import add_packages, merge, normalise

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from interpreter_tools._dependencies.inventory import Inventory
    from interpreter_tools._dependencies.wanted import Read
    from interpreter_tools._languages import DependencyPlan
    from interpreter_tools._runtime.request import RunRequest
    from interpreter_tools._runtime.runtime import Runtime

_OF_A_LANGUAGE = ("pip", "npm")


async def complete(
    request: RunRequest, runtime: Runtime, *, elsewhere: Callable[[str], Awaitable[bytes | None]] | None = None
) -> RunRequest:
    """Return a request with the files of its archives, and with all packages that its code needs.

    Args:
        request: the request, as its caller gave it.
        runtime: reads the files of mounts.
        elsewhere: reads a file that neither the run brings nor a mount shows; None where there is no such place.

    Raises:
        ConfigurationError: an archive or a list of packages cannot be used.
    """
    container, files = request.options.container, request.files
    if any(mount.kind == "zip" for mount in container.mounts):
        from interpreter_tools._runtime.archive import with_archives  # noqa: PLC0415 - few runs have an archive

        files = await asyncio.to_thread(
            with_archives, container.mounts, files, limit=container.workspace_bytes, field="container.mounts"
        )
    if not looks_for_packages(request):
        return request if files is request.files else msgspec.structs.replace(request, files=files)

    async def read(path: str) -> bytes | None:
        found = await runtime.read_given(container, files, path)
        return found if found is not None or elsewhere is None else await elsewhere(path)

    packages, notes = await find_packages(request, runtime, read)
    prepared = request.prepared
    prepared.dependencies, prepared.system_dependencies, prepared.notes = packages.own, packages.system, notes
    return msgspec.structs.replace(request, files=files, packages=packages)


def looks_for_packages(request: RunRequest) -> bool:
    """Return True when the packages of a run must be looked for; most runs have none."""
    plan = request.language.dependencies
    if plan is None:
        return False
    return bool(
        request.packages.own
        or request.options.run_app is not None
        or (request.options.auto_dependencies and plan.inventory)
        or _has_header(request, plan)
    )


def _has_header(request: RunRequest, plan: DependencyPlan) -> bool:
    return plan.kind == "pip" and request.code is not None and HEADER in request.code


async def find_packages(
    request: RunRequest, runtime: Runtime, read: Read, *, is_cell: bool = False
) -> tuple[Packages, tuple[str, ...]]:
    """Return all the packages that a run needs, and what was decided about them.

    Args:
        request: the run.
        runtime: knows the images.
        read: reads files that the program will see.
        is_cell: True for a cell of a context, which may install packages by a line of its own.

    Raises:
        ConfigurationError: a list of packages cannot be used.
        InterpreterToolsError: the image cannot be asked for what it has.
    """
    plan, options = request.language.dependencies, request.options
    assert plan is not None
    kind = plan.kind

    async def inventory() -> Inventory:
        return await runtime.inventory(request.language, options)

    own, notes = request.packages.own, list[str]()
    if plan.inventory:
        own, changed = await correct(kind, own, inventory)
        notes.extend(changed)
    declared = await _declared(request, read, hosts=runtime.installs.allowed_hosts, is_cell=is_cell)
    notes.extend(declared.notes)
    own = add_packages(kind, own, declared.packages, field=declared.field)
    if declared.python and plan.inventory and not python_is_met(declared.python, (found := await inventory()).version):
        notes.append(f"{declared.field} asks for Python {declared.python}; the image has {found.version}")
    system = request.packages.system
    if kind in _OF_A_LANGUAGE and plan.inventory:
        if options.auto_dependencies:
            path, code = await _program(request, read)
            if code is not None and grammar_of(path) is not None:
                called = read_calls(kind, code.decode("utf-8", "replace"))
                named, changed = await correct(kind, called.packages, inventory)
                known, unknown = known_only(kind, named, how=called.field)
                own = add_packages(kind, own, known, field=called.field)
                notes.extend((*changed, *unknown))
                imported, refused = await imported_packages(
                    kind, await inventory(), read, path=path, code=code, asked=own
                )
                own = merge([*own, *imported])
                notes.extend(refused)
        if options.system_dependencies is None or system:
            needed, said = await needed_system_packages(kind, own, inventory)
            system = normalise("system", [*system, *needed], field="system_dependencies")
            notes.extend(said)
    return Packages(own=own, system=system), tuple(notes)


async def _declared(request: RunRequest, read: Read, *, hosts: frozenset[str], is_cell: bool) -> Declared:
    """Return the packages that a list beside the program, or the program's own text, asks for by name."""
    plan, options = request.language.dependencies, request.options
    assert plan is not None
    if options.run_app is not None:
        return await app_packages(request.language, options.run_app, read, hosts=hosts)
    if options.auto_dependencies is False:
        return Declared()
    if is_cell:
        return read_installs(plan.kind, (request.code or b"").decode(), hosts=hosts)
    return script_header(request.code or b"", hosts=hosts) if _has_header(request, plan) else Declared()


async def _program(request: RunRequest, read: Read) -> tuple[str, bytes | None]:
    """Return the path and the contents of the program, whose imports are read."""
    app = request.options.run_app
    if app is not None:
        return app.path, await read(app.path)
    return f"{WORKSPACE}/{request.language.code_filename}", request.code
