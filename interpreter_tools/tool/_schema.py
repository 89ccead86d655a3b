"""The tool's JSON schema, as models see it."""

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
    """Return the schema of the tool's arguments, a new object each time.

    Args:
        languages: the values of ``language``.
        timeout: the largest value of ``timeout``, in seconds.
        dependencies: True when packages can be asked for.
        strict: True for OpenAI's structured outputs: every field is required, optional ones may be null, and keywords
            that their grammar does not know are left out.
    """
    schema = copy.deepcopy(_SCHEMA)
    properties = cast("dict[str, JsonObject]", schema["properties"])
    properties["language"]["enum"] = list(languages)
    if timeout is not None:
        limit = f"Seconds the program may run, at most {timeout:g}; null means {timeout:g}."
        properties["timeout"]["description"] = limit
    if not dependencies:
        del properties["dependencies"], properties["system_dependencies"]
    if strict:
        for field in properties.values():
            field.pop("default", None)
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties) if strict else schema["required"],
        "additionalProperties": False,
    }
