"""JSON as its standard has it: no duplicate key, no NaN or Infinity, no nesting deeper than 32."""

from __future__ import annotations

import json
from typing import Any

from vibro_plugins.readers.text.numbers import Constant

MAX_DEPTH = 32


class BadJson(ValueError):
    """Text that is no strict JSON: Q002, or Q003 for a duplicate key; ``position`` in characters, -1 = not known."""

    def __init__(self, code: str, detail: str, position: int = -1) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.position = position


def parse(text: str) -> Any:
    """The value of a JSON text; NaN and infinities come as ``Constant`` for the caller to refuse where they stand."""
    try:
        try:
            value = _DECODER.decode(text)
        except json.JSONDecodeError:
            raise
        except BadJson:
            raise
        except ValueError:  # an integer of more than 4,300 digits
            value = json.loads(text, object_pairs_hook=_unique, parse_constant=Constant, parse_int=float)
    except json.JSONDecodeError as error:
        raise BadJson("Q002", f"{error.msg} at character {error.pos}", error.pos) from None
    except RecursionError:
        raise BadJson("Q002", f"nesting deeper than {MAX_DEPTH}") from None
    if text.count("[") + text.count("{") > MAX_DEPTH and _deeper(value, MAX_DEPTH):
        raise BadJson("Q002", f"nesting deeper than {MAX_DEPTH}")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise BadJson("Q003", f"key {key[:40]!r} stands twice")
            seen.add(key)
    return table


def _deeper(value: Any, limit: int) -> bool:
    """Whether lists and objects nest deeper than the limit; level by level, so that nothing recurses."""
    level = [value]
    for _ in range(limit):
        level = [
            item
            for node in level
            if isinstance(node, dict | list)
            for item in (node.values() if isinstance(node, dict) else node)
            if isinstance(item, dict | list)
        ]
        if not level:
            return False
    return True


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=Constant)
