"""Which views are made from which, in what order they are computed, and whether their shapes agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from vibro.api import FeatureExtractor, ViewKey, view_key
from vibro.errors import ConfigError

INSTANT = "instant"  # the root by whose numbers an extractor is handed whole instants
ROOTS = ("raw", "covariates", "sensor", INSTANT)


def inputs_of(cls: type[FeatureExtractor], params: Any) -> tuple[ViewKey, ...]:
    """The views that a view is made from."""
    return tuple(view_key(spec) for spec in cls.inputs(params))


def order_views(
    wanted: Sequence[ViewKey], inputs: Callable[[ViewKey], tuple[ViewKey, ...]]
) -> tuple[tuple[ViewKey, ...], Counter[ViewKey]]:
    """Every view needed, inputs first, and how many views read each one; ConfigError names a cycle."""
    order: list[ViewKey] = []
    readers: Counter[ViewKey] = Counter()
    path: list[ViewKey] = []

    def visit(key: ViewKey) -> None:
        if key.name in ROOTS or key in order:
            return
        if key in path or len(path) > 32:
            raise ConfigError(f"views form a cycle: {' -> '.join(map(str, [*path, key]))}")
        path.append(key)
        for below in inputs(key):
            visit(below)
            readers[below] += 1
        path.pop()
        order.append(key)

    for key in wanted:
        visit(key)
    return tuple(order), readers


def items_agree(given: str, wanted: str) -> bool:
    """Whether an item pattern such as ``3 h w`` can be taken where ``c h w`` is wanted; letters stand for any size."""
    if "..." in (given, wanted):
        return True
    a, b = given.split(), wanted.split()
    return len(a) == len(b) and all(p == q or not (p.isdigit() and q.isdigit()) for p, q in zip(a, b, strict=True))
