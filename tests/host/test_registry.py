"""The registry: ensembles that extend one another, and overlays that replace entries."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vibro.core.planning import make_plan
from vibro.errors import ConfigError
from vibro.host.manager import PluginHost
from vibro.host.registry import read_registry


def test_an_ensemble_extends_another_and_adds_to_it(tmp_path):
    overlay = tmp_path / "registry.toml"
    overlay.write_text(
        "[ensembles.mine]\nextends = 'quick'\nquorum = 0.3\nadd = [{ use = 'lstm_ae' }]\n"
        "[ensembles.yours]\nextends = 'mine'\nadd = [{ use = 'mahalanobis', id = 'again' }]\n"
        "[ensembles.loop]\nextends = 'pool'\n[ensembles.pool]\nextends = 'loop'\n"
        "[ensembles.wrong]\nextends = 'quick'\nadd = 'lstm_ae'\n"
    )
    registry = read_registry(overlay)
    quick, yours = registry.ensemble("quick"), registry.ensemble("yours")
    assert yours["detectors"][:-2] == quick["detectors"]
    assert yours["detectors"][-2:] == [{"use": "lstm_ae"}, {"use": "mahalanobis", "id": "again"}]
    assert (yours["quorum"], yours["fuser"]) == (0.3, quick["fuser"])
    for name, said in (("loop", "extends itself through loop -> pool -> loop"), ("wrong", "a list of detectors")):
        with pytest.raises(ConfigError, match=said):
            registry.ensemble(name)


def test_a_copy_of_the_bundled_registry_is_an_overlay_that_changes_nothing(tmp_path):
    base = read_registry()
    copy = tmp_path / "registry.toml"
    copy.write_bytes(base.base.read_bytes())
    registry = read_registry(copy)
    assert registry.overlay == copy and registry.plugins == base.plugins
    host = PluginHost.create(overlay=copy, autoload=False, environ={})
    for name in base.ensembles:
        assert registry.ensemble(name) == base.ensemble(name)
        make_plan(host, name, host.registry.ensemble(name))


def test_an_entry_of_an_overlay_replaces_the_bundled_one_as_a_whole(tmp_path):
    overlay = tmp_path / "registry.toml"
    overlay.write_text(
        "[ensembles.default]\ndetectors = [{ use = 'rise' }]\n[ensembles.full]\nextends = 'default'\n"
        "[plugins.mains]\nmodule = 'my_mains'\n[plugins.rise]\nmodule = 'vibro_plugins.detectors.rise'\n"
    )
    registry = read_registry(overlay)
    assert registry.ensemble("default") == registry.ensemble("full") == {"detectors": [{"use": "rise"}]}
    mains, rise = registry.plugins["mains"], registry.plugins["rise"]
    assert (mains.module, mains.provides, mains.bundled) == ("my_mains", (), False)
    assert (rise.provides, rise.enabled, rise.bundled) == ((), True, True)


def test_a_plugin_table_without_a_module_only_switches(tmp_path):
    overlay = tmp_path / "registry.toml"
    overlay.write_text("[plugins.rise]\nenabled = false\n")
    assert read_registry(overlay).plugins["rise"] == replace(read_registry().plugins["rise"], enabled=False)
    overlay.write_text("[plugins.rise]\nprovides = ['detector:rise']\n")
    with pytest.raises(ConfigError, match=r"plugins\.rise: a table with provides needs module as well"):
        read_registry(overlay)
