"""Weights from how members agree on the unlabelled reference: mean rank correlation, and the spectral meta-learner."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vibro import hookimpl
from vibro.api import Fuser
from vibro_plugins.fusers.linear_base import Floats, Labels, LinearFuser, normalised, spearman


class Agreement(LinearFuser):
    """w_j ~ max(0, mean rank correlation with the others): an inverted member gets nothing (peers' weighted consensus)."""

    name = "agreement"
    summary = "weights by each member's mean rank correlation with the others"

    def fit(self, z: Floats, y: Labels | None = None, usefulness: Floats | None = None) -> None:
        """Learns the weights on the held-out reference."""
        agreement = spearman(z)
        np.fill_diagonal(agreement, 0.0)
        self._weights = normalised(agreement.sum(axis=1))


class Spectral(LinearFuser):
    """Spectral meta-learner (Parisi, Strino, Nadler and Kluger, PNAS 2014).

    The off-diagonal covariance of members that err independently has rank one, Q_jl = v_j v_l with v_j growing with the
    member's accuracy; v is the leading eigenvector of the rank correlations once their diagonal is fitted to the same model.
    """

    name = "spectral"
    summary = "weights by the leading eigenvector of the members' rank correlations"

    def fit(self, z: Floats, y: Labels | None = None, usefulness: Floats | None = None) -> None:
        """Learns the weights on the held-out reference."""
        q = spearman(z)
        leading = np.ones(len(q))
        np.fill_diagonal(q, 0.0)
        for _ in range(200):
            value, vector = np.linalg.eigh(q)
            fresh = vector[:, -1] * np.sign(vector[:, -1].sum() or 1.0)
            np.fill_diagonal(q, np.minimum(value[-1] * fresh**2, 1.0))
            if np.abs(fresh - leading).max() < 1e-9:
                break
            leading = fresh
        self._weights = normalised(leading)


@hookimpl
def register_fusers(register: Callable[[type[Fuser]], None]) -> None:
    """Registers the fusers."""
    register(Agreement)
    register(Spectral)
