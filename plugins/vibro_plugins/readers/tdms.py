"""Reader ``tdms``: measurement files of National Instruments, by npTDMS (extra ``vibro[formats]``)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vibro import hookimpl
from vibro.api import Record, Rejected
from vibro_plugins.readers.text.choice import ChannelParams
from vibro_plugins.readers.text.faults import BadField
from vibro_plugins.readers.waveform.reader import WaveReader
from vibro_plugins.readers.waveform.tree import Tree, recording
from vibro_plugins.readers.waveform.waves import records

MAX_BYTES = 4 << 30  # of all channels together


class Tdms(WaveReader):
    """Every numeric channel, with scaling; the step ``wf_increment`` gives the rate, ``wf_start_time`` the time (UTC)."""

    name = "tdms"
    summary = "TDMS files of National Instruments"
    extensions = (".tdms",)
    Params = ChannelParams
    library = "nptdms"

    @classmethod
    def examples(cls) -> Iterator[tuple[str, bytes, int, int]]:
        """None for the conformance kit: the package that writes them may not be installed."""
        return iter(())

    def _records(self, path: Path) -> Iterator[Record | Rejected]:
        from nptdms import TdmsFile

        tree = Tree(mark="/")
        with path.open("rb") as stream, TdmsFile.open(stream) as file:
            channels = [channel for group in file.groups() for channel in group.channels()]
            numeric = [channel for channel in channels if channel.dtype.kind in "fiu" and len(channel)]
            if sum(8 * len(channel) for channel in numeric) > MAX_BYTES:
                raise BadField("Q019", "", f"the channels take more than {MAX_BYTES >> 30} GiB")
            several = len({channel.group_name for channel in numeric}) > 1
            for channel in numeric:
                name = f"{channel.group_name}/{channel.name}" if several else channel.name
                tree.add(name, channel[:])
                tree.about[name] = _about(channel.properties)
        got = recording(tree, self.params.channels)
        self._notes += got.notes
        yield from records(got.waves, got.covariates, gaps=self.params.gaps)


def _about(properties: dict[str, object]) -> dict[str, str]:
    """The properties of a channel that count, by the names of ``waveform.names``."""
    about = {}
    step, start, unit = (properties.get(key) for key in ("wf_increment", "wf_start_time", "unit_string"))
    if isinstance(step, int | float) and step > 0:
        about["dt"] = repr(float(step))
    if isinstance(start, np.datetime64) and start > np.datetime64("1904-01-02"):  # the epoch stands for not given
        offset = properties.get("wf_start_offset")
        shift = round(1e9 * offset) if isinstance(offset, int | float) else 0
        about["start"] = f"{start.astype('datetime64[ns]') + np.timedelta64(shift, 'ns')}Z"
    if isinstance(unit, str) and unit:
        about["unit"] = unit
    return about


@hookimpl
def register_readers(register):
    """Offers the reader."""
    register(Tdms)
