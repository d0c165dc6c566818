"""Reader ``flac``: one record a channel of a FLAC file, by soundfile (extra ``vibro[formats]``)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vibro import hookimpl
from vibro.api import Record, Rejected
from vibro_plugins.readers.text.choice import ChannelParams, chosen
from vibro_plugins.readers.waveform.clock import Clock
from vibro_plugins.readers.waveform.reader import WaveReader
from vibro_plugins.readers.waveform.waves import Wave, records


class Flac(WaveReader):
    """Samples as a share of full scale (-1 to 1), channels called 1, 2, ..., as those of a WAVE file."""

    name = "flac"
    summary = "one record a channel of a FLAC file"
    extensions = (".flac",)
    Params = ChannelParams
    library = "soundfile"

    @classmethod
    def examples(cls) -> Iterator[tuple[str, bytes, int, int]]:
        """None for the conformance kit: the package that reads them may not be installed."""
        return iter(())

    def _records(self, path: Path) -> Iterator[Record | Rejected]:
        import soundfile

        with path.open("rb") as stream:
            samples, fs = soundfile.read(stream, dtype="float32", always_2d=True)
        count = samples.shape[1]
        names = [str(i + 1) if count > 1 else "" for i in range(count)]
        kept = chosen([(name,) for name in names], self.params.channels, "channel")
        waves = [(i, Wave(names[i], np.ascontiguousarray(samples[:, i]), clock=Clock(float(fs)))) for i in kept]
        yield from records(waves, {}, gaps=self.params.gaps)


@hookimpl
def register_readers(register):
    """Offers the reader."""
    register(Flac)
