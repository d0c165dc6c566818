"""Deep SVDD: a network that maps normal records close to one point; the distance from it is the score."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vibro import hookimpl
from vibro.api import Detector, NotApplicableError
from vibro_plugins.deep.detector import LEAST_ROWS
from vibro_plugins.deep.images import PICTURE
from vibro_plugins.detectors.deep_svdd.exposed import Exposed
from vibro_plugins.detectors.deep_svdd.one_class import OneClass
from vibro_plugins.detectors.deep_svdd.settings import DeepSadParams, DeepSvddParams


class DeepSvdd(OneClass, Exposed):
    """score = |phi(x) - c|, phi a convolutional network without biases and normalisation, c the mean of its initial codes.

    Ruff et al., Deep One-Class Classification (ICML 2018). one_class: mean d^2. soft: R^2 + mean max(0, d^2 - R^2) / nu,
    R the (1 - nu) quantile of d over the rows trained on, updated once an epoch. phi is initialised as the encoder of an
    auto-encoder; no coordinate of c is nearer to 0 than 0.1. The last epoch's weights are used: the lowest loss would be
    that of the most collapsed network. Rows are trimmed, so that anomalies are not learned: at first those of the largest
    norm, from the third epoch on those farthest from c, chosen again every third epoch. Pixels are standardised one by one
    over the fit rows. A vector is read in three channels (``Channels``): its values, the same whitened, and what its nearest
    sound records leave unexplained.

    exposure (hypersphere classification, Ruff et al., arXiv 2006.00339): mean h(d) over the rows, minus mean log(1 - exp(-h(d)))
    over disturbed copies of them and broad examples, with h(d) = sqrt(d^2 + 1) - 1. It cannot collapse, so that it needs no
    auto-encoder before it. A training that tells held-out rows from their copies no better than before, beyond its standard
    error, is undone: the first weights are kept (``epoch`` 0 in the health). ``heads`` small networks side by side depend less
    on the weights that they start from than one.
    """

    name = "deep_svdd"
    summary = "Deep SVDD: distance from the centre of a network without biases"
    Params = DeepSvddParams
    view: ClassVar[dict[str, Any]] = PICTURE
    item = "..."
    min_rows = 24  # with exposure a record has many examples
    seconds = 10.0
    test_settings: ClassVar[dict[str, Any]] = {
        "objective": "exposure",
        "width": 8,
        "code": 16,
        "epochs": 4,
        "lr": 0.003,
    }

    def fit(self, x: NDArray[np.float32], y: NDArray[np.int16] | None = None) -> None:
        """Learns from images (n, c, h, w) or, with exposure, from vectors (n, d) too; ``y`` is ignored."""
        if self.params.objective == "exposure":
            self._learn_exposed(x)
        else:
            self._learn(x, np.zeros(len(x), np.float32))


class DeepSad(DeepSvdd):
    """Deep SVDD that also uses labelled rows: mean over all rows of d^2, or eta d^2 if normal, eta / d^2 if anomalous.

    Ruff et al., Deep Semi-Supervised Anomaly Detection (ICLR 2020). Labels: 1 anomalous, 0 normal, -1 unknown.
    """

    name = "deep_sad"
    summary = "Deep SVDD that is pushed away from records labelled as anomalous"
    Params = DeepSadParams
    needs_labels = True
    item = "c h w"
    test_settings: ClassVar[dict[str, Any]] = {
        "width": 4,
        "code": 16,
        "pretrain": 1,
        "epochs": 3,
        "lr": 0.003,
        "eta": 0.01,
    }

    def fit(self, x: NDArray[np.float32], y: NDArray[np.int16] | None = None) -> None:
        """Learns from images (n, c, h, w) and labels (n,), at least one of them 1 and 20 of them not."""
        if y is None or not np.any(np.asarray(y) == 1):
            raise NotApplicableError("no fit row is labelled as anomalous; deep_svdd needs no labels")
        others = int(np.count_nonzero(np.asarray(y) != 1))
        if others < LEAST_ROWS:
            raise NotApplicableError(f"{others} fit rows are not labelled as anomalous; a centre needs {LEAST_ROWS}")
        self._learn(x, np.select([np.asarray(y) == 1, np.asarray(y) == 0], [-1, 1], 0).astype(np.float32))

    def _loss(self, squared: Tensor, sign: Tensor) -> Tensor:
        """Objective of the rows without a label and term of the labelled ones, weighted by their numbers."""
        known = sign != 0
        loss = (self.params.eta * (squared[known] + 1e-6) ** sign[known]).sum() / len(sign)
        if not bool(known.all()):
            loss = loss + super()._loss(squared[~known], sign[~known]) * ((~known).sum() / len(sign))
        return loss


@hookimpl
def register_detectors(register: Callable[[type[Detector]], None]) -> None:
    """Offers ``deep_svdd`` and ``deep_sad``."""
    register(DeepSvdd)
    register(DeepSad)
