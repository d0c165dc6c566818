"""The order of views and the items they give."""

from __future__ import annotations

import pytest

from vibro.api import ViewKey
from vibro.core.view_graph import items_agree, order_views
from vibro.errors import ConfigError


def test_cycles_of_views_are_refused_by_name():
    a, b = ViewKey("a"), ViewKey("b")
    with pytest.raises(ConfigError, match="a -> b -> a"):
        order_views([a], lambda key: (b,) if key == a else (a,))


@pytest.mark.parametrize(
    ("given", "wanted", "agree"),
    [
        ("3 h w", "c h w", True),
        ("f", "3 h w", False),
        ("1200", "f", True),
        ("3 h w", "1 h w", False),
        ("...", "2", True),
    ],
)
def test_item_patterns(given, wanted, agree):
    assert items_agree(given, wanted) is agree
