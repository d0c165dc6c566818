"""Ingest: one batch, sorted and reopened alike, every item accounted for, memory that does not follow the data."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from vibro.api import Context, Reader, Record, Rejected
from vibro.data import Quality, record_id
from vibro.errors import ConfigError, ContractError, DataError, PluginError, ResourceError, StateError
from vibro.ingest import Accounting, IngestOptions, NothingAccepted, find_files, ingest, open_batch, save_batch
from vibro.ingest.cutting import Cutter, resampled
from vibro.ingest.matrix import SampleFile
from vibro.ingest.options import check_options
from vibro.ingest.quality import judged
from vibro_plugins.readers.jsonl import JsonLines
from vibro_plugins.readers.npz import Npz


def readers():
    return [cls.make({}, Context()) for cls in (JsonLines, Npz)]


def stamp(i):
    return f"2024-03-01T{i // 60:02d}:{i % 60:02d}:00Z"


def line(i, x, **more):
    text = ",".join(map(str, np.asarray(x, np.float32)))
    return json.dumps({"data_time": stamp(i), "signal_value": text, "sensor_id": "s1", **more}) + "\n"


def take(paths, tmp_path, events=None, **options):
    options.setdefault("need_fs", False)
    paths = paths if isinstance(paths, list) else [paths]
    got = ingest(paths, readers(), IngestOptions(**options), tmp_path / "work", (events or []).append)
    got.accounting.check()
    return got


X = np.random.default_rng(0).standard_normal((12, 32)).astype(np.float32)


def test_a_batch_is_sorted_by_source_and_row(tmp_path):
    data = tmp_path / "in"
    (data / "sub").mkdir(parents=True)
    (data / "b.jsonl").write_text(line(0, X[0]) + line(1, X[1], machine_id="T1", recording="r"))
    (data / "a.jsonl").write_text("\n" + line(2, X[2], fs=100, unit="g", covariates={"load": 0.5}))
    (data / "sub" / "c.jsonl").write_text(line(3, X[3], sensor_id="s0"))
    got = take(data, tmp_path)
    batch = got.batch
    assert [batch.sources[s] for s in batch.source] == ["a.jsonl", "b.jsonl", "b.jsonl", "sub/c.jsonl"]
    assert batch.row.tolist() == [1, 0, 1, 0]
    assert np.array_equal(batch.x[:, 0], X[[2, 0, 1, 3]])
    assert [batch.sensors[s] for s in batch.sensor] == ["s1", "s1", "s1", "s0"]
    assert [batch.machines[m] for m in batch.machine] == ["s1", "s1", "T1", "s0"]
    assert [batch.recordings[r] for r in batch.recording] == ["a.jsonl", "b.jsonl", "r", "sub/c.jsonl"]
    assert batch.covariate_names == ("load",) and np.isnan(batch.covariates[1:, 0]).all()
    assert (batch.fs, got.fs_source, batch.unit) == (100.0, "data", "g")
    assert batch.ids[0] == record_id("s1", batch.time[0], X[2])
    assert not batch.x.flags.writeable and isinstance(batch.x, np.memmap)
    assert [entry["records"] for entry in got.sources] == [1, 2, 1]
    assert all(len(entry["sha256"]) == 64 for entry in got.sources)


def test_the_same_data_give_the_same_batch_whatever_the_order_of_the_arguments(tmp_path):
    for i in range(3):
        (tmp_path / f"{i}.jsonl").write_text(line(i, X[i]))
    paths = [tmp_path / f"{i}.jsonl" for i in range(3)]
    first = ingest(paths, readers(), IngestOptions(need_fs=False), tmp_path / "w1", lambda event: None)
    second = ingest(paths[::-1], readers(), IngestOptions(need_fs=False), tmp_path / "w2", lambda event: None)
    assert first.batch.ids.tolist() == second.batch.ids.tolist()
    assert (tmp_path / "w1" / "signals.npy").read_bytes() == (tmp_path / "w2" / "signals.npy").read_bytes()


def test_channels_stay_together(tmp_path):
    np.savez(tmp_path / "a.npz", signals=X.reshape(4, 3, 32), fs=10.0)
    got = take(tmp_path / "a.npz", tmp_path)
    assert got.batch.x.shape == (4, 3, 32) and got.batch.sensors == ("",)
    assert "a.npz: no sensor_id: all records share one baseline" in got.warnings


def test_records_that_go_leave_no_trace_in_the_samples(tmp_path):
    text = line(0, X[0]) + line(1, X[1][:7]) + line(2, X[2]) + line(2, X[2]) + line(3, X[3]) + line(4, np.tile(X[4], 9))
    (tmp_path / "a.jsonl").write_text(text + line(5, X[5]))
    got = take(tmp_path / "a.jsonl", tmp_path)
    assert np.array_equal(got.batch.x[:, 0], X[[0, 2, 3, 5]])
    assert got.accounting.by_code == {"Q008": 2, "Q012": 1}
    assert np.array_equal(np.load(tmp_path / "work" / "signals.npy"), got.batch.x)


def test_compaction_moves_every_block(tmp_path):
    rng = np.random.default_rng(5)
    sizes = rng.choice([5, 8], 400, p=[0.3, 0.7])
    with SampleFile(tmp_path / "x.npy") as samples:
        kept = [rng.standard_normal((1, n)).astype(np.float32) for n in sizes]
        starts = np.array([samples.append(signal) for signal in kept])
        x = samples.finish(starts[sizes == 8], (1, 8))
    assert np.array_equal(x, np.stack([signal for signal in kept if signal.shape[1] == 8]))


def test_reasons_keep_their_place(tmp_path):
    (tmp_path / "a.jsonl").write_text(
        line(0, X[0]) + "bad\n" + line(1, X[1][:5]) + line(2, X[2], fs=7) + line(3, X[3], fs=8) + line(4, X[4], fs=8)
    )
    got = take(tmp_path / "a.jsonl", tmp_path)
    rows = list(got.accounting.rows())
    assert [(row["line"], row["code"], row["disposition"]) for row in rows] == [
        (2, "Q002", "quarantined"),
        (3, "Q008", "quarantined"),
        (4, "Q013", "quarantined"),
    ]
    content = (tmp_path / "a.jsonl").read_bytes()
    assert content[rows[1]["byte_offset"] :].startswith(line(1, X[1][:5]).encode())
    assert rows[1]["record_id"] and rows[1]["data_time"] == "2024-03-01T00:01:00Z" and rows[1]["sensor_id"] == "s1"
    assert rows[1]["excerpt"].count(",") == 4 and rows[0]["excerpt"] == "bad"
    assert rows[0]["reason"] == "json" and rows[0]["row"] == 1


def test_findings_survive_a_folder_that_moves(tmp_path):
    (tmp_path / "a.jsonl").write_text(line(0, X[0]) + "bad\n")
    got = take(tmp_path / "a.jsonl", tmp_path)
    (tmp_path / "work").rename(tmp_path / "elsewhere")
    assert len(list(got.accounting.rows())) == 1 and np.array_equal(got.batch.x[0, 0], X[0])


def test_quality_is_a_verdict_not_a_loss(tmp_path):
    (tmp_path / "a.jsonl").write_text(line(0, np.zeros(32)) + line(1, np.full(32, 2.0)) + line(2, X[2]))
    got = take(tmp_path / "a.jsonl", tmp_path)
    assert got.batch.quality.tolist() == [Quality.ZERO, Quality.CONSTANT, 0]
    assert got.batch.valid.tolist() == [False, False, True]
    total = got.accounting.total
    assert (total.accepted, total.invalid, total.quarantined) == (3, 2, 0)
    assert got.accounting.summary()["by_code"] == {"Q014": 1, "Q015": 1} and got.accounting.by_code == {}
    strict = take(tmp_path / "a.jsonl", tmp_path, strict_quality=True)
    assert len(strict.batch) == 1 and strict.accounting.by_code == {"Q014": 1, "Q015": 1}


@pytest.mark.parametrize(
    ("signal", "bits"),
    [
        (np.clip(X.reshape(1, -1).repeat(4, 1), -0.5, 0.5), Quality.CLIPPED),
        (np.sin(np.arange(4000) / 13)[None], 0),
        (np.round(np.sin(np.arange(4000) / 13), 1)[None], 0),
        (np.clip(np.sin(np.arange(4000) / 13), -0.9, 0.9)[None], Quality.CLIPPED),
        (np.stack([X[0], np.zeros(32)]), Quality.ZERO),
        (np.abs(np.sin(np.arange(4000) / 13))[None], 0),
        (np.zeros((1, 0)), 0),
    ],
)
def test_quality_of_one_record(signal, bits):
    assert judged(signal.astype(np.float32)).bits == bits


def test_real_records_are_not_called_clipped(real):
    for name, limit in (("adi_motor", 0), ("mfpt", 0), ("cwru_0hp", 0), ("itsc_current", 0), ("ecg5000", 0)):
        x = real(name)["signals"]
        found = sum(bool(judged(row[None]).bits) for row in x)
        assert found <= limit, f"{found} of {len(x)} records of {name}"


# --- sampling rate, unit, mains ---------------------------------------------------------------------------------------


def test_rates(tmp_path):
    (tmp_path / "a.jsonl").write_text("".join(line(i, X[i]) for i in range(3)))
    got = take(tmp_path / "a.jsonl", tmp_path)
    assert (got.batch.fs, got.fs_source) == (0.0, "unknown")
    got = take(tmp_path / "a.jsonl", tmp_path, fs=10000.0)
    assert (got.batch.fs, got.fs_source) == (10000.0, "option")
    with pytest.raises(ConfigError, match="sampling rate") as error:
        take(tmp_path / "a.jsonl", tmp_path, need_fs=True)
    assert "--fs" in error.value.hint


def test_trap_11_a_wrong_fs_is_refused_where_the_data_know_better(tmp_path):
    (tmp_path / "a.jsonl").write_text("".join(line(i, X[i], fs=8192) for i in range(3)))
    with pytest.raises(NothingAccepted) as error:
        take(tmp_path / "a.jsonl", tmp_path, fs=10000.0)
    assert error.value.accounting.by_code == {"Q013": 3} and "--fs" in error.value.hint
    assert error.value.exit_code == 3


@pytest.mark.parametrize(
    "options", [{"fs": 0.0}, {"fs": float("nan")}, {"fs": -1.0}, {"length": 0}, {"unit": "furlong"}]
)
def test_options_that_cannot_be(tmp_path, options):
    with pytest.raises(ConfigError):
        take(tmp_path, tmp_path, **options)


def transformer(n, fs, mains=50.0, odd=0.05, seed=0):
    """Strong even and weak odd multiples of the mains, as the core of a transformer gives them."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(fs)) / fs
    x = np.zeros((n, len(t)))
    for k in range(1, 13):
        height = (1 / k) * (1.0 if k % 2 == 0 else odd)
        x += height * np.sin(2 * np.pi * k * mains * t + rng.uniform(0, 6.28, (n, 1)))
    return (x + 0.001 * rng.standard_normal(x.shape)).astype(np.float32)


@pytest.mark.parametrize(("fs", "mains"), [(8192, 50.0), (25600, 50.02), (8192, 59.97)])
def test_the_mains_are_found_and_speak_for_fs(tmp_path, fs, mains):
    x = transformer(6, fs, mains)
    np.savez(tmp_path / "a.npz", signals=x, fs=float(fs), sensor_id="a")
    got = take(tmp_path / "a.npz", tmp_path)
    assert got.mains_hz == pytest.approx(mains, abs=0.03)
    assert not got.accounting.total.others


def test_fs_is_estimated_only_where_the_comb_is_clear(tmp_path):
    np.savez(tmp_path / "a.npz", signals=transformer(6, 8192), sensor_id="a")
    got = take(tmp_path / "a.npz", tmp_path, need_fs=True)
    assert (got.batch.fs, got.fs_source) == (8192.0, "estimated") and "estimated" in " ".join(got.warnings)
    np.savez(tmp_path / "b.npz", signals=transformer(6, 8192, odd=0.0), sensor_id="a")
    with pytest.raises(ConfigError):  # 8192 Hz or 4096 Hz: nobody can know
        take(tmp_path / "b.npz", tmp_path, need_fs=True)
    np.savez(tmp_path / "c.npz", signals=transformer(6, 10000), sensor_id="a")
    with pytest.raises(ConfigError, match="10000 or 12000"):
        take(tmp_path / "c.npz", tmp_path, need_fs=True)


def test_a_comb_that_disagrees_with_fs_is_a_warning(tmp_path):
    np.savez(tmp_path / "a.npz", signals=transformer(6, 8192), sensor_id="a", fs=5120.0)
    got = take(tmp_path / "a.npz", tmp_path)
    assert len(got.batch) == 6 and (got.batch.quality == Quality.FS_COMB).all()
    assert [(row["code"], row["disposition"]) for row in got.accounting.rows()] == [("Q013", "warning")]
    assert "8192" in " ".join(got.warnings)


def test_real_machines_show_no_mains(real, tmp_path):
    for name in ("mfpt", "cwru_0hp", "pronostia", "adi_motor"):
        arrays = real(name)
        x = arrays["signals"][:: max(1, len(arrays["signals"]) // 40)]
        np.savez(tmp_path / f"{name}.npz", signals=x, fs=arrays["fs"])
        got = take(tmp_path / f"{name}.npz", tmp_path)
        assert got.mains_hz == 0 and got.fs_source == "data"
        assert "check fs" not in " ".join(got.warnings)


def test_noise_among_mains_records_is_q017(tmp_path):
    x = transformer(20, 8192)
    x[7] = np.random.default_rng(1).standard_normal(8192)
    np.savez(tmp_path / "a.npz", signals=x, sensor_id="a", fs=8192.0)
    got = take(tmp_path / "a.npz", tmp_path)
    assert np.flatnonzero(got.batch.quality & Quality.LOW_MAINS).tolist() == [7]
    assert got.batch.valid.all() and got.accounting.total.others == {"Q017": 1}


def test_units(tmp_path):
    text = line(0, X[0], unit="g") + line(1, X[1], unit="g") + line(2, X[2], unit="m/s2") + line(3, X[3])
    (tmp_path / "a.jsonl").write_text(text)
    got = take(tmp_path / "a.jsonl", tmp_path)
    assert got.batch.unit == "g" and got.batch.quality.tolist() == [0, 0, 0, 0]
    np.testing.assert_allclose(got.batch.x[2, 0], X[2] / 9.80665, rtol=1e-6)
    assert got.batch.ids[2] == record_id("s1", got.batch.time[2], got.batch.x[2])
    assert np.array_equal(got.batch.x[[0, 1, 3], 0], X[[0, 1, 3]])
    got = take(tmp_path / "a.jsonl", tmp_path, unit="mm/s")
    assert got.batch.unit == "mm/s" and got.batch.row.tolist() == [3] and got.accounting.by_code == {"Q018": 3}


# --- readers that misbehave -------------------------------------------------------------------------------------------


class Bad(Reader):
    """Gives whatever a test wants."""

    name = "bad"
    extensions = (".bad",)
    items: tuple = ()

    def read(self, path):
        for item in self.items:
            if isinstance(item, BaseException):
                raise item
            yield item


def give(tmp_path, *items):
    (tmp_path / "x.bad").write_bytes(b"x")
    cls = type("Bad", (Bad,), {"items": items})
    options = IngestOptions(need_fs=False)
    return ingest([tmp_path / "x.bad"], [cls.make({}, Context())], options, tmp_path / "w", lambda event: None)


def good(row, signal=X[:1]):
    return Record(signal, "s", np.datetime64(row, "s").astype("datetime64[ns]"), row=row)


@pytest.mark.parametrize(
    "item",
    [
        5,
        good(1, X[:1].astype(np.float64)),
        good(1, X[0]),
        good(0),
    ],
)
def test_a_reader_that_breaks_the_contract_is_named(tmp_path, item):
    with pytest.raises(ContractError, match="reader bad"):
        give(tmp_path, good(0), item)


def test_what_is_not_finite_is_refused_by_its_place(tmp_path):
    signals = [X[:1].copy() for _ in range(2)]
    signals[0][0, 5], signals[1][0, 7:9] = np.nan, np.inf
    got = give(tmp_path, good(0), good(1, signals[0]), good(2, signals[1]))
    assert len(got.batch) == 1 and got.accounting.by_code == {"Q007": 2}
    details = [row["detail"] for row in got.accounting.rows() if row["code"] == "Q007"]
    assert details == ["sample 5 is nan, not a finite float32", "samples 7 to 8 are not finite"]


def test_a_reader_that_fails_is_named(tmp_path):
    with pytest.raises(PluginError, match=r"reader bad failed on x\.bad: KeyError"):
        give(tmp_path, good(0), KeyError("k"))


def test_an_error_of_the_disk_costs_the_rest_of_the_file(tmp_path):
    got = give(tmp_path, good(0), good(1), OSError(5, "Input/output error"))
    got.accounting.check()
    assert len(got.batch) == 2 and got.accounting.by_code == {"Q020": 1}


def test_a_verdict_on_the_file_withdraws_its_records(tmp_path):
    with pytest.raises(NothingAccepted) as error:
        give(tmp_path, good(0), good(1), Rejected("Q001", "wrong checksum"))
    assert error.value.accounting.by_code == {"Q001": 3}
    error.value.accounting.check()


# --- what is said where nothing is left -------------------------------------------------------------------------------


def test_sentences_for_nothing(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match="no file"):
        take(empty, tmp_path)
    (empty / "a.txt").write_text("x")
    with pytest.raises(DataError, match=r"1 file that no reader takes: 1 with .txt \(a.txt\)"):
        take(empty, tmp_path)
    with pytest.raises(ConfigError, match=r"no such file or folder: .*nowhere.jsonl"):
        take(tmp_path / "nowhere.jsonl", tmp_path)
    (tmp_path / "a.jsonl").write_text("\n")
    with pytest.raises(DataError, match=r"no record in a\.jsonl"):
        take(tmp_path / "a.jsonl", tmp_path)
    (tmp_path / "a.jsonl").write_text("x\n" + line(0, X[0], sensor_id=None))
    with pytest.raises(DataError, match=r"of 2 read: Q002 json x 1, Q005 missing_field x 1; the first: a.jsonl line 1"):
        take(tmp_path / "a.jsonl", tmp_path)


def test_overlapping_arguments_read_a_file_once(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_text(line(0, X[0]))
    listing = find_files([tmp_path / "in", tmp_path / "in" / "a.jsonl"], readers())
    assert [found.source for found in listing.files] == ["a.jsonl"] and listing.root == tmp_path / "in"


def test_the_books_do_not_balance_by_themselves(tmp_path):
    books = Accounting(tmp_path)
    books.reject("a", Rejected("Q001", "x", row=1))
    books.check()
    books.files["a"].read += 1
    with pytest.raises(AssertionError):
        books.check()


def test_a_disk_that_takes_no_finding_is_told_by_the_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda dir: Path("/dev/full").open("w+b"))
    books = Accounting(tmp_path)
    books.reject("a", Rejected("Q001", "x", row=1))
    with pytest.raises(ResourceError, match=re.escape(f"cannot write {tmp_path}")):
        books.rows()


# --- storage and cutting ----------------------------------------------------------------------------------------------


def test_a_stored_batch_opens_again(tmp_path):
    (tmp_path / "a.jsonl").write_text(line(0, X[0], covariates={"load": 1}) + line(1, X[1], machine_id="变压器\u2028"))
    batch = take(tmp_path / "a.jsonl", tmp_path).batch
    save_batch(batch, tmp_path / "work")
    save_batch(batch, tmp_path / "copy")
    for folder in ("work", "copy"):
        again = open_batch(tmp_path / folder)
        assert isinstance(again.x, np.memmap) and not again.x.flags.writeable
        for name in batch.__dataclass_fields__:
            a, b = getattr(batch, name), getattr(again, name)
            assert np.array_equal(a, b, equal_nan=name in ("covariates",)) if isinstance(a, np.ndarray) else a == b
    (tmp_path / "copy" / "signals.npy").unlink()
    with pytest.raises(StateError):
        open_batch(tmp_path / "copy")


def test_long_recordings_are_cut_on_purpose(tmp_path):
    long = np.arange(100, dtype=np.float32)
    record = Record(long[None], "s", np.datetime64("2024-03-01", "ns"), fs=10.0, recording="r", row=4)
    parts = list(Cutter(IngestOptions(window="40", hop="30"))(record))
    assert [part.signal[0, 0] for part in parts] == [0, 30, 60] and {part.signal.shape for part in parts} == {(1, 40)}
    assert [part.time - record.time for part in parts] == [np.timedelta64(k, "s") for k in (0, 3, 6)]
    assert {part.recording for part in parts} == {"r"} and {part.row for part in parts} == {4}
    (short,) = Cutter(IngestOptions(window="400"))(record)
    assert short.code == "Q008"
    with pytest.raises(ConfigError):
        check_options(IngestOptions(hop="5"))


def test_resampling_keeps_a_tone_and_its_level(tmp_path):
    t = np.arange(20000) / 10000
    tone = np.sin(2 * np.pi * 120 * t + 0.3)[None].astype(np.float32)
    for rate in (5000.0, 8192.0, 12800.0):
        out = resampled(tone, 10000.0, rate)
        u = np.arange(out.shape[1]) / rate
        middle = slice(out.shape[1] // 10, -out.shape[1] // 10)
        assert np.abs(out[0] - np.sin(2 * np.pi * 120 * u + 0.3))[middle].max() < 2e-3
    high = np.sin(2 * np.pi * 4000 * t)[None].astype(np.float32)
    assert np.abs(resampled(high, 10000.0, 5000.0)[0, 500:-500]).max() < 0.01  # no alias


# --- size -------------------------------------------------------------------------------------------------------------

MEMORY = """
import resource, sys
from pathlib import Path
import numpy as np
from vibro.api import Context, Reader, Record
from vibro.ingest import IngestOptions, ingest

class Made(Reader):
    name, extensions = "made", (".made",)
    def read(self, path):
        x = np.random.default_rng(0).standard_normal(4096).astype(np.float32)
        for row in range(int(path.read_text())):
            time = np.datetime64(row, "s").astype("datetime64[ns]")
            yield Record(np.roll(x, row)[None], f"s{row % 9}", time, fs=100.0, row=row)

path = Path(sys.argv[1], "x.made")
path.write_text(sys.argv[2])
got = ingest([path], [Made.make({}, Context())], IngestOptions(), Path(sys.argv[1], "w"), lambda event: None)
private = next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("RssAnon:"))
print(len(got.batch), private)
"""


def test_trap_08_memory_does_not_follow_the_records(tmp_path):
    sizes = []
    for n in (200, 4200):  # 64 MB of samples between the two
        run = subprocess.run([sys.executable, "-c", MEMORY, str(tmp_path), str(n)], capture_output=True, text=True)
        count, kilobytes = map(int, run.stdout.split())
        assert count == n
        sizes.append(kilobytes)
    assert sizes[1] - sizes[0] < 8 * 1024
