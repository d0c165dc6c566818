"""What both objectives share: how rows are read, the distance from the centre as the score, and the state."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vibro.api import Exported, State
from vibro_plugins.deep.attribution import integrated_gradients, slope_of
from vibro_plugins.deep.channels import Channels
from vibro_plugins.deep.detector import Network
from vibro_plugins.deep.graph import onnx_graph
from vibro_plugins.deep.images import Pixels, placed
from vibro_plugins.deep.training import as_tensor, exact, scored
from vibro_plugins.detectors.deep_svdd.networks import Dense, Encoder
from vibro_plugins.portable import network_scores

CHUNK = 256  # rows encoded at a time while training
WARM_UP, TRIM_EVERY = 2, 3  # epochs before the first trimming, and between two


class Sphere(Network):
    """A network and a centre of its codes; the distance from it is the score. A subclass trains them."""

    _pixels: Pixels | Channels
    _centre: NDArray[np.float32]  # (code,), of every head
    _radius: float

    def score(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Distances from the centre (n,)."""
        return scored(self._fitted(), x, self._away, self._tensor)

    def attribution(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Integrated gradients of the distance, from the median of the fit rows on; same shape as x."""
        usual = self._tensor(self._pixels.centre[None])
        parts = integrated_gradients(self._fitted(), slope_of(self._away), self._tensor(x), usual)
        return self._pixels.by_column(parts, x) if isinstance(self._pixels, Channels) else parts

    def export(self) -> Exported:
        """The network with its distance as a graph, what it reads with numpy alone."""
        if isinstance(self._pixels, Channels):
            shape, function = (3, self._pixels.width), network_scores.channels_score
        else:
            shape, function = self._pixels.centre.shape, network_scores.pixels_score
        return Exported(self._pixels.state(), function, onnx_graph(self._fitted(), self._away, shape))

    def _away(self, rows: Tensor) -> Tensor:
        """Distances of what the network reads from the centre."""
        return torch.linalg.vector_norm(self._net(rows) - as_tensor(self._centre, self.ctx.device), dim=1)

    @property
    def _heads(self) -> int:
        """Networks side by side: of images one."""
        return self.params.heads if isinstance(self._pixels, Channels) else 1

    def _build(self) -> nn.Module:
        if isinstance(self._pixels, Channels):
            return Dense(self._pixels.width, self.params).to(self.ctx.device)
        return placed(Encoder(len(self._pixels.centre), self._pixels.size, self.params), self.ctx.device)

    def _statistics(self) -> State:
        return {**self._pixels.state(), "centre": self._centre, "radius": np.array(self._radius)}

    def _load_statistics(self, state: State) -> None:
        self._pixels = Channels.load(state) if "channels.rows" in state else Pixels.load(state)
        self._centre, self._radius = state["centre"], float(state["radius"])

    def _tensor(self, x: NDArray[np.float32]) -> Tensor:
        return self._pixels.tensor(x, self.ctx.device)

    def _distance(self, codes: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.linalg.norm(codes - self._centre, axis=1)

    def _codes(self, net: Encoder, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, code) in eval mode, no gradients."""
        net.eval()
        with exact(), torch.no_grad():
            parts = [net(self._tensor(x[i : i + CHUNK])).cpu().numpy() for i in range(0, len(x), CHUNK)]
        net.train()
        return np.concatenate(parts).astype(np.float64)
