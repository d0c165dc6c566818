"""Reader ``hdf5``: the data sets of an HDF5 file as channels, by h5py (extra ``vibro[formats]``)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vibro import hookimpl
from vibro.api import Record, Rejected
from vibro_plugins.readers.text.choice import ChannelParams
from vibro_plugins.readers.waveform import hdf5
from vibro_plugins.readers.waveform.reader import WaveReader
from vibro_plugins.readers.waveform.tree import recording
from vibro_plugins.readers.waveform.waves import records


class Hdf5(WaveReader):
    """Vectors and matrices of numbers, of which each line is a channel, called by their path.

    Sampling rate, unit and start come from attributes or single values called ``fs``, ``unit``, ``start`` and the like,
    of the data set or of a group above it, or from a time axis of the same length.
    """

    name = "hdf5"
    summary = "data sets of an HDF5 file as channels"
    extensions = (".h5", ".hdf5", ".hdf")
    Params = ChannelParams
    library = "h5py"

    @classmethod
    def examples(cls) -> Iterator[tuple[str, bytes, int, int]]:
        """None for the conformance kit: the package that reads them may not be installed."""
        return iter(())

    def _records(self, path: Path) -> Iterator[Record | Rejected]:
        got = recording(hdf5.tree(path, mark="/"), self.params.channels)
        self._notes += got.notes
        yield from records(got.waves, got.covariates, gaps=self.params.gaps)


@hookimpl
def register_readers(register):
    """Offers the reader."""
    register(Hdf5)
