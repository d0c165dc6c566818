"""The contrastive losses, and what tells whether an embedding is any good."""

from __future__ import annotations

import copy
import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from vibro.api import State
from vibro_plugins._torch import arrays, load_arrays


def nt_xent(a: Tensor, b: Tensor, shifted: Tensor | None, temperature: float, times: float = 1.0) -> Tensor:
    """-log exp(s_ij / T) / sum over k != i of exp(s_ik / T), mean over the 2 B views; s the cosine (Chen et al., ICML 2020).

    a, b (B, d): two views of each record; ``shifted`` (m, d) are further negatives of every view, each counted ``times``.
    """
    z = F.normalize(torch.cat([a, b]))
    similar = (z @ z.T / temperature).fill_diagonal_(-torch.inf)
    if shifted is not None:
        similar = torch.cat([similar, z @ F.normalize(shifted).T / temperature + math.log(times)], dim=1)
    half = len(a)
    partner = torch.cat([torch.arange(half, 2 * half), torch.arange(half)]).to(z.device)
    return F.cross_entropy(similar, partner)


def moco(
    query: Tensor, key: Tensor, queue: Tensor, shifted: Tensor | None, temperature: float, times: float = 1.0
) -> Tensor:
    """The key of the same record against those of a queue, cosine over T (He et al., MoCo, CVPR 2020).

    query, key (B, d), queue (K, d) of earlier keys; the positive stands at index 0; only the query carries a gradient.
    """
    q = F.normalize(query)
    logits = [(q * F.normalize(key)).sum(dim=1, keepdim=True), q @ F.normalize(queue).T]
    if shifted is not None:
        logits.append(q @ F.normalize(shifted).T + temperature * math.log(times))
    target = torch.zeros(len(q), dtype=torch.long, device=q.device)
    return F.cross_entropy(torch.cat(logits, dim=1) / temperature, target)


class Queue:
    """Keys of earlier batches, made by networks that follow the trained ones slowly: m own + (1 - m) theirs."""

    def __init__(self, net: nn.ModuleDict, momentum: float, keys: Tensor) -> None:
        self.net = copy.deepcopy(net).requires_grad_(False)
        self.momentum, self.keys = momentum, keys

    def key(self, x: Tensor) -> Tensor:
        """(b, ...) -> keys (b, d) without a gradient."""
        with torch.no_grad():
            return self.net["project"](self.net["encode"](x))

    def follow(self, net: nn.ModuleDict, key: Tensor) -> None:
        """After a step: the networks follow, the new keys (b, d) push out the oldest."""
        for own, theirs in zip(self.net.parameters(), net.parameters(), strict=True):
            own.lerp_(theirs.detach(), 1 - self.momentum)
        self.keys = torch.cat([self.keys, key.float()])[len(key) :]

    def state(self) -> State:
        """The following networks and the keys."""
        return {**arrays(self.net), "keys": self.keys.cpu().numpy()}

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        load_arrays(self.net, state)
        self.keys = torch.tensor(state["keys"]).to(self.keys.device)


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
    """Rows at length 1; a row of zeros stays."""
    return codes / np.maximum(np.linalg.norm(codes, axis=1, keepdims=True), 1e-12)
