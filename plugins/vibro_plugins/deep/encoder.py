"""An encoder of profiles that is trained once and used on other machines: what departs, and how unusual its shape is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vibro.api import NotApplicableError, State
from vibro_plugins.deep.channels import Channels
from vibro_plugins.dsp.profile import PLACES, VALUES
from vibro_plugins.dsp.statistics import SHAPE
from vibro_plugins.stats.columns import FitRows

CHANNELS = 3  # of ``Channels``: values, whitened, left unexplained by neighbours
OTHERS = 1 + len(SHAPE)  # values of a profile that are no levels
SWAY = 0.5  # logarithm of the most that a shape counts for or against a departure
LEAST_SIZE = 1e-3  # mean square of a departure


@dataclass(frozen=True)
class Departures:
    """How profiles depart from those of a fit, as ``Channels`` shows it, every value in its place.

    A fit row is shown as if it had been left out; it is known by its values.
    """

    channels: Channels
    own: FitRows
    row: NDArray[np.intp]  # (n,) the fit row at each place of ``own``

    @classmethod
    def fit(cls, x: NDArray[np.float32]) -> Self:
        """From profiles (n, C * 140) in units of each sensor's scale; NotApplicableError for other rows or too few."""
        if x.ndim != 2 or x.shape[1] % VALUES:
            raise NotApplicableError(
                f"the view has rows of shape {x.shape[1:]}, but profiles of {VALUES} values a channel are needed"
            )
        return cls(Channels.fit(x), *FitRows.of(x))

    def apply(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, C * 140) -> (n, C, 3, 140)."""
        place = self.own.find(x)
        return self.shown(x, np.where(place < 0, len(self.row), self.row[place]))

    def shown(self, x: NDArray[np.float32], own: NDArray[np.intp]) -> NDArray[np.float32]:
        """As ``apply``, of rows that are, or were made from, the fit rows ``own`` (n,); the number of fit rows for none."""
        out = np.zeros((len(x), CHANNELS, x.shape[1]), np.float32)
        out[:, :, self.channels.factor > 0] = self.channels.apply(x, own)
        return out.reshape(len(x), CHANNELS, -1, VALUES).transpose(0, 2, 1, 3)

    def by_value(self, parts: NDArray[np.float64], x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Parts of a score that departures make, (n, C, 3, 140), as parts of the values of the profiles x (n, C * 140)."""
        parts = parts.transpose(0, 2, 1, 3).reshape(len(x), CHANNELS, -1)
        return self.channels.by_column(parts[:, :, self.channels.factor > 0], x)

    def state(self) -> State:
        """Arrays for a component's state."""
        return {**self.channels.state(), **self.own.state(), "row": self.row}

    @classmethod
    def load(cls, state: State) -> Self:
        """Back from ``state``."""
        return cls(Channels.load(state), FitRows.load(state), state["row"])


class Encoder(nn.Module):
    """Departures (b, C, 3, 140) -> codes (b, code), and scores (b,): the logarithm of their size, more or less by their shape.

    Convolutions over the two lines of levels, the rest beside their mean and largest outputs. The network sees a departure
    divided by its size, so that none is too large for it; its shape counts for a factor of 1.6 at most. Channels are encoded
    one by one; codes are the mean of their mean and largest, scores a smooth maximum.
    """

    def __init__(self, width: int = 24, code: int = 32) -> None:
        super().__init__()
        lines = 2 * CHANNELS
        self.lines = nn.Sequential(
            nn.Conv1d(lines, width, 5, padding=2),
            nn.ReLU(),
            nn.Conv1d(width, 2 * width, 5, 2, 2),
            nn.ReLU(),
            nn.Conv1d(2 * width, 2 * width, 5, 2, 2),
            nn.ReLU(),
        )
        beside = CHANNELS * (OTHERS + 3) + 1
        self.joined = nn.Sequential(nn.Linear(4 * width + beside, 96), nn.ReLU(), nn.Dropout(0.1), nn.Linear(96, code))
        self.shape = nn.Linear(code, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(b, C, 3, 140) -> (b, code), (b,)."""
        b, channels = x.shape[:2]
        x = x.reshape(b * channels, CHANNELS, VALUES)
        size = (x.square().mean((1, 2)) + LEAST_SIZE).sqrt()[:, None]
        x = x / size[:, :, None]
        levels, others = x[:, :, : 2 * PLACES], x[:, :, 2 * PLACES :]
        found = self.lines(levels.reshape(-1, 2 * CHANNELS, PLACES))
        whole = [(x.square().mean(2) + 1e-3).log(), x.abs().amax(2) / 4, x.mean(2), size.clamp(0.3, 3.0).log()]
        code = self.joined(torch.cat([found.mean(2), found.amax(2), others.flatten(1) / 2, *whole], 1))
        score = (size.log() + SWAY * torch.tanh(self.shape(code))).reshape(b, channels)
        code = (code * torch.log1p(size)).reshape(b, channels, -1)
        return (code.mean(1) + code.amax(1)) / 2, torch.logsumexp(2 * score, 1) / 2


def encoder_of(arrays: dict[str, Any]) -> Encoder:
    """The encoder with these weights, in eval mode; NotApplicableError where they are not those of one."""
    try:
        with torch.random.fork_rng(devices=[]):  # a new network draws its first weights from the global generator
            net = Encoder(len(arrays["lines.0.weight"]), len(arrays["joined.3.weight"]))
        net.load_state_dict({name: torch.tensor(np.array(value)) for name, value in arrays.items()})
    except (KeyError, RuntimeError, TypeError):
        raise NotApplicableError("the weights are not those of an encoder of profiles") from None
    return net.requires_grad_(False).eval()
