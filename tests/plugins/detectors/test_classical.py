"""Mahalanobis and all of PyOD: sense, independence of rows, state without pickle, refusals."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from vibro.api import ConfigError, Context, NotApplicableError, NotFittedError
from vibro_plugins.detectors.mahalanobis import Mahalanobis
from vibro_plugins.detectors.pyod_models import PyOD

BUNDLED = ["ECOD", "COPOD", "HBOS", "IForest", "KNN", "LOF", "PCA", "MCD", "LODA", "OCSVM", "INNE", "GMM"]
OTHERS = ["KDE", "COF", "ROD", "SOS"]  # SOS and COF need company, ROD re-ranks its batch
FEW_TREES = {"IForest": {"n_estimators": 30}, "INNE": {"n_estimators": 30}}
CASES = ["mahalanobis", *BUNDLED]


def make(case: str, **settings):
    if case == "mahalanobis":
        return Mahalanobis.make(settings, Context(seed=3))
    return PyOD.make({"model": case, "settings": FEW_TREES.get(case, {}), **settings}, Context(seed=3))


@pytest.fixture(scope="module")
def rows():
    """150 normal rows of 24 correlated columns, one of them constant, and 40 others, of which the last 20 are far."""
    rng = np.random.default_rng(0)
    mix = rng.standard_normal((6, 24))
    x = rng.standard_normal((190, 6)) @ mix + 0.3 * rng.standard_normal((190, 24))
    x[170:] += 4 * rng.standard_normal((20, 24))
    x[:, 5] = 2.0
    x = x.astype(np.float32)
    x.setflags(write=False)
    return x


@pytest.fixture(scope="module")
def fitted(rows):
    made = {}

    def get(case):
        if case not in made:
            made[case] = make(case)
            made[case].fit(rows[:150])
        return made[case]

    return get


@pytest.mark.parametrize("case", CASES)
def test_far_rows_score_higher(case, fitted, rows):
    score = fitted(case).score(rows)
    assert score.dtype == np.float64 and score.shape == (190,) and np.isfinite(score).all()
    assert np.mean(score[170:, None] > score[None, 150:170]) > (0.8 if case == "LODA" else 0.9)
    assert case == "INNE" or len(np.unique(score)) >= 0.95 * len(score)  # INNE gives 1 to all outside its spheres


@pytest.mark.parametrize("case", CASES)
def test_traps_25_and_48_a_row_scores_independently_of_the_batch(case, fitted, rows):
    detector = fitted(case)
    whole = detector.score(rows)
    order = np.random.default_rng(1).permutation(len(rows))
    assert np.array_equal(detector.score(rows[order]), whole[order])
    assert np.array_equal(np.concatenate([detector.score(rows[i : i + 70]) for i in range(0, 190, 70)]), whole)
    assert all(detector.score(rows[i : i + 1])[0] == whole[i] for i in (0, 149, 189))
    far = np.concatenate([rows[:4], np.full((400, 24), 1e4, np.float32)])
    assert np.array_equal(detector.score(far)[:4], whole[:4])


@pytest.mark.parametrize("case", OTHERS)
def test_other_models_of_pyod_do_not_depend_on_the_batch(case, rows):
    detector = make(case)
    detector.fit(rows[:150])
    some = rows[[0, 10, 20, 160, 175, 185]]
    whole = detector.score(some)
    assert np.array_equal(detector.score(some[::-1])[::-1], whole)
    assert detector.score(some[1:2])[0] == whole[1]
    assert whole[4:].mean() > whole[:4].mean()


@pytest.mark.parametrize("case", CASES)
def test_state_is_plain_arrays_and_enough(case, fitted, rows):
    state = {name: np.array(array) for name, array in fitted(case).state().items()}
    assert all(array.dtype.kind in "biuf" for array in state.values())
    back = make(case)
    back.load_state(state)
    assert np.array_equal(back.score(rows), fitted(case).score(rows))
    with pytest.raises(NotFittedError):
        make(case).state()
    with pytest.raises(NotFittedError):
        make(case).score(rows)


def test_state_gives_the_same_bytes_in_another_process(fitted, rows, tmp_path):
    cases = ["mahalanobis", "ECOD", "IForest", "LOF", "GMM", "INNE"]
    np.save(tmp_path / "rows.npy", rows)
    for case in cases:
        np.savez(tmp_path / f"{case}.npz", **fitted(case).state())
    code = f"""
import numpy as np, json
from vibro.api import Context
from vibro_plugins.detectors.mahalanobis import Mahalanobis
from vibro_plugins.detectors.pyod_models import PyOD
from vibro_plugins.detectors.rise import Rise
rows = np.load("rows.npy")
out = {{}}
for case in {cases!r}:
    settings = {FEW_TREES!r}.get(case, {{}})
    d = Mahalanobis.make({{}}, Context(seed=3))
    if case != "mahalanobis":
        d = PyOD.make({{"model": case, "settings": settings}}, Context(seed=3))
    d.load_state(dict(np.load(case + ".npz")))
    out[case] = d.score(rows).tobytes().hex()
print(json.dumps(out))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    there = json.loads(done.stdout)
    assert [case for case in cases if there[case] != fitted(case).score(rows).tobytes().hex()] == []


@pytest.mark.parametrize("case", CASES)
def test_global_generators_and_input_stay_as_they_were(case, rows, capfd):
    import torch

    before, torch_before = np.random.get_state()[1].copy(), torch.get_rng_state()
    content = rows.tobytes()
    detector = make(case)
    detector.fit(rows[:150])
    detector.score(rows[:10])
    assert np.array_equal(np.random.get_state()[1], before)
    assert torch.equal(torch.get_rng_state(), torch_before)
    assert rows.tobytes() == content
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("case", CASES)
def test_odd_inputs_have_finite_scores(case, fitted, rows):
    odd = np.zeros((6, 24), np.float32)
    odd[1] = 3e38
    odd[2] = -3e38
    odd[3, ::2] = 1e-40
    odd[4, 0] = 1e30
    odd[5] = rows[0]
    assert np.isfinite(fitted(case).score(odd)).all()


@pytest.mark.parametrize("case", CASES)
def test_nothing_to_learn_from_is_said_in_one_sentence(case, rows):
    with pytest.raises(NotApplicableError, match="constant"):
        make(case).fit(np.full((60, 4), 3.0, np.float32))
    with pytest.raises(NotApplicableError, match="too few"):
        make(case).fit(rows[:3])


@pytest.mark.parametrize("case", CASES)
def test_more_columns_than_rows(case):
    rng = np.random.default_rng(5)
    x = rng.standard_normal((60, 300)).astype(np.float32)
    far = x[:5] + 3 * rng.standard_normal((5, 300)).astype(np.float32)
    detector = make(case)
    detector.fit(x[:50])
    assert np.isfinite(detector.score(x)).all()
    assert np.median(detector.score(far)) > np.median(detector.score(x[50:]))


def test_mahalanobis_is_not_moved_by_anomalies_among_its_fit_rows():
    rng = np.random.default_rng(7)
    x = rng.standard_normal((600, 30)).astype(np.float32)
    shifted = rng.standard_normal((40, 30)).astype(np.float32) + np.r_[np.full(15, 2.5), np.zeros(15)].astype(
        np.float32
    )
    pool = np.concatenate([x, shifted])
    trimmed, plain = make("mahalanobis"), make("mahalanobis", trim=0.0)
    auc = {}
    for name, detector in (("trimmed", trimmed), ("plain", plain)):
        detector.fit(pool)
        score = detector.score(pool)
        auc[name] = np.mean(score[600:, None] > score[None, :600])
    assert auc["trimmed"] > 0.99
    assert auc["trimmed"] > auc["plain"] + 0.05


def test_mahalanobis_finds_the_share_of_anomalies_by_itself():
    rng = np.random.default_rng(9)
    x = rng.standard_normal((500, 20)).astype(np.float32)
    for anomalies in (5, 100):  # far below and far above the trimmed share
        pool = x.copy()
        pool[:anomalies] *= 4
        detector = make("mahalanobis")
        detector.fit(pool)
        score = detector.score(pool)
        assert score[:anomalies].min() > np.quantile(score[anomalies:], 0.99)
        assert len(detector.state()["own.keys"]) > 0.95 * (500 - anomalies)


@pytest.mark.parametrize("name", ["ECOD", "COPOD"])
def test_tails_equal_pyod_on_the_fit_rows(name, fitted, rows):
    from pyod.models.copod import COPOD
    from pyod.models.ecod import ECOD

    detector = fitted(name)
    z = detector._reduce(detector._columns, rows[:150]).astype(np.float64)
    peer = {"ECOD": ECOD, "COPOD": COPOD}[name]().fit(z)
    np.testing.assert_allclose(detector.score(rows[:150]), peer.decision_scores_, rtol=1e-9)


def test_histograms_equal_pyod(fitted, rows):
    from pyod.models.hbos import _calculate_outlier_scores

    detector = fitted("HBOS")
    z = detector._reduce(detector._columns, rows).astype(np.float64)
    made = [np.histogram(column, bins=10, density=True) for column in z[:150].T]
    density, edges = (np.stack(part, axis=1) for part in zip(*made))
    peer = _calculate_outlier_scores.py_func(z, edges, density, 10, 0.1, 0.5)
    np.testing.assert_allclose(detector.score(rows), -peer.sum(axis=1), rtol=1e-9)


def test_neighbours_equal_scikit_learn_and_leave_a_row_out_of_its_own_score(fitted, rows):
    from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors

    knn, lof = fitted("KNN"), fitted("LOF")
    z = knn._reduce(knn._columns, rows).astype(np.float64)
    nearest = NearestNeighbors(n_neighbors=5).fit(z[:150])
    np.testing.assert_allclose(knn.score(rows[150:]), nearest.kneighbors(z[150:])[0][:, -1], rtol=1e-9)
    np.testing.assert_allclose(knn.score(rows[:150]), nearest.kneighbors()[0][:, -1], rtol=1e-9)
    peer = LocalOutlierFactor(n_neighbors=20, novelty=True).fit(z[:150])
    np.testing.assert_allclose(lof.score(rows[150:]), -peer.score_samples(z[150:]), rtol=1e-9)
    np.testing.assert_allclose(lof.score(rows[:150]), -peer.negative_outlier_factor_, rtol=1e-9)


def test_seed_decides_random_models_and_contamination_nothing(rows):
    def score(seed, **settings):
        detector = PyOD.make({"model": "IForest", "settings": settings}, Context(seed=seed))
        detector.fit(rows[:150])
        return detector.score(rows)

    assert np.array_equal(score(1), score(1))
    assert not np.array_equal(score(1), score(2))
    with pytest.raises(ConfigError, match="budgets"):
        score(1, contamination=0.2)


def test_wrong_models_and_settings_are_named(rows):
    for model, words in (
        ("Nonsense", "no detector"),
        ("SUOD", "fusers"),
        ("FeatureBagging", "fusers"),
        ("XGBOD", "labels"),
    ):
        with pytest.raises(ConfigError, match=words):
            make(model).fit(rows)
    with pytest.raises(ConfigError, match=r"unknown setting 'k'.*n_neighbors"):
        make("KNN", settings={"k": 3}).fit(rows)
    with pytest.raises(ConfigError, match="largest, mean, median"):
        make("KNN", settings={"method": "max"}).fit(rows)
    with pytest.raises(ConfigError, match="n_estimators"):
        make("IForest", settings={"trees": 3}).fit(rows)
    with pytest.raises(ConfigError, match="unknown parameter"):
        PyOD.make({"modle": "KNN"}, Context())


def test_leading_axes_on_request(rows):
    detector = make("KNN", pca=4)
    detector.fit(rows[:150])
    assert detector.state()["axes"].shape == (23, 4)
    assert detector.state()["model.rows"].shape == (150, 4)


def pool_of(real, name: str, seed: int, share: float = 0.1):
    """All normal records of a set and so many anomalies that they are ``share`` of the whole, as a standardised view."""
    from vibro_plugins.features.per_sensor import PerSensor
    from vibro_plugins.features.spectrum import Spectrum

    rng = np.random.default_rng(seed)
    data = real(name)
    signals = data["signals"][:, None, :4096].astype(np.float32)
    label, sensor = data["label"].astype(int), np.unique(data["sensor_id"], return_inverse=True)[1]
    normal = rng.permutation(np.flatnonzero(label == 0))[:900]
    some = rng.choice(np.flatnonzero(label == 1), round(share / (1 - share) * len(normal)), replace=False)
    rows = np.concatenate([normal, some])
    ctx = Context(fs=float(data["fs"]) or 1.0)
    spectrum = Spectrum.make({}, ctx).transform({"raw": signals[rows]})
    inputs = {"spectrum": spectrum, "sensor": sensor[rows, None].astype(np.float32)}
    scaled = PerSensor.make({"of": "spectrum"}, ctx)
    scaled.fit(inputs)
    return scaled.transform(inputs), label[rows]


@pytest.mark.parametrize("name", ["ecg5000", "pronostia"])
def test_on_contaminated_pools_trimming_pays(real, name):
    from sklearn.metrics import average_precision_score

    x, y = pool_of(real, name, seed=0)
    precision = {}
    for case, settings in {
        "mahalanobis": {},
        "untrimmed": {"trim": 0.0},
        "ECOD": {},
    }.items():
        detector = make("mahalanobis" if case == "untrimmed" else case, **settings)
        detector.fit(x)
        precision[case] = average_precision_score(y, detector.score(x))
    assert precision["mahalanobis"] > max(0.7, precision["untrimmed"] + 0.05)
    assert precision["mahalanobis"] > precision["ECOD"]


def test_mahalanobis_of_many_rows_is_fitted_on_some_and_says_so(monkeypatch):
    x = np.random.default_rng(5).standard_normal((3000, 6)).astype(np.float32)
    whole = Mahalanobis.make({}, Context())
    whole.fit(x)
    assert whole.health() == {}
    monkeypatch.setattr("vibro_plugins.detectors.mahalanobis.MOST_ROWS", 1000)
    some = Mahalanobis.make({}, Context())
    some.fit(x)
    assert some.health() == {"rows_used": 1000.0} and len(some.state()["own.keys"]) <= 1000
    np.testing.assert_allclose(some.score(x), whole.score(x), rtol=0.25)
    assert np.corrcoef(some.score(x), whole.score(x))[0, 1] > 0.98
