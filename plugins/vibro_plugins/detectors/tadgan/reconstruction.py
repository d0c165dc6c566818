"""What trained networks say of a record: reconstruction error and critic as the score, codes, and the state."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from vibro.api import Exported, NotApplicableError, State
from vibro_plugins.deep.attribution import integrated_gradients, slope_of
from vibro_plugins.deep.detector import Network
from vibro_plugins.deep.graph import onnx_graph
from vibro_plugins.deep.training import as_tensor, scored
from vibro_plugins.deep.windows import cut, put_back
from vibro_plugins.detectors.tadgan.networks import ConvCritic, Encoder, Generator, PatchCritic, latent_critic
from vibro_plugins.portable import network_scores

LIMIT = 20.0  # standardised values are clipped here


class Reconstruction(Network):
    """Encoder, generator and two critics; the score of a window is its reconstruction error and its critic's value.

    A subclass trains them.
    """

    _centre: NDArray[np.float32]  # (channels, length) of a window
    _scale: NDArray[np.float32]  # (channels, 1)
    # median and MAD of the error, m and s of the critic, median and MAD of its distance
    _reference: NDArray[np.float64]

    def score(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n,) pooled over the windows of each record."""
        net = self._fitted()
        windows = self._windows(x)
        error, value = self._errors(net, windows), self._values(net, windows)
        e0, e1, middle, deviation, c0, c1 = self._reference
        z_error, z_critic = (error - e0) / e1, (np.abs(value - middle) / deviation - c0) / c1
        if self.params.combine == "sum":
            both = self.params.alpha * z_error + (1 - self.params.alpha) * z_critic
        else:
            both = positive(1 + z_error) * positive(1 + z_critic)
        both = both.reshape(len(x), -1)
        return both.mean(axis=1) if self.params.pool == "mean" else both.max(axis=1)

    def attribution(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Squared error of each value, same shape as x; exposure: integrated gradients of the error, see ``hetero_vae``.

        What the critic adds to the score is left out.
        """
        net, windows = self._fitted(), self._windows(x)

        def rest(rows: Tensor) -> Tensor:
            return rows - net["generate"](net["encode"](rows))

        if self.params.objective == "plain":
            parts = scored(net, windows, lambda rows: rest(rows) ** 2, self._tensor)
        else:
            rows = self._tensor(windows)
            slope = slope_of(lambda part: self._length(rest(part)))
            parts = integrated_gradients(net, slope, rows, torch.zeros_like(rows[:1]))
        lines = x.reshape(len(x), -1, x.shape[-1]).shape
        return put_back(parts, lines, self.params.hop or parts.shape[2]).reshape(x.shape)

    def encode(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Codes (n, k) of vectors; NotApplicableError where a record is more than one window of one channel."""
        net, windows = self._fitted(), self._windows(x)
        if x.ndim != 2 or windows.shape[::2] != x.shape:
            raise NotApplicableError("only vectors of a single window are generated as a whole")
        return scored(net, windows, net["encode"], self._tensor)

    def decode(self, codes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Vectors (n, values) that the generator makes of codes (n, k)."""
        net = self._fitted()
        made = scored(net, codes, net["generate"], partial(as_tensor, device=self.ctx.device))
        return np.asarray(made * self._scale + self._centre)[:, 0]

    def export(self) -> Exported:
        """Error and critic of windows as a graph, the windows and what is made of both with numpy alone."""
        p, net = self.params, self._fitted()
        settings = {"hop": p.hop or self._centre.shape[1], "sum": p.combine == "sum", "mean": p.pool == "mean"}
        arrays = {name: np.array(value) for name, value in {**settings, "alpha": p.alpha}.items()}

        def both(x: Tensor) -> Tensor:
            error = self._length(x - net["generate"](net["encode"](x)))
            return torch.stack([error, net["signals"](x).reshape(-1)], dim=1)

        graph = onnx_graph(net, both, self._centre.shape)
        return Exported({**self._statistics(), **arrays}, network_scores.windows_score, graph)

    def _statistics(self) -> State:
        return {"centre": self._centre, "scale": self._scale, "reference": self._reference}

    def _load_statistics(self, state: State) -> None:
        self._centre, self._scale, self._reference = state["centre"], state["scale"], state["reference"]

    def _build(self) -> nn.ModuleDict:
        p = self.params
        channels, length = self._centre.shape
        critic = (
            ConvCritic(channels, length, p.width)
            if p.critic == "conv"
            else PatchCritic(channels, length, p.width, p.patch)
        )
        return nn.ModuleDict(
            {
                "encode": Encoder(channels, length, p.width, p.latent),
                "generate": Generator(channels, length, p.width, p.latent),
                "signals": critic,
                "latents": latent_critic(p.latent, p.width),
            }
        ).to(self.ctx.device)

    def _windows(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, values) or (n, channels, length) -> (n * windows, channels, window), those of one record after another."""
        p = self.params
        lines = x.reshape(len(x), -1, x.shape[-1])
        length = min(p.window, x.shape[-1]) or x.shape[-1]
        return cut(lines, length, p.hop or length)

    def _tensor(self, windows: NDArray[np.float32], part: Any = slice(None)) -> Tensor:
        z = (windows[part].astype(np.float64) - self._centre) * (1 / self._scale)
        return as_tensor(np.clip(z, -LIMIT, LIMIT), self.ctx.device)

    def _errors(self, net: nn.ModuleDict, windows: NDArray[np.float32], part: Any = slice(None)) -> NDArray[np.float64]:
        """Reconstruction error of windows (n,)."""

        def error(x: Tensor) -> Tensor:
            return self._length(x - net["generate"](net["encode"](x)))

        return scored(net, windows[part], error, self._tensor)

    def _length(self, rest: Tensor) -> Tensor:
        """Root mean square (b,), by point or of the running mean over ``area`` values."""
        if self.params.error == "area":
            rest = F.avg_pool1d(rest, min(self.params.area, rest.shape[2]), 1)
        return torch.sqrt(torch.mean(rest**2, dim=(1, 2)))

    def _values(self, net: nn.ModuleDict, windows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Value of the critic of windows (n,)."""
        return scored(net, windows, lambda x: net["signals"](x), self._tensor)


def positive(u: NDArray[np.float64]) -> NDArray[np.float64]:
    """The positive part of u, smooth and strictly increasing, so that it makes no ties."""
    return (u + np.sqrt(u * u + 1)) / 2
