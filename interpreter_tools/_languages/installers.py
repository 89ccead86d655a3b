"""The plans by which packages of languages are installed and found."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from interpreter_tools._config.checks import check_environment
from interpreter_tools._exceptions import ConfigurationError

_KINDS = ("pip", "npm", "system", "words")


class DependencyPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The plan by which a language's packages are installed, and its programs find them.

    ``{target}`` stands for the directory that holds the packages: one for each set of packages, shared by all runs that
    ask for the same set, which cannot write there. A command that installs may name ``{final}``, too: the path that the
    directory has for those runs.

    Attributes:
        kind: what a package's specifier may look like: ``"pip"`` (PEP 508 without URLs), ``"npm"`` (a name and a range
            of versions), ``"system"`` (a package of the image's distribution, which becomes an image of its own) or
            ``"words"`` (a name and what the language's own installer takes for a version, such as ``rake:13.0``).
        install: commands that put ``{packages}`` into ``{target}``, alternatives: the first whose program the image has
            is used. ``{packages}`` is a word of its own that becomes a word for each package; ``{packages_file}``
            becomes the path of a file with a line for each. None for ``"system"``.
        warm: a command that brings what ``{packages_file}`` asks for into a cache, which all sets of packages share and
            whose directory is ``{target}``. It is run as a user of its own, so it must run no code of a package. What
            it prints is the variable ``INTERPRETER_TOOLS_CACHE`` of the command that installs.
        keep: a command that takes downloads from ``{temporary}``, the directory ``$TMPDIR`` of an installation that has
            succeeded, into such a cache, as the same user. What it finds there can be the work of a package's code: it
            must check all of it, and run none of it. ``INTERPRETER_TOOLS_CACHE`` is then the cache's own directory.
            Without ``warm`` and ``keep``, everything is downloaded for each set.
        environment: variables that the command is run with.
        paths: variables of a run that list directories: what is put in front of the others.
        inventory: a command that prints, as JSON, what an image has: ``version``, ``standard`` modules, ``modules``,
            ``packages``, whether it ``has_apt``, and which of the libraries and programs that are its further arguments
            it ``has``. Without one, ``auto_dependencies`` cannot be asked for.
        link: a name in the workspace, and where in ``{target}`` a link of that name leads while a run lasts; for
            interpreters that look for packages beside the program only.

    Raises:
        ConfigurationError: a value cannot work.
    """

    kind: Literal["pip", "npm", "system", "words"]
    install: tuple[tuple[str, ...], ...] = ()
    warm: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    paths: dict[str, str] = {}
    inventory: tuple[str, ...] = ()
    link: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            hint = f"known: {', '.join(_KINDS)}"
            raise ConfigurationError("dependencies.kind", self.kind, "is not a kind of packages", hint=hint)
        if (self.kind == "system") == bool(self.install):
            reason = "is not asked for system packages" if self.install else "names no command"
            raise ConfigurationError("dependencies.install", self.install, reason)
        for command in self.install:
            if isinstance(command, str) or not {"{packages}", "{packages_file}"} & set(command):
                reason = "is not a sequence of words with '{packages}' or '{packages_file}' as one of them"
                raise ConfigurationError("dependencies.install", command, reason)
        check_environment(self.environment, field="dependencies.environment")
        check_environment(self.paths, field="dependencies.paths")

    def visible(self, variables: dict[str, str], target: str) -> dict[str, str]:
        """Return the variables of a run that sees the packages in a directory.

        Args:
            variables: those of the run without the packages.
            target: the path of the directory in the container.
        """
        result = dict(variables)
        for name, value in self.paths.items():
            rest = result.get(name)
            result[name] = value.replace("{target}", target) + (f":{rest}" if rest else "")
        return result


_HERE = Path(__file__).parent
_PYTHON_INSTALL = _HERE.joinpath("python", "install.py").read_text("utf-8")
_PYTHON_INVENTORY = _HERE.joinpath("python", "inventory.py").read_text("utf-8")
_NODE_INSTALL = _HERE.joinpath("node", "install.js").read_text("utf-8")
_NODE_INVENTORY = _HERE.joinpath("node", "inventory.js").read_text("utf-8")

PIP = DependencyPlan(
    kind="pip",
    install=(("python3", "-c", _PYTHON_INSTALL, "{target}", "{final}", "{packages_file}"),),
    warm=("python3", "-c", _PYTHON_INSTALL, "--warm", "{target}", "{final}", "{packages_file}"),
    environment={
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        "PYTHONDONTWRITEBYTECODE": "1",  # of what the installer itself imports
    },
    paths={"PYTHONPATH": "{target}/lib/site-packages", "PATH": "{target}/bin"},
    inventory=("python3", "-c", _PYTHON_INVENTORY),
)
"""Python: ``uv`` where the image has it, else ``pip``."""

NPM = DependencyPlan(
    kind="npm",
    install=(("node", "-e", _NODE_INSTALL, "install", "{target}", "{packages}"),),
    keep=("node", "-e", _NODE_INSTALL, "keep", "{target}", "{temporary}"),
    paths={"NODE_PATH": "{target}/node_modules", "PATH": "{target}/node_modules/.bin"},
    inventory=("node", "-e", _NODE_INVENTORY),
    link=("node_modules", "node_modules"),  # `import` knows no NODE_PATH
)
"""JavaScript and TypeScript."""

SYSTEM = DependencyPlan(kind="system")
"""Shells: packages of the distribution."""
