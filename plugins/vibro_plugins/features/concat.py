"""``concat``: several vector views side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vibro import hookimpl
from vibro.api import ConfigError, Exported, Extent, FeatureExtractor, Params, ViewKey, view_key
from vibro_plugins.dsp.extents import flat, side_by_side
from vibro_plugins.portable import relative


@dataclass(frozen=True)
class ConcatParams(Params):
    """Settings of ``concat``.

    ``of``: the vector views, in this order
    """

    of: tuple[str | dict[str, Any], ...] = ("spectrum", "envelope")


class Concat(FeatureExtractor):
    """The columns of vector views one after the other, as they are: (n, f1), (n, f2) ... -> (n, f1 + f2 + ...)."""

    name = "concat"
    summary = "several vector views side by side"
    Params = ConcatParams
    item = "f"
    test_settings: ClassVar[dict[str, Any]] = {"of": ("spectrum", {"use": "spectrum", "bands": 8})}

    @classmethod
    def inputs(cls, params: ConcatParams) -> tuple[ViewKey, ...]:
        """The views."""
        if not params.of:
            raise ConfigError("concat.of names no view", hint='of = ["spectrum", "envelope"]')
        return tuple(view_key(spec) for spec in params.of)

    def transform(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """(n, f1), (n, f2) ... -> (n, f1 + f2 + ...)."""
        parts = [np.asarray(inputs[str(key)], np.float32) for key in self.inputs(self.params)]
        return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)

    def extent(self, inputs: Mapping[str, Extent]) -> Extent:
        """Those of the views."""
        return side_by_side([flat(inputs[str(key)]) for key in self.inputs(self.params)])

    def export(self) -> Exported:
        """The same with numpy alone."""
        return Exported({}, relative.concat)


@hookimpl
def register_features(register: Callable[[type[FeatureExtractor]], None]) -> None:
    """Offers ``concat``."""
    register(Concat)
