"""How sure a class is: calibrated probabilities, sets of classes at a stated error, and records unlike anything labelled."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vibro.scoring.marks import Look

FLOOR = 1e-6  # least probability that is told
POWERS = np.exp(np.linspace(np.log(0.1), np.log(10.0), 81))
ROUNDS = 500  # of expectation maximisation at most
SHOWN = 500  # labelled records at most that new ones are compared with
FAR = 0.95  # share of the labelled records whose distance to the nearest other one counts as near

Floats = NDArray[np.float64]
Labels = NDArray[np.int16]


@dataclass(frozen=True)
class Calibrated:
    """(p / taught)^power times the share of each class, scaled to sum to 1: temperature scaling (Guo et al., ICML 2017) of a
    classifier that was taught as if normal records were as frequent as all faults and each type as any other."""

    power: float
    share: Floats

    @classmethod
    def fit(cls, p: Floats, y: Labels, labels: Labels) -> Calibrated:
        """From probabilities (n, classes) and classes (n,) of labelled records that were held out; shares are those of
        all ``labels`` (m,), which may know classes that could not be held out."""
        share = np.maximum(np.bincount(labels, minlength=p.shape[1]) / len(labels), FLOOR)
        rows = np.arange(len(y))
        loss = [-np.log(cls(float(power), share)(p)[rows, y]).mean() for power in POWERS]
        return cls(float(POWERS[int(np.argmin(loss))]), share)

    def among(self, p: Floats) -> Calibrated:
        """With the share of normal records (class 0) among unlabelled ones of these probabilities (n, classes), which labels,
        chosen by people, do not have: expectation maximisation (Saerens et al., Neural Computation 2002).

        Faults share the rest as their labels do: estimated too, the share of one type runs away where types are hard to
        tell apart, and all faults would be called by its name.
        """
        found, types = self, self.share[1:] / self.share[1:].sum()
        for _ in range(ROUNDS):
            normal = found(p)[:, 0].mean()
            share = np.maximum(np.r_[normal, (1 - normal) * types], FLOOR)
            done = np.abs(share - found.share).max() < 1e-6
            found = replace(found, share=share)
            if done:
                break
        return found

    def __call__(self, p: Floats) -> Floats:
        """(n, classes) calibrated."""
        faults = p.shape[1] - 1
        taught = np.r_[0.5, np.full(faults, 0.5 / faults)]  # the shares of ``holdout.balanced``
        q = (np.maximum(p, FLOOR) / taught) ** self.power * self.share
        q = np.maximum(q / q.sum(axis=1, keepdims=True), FLOOR)
        return np.asarray(q / q.sum(axis=1, keepdims=True))


def fault_cut(fault: Floats, faulty: Labels, weight: Floats) -> float:
    """The probability of a fault above which a record is called faulty: where the mean F1 of normal and faulty is best.

    ``fault`` (m,) of labelled records that were held out, ``faulty`` (m,) 1 or 0, ``weight`` (m,) how often their class
    comes every day beside how often it was labelled.
    """
    order = np.argsort(-fault, kind="stable")
    p, y, w = fault[order], faulty[order] > 0, weight[order]
    right, wrong = np.cumsum(w * y), np.cumsum(w * ~y)
    ill, well = right[-1], wrong[-1]
    f1 = right / (right + wrong + ill) + (well - wrong) / (2 * (well - wrong) + (ill - right) + wrong + 1e-12)
    f1[np.r_[np.diff(p) == 0, False]] = -1.0  # equal probabilities are on one side
    best = int(np.argmax(f1))
    below = p[best + 1] if best + 1 < len(p) else 0.0
    return float((p[best] + below) / 2)


def decided(p: Floats, cut: float) -> Labels:
    """(n,) the class of each record by probabilities (n, classes): normal, or, above the cut, the most probable fault."""
    return np.where(1.0 - p[:, 0] > cut, 1 + p[:, 1:].argmax(axis=1), 0).astype(np.int16)


def conformal_cuts(p: Floats, y: Labels, error: float) -> Floats:
    """(classes,) the least probability at which each class belongs to the set, from labelled records that were held out.

    Class by class (Vovk, ACML 2012): of records of a class a share ``error`` or less will not have it in their set. A
    class with fewer than 1 / error - 1 labelled records is in every set.
    """
    cuts = np.zeros(p.shape[1])
    for c in range(p.shape[1]):
        own = np.sort(p[y == c, c])
        rank = int(np.floor(error * (len(own) + 1)))
        cuts[c] = own[rank - 1] if rank >= 1 else 0.0
    return cuts


@dataclass(frozen=True)
class Known:
    """What labelled records look like, and ``near`` (2,), how far, by signature and by z, one usually is from the nearest
    other one that is not of its own group."""

    look: Look
    near: Floats

    @classmethod
    def fit(cls, look: Look, group: NDArray[np.intp]) -> Known:
        """From m labelled records and the group of each."""
        rows = np.unique(np.linspace(0, len(group) - 1, min(SHOWN, len(group))).astype(np.intp))
        look, group = look.take(rows), group[rows]
        apart = _nearest(look, look, group[:, None] == group[None, :])
        finite = [column[np.isfinite(column)] for column in apart.T]
        return cls(look, np.array([np.quantile(c, FAR) if len(c) else np.inf for c in finite]))

    def unlike(self, look: Look) -> NDArray[np.bool_]:
        """(n,) records that are farther from every labelled one, by signature or by z."""
        apart = _nearest(look, self.look)
        return np.asarray((np.isfinite(apart) & (apart > self.near)).any(axis=1))


def _nearest(look: Look, others: Look, barred: NDArray[np.bool_] | None = None) -> Floats:
    """(n, 2) distance to the nearest other record that is not barred (n, m), inf where there is none."""
    nearest = np.full((len(look), 2), np.inf)
    for j in range(len(others)):
        apart = look.apart(others.take(np.full(len(look), j)))
        apart[~np.isfinite(apart)] = np.inf
        if barred is not None:
            apart[barred[:, j]] = np.inf
        np.minimum(nearest, apart, out=nearest)
    return nearest


def logistic_curve(score: Floats, faulty: Labels) -> Floats:
    """(2,) slope >= 0 and offset of the probability that a record of this score is faulty (Platt 1999, with his priors).

    ``faulty`` (m,) 1 or 0. Records without a score say nothing.
    """
    known = np.isfinite(score)
    s, y = score[known], faulty[known]
    ones, zeros = int((y == 1).sum()), int((y == 0).sum())
    wanted = np.where(y == 1, (ones + 1) / (ones + 2), 1 / (zeros + 2))
    scale = float(np.std(s)) or 1.0
    theta = np.array([1.0, 0.0])
    x = np.stack([(s - s.mean()) / scale, np.ones(len(s))], axis=1)
    for _ in range(50):  # Newton's method on a convex loss with a little ridge
        p = 1.0 / (1.0 + np.exp(-np.clip(x @ theta, -30, 30)))
        slope = x.T @ (p - wanted) + 1e-3 * theta
        curvature = (x * (p * (1 - p))[:, None]).T @ x + 1e-3 * np.eye(2)
        step = np.linalg.solve(curvature, slope)
        theta = theta - step
        if np.abs(step).max() < 1e-9:
            break
    gain = max(theta[0], 0.0) / scale
    return np.array([gain, theta[1] - gain * s.mean()])
