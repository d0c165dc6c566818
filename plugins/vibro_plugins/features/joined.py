"""``joined``: several pictures of a record side by side, so that one network reads them together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vibro import hookimpl
from vibro.api import Exported, Extent, FeatureExtractor, NotFittedError, Params, State, ViewKey, view_key
from vibro_plugins.dsp.extents import as_rows, resized, side_by_side
from vibro_plugins.portable import pictures
from vibro_plugins.stats.sensor_scale import SensorScale, group_of
from vibro_plugins.timefrequency.resize import area_weights

CLIP, PRIOR = (
    12.0,
    50.0,
)  # scales at which pixels are clipped; rows that the pooled scale counts for, as in ``per_sensor``
AT_ONCE = 1024  # rows of a fit that are resized at a time


@dataclass(frozen=True)
class JoinedParams(Params):
    """Settings of ``joined``.

    ``of``: the pictures: wavelet map and Zerone values as in the reference plan, or any other images or vectors
    ``size``: rows and columns to which each is resized
    ``per_sensor``: whether pixels are in units of their own sensor's scale, so that faults and not sensors differ
    """

    of: Annotated[tuple[str | dict[str, Any], ...], Field(min_length=1, max_length=16)] = field(
        default=({"use": "cwt_image", "size": 32}, "zerone_image")
    )
    size: Annotated[int, Field(ge=4, le=512)] = 32
    per_sensor: bool = True


class Joined(FeatureExtractor):
    """The channels of all pictures one after another, each area-resized to ``size`` x ``size``: (n, sum of C, size, size).

    A vector is a picture of as many lines of ``size`` values as it needs.

    With ``per_sensor`` every pixel is centred and scaled as ``per_sensor`` does it with the columns of a vector: a map of
    what is unusual for its sensor, at which time and frequency.
    """

    name = "joined"
    summary = "several pictures of a record as the channels of one, in units of each sensor's scale"
    Params = JoinedParams
    item = "c h w"
    test_settings: ClassVar[dict[str, Any]] = {
        "of": ["zerone_image", {"use": "zerone_image", "curve": "straight"}],
        "size": 8,
    }

    _pixels: SensorScale | None = None
    _ready = False

    @classmethod
    def inputs(cls, params: JoinedParams) -> tuple[str | ViewKey, ...]:
        """The pictures and the sensor codes."""
        return (*dict.fromkeys(view_key(of) for of in params.of), "sensor")

    def fit(self, inputs: Mapping[str, NDArray[Any]]) -> None:
        """Learns location and scale of every pixel for each sensor."""
        if self.params.per_sensor:
            codes = _codes(inputs)
            blocks = [slice(i, i + AT_ONCE) for i in range(0, len(codes), AT_ONCE)]
            parts = [self._side_by_side({name: x[block] for name, x in inputs.items()}) for block in blocks]
            flat = np.concatenate(parts).reshape(len(codes), -1)
            self._pixels = SensorScale.fit(flat, codes, PRIOR, group_of(inputs))
        self._ready = True

    def transform(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Images (n, C, h, w) of each view -> (n, sum of C, size, size)."""
        pixels, pictures = self._fitted(), self._side_by_side(inputs)
        if pixels is None:
            return pictures
        return pixels.apply(pictures.reshape(len(pictures), -1), _codes(inputs), CLIP).reshape(pictures.shape)

    def extent(self, inputs: Mapping[str, Extent]) -> Extent:
        """Those of the pictures, resized."""
        parts = []
        for of in self.params.of:
            part = inputs[str(view_key(of))]
            if part.hz.ndim == 2:
                part = as_rows(part, self._lines)
            parts.append(resized(part, *(area_weights(side, self.params.size) for side in part.hz.shape[1:3])))
        return side_by_side(parts)

    def state(self) -> State:
        """Location and scale of every pixel."""
        pixels = self._fitted()
        return {} if pixels is None else pixels.state()

    def export(self) -> Exported:
        """Location and scale of every pixel, with numpy alone."""
        views = list(dict.fromkeys(view_key(of) for of in self.params.of))
        order = np.array([views.index(view_key(of)) for of in self.params.of])
        return Exported({**self.state(), "of": order, "size": np.array(self.params.size)}, pictures.joined)

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        self._pixels, self._ready = SensorScale.load(state) if state else None, True

    def _fitted(self) -> SensorScale | None:
        if not self._ready:
            raise NotFittedError("joined is not fitted")
        return self._pixels

    def _lines(self, x: NDArray[Any]) -> NDArray[Any]:
        """Vectors (n, f) as pictures (n, 1, h, size)."""
        full = np.pad(x, ((0, 0), (0, -x.shape[1] % self.params.size)), mode="edge")
        return full.reshape(len(x), 1, -1, self.params.size)

    def _side_by_side(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        parts = []
        for of in self.params.of:
            x = np.asarray(inputs[str(view_key(of))], np.float32)
            if x.ndim == 2:
                x = self._lines(x)
            if x.ndim != 4:
                raise ValueError(f"{view_key(of)} has rows of shape {x.shape[1:]}; joined takes images and vectors")
            rows, columns = (area_weights(side, self.params.size) for side in x.shape[2:])
            parts.append(np.einsum("ih,nchw,jw->ncij", rows, x, columns, optimize=True))
        return np.concatenate(parts, axis=1).astype(np.float32)


def _codes(inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.intp]:
    return np.asarray(inputs["sensor"]).reshape(-1).astype(np.intp)


@hookimpl
def register_features(register: Callable[[type[FeatureExtractor]], None]) -> None:
    """Offers ``joined``."""
    register(Joined)
