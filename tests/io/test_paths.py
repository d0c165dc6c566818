"""Where settings, cache and the registry overlay are looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from vibro.io import paths


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    for name in ("VIBRO_REGISTRY", "VIBRO_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def test_folders_follow_the_customs_of_the_system_and_are_not_made(tmp_path):
    assert paths.config_folder() == tmp_path / "config" / "vibro"
    assert paths.cache_folder() == tmp_path / "cache" / "vibro"
    assert list(tmp_path.iterdir()) == []


def test_cache_folder_can_be_named(tmp_path, monkeypatch):
    monkeypatch.setenv("VIBRO_CACHE_DIR", str(tmp_path / "mine"))
    assert paths.cache_folder() == tmp_path / "mine"


def test_overlay_order(tmp_path, monkeypatch):
    assert paths.find_overlay() is None
    own = paths.user_registry()
    own.parent.mkdir(parents=True)
    own.write_text("")
    assert paths.find_overlay() == own
    here = Path("registry.toml")
    here.write_text("")
    assert paths.find_overlay() == here
    assert paths.find_overlay(base=tmp_path / "registry.toml") == own  # the packaged one is no overlay of itself
    monkeypatch.setenv("VIBRO_REGISTRY", str(tmp_path / "missing.toml"))
    assert paths.find_overlay() == tmp_path / "missing.toml"  # named, so its absence must be said by its reader
    assert paths.find_overlay(Path("option.toml")) == Path("option.toml")
