"""The settings of a component in words: type, default, bounds and meaning of each."""

from __future__ import annotations

import dataclasses
import inspect
import re
import textwrap
import tokenize
from collections.abc import Mapping
from io import StringIO
from typing import Any

_BOUNDS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
_TYPES = {"integer": "int", "number": "float", "string": "str", "boolean": "bool", "null": "none", "object": "table"}


def describe_parameters(params: type[Any]) -> list[dict[str, Any]]:
    """One table per setting: ``name, type, default, bounds, doc``, in the order of the class."""
    from pydantic import TypeAdapter

    schema = TypeAdapter(params).json_schema()
    comments, texts = _comments(params), _docstring(params)
    found = []
    for field in dataclasses.fields(params):
        table = _resolved(schema.get("properties", {}).get(field.name, {}), schema)
        default = field.default if field.default is not dataclasses.MISSING else _made(field)
        found.append(
            {
                "name": field.name,
                "type": _type(table, schema),
                "default": default,
                "bounds": _bounds(table, schema),
                "doc": table.get("description") or texts.get(field.name) or comments.get(field.name, ""),
            }
        )
    return found


def _made(field: dataclasses.Field[Any]) -> Any:
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else None


def _resolved(table: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    name = table.get("$ref", "").rpartition("/")[2]
    return schema["$defs"][name] if name else table


def _type(table: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    table = _resolved(table, schema)
    if "enum" in table:
        return "choice"
    if "const" in table:
        return repr(table["const"])
    if "anyOf" in table:
        return " or ".join(_type(item, schema) for item in table["anyOf"])
    if table.get("type") == "array":
        return f"list of {_type(table['items'], schema)}" if isinstance(table.get("items"), dict) else "list"
    return _TYPES.get(str(table.get("type")), "any")


def _bounds(table: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    table = _resolved(table, schema)
    if "enum" in table:
        return " | ".join(map(str, table["enum"]))
    if "anyOf" in table:
        return " or ".join(filter(None, (_bounds(item, schema) for item in table["anyOf"])))
    return ", ".join(f"{sign} {table[key]:g}" for key, sign in _BOUNDS.items() if key in table)


def _docstring(params: type[Any]) -> dict[str, str]:
    """Meanings from docstrings written as "``name``: meaning", those of the classes it extends first."""
    found: dict[str, str] = {}
    for cls in reversed(params.__mro__):
        text = " ".join(inspect.cleandoc(cls.__doc__ or "").split())
        parts = re.split(r"``(\w+)``:\s*", text)
        found |= {n: meaning.strip().rstrip(";,.").strip() for n, meaning in zip(parts[1::2], parts[2::2], strict=True)}
    return found


def _comments(params: type[Any]) -> dict[str, str]:
    """Meanings from the comment that ends a setting's line."""
    try:
        source = textwrap.dedent(inspect.getsource(params))
    except (OSError, TypeError):
        return {}
    found, name = {}, ""
    fresh = True
    for token in tokenize.generate_tokens(StringIO(source).readline):
        if token.type == tokenize.COMMENT and name:
            found[name] = token.string.lstrip("# ").strip()
        elif token.type == tokenize.NAME and fresh:
            name = token.string
        fresh = token.type in (tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.DEDENT)
    known = {field.name for field in dataclasses.fields(params)}
    return {name: text for name, text in found.items() if name in known}
