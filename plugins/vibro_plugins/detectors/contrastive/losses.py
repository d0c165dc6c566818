"""The contrastive losses, and measures of the quality of an embedding."""

from __future__ import annotations

import copy
import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from vibro.api import State
from vibro_plugins.deep.training import arrays, load_arrays


def nt_xent(
    a: Tensor, b: Tensor, record: NDArray[np.intp], shifted: Tensor | None, temperature: float, times: float = 1.0
) -> Tensor:
    """-log exp(s_ij / T) / sum over k != i of exp(s_ik / T), mean over the 2 B views; s the cosine (Chen et al., ICML 2020).

    a, b (B, d): two views of each window; other windows of the same ``record`` (B,) are left out of the sum; ``shifted``
    (m, d): further negatives of every view, each with weight ``times``.
    """
    z = F.normalize(torch.cat([a, b]))
    half, places = len(a), torch.arange(2 * len(a))
    partner = (places + half) % (2 * half)
    same = torch.from_numpy(record == record[:, None]).repeat(2, 2)
    same[places, partner] = False
    similar = (z @ z.T / temperature).masked_fill(same.to(z.device), -torch.inf)
    if shifted is not None:
        similar = torch.cat([similar, z @ F.normalize(shifted).T / temperature + math.log(times)], dim=1)
    return F.cross_entropy(similar, partner.to(z.device))


def moco(
    query: Tensor,
    key: Tensor,
    queue: tuple[Tensor, Tensor],
    shifted: Tensor | None,
    temperature: float,
    times: float = 1.0,
) -> Tensor:
    """Cross entropy of the query's own key against the keys of a queue, cosine / T (He et al., MoCo, CVPR 2020).

    query, key (B, d); queue: earlier keys (K, d), and whether each is of another record (B, K); only the query has a
    gradient.
    """
    q, (keys, others) = F.normalize(query), queue
    logits = [(q * F.normalize(key)).sum(dim=1, keepdim=True), (q @ F.normalize(keys).T).where(others, -torch.inf)]
    if shifted is not None:
        logits.append(q @ F.normalize(shifted).T + temperature * math.log(times))
    target = torch.zeros(len(q), dtype=torch.long, device=q.device)
    return F.cross_entropy(torch.cat(logits, dim=1) / temperature, target)


class Queue:
    """Keys (K, d) of earlier batches and their records ``rows`` (K,), by an exponential moving average of the trained networks
    with decay ``momentum``.
    """

    def __init__(self, net: nn.ModuleDict, momentum: float, keys: Tensor, rows: NDArray[np.intp]) -> None:
        self.net = copy.deepcopy(net).requires_grad_(False)
        self.momentum, self.keys, self.rows = momentum, keys, rows

    def key(self, x: Tensor) -> Tensor:
        """(b, ...) -> keys (b, d) without a gradient."""
        with torch.no_grad():
            return self.net["project"](self.net["encode"](x))

    def others(self, rows: NDArray[np.intp]) -> tuple[Tensor, Tensor]:
        """The keys (K, d), and (b, K) which of them are not of these rows (b,)."""
        return self.keys, torch.from_numpy(self.rows != rows[:, None]).to(self.keys.device)

    def follow(self, net: nn.ModuleDict, key: Tensor, rows: NDArray[np.intp]) -> None:
        """After a step: updates the moving average; the new keys (b, d) of ``rows`` replace the oldest."""
        for average, trained in zip(self.net.parameters(), net.parameters(), strict=True):
            average.lerp_(trained.detach(), 1 - self.momentum)
        self.keys = torch.cat([self.keys, key.float()])[len(key) :]
        self.rows = np.append(self.rows, rows)[len(rows) :]

    def state(self) -> State:
        """The averaged networks, the keys and their rows."""
        return {**arrays(self.net), "keys": self.keys.cpu().numpy(), "rows": self.rows}

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        load_arrays(self.net, state)
        self.keys = torch.tensor(state["keys"]).to(self.keys.device)
        self.rows = state["rows"]


def alignment(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Mean squared distance between the directions of two views of a record (Wang, Isola, ICML 2020): 0 = the same."""
    return float(np.mean(np.sum((unit(a) - unit(b)) ** 2, axis=1)))


def uniformity(a: NDArray[np.float64]) -> float:
    """log mean exp(-2 |u - v|^2) over pairs of records (Wang, Isola, ICML 2020): 0 = one point, lower = spread out."""
    u = unit(a)
    pairs = np.triu_indices(len(u), 1)
    squared = np.maximum(2 - 2 * (u @ u.T)[pairs], 0)
    return float(np.log(np.mean(np.exp(-2 * squared))))


def rank_one(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Share of records whose other view is the most similar of all."""
    return float(np.mean(np.argmax(unit(a) @ unit(b).T, axis=1) == np.arange(len(a))))


def unit(codes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows scaled to length 1; a row of zeros stays."""
    return codes / np.maximum(np.linalg.norm(codes, axis=1, keepdims=True), 1e-12)
