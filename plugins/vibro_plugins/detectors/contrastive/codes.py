"""What a trained encoder says of a record: the code of its windows, the distance of that as the score, and the state."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vibro.api import Exported, NotApplicableError, State
from vibro_plugins.deep.attribution import integrated_gradients
from vibro_plugins.deep.channels import Channels
from vibro_plugins.deep.detector import Network
from vibro_plugins.deep.graph import onnx_graph
from vibro_plugins.deep.training import as_tensor, scored
from vibro_plugins.deep.windows import cut, put_back
from vibro_plugins.detectors.contrastive.heads import Head, head_of
from vibro_plugins.detectors.contrastive.networks import encoder, projection
from vibro_plugins.portable import network_scores
from vibro_plugins.stats.columns import in_blocks

LIMIT = 20.0  # standardised values are clipped here
SLOPE_STEP = 1e-3  # of the mean size of a code's values, for the slope of the head


class Codes(Network):
    """An encoder of windows and a head that scores the code of a record. A subclass trains the one and fits the other."""

    _wave: bool  # rows are records, not vectors or images
    _channels: Channels | None  # of vectors, with exposure
    _centre: NDArray[np.float32]  # (channels, length) or (channels, h, w) as the network sees them
    _scale: NDArray[np.float32]  # (channels, 1, ...)
    _head: Head

    def score(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Distances (n,)."""
        codes = self._coded(self._fitted(), x)
        return self._head.score(codes)

    def attribution(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Integrated gradients of the distance, from the centre of the fit rows on; same shape as x."""
        windows = self._windows(x)
        count = len(windows) // len(x)
        usual = self._tensor(
            self._centre[None] if self._channels is None else self._windows(self._channels.centre[None])
        )
        parts = integrated_gradients(self._fitted(), partial(self._slope, count), self._tensor(windows), usual, count)
        if self._channels is not None:
            return self._channels.by_column(parts, x)
        return put_back(parts, x.shape, parts.shape[2]) if self._wave else parts.reshape(x.shape)

    def _slope(self, count: int, windows: Tensor) -> Tensor:
        """Gradient of the distances of records of so many windows; that of the head by central differences."""
        windows = windows.detach().requires_grad_()
        codes = self._net["encode"](windows).reshape(-1, count, self.params.code).mean(dim=1)
        at = codes.detach().cpu().numpy().astype(np.float64)
        step = SLOPE_STEP * np.eye(at.shape[1]) * max(float(np.abs(at).mean()), 1e-6)
        there, back = (self._head.scorer((at[:, None] + way).reshape(-1, at.shape[1])) for way in (step, -step))
        rise = (there - back).reshape(at.shape) / (2 * step[0, 0])
        return torch.autograd.grad(codes, windows, as_tensor(rise, self.ctx.device))[0]

    def export(self) -> Exported:
        """The encoder as a graph, its input and the distance of its codes with numpy alone; some heads are not exported."""
        head, net = self.params.head, self._fitted()
        functions = {"knn": network_scores.codes_knn, "centroid": network_scores.codes_centroid}
        functions |= {f"{name}_cosine": function for name, function in functions.items()}
        functions["mahalanobis"] = network_scores.codes_mahalanobis
        if head not in functions:
            raise NotApplicableError(f"its head {head} is not exported; {', '.join(functions)} are")
        graph = onnx_graph(net, net["encode"], self._centre.shape)
        return Exported({**self._statistics(), "cosine": np.array(head.endswith("cosine"))}, functions[head], graph)

    def _statistics(self) -> State:
        head = {f"head.{name}": value for name, value in self._head.arrays.items()}
        channels = {} if self._channels is None else self._channels.state()
        return {"centre": self._centre, "scale": self._scale, "wave": np.array(self._wave), **head, **channels}

    def _load_statistics(self, state: State) -> None:
        self._centre, self._scale, self._wave = state["centre"], state["scale"], bool(state["wave"])
        self._channels = Channels.load(state) if "channels.rows" in state else None
        found = {name.removeprefix("head."): value for name, value in state.items() if name.startswith("head.")}
        self._head = head_of(self.params.head, found)

    def _build(self) -> nn.ModuleDict:
        p = self.params
        encode = encoder(p.encoder, self._centre.shape, p.width, p.code, locked=not self._shift)
        return nn.ModuleDict({"encode": encode, "project": projection(p.code)}).to(self.ctx.device)

    @property
    def _shift(self) -> float:
        """Largest shift along the last axis."""
        return self._in_time(self.params.shift, 1.0)

    def _in_time(self, given: float | None, usual: float) -> float:
        """A setting of the last axis: ``usual`` for records where it is unset; 0 for vectors, which have no time axis."""
        if given is None:
            return usual if self._wave else 0.0
        return given if self._wave or self._centre.ndim == 3 else 0.0

    def _windows(self, x: NDArray[np.float32], own: NDArray[np.intp] | None = None) -> NDArray[np.float32]:
        """(n, values) -> (n, 1 or 3, values); records cut into (n * windows, channels, window); images as they are.

        ``own``: the fit row that each is, or was made from.
        """
        if self._channels is not None:
            apply = self._channels.apply
            return in_blocks(apply, x) if own is None else apply(x, own)
        if not self._wave:
            return x[:, None] if x.ndim == 2 else x
        length = min(self.params.window, x.shape[2]) or x.shape[2]
        return cut(x, length, length)

    def _tensor(self, windows: NDArray[np.float32]) -> Tensor:
        z = (windows.astype(np.float64) - self._centre) * (1 / self._scale)
        return as_tensor(np.clip(z, -LIMIT, LIMIT), self.ctx.device)

    def _coded(self, net: nn.ModuleDict, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, *item) -> codes of the records (n, code), the mean over their windows."""
        windows = self._windows(x)
        return self._embedded(net, windows).reshape(len(x), -1, self.params.code).mean(axis=1)

    def _embedded(self, net: nn.ModuleDict, windows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Codes (m, code)."""
        return scored(net, windows, net["encode"], self._tensor)
