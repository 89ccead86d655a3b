"""The tool's JSON schema, as models are shown it."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, TypeAlias, cast

import msgspec

from interpreter_tools.tool._arguments import ToolArguments

if TYPE_CHECKING:
    from collections.abc import Sequence

JsonObject: TypeAlias = dict[str, object]

_REFERENCES, _COMPONENTS = msgspec.json.schema_components([ToolArguments])
_SCHEMA = cast("JsonObject", _COMPONENTS["ToolArguments"])


def arguments_schema(
    languages: Sequence[str], *, timeout: float | None, dependencies: bool = True, strict: bool = False
) -> JsonObject:
    """The schema of the tool's arguments, a new object each time.

    Args:
        languages: what ``language`` can be.
        timeout: the most seconds that ``timeout`` can be.
        dependencies: whether packages can be asked for.
        strict: as OpenAI's structured outputs want it: every field is required, what is optional may be null, and
            nothing is said that their grammar does not know.
    """
    schema = copy.deepcopy(_SCHEMA)
    properties = cast("dict[str, JsonObject]", schema["properties"])
    properties["language"]["enum"] = list(languages)
    if timeout is not None:
        limit = f"Seconds the program may run, at most {timeout:g}; null means {timeout:g}."
        properties["timeout"]["description"] = limit
    if not dependencies:
        del properties["dependencies"]
    if strict:
        for field in properties.values():
            field.pop("default", None)
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties) if strict else schema["required"],
        "additionalProperties": False,
    }
