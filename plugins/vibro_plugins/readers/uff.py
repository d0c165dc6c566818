"""Reader ``uff``: time histories of universal files, data sets 58 and 58b, by pyuff (extra ``vibro[formats]``)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vibro import hookimpl
from vibro.api import Record, Rejected
from vibro_plugins.readers.text.choice import ChannelParams, chosen
from vibro_plugins.readers.text.faults import BadField
from vibro_plugins.readers.waveform.clock import Clock, clock_of_numbers
from vibro_plugins.readers.waveform.names import rounded_rate
from vibro_plugins.readers.waveform.reader import WaveReader
from vibro_plugins.readers.waveform.waves import Wave, records

_DIRECTIONS = ("", "+X", "+Y", "+Z", "+RX", "+RY", "+RZ")
_TIME_RESPONSE = (0, 1)  # function types: general, time response
_SIX_DIGITS = 5e-6  # what a step in six digits leaves open


class Uff(WaveReader):
    """Each data set 58 is a channel, called by node and direction (``12+X``), or by its first line without a node.

    Spectra and other functions that are no time history are left out.
    """

    name = "uff"
    summary = "universal files (UFF 58, 58b)"
    extensions = (".uff", ".unv")
    Params = ChannelParams
    library = "pyuff"

    @classmethod
    def examples(cls) -> Iterator[tuple[str, bytes, int, int]]:
        """None for the conformance kit: the package that reads them may not be installed."""
        return iter(())

    def _records(self, path: Path) -> Iterator[Record | Rejected]:
        import pyuff

        with path.open("rb") as stream:
            if not stream.read(1):
                raise BadField("Q001", "", "the file is empty")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            file = pyuff.UFF(str(path))
            places = [i for i, kind in enumerate(file.get_set_types()) if kind == 58]
            sets = [file.read_sets(i) for i in places]
        waves = [wave for i, found in enumerate(sets) if (wave := self._wave(found, i)) is not None]
        if not waves:
            raise BadField("Q005", "", f"no time history among {len(sets)} data sets 58; export the signals over time")
        kept = chosen([(wave.name,) for wave in waves], self.params.channels, "data set")
        yield from records([(i, waves[i]) for i in kept], {}, gaps=self.params.gaps)

    def _wave(self, found: dict[str, Any], place: int) -> Wave | None:
        values = np.asarray(found["data"])
        if found.get("func_type") not in _TIME_RESPONSE or np.iscomplexobj(values):
            self._notes.append("data sets that are no time history were left out")
            return None
        node, way = int(found.get("rsp_node") or 0), int(found.get("rsp_dir") or 0)
        direction = _DIRECTIONS[abs(way)] if abs(way) < len(_DIRECTIONS) else str(way)
        direction = direction.replace("+", "-") if way < 0 else direction
        label = str(found.get("id1") or "").strip()
        name = f"{node}{direction}" if node else "" if label.upper() == "NONE" else label
        unit = str(found.get("ordinate_axis_units_lab") or "").strip()
        unit = "" if unit.upper() == "NONE" else unit
        step = float(found.get("abscissa_inc") or 0.0)
        if found.get("abscissa_spacing") == 1 and step > 0:
            clock = Clock(rounded_rate(step, _SIX_DIGITS))
        else:
            clock = clock_of_numbers(np.asarray(found["x"], np.float64), 1.0, name or str(place + 1))
        return Wave(name or str(place + 1), values, unit, clock)


@hookimpl
def register_readers(register):
    """Offers the reader."""
    register(Uff)
