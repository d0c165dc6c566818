"""What detectors on images share: checks of the rows, standardised pixels, tensors in channels-last layout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vibro.api import NotApplicableError, State
from vibro_plugins.deep.detector import require_trainable

LEAST_SIZE = 4
LIMIT = 20.0  # standardised pixels are clipped here
# A picture for any kind of record: band levels in units of each sensor's own scale, without the effect of load. The curve
# is straight, since one that compresses large values would hide a fault of few spectral lines.
SPECTRUM: dict[str, Any] = {"use": "per_sensor", "of": {"use": "spectrum", "bands": 640}}
PICTURE: dict[str, Any] = {"use": "zerone_image", "curve": "straight", "of": {"use": "conditioned", "of": SPECTRUM}}
Net = TypeVar("Net", bound=nn.Module)


@dataclass(frozen=True)
class Pixels:
    """Median of each pixel over the fit rows, and 1 / the scale of its line; 0 where nothing varies.

    The scale is IQR / 1.349, averaged along the line (the last axis: time in a wavelet map, so that its pixels have the
    same scale but for chance) over the pixels that vary, and at least a twentieth of the channel's mean, so that a band
    without signal is not amplified.
    """

    centre: NDArray[np.float32]  # (c, h, w)
    factor: NDArray[np.float32]  # (c, h, w)

    @classmethod
    def fit(cls, x: NDArray[np.float32]) -> Self:
        """From images (n, c, h, w); NotApplicableError where they cannot be learned from."""
        if x.ndim != 4 or min(x.shape[2:]) < LEAST_SIZE:
            raise NotApplicableError(
                f"rows of shape {x.shape[1:]} are no images (c, h, w) of {LEAST_SIZE} pixels or more a side"
            )
        require_trainable(x)
        centre, factor = np.empty(x.shape[1:], np.float32), np.zeros(x.shape[1:], np.float32)
        for channel in range(x.shape[1]):
            low, middle, high = np.quantile(x[:, channel], [0.25, 0.5, 0.75], axis=0)
            scale = (high - low) / 1.349
            varies = np.maximum(np.count_nonzero(scale, axis=1, keepdims=True), 1)
            scale = np.broadcast_to(scale.sum(axis=1, keepdims=True) / varies, middle.shape)
            scale = np.maximum(scale, 0.05 * scale.mean())
            centre[channel] = middle
            np.divide(1, scale, out=factor[channel], where=scale > 1e-6 * np.abs(middle).max(), casting="unsafe")
        if not factor.any():
            raise NotApplicableError(f"the view is constant over most of the {len(x)} fit rows")
        return cls(centre, factor)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return int(self.centre.shape[1]), int(self.centre.shape[2])

    def apply(self, x: NDArray[Any]) -> NDArray[np.float32]:
        """(n, c, h, w) standardised, within +-20; ValueError for images of another shape."""
        if x.shape[1:] != self.centre.shape:
            raise ValueError(f"images of shape {x.shape[1:]}, but those of the fit had {self.centre.shape}")
        with np.errstate(over="ignore"):
            return np.clip((x - self.centre) * self.factor, -LIMIT, LIMIT).astype(np.float32)

    def norm(self, x: NDArray[Any], own: NDArray[np.intp] | None = None) -> NDArray[np.float64]:
        """Root mean square of each standardised image (n,): by it rows are trimmed before there is a network."""
        blocks = (self.apply(x[i : i + 64]).astype(np.float64) for i in range(0, len(x), 64))
        return np.concatenate([np.sqrt((block**2).mean(axis=(1, 2, 3))) for block in blocks])

    def tensor(self, x: NDArray[Any], device: str, own: NDArray[np.intp] | None = None) -> Tensor:
        """Standardised images on the device, in channels-last layout: up to twice as fast on a CPU; ``own`` changes nothing."""
        return torch.from_numpy(self.apply(x)).to(device, memory_format=torch.channels_last)

    def state(self) -> State:
        """Arrays for a component's state."""
        return {"pixels.centre": self.centre, "pixels.factor": self.factor}

    @classmethod
    def load(cls, state: State) -> Self:
        """Back from ``state``."""
        return cls(state["pixels.centre"], state["pixels.factor"])


def placed(net: Net, device: str) -> Net:
    """The network on the device, its weights in channels-last layout as its images are."""
    return net.to(device, memory_format=torch.channels_last)
