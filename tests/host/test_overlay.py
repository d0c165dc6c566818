"""The user's registry, edited in place."""

from __future__ import annotations

import tomllib

import pytest

from vibro.errors import ConfigError
from vibro.host.overlay import set_enabled

OVERLAY = """# mine
[plugins.pyod_baselines]   # slow here
enabled = true  # for now

# and this
[ensembles.small]
detectors = [ { use = "mahalanobis" } ]
"""


def test_disable_keeps_comments_and_layout(tmp_path):
    path = tmp_path / "registry.toml"
    path.write_text(OVERLAY)
    set_enabled(path, "pyod_baselines", False)
    assert path.read_text() == OVERLAY.replace("enabled = true  #", "enabled = false  #")
    set_enabled(path, "mains", False)
    changed = tomllib.loads(path.read_text())
    assert changed["plugins"] == {"pyod_baselines": {"enabled": False}, "mains": {"enabled": False}}
    for line in ("# mine", "[plugins.pyod_baselines]   # slow here", "# and this", "[ensembles.small]"):
        assert line in path.read_text()


def test_edit_refuses_what_is_no_toml(tmp_path):
    path = tmp_path / "registry.toml"
    path.write_text("[plugins\n")
    with pytest.raises(ConfigError, match="cannot be read"):
        set_enabled(path, "mains", False)
    assert path.read_text() == "[plugins\n"
