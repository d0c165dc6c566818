"""Views: fitted on fit rows, checked, spilled, released, and held in memory a chunk at a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vibro.api import FeatureExtractor, ViewKey
from vibro.context import Context
from vibro.core.view_work import check_view
from vibro.core.views import CHUNK_BYTES, ViewStore, let_go
from vibro.data import make_batch
from vibro.errors import ContractError, NotApplicableError


@pytest.mark.parametrize(
    "values",
    [
        np.zeros((3, 2)),
        np.zeros(3, np.float32),
        np.zeros((2, 2), np.float32),
        np.array([[0, 0], [np.nan, 0], [0, 0]], np.float32),
        np.full((3, 1), np.inf, np.float32),
        [1.0],
    ],
)
def test_the_guard_refuses_bad_views(values):
    with pytest.raises(ContractError):
        check_view(values, 3, "v")


class Doubler(FeatureExtractor):
    name = "doubler"
    fitted_on = 0

    def fit(self, inputs):
        type(self).fitted_on = len(inputs["raw"])
        self.mean = inputs["raw"].mean(dtype=np.float64)

    def transform(self, inputs):
        return (2 * inputs["raw"][:, 0, :]).astype(np.float32)

    def state(self):
        return {"mean": np.asarray(self.mean)}

    def load_state(self, state):
        self.mean = float(state["mean"])


def test_the_store_fits_on_fit_rows_spills_to_disk_and_releases(tmp_path):
    key = ViewKey("doubler")
    batch = make_batch(np.random.default_rng(0).standard_normal((50, 40)), fs=1.0)
    store = ViewStore(
        batch, {key: Doubler.make({}, Context())}, {key: 2}, fit_rows=np.arange(30), memory=0, folder=tmp_path
    )
    array = store.get(key)
    assert Doubler.fitted_on == 30
    assert isinstance(array, np.memmap) and not array.flags.writeable
    np.testing.assert_array_equal(array, 2 * batch.x[:, 0])
    assert store.get(key) is array
    store.release(key)
    assert len(list(tmp_path.iterdir())) == 1
    store.release(key)
    assert list(tmp_path.iterdir()) == []


def test_a_large_fit_is_thinned_evenly_over_sensors(monkeypatch):
    monkeypatch.setattr("vibro.core.views.FIT_BYTES", 100 * 40 * 4)
    key = ViewKey("doubler")
    sensor = ["a"] * 300 + ["b"] * 100
    batch = make_batch(np.random.default_rng(0).standard_normal((400, 40)), fs=1.0, sensor=sensor)
    store = ViewStore(batch, {key: Doubler.make({}, Context())}, {key: 1}, fit_rows=np.arange(400))
    store.get(key)
    assert Doubler.fitted_on == 100


class Sensors(Doubler):
    name = "sensors"

    @classmethod
    def inputs(cls, params):
        return ("raw", "sensor")

    def fit(self, inputs):
        type(self).given = {name: a[:, 0].tolist() for name, a in inputs.items() if name != "raw"}
        super().fit(inputs)


def test_groups_of_like_sensors_reach_fits_that_see_sensors_and_no_other():
    batch = make_batch(np.random.default_rng(0).standard_normal((6, 8)), fs=1.0, sensor=["a", "b", "c"] * 2)
    alike, plain, mine = np.array([3, -1, 3], np.int32), ViewKey("doubler"), ViewKey("sensors")
    digests = []
    for groups in (None, alike):
        extractors = {plain: Doubler.make({}, Context()), mine: Sensors.make({}, Context())}
        store = ViewStore(batch, extractors, {plain: 1, mine: 1}, fit_rows=np.arange(6), alike=groups)
        digests.append((store.digest(plain), store.digest(mine)))
        store.get(mine)
        assert Sensors.given == {"sensor": [0, 1, 2] * 2} | ({} if groups is None else {"group": [3, -1, 3] * 2})
    assert digests[0][0] == digests[1][0] and digests[0][1] != digests[1][1]


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

    class Watched(Doubler):
        def transform(self, inputs):
            found = inputs["raw"].sum(axis=2)
            held.append(resident_files())
            return found

    before = resident_files()
    key = ViewKey("doubler")
    store = ViewStore(batch, {key: Watched.make({}, Context())}, {key: 1}, states={key: {"mean": np.zeros(())}})
    store.get(key)
    assert len(held) == 8 and max(held) - before < 3 * CHUNK_BYTES


class Beside(FeatureExtractor):
    """Each record's mean less that of all records of its instant; NaN where it is alone."""

    name = "beside"
    chunks: list[list[float]] = []

    @classmethod
    def inputs(cls, params):
        return ("raw", "instant")

    def fit(self, inputs):
        type(self).fitted = inputs["instant"][:, 0]

    def transform(self, inputs):
        of, mean = inputs["instant"][:, 0], inputs["raw"][:, 0].mean(axis=1)
        self.chunks.append(np.unique(of).tolist())
        out = np.full((len(of), 2), np.nan, np.float32)
        for number in np.unique(of[of >= 0]):
            mine = of == number
            if mine.sum() > 1:
                out[mine] = (mean[mine] - mean[mine].mean())[:, None]
        return out


def instants_of_three(n=300):
    """Three sensors at common instants, a record missing at one, in no order of time."""
    rng = np.random.default_rng(0)
    rows = rng.permutation(n)
    rows = rows[rows != 7]
    time = np.datetime64("2026-01-01", "ns") + (rows // 3) * np.timedelta64(1, "h") + rows % 3 * np.timedelta64(20, "s")
    sensor = [f"s{i}" for i in rows % 3]
    return make_batch(rng.standard_normal((n - 1, 40)), fs=1.0, sensor=sensor, machine=["m"] * (n - 1), time=time)


def beside(batch, **options):
    key = ViewKey("beside")
    Beside.chunks.clear()
    return ViewStore(batch, {key: Beside.make({}, Context())}, {key: 1}, **options), key


def test_a_view_of_instants_gets_them_whole_whatever_the_chunks(monkeypatch):
    batch = instants_of_three()
    store, key = beside(batch)
    whole = store.get(key)
    assert len(Beside.chunks) == 1
    monkeypatch.setattr("vibro.core.views.CHUNK_BYTES", 10 * (40 + 1) * 4)
    store, key = beside(batch)
    np.testing.assert_array_equal(store.get(key), whole)
    seen = [number for chunk in Beside.chunks for number in chunk]
    assert len(Beside.chunks) > 10 and len(seen) == len(set(seen)) == 100


def test_records_without_an_instant_are_in_none_and_may_be_nan():
    batch = instants_of_three()
    batch.quality[5] = 2  # invalid data
    store, key = beside(replace(batch, time=np.where(np.arange(len(batch)) == 9, np.datetime64("NaT"), batch.time)))
    assert np.flatnonzero(np.isnan(store.get(key)[:, 0])).tolist() == [5, 9]
    with pytest.raises(ContractError, match="not finite"):
        check_view(np.array([[np.nan, 0.0]], np.float32), 1, "v")


def test_a_large_fit_on_instants_is_thinned_by_whole_instants(monkeypatch):
    monkeypatch.setattr("vibro.core.views.FIT_BYTES", 100 * (40 + 1) * 4)
    batch = instants_of_three()
    store, key = beside(batch, fit_rows=np.arange(len(batch)))
    store.get(key)
    numbers, count = np.unique(Beside.fitted, return_counts=True)
    assert 90 <= len(Beside.fitted) <= 100 and len(numbers) > 25 and (count >= 2).all()


def test_the_name_of_a_cached_view_of_instants_changes_with_them():
    batch = instants_of_three()
    later = replace(batch, time=batch.time + np.where(batch.sensor == 0, 2, 0) * np.timedelta64(1, "h"))
    names = {(lambda s: s[0].digest(s[1]))(beside(b, fit_rows=np.arange(9))) for b in (batch, later)}
    assert len(names) == 2 and "" not in names


class Some(Doubler):
    """The records of sensor 0; NaN for all others."""

    name = "some"

    @classmethod
    def inputs(cls, params):
        return ("raw", "sensor")

    def transform(self, inputs):
        return np.where(inputs["sensor"] == 0, inputs["raw"][:, 0], np.nan).astype(np.float32)


class Centred(Doubler):
    """Both columns less their means over the fit rows; would be NaN throughout if it saw one NaN."""

    name = "centred"

    @classmethod
    def inputs(cls, params):
        return ("raw", "some")

    def fit(self, inputs):
        self.mean = inputs["some"].mean(dtype=np.float64)

    def transform(self, inputs):
        assert np.isfinite(inputs["some"]).all()
        return np.concatenate([inputs["raw"][:, 0], inputs["some"] - self.mean], axis=1).astype(np.float32)


def test_a_view_of_one_that_lacks_rows_is_fitted_on_the_others_and_lacks_them_too(monkeypatch):
    rng, keys = np.random.default_rng(0), (ViewKey("some"), ViewKey("centred"))
    extractors = {key: cls.make({}, Context()) for key, cls in zip(keys, (Some, Centred), strict=True)}

    def centred(sensor):
        batch = make_batch(rng.standard_normal((40, 20)) + 5, fs=1.0, sensor=sensor)
        return batch, ViewStore(batch, extractors, dict.fromkeys(keys, 2), fit_rows=np.arange(40)).get(keys[1])

    batch, found = centred(["a", "b"] * 20)
    own = batch.x[::2, 0]
    np.testing.assert_allclose(found[::2], np.concatenate([own, own - own.mean()], axis=1), rtol=1e-5, atol=1e-5)
    assert np.isnan(found[1::2]).all()
    monkeypatch.setattr(Some, "transform", lambda self, inputs: np.full((len(inputs["raw"]), 2), np.nan, np.float32))
    with pytest.raises(NotApplicableError, match="no record to fit on has a value of some"):
        centred(["a"] * 40)
