"""The cache of views: same content, same array; anything else is computed again."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vibro.api import FeatureExtractor, ViewKey
from vibro.context import Context
from vibro.core.views import CHUNK_BYTES, ViewStore, let_go
from vibro.data import make_batch
from vibro.store.viewcache import ViewCache

KEY = ViewKey("centred")


class Centred(FeatureExtractor):
    name = "centred"
    work = 0

    def fit(self, inputs):
        self.mean = inputs["raw"].mean(axis=(0, 1), dtype=np.float64)

    def transform(self, inputs):
        type(self).work += 1
        return (inputs["raw"][:, 0] - self.mean).astype(np.float32)

    def state(self):
        return {"mean": self.mean}

    def load_state(self, state):
        self.mean = state["mean"]


@pytest.fixture
def batch():
    return make_batch(np.random.default_rng(0).standard_normal((40, 16)), fs=10.0)


@pytest.fixture
def view(tmp_path):
    def compute(batch, rows=20, states=None, cache=None):
        Centred.work = 0
        extractor = Centred.make({}, Context())
        fit_rows = None if states else np.arange(rows)
        cache = cache or ViewCache(tmp_path / "cache")
        store = ViewStore(batch, {KEY: extractor}, {KEY: 1}, fit_rows=fit_rows, states=states, cache=cache)
        array = np.array(store.get(KEY))
        store.release(KEY)
        return array, store.states[KEY], Centred.work

    return compute


def test_the_second_run_computes_nothing(view, batch, tmp_path):
    first, state, work = view(batch)
    again, same, none = view(batch)
    assert work == 1 and none == 0
    assert first.tobytes() == again.tobytes() and state["mean"].tobytes() == same["mean"].tobytes()
    assert len(list((tmp_path / "cache").iterdir())) == 1  # releasing a view leaves its entry


@pytest.mark.parametrize("change", ["sample", "fs", "rows", "order", "state"])
def test_whatever_decides_the_array_is_in_its_name(view, batch, change):
    view(batch)
    how = {}
    if change == "sample":
        x = batch.x.copy()
        x[3, 0, 5] += 1
        batch = make_batch(x, fs=10.0)
    elif change == "fs":
        batch = replace(batch, fs=20.0)
    elif change == "rows":
        how["rows"] = 21
    elif change == "order":
        batch = batch.take(np.arange(40)[::-1])
    else:
        how["states"] = {KEY: {"mean": np.zeros(16)}}
    assert view(batch, **how)[2] == 1


@pytest.mark.parametrize("name", ["view.npy", "state.safetensors", "sha256"])
@pytest.mark.parametrize("harm", ["flip", "cut", "gone"])
def test_a_damaged_entry_is_computed_again(view, batch, tmp_path, name, harm):
    first, _, _ = view(batch)
    path = next((tmp_path / "cache").iterdir()) / name
    content = bytearray(path.read_bytes())
    if harm == "flip":
        content[-3] ^= 1
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(bytes(content[: -1 if harm == "cut" else None]))
    again, _, work = view(batch)
    assert work == 1 and again.tobytes() == first.tobytes()


class Doubled(FeatureExtractor):
    name = "doubled"

    @classmethod
    def inputs(cls, params):
        return ("centred",)

    def transform(self, inputs):
        return 2 * inputs["centred"]


def test_a_cached_view_brings_the_states_of_those_below_it(batch, tmp_path):
    top = ViewKey("doubled")
    cache = ViewCache(tmp_path / "cache")

    def run():
        extractors = {KEY: Centred.make({}, Context()), top: Doubled.make({}, Context())}
        store = ViewStore(batch, extractors, {KEY: 1, top: 1}, fit_rows=np.arange(20), cache=cache)
        return np.array(store.get(top)), store.states[KEY]["mean"]

    first, mean = run()
    again, same = run()
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(mean, same)


def test_the_oldest_entries_make_room(view, batch, tmp_path):
    cache = ViewCache(tmp_path / "small", limit=3 * 40 * 16 * 4)
    for rows in (10, 20, 30, 40):
        view(batch, rows=rows, cache=cache)
    kept = list((tmp_path / "small").iterdir())
    assert 0 < len(kept) < 4
    assert view(batch, rows=40, cache=cache)[2] == 0


def test_unfinished_entries_are_not_left(view, batch, tmp_path, monkeypatch):
    def interrupted(folder):
        raise KeyboardInterrupt

    torn = tmp_path / "cache" / ".tmp-1-dead"
    torn.mkdir(parents=True)
    os.utime(torn, (0, 0))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("vibro.store.viewcache.sync_tree", interrupted)
        view(batch)
    assert [e.name for e in (tmp_path / "cache").iterdir()] == [".tmp-1-dead"]
    view(batch)
    assert not torn.exists()


def test_nothing_is_kept_on_a_disk_that_is_nearly_full(view, batch, tmp_path, monkeypatch):
    monkeypatch.setattr("vibro.store.viewcache.SPARE", 1 << 60)
    view(batch)
    assert not (tmp_path / "cache").exists()


def test_a_folder_that_cannot_be_written_costs_the_cache_only(view, batch, tmp_path):
    (tmp_path / "file").write_text("")
    assert view(batch, cache=ViewCache(tmp_path / "file" / "below"))[2] == 1


@pytest.mark.parametrize("harm", ["a page is zero", "two pages are swapped", "a bit is flipped"])
def test_no_damage_passes_the_checksum(tmp_path, harm):
    cache = ViewCache(tmp_path)
    array = np.random.default_rng(0).standard_normal((300, 4096)).astype(np.float32)
    cache.put("k", array, {})
    assert cache.get("k")[0].tobytes() == array.tobytes()
    path = tmp_path / "k" / "view.npy"
    content = bytearray(path.read_bytes())
    if harm == "a page is zero":
        content[8192:12288] = bytes(4096)
    elif harm == "two pages are swapped":
        content[8192:12288], content[1 << 21 : (1 << 21) + 4096] = (
            content[1 << 21 : (1 << 21) + 4096],
            content[8192:12288],
        )
    else:
        content[3_000_001] ^= 16
    path.write_bytes(content)
    assert cache.get("k") is None and not path.exists()


def resident_files() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("RssFile")).split()[1])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the memory of a process is told by /proc")
def test_pages_that_are_let_go_leave_the_process_and_keep_their_content(tmp_path):
    size = 32 << 20
    array = np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.float32, (size // 4,))
    array[:] = 3
    held = resident_files()
    let_go(array[5:])
    assert resident_files() < held - size // 2
    assert (array == 3).all()
    array.flush()
    private = np.load(tmp_path / "a.npy", mmap_mode="c")
    private[:] = 4
    let_go(private, np.ones(3, np.float32))
    assert (private == 4).all() and (np.load(tmp_path / "a.npy") == 3).all()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the memory of a process is told by /proc")
def test_a_view_of_a_large_batch_holds_only_the_chunk_at_work(tmp_path):
    rows, length = 1024, 16384
    np.save(tmp_path / "x.npy", np.zeros((rows, 1, length), np.float32))
    index = make_batch(np.arange(rows)[:, None], fs=10.0)
    batch = replace(index, x=np.load(tmp_path / "x.npy", mmap_mode="r"))
    held: list[int] = []

    class Watched(Centred):
        def transform(self, inputs):
            found = inputs["raw"].sum(axis=2)
            held.append(resident_files())
            return found

    before = resident_files()
    store = ViewStore(batch, {KEY: Watched.make({}, Context())}, {KEY: 1}, states={KEY: {"mean": np.zeros(1)}})
    store.get(KEY)
    assert len(held) == 8 and max(held) - before < 3 * CHUNK_BYTES


def test_the_code_of_a_view_covers_its_package_vibro_and_the_libraries(monkeypatch):
    from vibro.core import views

    def code():
        views.code_of.cache_clear()
        return views.code_of(PluginLike)

    class PluginLike:
        pass

    before = code()
    assert before == code()
    for name, changed in (("_sources", lambda package: f"other {package}"), ("_versions", lambda: "numpy 0")):
        with monkeypatch.context() as patch:
            patch.setattr(views, name, changed)
            assert code() != before
    views.code_of.cache_clear()
    assert "numpy " in views._versions() and len(views._sources("vibro")) == 64
