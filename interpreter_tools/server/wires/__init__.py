"""The wires: for each kind of client the routes that it asks for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, cast

from interpreter_tools._exceptions import ConfigurationError

if TYPE_CHECKING:
    from interpreter_tools.server._wire import Wire

WIRES: tuple[str, ...] = ("e2b", "jupyter", "sandbox-fusion", "piston", "opensandbox")
"""The names of all wires, in the order in which they are asked whose a request is."""


def load_wire(name: str) -> Wire:
    """Return the wire of a name, from the module of that name here.

    Raises:
        ConfigurationError: there is no wire of that name.
    """
    if name not in WIRES:
        raise ConfigurationError("wires", name, "is not a wire", hint=f"known: {', '.join(WIRES)}")
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    return cast("Wire", module.WIRE)
