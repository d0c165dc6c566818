"""TadGAN: a window is normal if a generator can reconstruct it from its code and a critic takes it for real."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vibro import hookimpl
from vibro.api import Detector
from vibro_plugins.deep.detector import LINES
from vibro_plugins.detectors.tadgan.adversarial import Adversarial
from vibro_plugins.detectors.tadgan.settings import TadGanParams


class TadGan(Adversarial):
    """score = alpha z(e) + (1 - alpha) z(|Cx(x) - m| / s), or the product of both.

    Geiger et al., TadGAN (IEEE Big Data 2020, arXiv 2009.07769). Encoder E and generator G against two Wasserstein critics
    with gradient penalty, Cx on windows and Cz on codes:
    min over E, G, max over Cx, Cz of E[Cx(x)] - E[Cx(G(z))] + E[Cz(z)] - E[Cz(E(x))] + cycle |x - G(E(x))|, z ~ N(0, I);
    |.| is the Euclidean length over a whole window. e is the root mean square of x - G(E(x)), by point or of its running
    mean. The critic's value is unusual at either end: m and s are mean and standard deviation of the middle half of the fit
    windows. z(.) is standardised by median and 1.4826 MAD over the fit windows, so that scores are independent of the
    batch. product: p(e) p(c) with p(u) = v + sqrt(v^2 + 1/4), v = (1 + z(u)) / 2: the positive part of 1 + z, smoothed so
    that it has no ties.

    exposure: disturbed copies of records are false windows for Cx, as many as generated ones, and the loss of E and G grows with
    what their error lacks of ``margin`` times that of the rows. A training that tells held-out rows from their copies no better
    than before, beyond its standard error, is undone: the first networks are kept (``epoch`` 0 in the health).

    Values are centred one by one and share one scale per channel. A tenth of the windows is held out: training stops when
    their median error no longer falls, and the best networks are kept. For views whose phase or order is fixed: a vector
    such as ``zerone``, ``cycles``, heart beats; a waveform that starts anywhere cannot be reconstructed from few values.
    """

    name = "tadgan"
    summary = "TadGAN: reconstruction error and critic of a generative adversarial auto-encoder"
    Params = TadGanParams
    view: ClassVar[dict[str, Any]] = LINES
    seconds = 6.0
    test_settings: Mapping[str, Any] = {
        "latent": 8,
        "width": 4,
        "batch": 10,
        "epochs": 1,
        "lr": 0.01,
        "critic_steps": 1,
    }

    def fit(self, x: NDArray[np.float32], y: NDArray[np.int16] | None = None) -> None:
        """Learns from vectors (n, values) or sequences and records (n, channels, length); ``y`` is ignored."""
        self._learn(x)


@hookimpl
def register_detectors(register: Callable[[type[Detector]], None]) -> None:
    """Offers ``tadgan``."""
    register(TadGan)
