"""From table to plan: every mistake is an error before any work, with its path and the known names."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.api import FeatureExtractor, ViewKey, view_key
from vibro.context import Context, child_seed, resolve_device
from vibro.core.folds import make_rows
from vibro.core.planning import make_plan
from vibro.core.view_graph import items_agree, order_views
from vibro.core.views import ViewStore, check_view
from vibro.data import make_batch
from vibro.errors import ConfigError, ContractError
from vibro.runs.overrides import customise


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "detectors"),
        ({"detectors": []}, "names no detector"),
        ({"detectors": [{"id": "x"}]}, r"detectors\[0\]: needs a 'use'"),
        ({"detectors": [{"use": "distanc"}]}, "no detector named 'distanc'"),
        ({"detectors": [{"use": "distance", "wrong": 1}]}, "unknown parameter"),
        ({"detectors": [{"use": "distance"}, {"use": "distance"}]}, "two detectors have the id 'distance'"),
        ({"detectors": [{"use": "distance"}], "fusser": {}}, "did you mean fuser"),
        ({"detectors": [{"use": "distance"}], "budgets": {"alarm": 0.5, "attention": 0.1}}, "0 < alarm <= attention"),
        ({"detectors": [{"use": "distance"}], "quorum": 2.0}, "quorum"),
        ({"detectors": [{"use": "distance", "view": "levl"}]}, "no feature named 'levl'"),
        ({"detectors": [{"use": "distance", "view": "raw"}]}, "takes items 'f', but view raw gives 'c t'"),
        ({"detectors": [{"use": "distance"}], "calibration": {"method": "magic"}}, "calibration.method"),
    ],
)
def test_a_wrong_table_is_named(host, table, message):
    with pytest.raises(ConfigError, match=message):
        make_plan(host, "mine", {"fuser": {"use": "mean"}, "thresholder": {"use": "plain"}, **table})


def test_a_missing_detector_can_be_allowed(host, ensemble):
    plan = make_plan(host, "mine", ensemble({"use": "distance"}, {"use": "gone"}), allow_missing=True)
    assert [d.id for d in plan.detectors] == ["distance"]
    assert plan.absent[0][0] == "gone" and "no detector named" in plan.absent[0][1]


def test_the_command_line_changes_the_table(host, ensemble):
    table = ensemble({"use": "distance", "id": "d"}, {"use": "bad", "how": "nan"})
    changed = customise(
        host, table, detectors=["bad", "distance"], sets=["bad.how=list", "fuser.use=mean"], budget=0.02
    )
    assert changed["detectors"] == [{"use": "bad", "how": "list"}, {"use": "distance"}]
    assert changed["budgets"] == {"alarm": 0.02, "attention": 0.1}
    assert table["detectors"][1]["how"] == "nan"  # the registry's own table is left alone
    for bad in ("nonsense", "x.y=1", "bad=3"):
        with pytest.raises(ConfigError):
            customise(host, table, sets=[bad])
    with pytest.raises(ConfigError, match="neither a detector of the ensemble"):
        customise(host, table, detectors=["nobody"])


def test_view_keys_are_canonical():
    a = view_key({"use": "hetero", "size": 64, "of": {"use": "mains"}})
    b = view_key({"of": {"use": "mains"}, "size": 64, "use": "hetero"})
    assert a == b and hash(a) == hash(b)
    assert str(a) == "hetero(of=mains, size=64)"
    with pytest.raises(ConfigError):
        view_key({"size": 3})


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


@pytest.mark.parametrize(
    "values",
    [
        np.zeros((3, 2)),
        np.zeros(3, np.float32),
        np.zeros((2, 2), np.float32),
        np.full((3, 1), np.nan, np.float32),
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


def test_child_seeds_follow_the_name_not_the_position():
    assert child_seed(0, "knn") == child_seed(0, "knn")
    assert len({child_seed(seed, name) for seed in range(20) for name in ("a", "b", "c")}) == 60
    assert Context(seed=4).child("a").child("b").seed != Context(seed=4).child("b").child("a").seed


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cuda:99", "tpu"])
def test_a_device_that_is_not_there_is_refused(device):
    with pytest.raises(ConfigError):
        resolve_device(device)


def folds_of(n, **names):
    x = np.random.default_rng(0).standard_normal((n, 8))
    return make_rows(make_batch(x, fs=1.0, **names))


def test_folds_keep_recordings_whole():
    recording = [f"r{i // 10}" for i in range(100)]
    rows = folds_of(100, recording=recording)
    assert "recording" in rows.strategy
    for r in range(10):
        assert len(np.unique(rows.fold[10 * r : 10 * r + 10])) == 1
    assert np.bincount(rows.fold).tolist() == [20] * 5
    # two sensors share twelve recordings, one of them misses the first: still no recording in two folds
    sensor = ["a"] * 36 + ["b"] * 33
    recording = [f"r{i // 3:02d}" for i in range(36)] + [f"r{i // 3:02d}" for i in range(3, 36)]
    rows = folds_of(69, sensor=sensor, recording=recording)
    for name in set(recording):
        assert len({f for f, r in zip(rows.fold, recording, strict=True) if r == name}) == 1


def test_folds_cut_time_into_blocks_and_keep_an_instant_together():
    start = np.datetime64("2026-01-01", "ns")
    rows = folds_of(100, time=start + np.arange(100) * np.timedelta64(60, "s"))
    assert "time block" in rows.strategy
    assert (np.diff(rows.fold) == 0).sum() == 80  # 20 blocks of five neighbours
    assert np.bincount(rows.fold).tolist() == [20] * 5
    sensor = [f"s{i % 4}" for i in range(100)]
    rows = folds_of(100, sensor=sensor, machine=["m"] * 100, time=start + np.arange(100) // 4 * np.timedelta64(60, "s"))
    assert all(len(np.unique(rows.fold[i : i + 4])) == 1 for i in range(0, 100, 4))


@pytest.mark.parametrize(
    "names",
    [
        {"sensor": [f"s{i // 9}" for i in range(1800)]},  # many sensors with few records each, one file
        {"sensor": [f"s{i}" for i in range(1800)], "recording": [f"r{i}" for i in range(1800)]},  # a sensor a file
        {
            "sensor": [f"s{i}" for i in range(1800)],
            "time": ["2026-01-01"] * 1800,
            "machine": ["m"] * 1800,
        },  # one instant
        {"time": ["2026-01-01"] * 1800},
    ],
)
def test_ten_rows_or_more_always_give_five_folds(names):
    for n in (10, 11, 1800):
        rows = folds_of(n, **{key: value[:n] for key, value in names.items()})
        size = np.bincount(rows.fold, minlength=5)
        assert size.min() >= max(1, n // 10), (n, size, rows.strategy)


def test_fewer_than_ten_rows_are_one_fold():
    assert len(np.unique(folds_of(9).fold)) == 1
