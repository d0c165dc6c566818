"""registry.toml promises what the code registers, and lists every plugin that lies in the tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from vibro.host.manager import PluginHost
from vibro.host.registry import find_base, read_registry

ROOT = Path(__file__).parents[2]
ENTRIES = read_registry().plugins


@pytest.fixture(scope="module")
def host():
    return PluginHost.create(autoload=False, environ={})


@pytest.mark.parametrize("name", ENTRIES)
def test_provides_equals_what_is_registered(host, name):
    registered = {f"{cls.kind}:{cls.name}" for cls in host.load(name)}
    assert registered == set(ENTRIES[name].provides)


def test_every_plugin_module_is_listed():
    base = ROOT / "plugins"
    listed = {entry.module for entry in ENTRIES.values()}
    found = set()
    for path in (base / "vibro_plugins").rglob("*.py"):
        if "@hookimpl" in path.read_text(encoding="utf-8"):
            parts = path.relative_to(base).with_suffix("").parts
            found.add(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    assert found == listed


def test_a_plugin_lies_in_the_folder_of_what_it_provides():
    for entry in ENTRIES.values():
        folders = {f"{item.partition(':')[0]}s" for item in entry.provides}
        assert folders == {entry.module.split(".")[1]}


def test_every_ensemble_can_be_planned(host):
    from vibro.core.planning import make_plan

    registry = read_registry()
    for name in registry.ensembles:
        make_plan(host, name, registry.ensemble(name))


def test_the_registry_is_found_in_the_checkout():
    assert find_base() == ROOT / "registry.toml"
