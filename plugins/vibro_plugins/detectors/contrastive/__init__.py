"""Contrastive learning: an encoder trained to ignore what may change in a normal record, and a head that scores its codes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vibro import hookimpl
from vibro.api import Detector
from vibro_plugins.deep.images import PICTURE
from vibro_plugins.detectors.contrastive.settings import ContrastiveParams
from vibro_plugins.detectors.contrastive.training import Trained


class Contrastive(Trained):
    """score = distance of a record's code from the codes of the fit rows, by the chosen head.

    The encoder learns to recognise a record in an augmented view, among other records and edited copies (shifted instances:
    Tack et al., CSI, NeurIPS 2020), by NT-Xent (Chen et al., SimCLR, ICML 2020) or with a queue of keys (He et al., MoCo,
    CVPR 2020). What an augmentation changes becomes invisible; ``augment`` says what may change. The score uses the
    encoder's output for the unchanged record, without the projection head.

    Instance discrimination spreads normal records over the sphere, so that the distance from their centroid says little:
    mahalanobis measures it in units of their scatter; gmm follows groups of records; knn is the mean distance to the k
    nearest codes. On a view centred for each sensor, as ``per_sensor``, a normal code is short and its direction is noise:
    use the cosine heads for records and images as they are.

    Vectors and records share one kind of encoder, images have another. Values are centred one by one (by channel where
    records start anywhere) and share one scale per channel. A tenth of the rows is held out: training stops when their loss
    no longer falls, and the best weights are kept. After five epochs the rows farthest from their neighbours are trimmed,
    chosen again every fifth epoch.
    """

    name = "contrastive"
    summary = "contrastive encoder with edited records as negatives; distance of its codes"
    Params = ContrastiveParams
    view: ClassVar[dict[str, Any]] = PICTURE
    requires = ("torch", "sklearn")
    seconds = 6.0
    test_settings: ClassVar[dict[str, Any]] = {"width": 4, "code": 16, "epochs": 3, "batch": 16, "lr": 0.005}

    def fit(self, x: NDArray[np.float32], y: NDArray[np.int16] | None = None) -> None:
        """Learns from vectors (n, values), records (n, channels, samples) or images (n, channels, h, w); ``y`` is ignored."""
        self._learn(x)


@hookimpl
def register_detectors(register: Callable[[type[Detector]], None]) -> None:
    """Offers ``contrastive``."""
    register(Contrastive)
