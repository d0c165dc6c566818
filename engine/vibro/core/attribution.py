"""What in a record makes each detector's score, as far as detectors say, and where in time and frequency it lies."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vibro.api import Detector, Extent, ViewKey
from vibro.context import Context
from vibro.core.fitted import FittedEnsemble
from vibro.core.plan import survivors_of
from vibro.core.view_graph import ROOTS, inputs_of
from vibro.core.views import ViewStore
from vibro.core.worker import has_view, said
from vibro.data import SignalBatch, check_schema
from vibro.errors import ContractError, NotApplicableError
from vibro.scoring.instants import instant_numbers


@dataclass(frozen=True)
class Attribution:
    """What each value of a view adds to a detector's score: ``values`` (n, *item), NaN for a record without that view.

    ``extent``: where the values lie, as far as the view says.
    """

    detector: str
    values: NDArray[np.float64]
    extent: Extent


def attributions(fitted: FittedEnsemble, batch: SignalBatch) -> tuple[list[Attribution], list[str]]:
    """Of each detector that says so, in the order of the ensemble; and why others that should could not.

    The model's own frozen state is asked, on the CPU; IncompatibleModelError for records of another kind.
    """
    check_schema(fitted.schema, batch)
    batch = batch.with_codes(fitted.schema["sensors"], fitted.schema["covariate_names"])
    ctx = Context(seed=fitted.seed, fs=batch.fs)
    asked = [d.id for d in fitted.plan.detectors if d.cls.attribution is not Detector.attribution]
    plan = survivors_of(fitted.plan, [i for i in asked if i in fitted.states])
    kept = dict.fromkeys(plan.views, len(plan.detectors) + len(plan.views))  # all, for their shapes
    instant = instant_numbers(batch, fitted.schema["periods"])
    store = ViewStore(batch, plan.make_extractors(ctx), kept, states=fitted.views, instant=instant)
    found, failed = [], []
    for d in plan.detectors:
        try:
            x = store.get(d.view)
            detector = d.cls(d.params, ctx.child(d.id))
            detector.load_state(fitted.states[d.id])
            values = attributed(detector, x)
            if values is not None:
                found.append(Attribution(d.id, values, extent_of(d.view, store)))
        except NotApplicableError:
            continue
        except Exception as error:
            failed.append(f"what makes the score of {d.id} cannot be said: {said(error)}")
    return found, failed


def attributed(detector: Detector, x: NDArray[np.float32]) -> NDArray[np.float64] | None:
    """What the detector says of the rows (n, *item) that have a view; ContractError where that has another shape."""
    given = has_view(x)
    if not given.any():
        return None
    values = detector.attribution(x[given])
    if values is None:
        return None
    values = np.asarray(values, np.float64)
    if values.shape != x[given].shape or not np.isfinite(values).all():
        raise ContractError(f"{detector.name}.attribution gave shape {values.shape}, or values not finite")
    out = np.full(x.shape, np.nan)
    out[given] = values
    return out


def extent_of(key: ViewKey, store: ViewStore) -> Extent:
    """Where the values of a view lie, found from those that it is made from; NaN where it does not say.

    ContractError if an extent does not give every value its from and to, in order.
    """
    item = store.get(key).shape[1:]
    extent = Extent(np.full((*item, 2), np.nan), np.full((*item, 2), np.nan))
    if key.name == "raw":
        edges = np.arange(item[-1] + 1) / store.batch.fs
        return replace(extent, seconds=np.broadcast_to(np.stack([edges[:-1], edges[1:]], axis=1), (*item, 2)))
    if key.name in ROOTS:
        return extent
    extractor = store.extractors[key]
    below = inputs_of(type(extractor), extractor.params)
    told = extractor.extent({str(k): extent_of(k, store) for k in below})
    return extent if told is None else checked(told, item, str(key))


def checked(extent: Extent, item: tuple[int, ...], view: str) -> Extent:
    """The guard at the border."""
    for name, ends in (("seconds", extent.seconds), ("hz", extent.hz)):
        if np.shape(ends) != (*item, 2):
            raise ContractError(f"view {view} gave {name} of shape {np.shape(ends)} for rows of {item}")
        ordered = (ends[..., 0] >= 0) & (ends[..., 0] <= ends[..., 1]) & np.isfinite(ends[..., 1])
        if not (ordered | np.isnan(ends).all(axis=-1)).all():
            raise ContractError(f"view {view} gave {name} that do not run from low to high")
    return extent
