"""Every record's data besides its samples: collected record by record in flat arrays, then frozen into columns."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.data import SignalBatch
from vibro.ingest.shaping import Shaped

Codes = NDArray[np.int32]


class Names:
    """Texts by code, in order of first appearance."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._codes: dict[str, int] = {}

    def code(self, text: str) -> int:
        """The code of a text, a new one if it is new."""
        found = self._codes.get(text)
        if found is None:
            found = self._codes[text] = len(self.texts)
            self.texts.append(text)
        return found


@dataclass(frozen=True)
class Index:
    """Columns over all candidates; codes lie in ``names``; -1 as line or offset = not known; ``check`` is a checksum of the
    samples, ``level`` their root mean square without the means; ``waveform``: a channel of a recording, not an item of a list.
    """

    source: Codes
    row: NDArray[np.int64]
    line: NDArray[np.int64]
    offset: NDArray[np.int64]
    ident: NDArray[np.uint64]
    check: NDArray[np.uint64]
    time: NDArray[np.datetime64]
    sensor: Codes
    machine: Codes
    recording: Codes
    unit: Codes
    fs: NDArray[np.float64]
    level: NDArray[np.float64]
    quality: NDArray[np.uint16]
    channels: NDArray[np.int64]
    samples: NDArray[np.int64]
    start: NDArray[np.int64]
    waveform: NDArray[np.bool_]
    names: dict[str, list[str]]
    covariates: NDArray[np.float32]
    covariate_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.row)

    def name(self, column: str, i: int) -> str:
        """The text of a coded column."""
        return self.names[column][int(getattr(self, column)[i])]

    def record_id(self, i: int) -> str:
        """The id of a candidate."""
        return f"{self.ident[i]:016x}"

    def unnamed(self, keep: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Of these candidates the ones that neither their file nor its path names a machine of."""
        return np.array([not text for text in self.names["machine"]], np.bool_)[self.machine[keep]]

    def batch(self, keep: NDArray[np.intp], x: NDArray[np.float32], fs: float, unit: str) -> SignalBatch:
        """The accepted rows as a batch; a missing machine is the sensor, a missing recording the source."""
        sensor, source = self.sensor[keep], self.source[keep]
        machine, recording = self.machine[keep], self.recording[keep]
        no_machine = self.unnamed(keep)
        no_recording = np.array([not text for text in self.names["recording"]])[recording]
        machine = np.where(no_machine, sensor + len(self.names["machine"]), machine)
        recording = np.where(no_recording, source + len(self.names["recording"]), recording)
        coded = {
            "sensor": recoded(sensor, self.names["sensor"]),
            "source": recoded(source, self.names["source"]),
            "machine": recoded(machine, [*self.names["machine"], *self.names["sensor"]]),
            "recording": recoded(recording, [*self.names["recording"], *self.names["source"]]),
        }
        given: NDArray[np.bool_] = np.any(np.isfinite(self.covariates[keep]), axis=0)
        return SignalBatch(
            x=x,
            ids=np.array([self.record_id(i) for i in keep], dtype="U16"),
            sensor=coded["sensor"][0],
            sensors=coded["sensor"][1],
            machine=coded["machine"][0],
            machines=coded["machine"][1],
            recording=coded["recording"][0],
            recordings=coded["recording"][1],
            source=coded["source"][0],
            sources=coded["source"][1],
            row=self.row[keep],
            time=self.time[keep],
            covariates=self.covariates[keep][:, given],
            covariate_names=tuple(name for name, yes in zip(self.covariate_names, given, strict=True) if yes),
            quality=self.quality[keep],
            fs=fs,
            unit=unit,
        )


def recoded(codes: NDArray[np.integer], texts: Sequence[str]) -> tuple[Codes, tuple[str, ...]]:
    """Codes into the sorted distinct texts that are in use."""
    used, inverse = np.unique(codes, return_inverse=True)
    distinct = sorted({texts[i] for i in used})
    place = {text: i for i, text in enumerate(distinct)}
    return np.array([place[texts[i]] for i in used], dtype=np.int32)[inverse], tuple(distinct)


class IndexBuilder:
    """Grows an index in flat arrays: about 130 bytes per record."""

    def __init__(self) -> None:
        self._names = {name: Names() for name in ("source", "sensor", "machine", "recording", "unit")}
        self._columns: dict[str, array[Any]] = {name: array("i") for name in self._names}
        self._columns |= {
            name: array("q") for name in ("row", "line", "offset", "time", "channels", "samples", "start")
        }
        self._columns |= {
            "waveform": array("b"),
            "ident": array("Q"),
            "check": array("Q"),
            "fs": array("d"),
            "level": array("d"),
            "quality": array("H"),
        }
        self._covariates = Names()
        self._cells: tuple[array[Any], ...] = (array("q"), array("i"), array("f"))  # record, covariate, value

    def __len__(self) -> int:
        return len(self._columns["row"])

    def add(self, shaped: Shaped, source: str, start: int) -> None:
        """A record whose samples lie at ``start``."""
        record, verdict, ident, check = shaped
        values = {
            "source": source,
            "sensor": record.sensor,
            "machine": record.machine,
            "recording": record.recording,
            "unit": record.unit,
        }
        for name, covariate in record.covariates.items():
            for column, value in zip(self._cells, (len(self), self._covariates.code(name), covariate), strict=True):
                column.append(value)
        for name, text in values.items():
            self._columns[name].append(self._names[name].code(text))
        columns = self._columns
        columns["row"].append(record.row)
        columns["line"].append(record.line)
        columns["offset"].append(record.offset)
        columns["time"].append(int(record.time.astype("datetime64[ns]").astype(np.int64)))
        columns["channels"].append(record.signal.shape[0])
        columns["samples"].append(record.signal.shape[1])
        columns["start"].append(start)
        columns["waveform"].append(bool(record.channel))
        columns["ident"].append(ident)
        columns["check"].append(check)
        columns["fs"].append(record.fs)
        columns["level"].append(verdict.level)
        columns["quality"].append(int(verdict.bits))

    def join(self, other: IndexBuilder, start: int) -> None:
        """The records of another index behind those of this one; their samples begin at ``start``."""
        first = len(self)
        for name, values in other._columns.items():
            if name in self._names:
                codes = [self._names[name].code(text) for text in other._names[name].texts]
                self._columns[name].extend(map(codes.__getitem__, values))
            else:
                self._columns[name].extend(map(start.__add__, values) if name == "start" else values)
        codes = [self._covariates.code(text) for text in other._covariates.texts]
        for cells, values, moved in zip(
            self._cells, other._cells, (first.__add__, codes.__getitem__, None), strict=True
        ):
            cells.extend(values if moved is None else map(moved, values))

    def freeze(self) -> Index:
        """The index as arrays."""
        columns = {name: np.array(values) for name, values in self._columns.items()}
        columns["time"] = columns["time"].view("datetime64[ns]")
        columns["quality"] = columns["quality"].astype(np.uint16)
        columns["waveform"] = columns["waveform"].astype(bool)
        names = tuple(sorted(self._covariates.texts))
        covariates = np.full((len(self), len(names)), np.nan, np.float32)
        if names:
            place = np.array([names.index(text) for text in self._covariates.texts])
            rows, codes, values = (np.array(column) for column in self._cells)
            covariates[rows, place[codes]] = values
        texts = {name: found.texts for name, found in self._names.items()}
        return Index(**columns, names=texts, covariates=covariates, covariate_names=names)
