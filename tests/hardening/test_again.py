"""Commands beside a run, after a run, and a cache that somebody else has written to."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from vibro.cli import run as vibro
from vibro.store.lock import Lock
from vibro.store.viewcache import ARRAY, SEAL, SECRET, ViewCache

from .made import ensemble_run, save_pool


@pytest.mark.parametrize(
    "command", ["report RUN", "threshold RUN --dry-run", "explain RUN x", "label RUN x --as fault"]
)
def test_beside_a_running_first_run_it_is_said_to_run(tmp_path, capsys, command):
    run = tmp_path / "run"
    run.mkdir()
    lock = Lock.acquire(run)
    (run / "stages").mkdir()
    try:
        assert vibro(command.replace("RUN", str(run)).split(" ")) == 7
        assert f"a run is at work in {run}: process {os.getpid()}" in capsys.readouterr().err
    finally:
        lock.release(run)
    assert vibro(command.replace("RUN", str(run)).split(" ")) in (2, 6)


def test_resume_of_a_complete_run_says_so(copy, finished, capsys):
    before = {p: p.read_bytes() for p in copy.rglob("*") if p.is_file()}
    data = finished.parent / "pool.npz"
    assert ensemble_run(data, copy) == 2
    capsys.readouterr()
    line = ["ensemble", "run", str(data), "-o", str(copy), "--resume"]
    assert vibro(line) == 0
    said = capsys.readouterr()
    assert "holds a complete run" in said.err and "vibro" in said.err
    assert vibro([*line, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["records"]["read"] == 80
    assert vibro(["score", str(finished), str(data), "-o", str(copy), "--resume", "--quiet"]) == 0
    assert {p: p.read_bytes() for p in copy.rglob("*") if p.is_file() and p.name != ".vibro.lock"} == {
        p: content for p, content in before.items() if p.name != ".vibro.lock"
    }
    (copy / "scores.csv").write_text("x")
    assert vibro(line) == 6


# --- the cache --------------------------------------------------------------------------------------------------------


def entry(cache: ViewCache, key: str, value: float) -> Path:
    cache.put(key, np.full((8, 4), value, np.float32), {"a": np.ones(2)})
    return cache.folder / key


def test_a_sound_entry_is_used(tmp_path):
    entry(ViewCache(tmp_path / "cache"), "one", 1.0)
    found = ViewCache(tmp_path / "cache").get("one")
    assert found is not None and (found[0] == 1.0).all()
    assert (tmp_path / SECRET).stat().st_mode & 0o777 == 0o600


def test_an_entry_under_another_key_is_not_used(tmp_path):
    cache = ViewCache(tmp_path / "cache")
    shutil.copytree(entry(cache, "one", 1.0), tmp_path / "cache" / "two")
    assert cache.get("two") is None and cache.get("one") is not None


def test_a_forged_entry_is_not_used(tmp_path):
    """Whoever can write the folder but not read the secret makes a whole entry of its own."""
    cache, forger = ViewCache(tmp_path / "cache"), ViewCache(tmp_path / "elsewhere" / "cache")
    target, forged = entry(cache, "one", 1.0), entry(forger, "one", 9.0)
    shutil.rmtree(target)
    shutil.copytree(forged, target)
    assert forger.get("one") is not None and cache.get("one") is None


@pytest.mark.parametrize("places", [(128,), (131, 139), (131, 147)])
def test_flipped_bits_of_a_view_are_noticed(tmp_path, places):
    cache = ViewCache(tmp_path / "cache")
    path = entry(cache, "one", 1.0) / ARRAY
    content = bytearray(path.read_bytes())
    for place in places:
        content[place] ^= 0x80  # the top bits of two words: sums of words would not tell
    path.write_bytes(content)
    assert cache.get("one") is None and not path.exists()


def test_a_secret_that_others_can_read_is_not_used(tmp_path):
    cache = ViewCache(tmp_path / "cache")
    place = entry(cache, "one", 1.0)
    (tmp_path / SECRET).chmod(0o644)
    assert cache.get("one") is None
    entry(cache, "two", 1.0)
    assert not (tmp_path / "cache" / "two").exists() and not (place / SEAL).exists()


def test_a_poisoned_cache_changes_no_score(tmp_path, monkeypatch):
    monkeypatch.setenv("VIBRO_CACHE_DIR", str(tmp_path / "cache"))
    data = save_pool(tmp_path / "pool.npz")
    assert ensemble_run(data, tmp_path / "one") == 0
    poisoned = 0
    for path in (tmp_path / "cache" / "views").glob(f"*/{ARRAY}"):
        x = np.load(path)
        np.save(path, x + np.arange(x.size, dtype=x.dtype).reshape(x.shape))
        poisoned += 1
    assert poisoned
    assert ensemble_run(data, tmp_path / "two") == 0
    assert (tmp_path / "one" / "scores.csv").read_bytes() == (tmp_path / "two" / "scores.csv").read_bytes()
