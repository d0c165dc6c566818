"""A classifier with its view: what it is made of, how it is fitted on some rows, and what a model keeps of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.api import Classifier, Params, State, ViewKey, settings_of, view_key, without_use
from vibro.context import Context
from vibro.core.plan import PlannedView
from vibro.core.planning import item_of, plan_view
from vibro.core.view_graph import items_agree
from vibro.core.views import ViewStore
from vibro.data import SignalBatch
from vibro.errors import ConfigError, ContractError, NotApplicableError, StateError
from vibro.host.manager import PluginHost
from vibro.io.paths import cache_folder
from vibro.scoring.holdout import balanced
from vibro.store.viewcache import ViewCache

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Recipe:
    """A classifier with its settings and the view that it reads; ``names`` of the detectors whose z it also gets; ``begin``:
    the state of the detector that it starts from, whose id is ``origin``."""

    cls: type[Classifier]
    params: Params
    view: ViewKey
    planned: Mapping[ViewKey, PlannedView]
    readers: Mapping[ViewKey, int]
    names: tuple[str, ...]
    begin: State | None = None
    origin: str = ""

    @property
    def table(self) -> dict[str, Any]:
        """The recipe as JSON holds it."""
        view = {"use": self.view.name, **self.view.settings}
        return {"use": self.cls.name, "view": view, **settings_of(self.params)}


def make_recipe(host: PluginHost, table: Mapping[str, Any], detectors: tuple[str, ...]) -> Recipe:
    """The recipe of a table with ``use``, settings and, where it is not the classifier's own, ``view``."""
    name = str(table["use"])
    cls = host.component("classifier", name)
    assert issubclass(cls, Classifier)
    view = view_key(table.get("view", cls.view))
    planned, readers = plan_view(host, f"classifier {name}", view)
    if not items_agree(given := item_of(host, view), cls.item):
        raise ConfigError(f"classifier {name} takes items '{cls.item}', but view {view} gives '{given}'")
    settings = {key: value for key, value in without_use(table).items() if key != "view"}
    params = cls.make(settings, Context(), where=f"classifier.{name}").params
    return Recipe(cls, params, view, planned, readers, detectors if cls.scores else ())


def start_recipe(
    host: PluginHost,
    table: Mapping[str, Any],
    detectors: Sequence[Mapping[str, Any]],
    states: Mapping[str, State],
) -> tuple[Recipe, str]:
    """The recipe of a table, begun from a fitted detector where the classifier can take one over; what to say of that.

    ``detectors``: the resolved rows of the ensemble; ``states`` of those that a model holds, by id.
    """
    plain = make_recipe(host, table, tuple(states))
    if not plain.cls.starts_from:
        return plain, ""
    for name in plain.cls.starts_from:
        for row in (row for row in detectors if row["use"] == name and row["id"] in states):
            begun = make_recipe(host, {**table, "view": row["view"]}, tuple(states))
            try:
                begun.cls(begun.params, Context()).start(states[row["id"]])
            except NotApplicableError:
                continue
            return replace(begun, begin=states[row["id"]], origin=row["id"]), ""
    known = ", ".join(plain.cls.starts_from)
    return plain, f"the run holds no {known} that {plain.cls.name} can start from: it starts from random weights"


@dataclass(frozen=True)
class Rows:
    """What a classifier reads of n records: ``x`` (n, *item) float32, and what the extractors of its view have learned."""

    x: NDArray[np.float32]
    states: Mapping[ViewKey, State]


def read_rows(
    host: PluginHost,
    recipe: Recipe,
    batch: SignalBatch,
    z: Floats,
    ctx: Context,
    folder: Path,
    sound: NDArray[np.bool_] | None = None,
    states: Mapping[ViewKey, State] | None = None,
) -> Rows:
    """The rows of a batch, and of z (n, d) where the classifier takes scores: 0, the usual score, where there is none.

    Extractors learn from the ``sound`` records (n,), unless ``states`` hold what they know: where many are faulty, a
    baseline of all of them would hide what faults change.
    """
    ctx = replace(ctx, fs=batch.fs)
    store = ViewStore(
        batch,
        {key: v.cls(v.params, ctx.child(str(key))) for key, v in recipe.planned.items()},
        recipe.readers,
        fit_rows=None if sound is None else np.flatnonzero(sound),
        states=states,
        folder=folder,
        cache=ViewCache(cache_folder() / "views"),
        emit=host.emit,
    )
    x = store.get(recipe.view)
    if recipe.cls.scores:
        if x.ndim != 2:
            raise ConfigError(f"classifier {recipe.cls.name} takes scores beside a vector view, not {recipe.view}")
        x = np.hstack([x, np.where(np.isfinite(z), z, 0.0).astype(np.float32)])
    return Rows(x, {key: store.states[key] for key in recipe.planned if key in store.states})


@dataclass(frozen=True)
class Student:
    """A fitted classifier; ``present``: the classes that it has seen, in the order of its columns."""

    classifier: Classifier
    present: NDArray[np.intp]
    classes: int

    def predict(self, x: NDArray[np.float32]) -> Floats:
        """(n, classes) probabilities; 0 for a class of which it saw no member (trap T32)."""
        found = np.asarray(self.classifier.predict_proba(x), np.float64)
        if found.shape != (len(x), len(self.present)) or not np.isfinite(found).all():
            name, shape = self.classifier.name, found.shape
            raise ContractError(f"{name}.predict_proba gave {shape} for {len(x)} rows of {len(self.present)} classes")
        p = np.zeros((len(x), self.classes))
        p[:, self.present] = found
        return p


def fit_student(
    recipe: Recipe, ctx: Context, x: NDArray[np.float32], y: NDArray[np.int16], weight: Floats, classes: int
) -> Student:
    """Fits on the rows of positive weight, classes balanced; those of ``classes`` that have none get no probability."""
    weight = np.where(y >= 0, weight, 0.0)
    present = np.unique(y[weight > 0]).astype(np.intp)
    column = np.zeros(classes, np.int16)
    column[present] = np.arange(len(present))
    classifier = recipe.cls(recipe.params, replace(ctx, names=recipe.names))
    if recipe.begin is not None:
        classifier.start(recipe.begin)
    classifier.fit(x, np.where(y >= 0, column[y], 0).astype(np.int16), balanced(y, weight, classes))
    return Student(classifier, present, classes)


def student_of(recipe: Recipe, ctx: Context, state: State, present: NDArray[np.intp], classes: int) -> Student:
    """The student that a model keeps."""
    classifier = recipe.cls(recipe.params, replace(ctx, names=recipe.names))
    try:
        classifier.load_state(state)
    except KeyError as error:
        raise StateError(f"the model's classifier lacks {error}", hint="take a fresh copy of the model") from None
    return Student(classifier, present.astype(np.intp), classes)
