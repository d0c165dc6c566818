"""``pretrained``: an encoder that was trained on other machines, so that it works from the first few records on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vibro import hookimpl
from vibro.api import Detector, Exported, NotFittedError, Params, Pool, State
from vibro_plugins.deep.attribution import integrated_gradients, slope_of
from vibro_plugins.deep.encoder import CHANNELS, Departures, Encoder, encoder_of
from vibro_plugins.deep.graph import onnx_graph
from vibro_plugins.deep.pretraining import pretrain
from vibro_plugins.deep.training import arrays, as_tensor, scored
from vibro_plugins.deep.weights import BUNDLED, dump_weights, read_weights
from vibro_plugins.dsp.profile import VALUES
from vibro_plugins.portable import network_scores

STEPS = 1200


@dataclass(frozen=True)
class PretrainedParams(Params):
    """Settings of ``pretrained``.

    ``weights``: a file of ``vibro pretrain``; empty: those that ship with vibro, from simulated machines
    """

    weights: str = ""


class Pretrained(Detector):
    """Logarithm of how far a record departs from those of the fit, more or less by how unusual the shape of that is.

    The encoder was taught by disturbed copies of other machines' records which shapes are those of faults; here nothing is
    trained. It sees a profile in units of its sensor's scale, the same whitened, and what the nearest sound records leave
    unexplained: these are what the fit learns. A fit row is scored as if it had been left out. The model keeps the weights,
    so that scoring needs no file.
    """

    name = "pretrained"
    summary = "encoder trained on other machines; from 40 records on"
    Params = PretrainedParams
    view: ClassVar[dict[str, Any]] = {"use": "per_sensor", "of": "profile"}
    item = str(VALUES)  # for each channel
    requires = ("torch", "sklearn")
    exclusive = True
    own_held_out = True
    seconds = 1.5

    _seen: Departures | None = None
    _net: Encoder

    def fit(self, x: NDArray[np.float32], y: NDArray[np.int16] | None = None) -> None:
        """Learns what profiles (n, C * 140) are usual; NotApplicableError for weights that cannot be used."""
        weights, _ = read_weights(Path(self.params.weights) if self.params.weights else BUNDLED)
        self._net = encoder_of(weights).to(self.ctx.device)
        self._seen = Departures.fit(x)

    def score(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n,)."""
        if self._seen is None:
            raise NotFittedError("pretrained is not fitted")
        return scored(
            self._net, self._seen.apply(x), lambda rows: self._net(rows)[1], partial(as_tensor, device=self.ctx.device)
        )

    def attribution(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Integrated gradients of the score, from the median of the fit rows on; same shape as x."""
        if self._seen is None:
            raise NotFittedError("pretrained is not fitted")
        usual = self._seen.channels.centre[None].astype(np.float32)
        shown, start = (as_tensor(self._seen.apply(rows), self.ctx.device) for rows in (x, usual))
        parts = integrated_gradients(self._net, slope_of(lambda rows: self._net(rows)[1]), shown, start)
        return self._seen.by_value(parts, x)

    def state(self) -> State:
        """Weights, and what was learned of the fit rows."""
        if self._seen is None:
            raise NotFittedError("pretrained is not fitted")
        return {**arrays(self._net), **self._seen.state()}

    def export(self) -> Exported:
        """The encoder as a graph, the departures that it reads with numpy alone."""
        if self._seen is None:
            raise NotFittedError("pretrained is not fitted")
        channels = len(self._seen.channels.centre) // VALUES
        graph = onnx_graph(self._net, lambda x: self._net(x)[1], (channels, CHANNELS, VALUES))
        return Exported(self._seen.state(), network_scores.departures_score, graph)

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        self._net = encoder_of({k.removeprefix("net."): v for k, v in state.items() if k.startswith("net.")})
        self._net.to(self.ctx.device)
        self._seen = Departures.load(state)

    def pretrain(self, pools: Sequence[Pool], about: Mapping[str, Any]) -> bytes:
        """Trains the encoder: the content of a file of weights."""
        net, losses = pretrain(pools, self.ctx, STEPS)
        return dump_weights(arrays(net, ""), {**about, "steps": STEPS, "loss": [round(v, 4) for v in losses]})


@hookimpl
def register_detectors(register: Callable[[type[Detector]], None]) -> None:
    """Offers ``pretrained``."""
    register(Pretrained)
