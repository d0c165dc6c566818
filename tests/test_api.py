"""View keys."""

from __future__ import annotations

import pytest

from vibro.api import view_key
from vibro.errors import ConfigError


def test_view_keys_are_canonical():
    a = view_key({"use": "hetero", "size": 64, "of": {"use": "mains"}})
    b = view_key({"of": {"use": "mains"}, "size": 64, "use": "hetero"})
    assert a == b and hash(a) == hash(b)
    assert str(a) == "hetero(of=mains, size=64)"
    with pytest.raises(ConfigError):
        view_key({"size": 3})
