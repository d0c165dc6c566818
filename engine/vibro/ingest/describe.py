"""The ``vibro.toml`` that says how vibro has understood data, for the user to mend."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from vibro.ingest.preview import NAMED
from vibro.ingest.reader import Ingested
from vibro.ingest.states import names_state
from vibro.io.files import iso_time
from vibro.words import counted

MANY = 0.05  # share of records of another length from which on cutting is proposed


def described(got: Ingested, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Keys of a ``vibro.toml`` for these data, and comments: what was said, and what vibro made of the rest.

    ``given`` holds the options that the user stated.
    """
    batch, books = got.batch, got.accounting
    table, said = dict(given), {}
    if got.fs_source == "estimated":
        table.setdefault("fs", batch.fs)
        said["fs"] = "estimated from the lines of the mains: check it"
    elif "fs" not in table:
        said["fs"] = f"{batch.fs:g} Hz, from the files" if batch.fs else "not known: give the rate in Hz"
    if "unit" not in table:
        said["unit"] = f"{batch.unit}, from the files" if batch.unit != "unknown" else "not known: g, m/s2, mm/s ..."
    folders = Counter(name for source in books.files for name in PurePosixPath(source).parts[:-1])
    states = list(dict.fromkeys((*table.get("states", ()), *(name for name in folders if names_state(name)))))
    if states:
        table["states"] = states
        said["states"] = "folders that tell a state and name no machine"
    shown = ", ".join(batch.sensors[:NAMED]) + (f" ... ({len(batch.sensors)})" if len(batch.sensors) > NAMED else "")
    if "sensor_from" not in table:
        said["sensor_from"] = f"sensors now: {shown or 'none'}; a pattern is '{{machine}}/{{sensor}}/*.csv'"
    if "machine_from" not in table:
        said["machine_from"] = f"machines now: {', '.join(batch.machines[:NAMED])}"
    if "time_from" not in table:
        known = batch.time[~np.isnat(batch.time)]
        said["time_from"] = f"first time now: {iso_time(known.min())}" if len(known) else "no times are known"
    refused = books.total.by_code["Q008"]
    if refused and "window" not in table:
        size = got.window
        if refused > MANY * books.total.read:
            table["window"] = size
            said["window"] = "the recordings have many lengths: they are cut into records of so many samples"
        else:
            said["window"] = (
                f"{counted(refused, 'recording has', 'recordings have')} another length; {size} would cut them all"
            )
    return table, said
