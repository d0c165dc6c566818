"""Columns that hold a time of day without a day: the day comes from the path, and midnight passes."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.api import Context
from vibro.ingest import IngestOptions, ingest
from vibro_plugins.readers.table import Table


def take(tmp_path, **options):
    return ingest([tmp_path / "in"], [Table.make({}, Context())], IngestOptions(**options), tmp_path / "work", print)


def rows(start, step, count, delimiter=",", channels=2):
    """Lines of hour, minute, second, microsecond and samples, from ``start`` in microseconds of the day."""
    samples = np.random.default_rng(start).normal(size=(count, channels))
    for k, values in enumerate(samples):
        second, micro = divmod(start + step * k, 1_000_000)
        clock = second // 3600 % 24, second // 60 % 60, second % 60, micro
        yield delimiter.join([*map(str, clock), *(f"{value:.4f}" for value in values)])


def times(got):
    return [str(time) for time in np.unique(got.batch.time)]


def test_the_day_of_a_folder_joins_the_time_of_day_in_the_columns(tmp_path):
    """As PRONOSTIA's files are, below folders of days."""
    for i, day in enumerate(("2011-03-01", "2011-03-02", "2011-03-02")):
        path = tmp_path / "in" / day / "Bearing1_1" / f"acc_{i:05d}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(rows((86390 + 10 * i) * 1_000_000 % 86_400_000_000, 500, 256)) + "\n")
    without = take(tmp_path)
    assert np.isnat(without.batch.time).all()
    assert any("times of day without a day were left out: --time-from" in text for text in without.warnings)
    got = take(tmp_path, time_from="{time:%Y-%m-%d}/{machine}/*")
    assert times(got) == [
        "2011-03-01T23:59:50.000000000",
        "2011-03-02T00:00:00.000000000",
        "2011-03-02T00:00:10.000000000",
    ]
    assert got.batch.fs == 2000 and not any("without a day" in text for text in got.warnings)
    assert any("were read as UTC" in text for text in got.warnings)
    local = take(tmp_path, time_from="{time:%Y-%m-%d}/{machine}/*", tz="Europe/Paris")
    assert times(local)[0] == "2011-03-01T22:59:50.000000000"


@pytest.mark.parametrize("delimiter", [",", ";"])
@pytest.mark.parametrize("count", [200, 60_000])  # in one block of text, and in several
def test_times_of_day_go_on_behind_midnight(tmp_path, delimiter, count):
    path = tmp_path / "in" / "rig_20240301.csv"
    path.parent.mkdir()
    path.write_text("\n".join(rows(86_400_000_000 - 1000 * (count // 2), 1000, count, delimiter, 4)) + "\n")
    got = take(tmp_path, time_from="*_{time:%Y%m%d}.csv", window=str(count // 2))
    assert got.batch.fs == 1000 and len(got.batch.x) == 8
    begin = np.datetime64("2024-03-02T00:00:00") - np.timedelta64(count // 2, "ms")
    assert times(got) == [str(begin.astype("datetime64[ns]")), "2024-03-02T00:00:00.000000000"]


def test_a_path_that_gives_the_hour_too_has_the_last_word(tmp_path):
    path = tmp_path / "in" / "a_20240301_1200.csv"
    path.parent.mkdir()
    path.write_text("clock,acc\n" + "".join(f"08:00:00.{k:03d},{k % 7}\n" for k in range(64)))
    assert times(take(tmp_path, time_from="a_{time:%Y%m%d_%H%M}.csv")) == ["2024-03-01T12:00:00.000000000"]
    assert times(take(tmp_path, time_from="a_{time:%Y%m%d}_*.csv")) == ["2024-03-01T08:00:00.000000000"]
    assert np.isnat(take(tmp_path, time_from="none").batch.time).all()
