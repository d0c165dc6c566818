"""The student: it learns what its own teacher says, from nothing of the other members, and judges no row that it was taught."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vibro.api import Context, Disturbed, NotApplicableError
from vibro.benchmark.metrics import roc_auc
from vibro.core.planning import make_plan
from vibro.core.task import ArrayRef, FitTask
from vibro.core.worker import fit_task
from vibro.host.manager import PluginHost
from vibro_plugins.deep.encoder import Departures
from vibro_plugins.detectors import student as module
from vibro_plugins.detectors.student import Student, teacher


def pool(n=300, odd=0.1, seed=0):
    """Rows (n, 140) that vary together along five directions, a share of them raised in a band, and which these are."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 5)) @ np.random.default_rng(9).normal(size=(5, 140)) + rng.normal(size=(n, 140))
    y = (np.arange(n) % 10 < 10 * odd).astype(np.int16)
    x[y == 1, 30:60] += rng.uniform(3, 6, (y.sum(), 1))
    return x.astype(np.float32), y


def copies(x, seed=1):
    """One copy of each row, a random half of its levels raised."""
    rng = np.random.default_rng(seed)
    raised = rng.uniform(1, 4, (len(x), 1)) * (rng.random(x.shape) < 0.5)
    return Disturbed((x + raised).astype(np.float32), np.arange(len(x)))


def fitted(x, ctx=None, **settings):
    detector = Student.make(settings, ctx or Context(disturbed=copies(x)))
    detector.fit(x)
    return detector


def test_it_ranks_new_rows_as_its_teacher_would_and_untrained_it_does_not():
    x, _ = pool()
    new, y = pool(200, 0.2, seed=5)
    student, untrained = fitted(x), fitted(x, steps=0)
    assert roc_auc(y, student.score(new)) > 0.9
    assert student.health()["failed"] == 0 and student.health()["learned"] > 0.6
    assert untrained.health()["learned"] < student.health()["learned"] - 0.02


def test_a_fit_without_faults_teaches_it_too_by_disturbed_copies():
    x, _ = pool(odd=0)
    new, y = pool(200, 0.2, seed=5)
    assert roc_auc(y, fitted(x).score(new)) > 0.8


def test_it_learns_without_copies_where_none_can_be_made():
    x, y = pool()
    student = fitted(x, Context())
    assert roc_auc(y, student.score(x)) > 0.8


def test_the_teacher_judges_each_row_as_if_it_had_been_left_out():
    x, y = pool()
    x[7] = pool(1, 0, seed=77)[0] + 20.0
    seen = Departures.fit(x)
    both = np.concatenate([seen.apply(x), seen.shown(copies(x).x, np.arange(len(x)))])
    told, of_copies = np.split(teacher(both, len(x)), 2)
    assert told[7] == told.max() and roc_auc(y, told) > 0.8 and np.median(of_copies) > np.median(told)
    others, _ = pool(seed=5)
    new = np.split(teacher(np.concatenate([seen.apply(x), seen.apply(others)]), len(x)), 2)[1]
    assert abs(np.median(new) - np.median(told)) < 0.3 * np.std(told)  # new rows of the same kind score alike


def test_copies_of_rows_that_are_held_out_are_not_taught(monkeypatch):
    taught = []
    monkeypatch.setattr(
        module, "as_tensor", lambda x, device: taught.append(x) or module.torch.tensor(x.astype(np.float32))
    )
    x, _ = pool()
    marked = copies(x)
    holdout, _ = module.split(len(x), Context(), Context().rng())
    student = Student.make({"steps": 40}, Context(disturbed=marked))
    shown = []
    monkeypatch.setattr(
        Student, "_predicted", lambda self, net, part: shown.append(part) or np.arange(float(len(part)))
    )
    student.fit(x)
    steps = np.concatenate([part for part in taught if part.ndim == 4])
    judged = {row.tobytes() for row in shown[0]}
    assert len(shown[0]) == 2 * len(holdout) and len(steps) == 40 * 128
    assert not judged & {row.tobytes() for row in steps}


def test_a_row_is_scored_by_a_student_and_a_teacher_that_have_not_seen_it():
    assert Student.cross_fit and not Student.own_held_out

    def held_out(x):
        fold, one = (np.arange(len(x)) % 5).astype(np.int8), Student.make({"steps": 40, "hidden": (16, 8)}, Context())
        task = FitTask("s", Student, one.params, Context(), ArrayRef(x), np.arange(len(x)), fold, Student.cross_fit)
        return fit_task(task).reference[fold == 0]

    x, _ = pool()
    other = x.copy()
    other[0] += 20.0  # of fold 0
    same, changed = held_out(x), held_out(other)
    assert changed[0] > same.max() and np.array_equal(changed[1:], same[1:])


def test_other_rows_than_profiles_are_refused_and_no_shipped_ensemble_has_it_but_any_can():
    with pytest.raises(NotApplicableError, match="profiles of 140 values"):
        fitted(np.zeros((300, 12), np.float32), Context())
    host = PluginHost.create(autoload=False)
    for name in ("quick", "default", "full", "reference"):
        assert all(row["use"] != "student" for row in host.registry.ensemble(name)["detectors"])
    quick = host.registry.ensemble("quick")
    plan = make_plan(host, "mine", {**quick, "detectors": [*quick["detectors"], {"use": "student"}]})
    assert plan.detectors[-1].id == "student" and str(plan.detectors[-1].view) == "per_sensor(of=profile)"
    assert replace(plan.detectors[-1].params, steps=5).steps == 5
