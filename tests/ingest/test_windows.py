"""Long recordings: cut when asked, named when not; labels go with the recording (case 06)."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from scipy.io import savemat

from vibro import cli
from vibro.data import Record
from vibro.errors import ConfigError
from vibro.ingest.cutting import Cutter
from vibro.ingest.options import IngestOptions, check_options, samples_of

RNG = np.random.default_rng(0)
LENGTHS = {"normal/0": 3000, "normal/1": 3001, "inner/0": 2990, "inner/1": 2991, "outer/0": 3011, "outer/1": 3012}


@pytest.fixture
def vibro(capsys):
    def run(*argv):
        code = cli.run([*map(str, argv)])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def folder(tmp_path):
    """Recordings of uneven length in folders that tell their state, as the MFPT set has them."""
    for name, length in LENGTHS.items():
        path = tmp_path / "in" / f"{name}.mat"
        path.parent.mkdir(parents=True, exist_ok=True)
        savemat(path, {"gs": RNG.normal(size=(length, 1)), "sr": 4096.0})
    return tmp_path / "in"


def rows(path):
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


MAP = ("--map", "normal=0", "--map", "inner=1,outer=1")


def test_uneven_lengths_name_the_option(vibro, folder):
    code, _, err = vibro("data", "check", folder)
    assert code == 4
    assert "2990 to 3012 samples" in err and "--window 2048 cuts them all" in err and "hint: --window 2048" in err
    code, _, err = vibro("ensemble", "run", folder, "-o", folder.parent / "OUT")
    assert code == 4 and "hint: --window 2048" in err


@pytest.mark.parametrize(("window", "hop", "count", "length"), [(256, None, 66, 256), ("0.25s", "0.125s", 40, 1024)])
def test_windows_in_samples_and_in_time(vibro, folder, window, hop, count, length):
    argv = ("--window", window, *(["--hop", hop] if hop else []))
    code, out, err = vibro("data", "check", folder, "--json", *argv)
    found = json.loads(out)
    assert code == 0, err
    assert found["signal"]["length"] == length and found["records"]["accepted"] in (
        count,
        6 * ((2990 - 1024) // 512 + 1),
    )
    assert found["recordings"] == 6


@pytest.mark.parametrize(
    ("text", "fs", "samples"), [("4096", 0, 4096), ("1s", 25600, 25600), ("250ms", 1000, 250), ("0.5min", 10, 300)]
)
def test_a_span(text, fs, samples):
    assert samples_of(text, fs, "--window") == samples


@pytest.mark.parametrize("text", ["", "1.5", "1h", "-1", "0", "s", "1e3", "٣"])
def test_no_span(text):
    with pytest.raises(ConfigError):
        check_options(IngestOptions(window=text))


def test_a_span_of_time_needs_a_rate():
    record = Record(np.zeros((1, 100), np.float32), "s")
    with pytest.raises(ConfigError, match="needs a sampling rate") as error:
        list(Cutter(IngestOptions(window="1s"))(record))
    assert "--fs" in error.value.hint
    with pytest.raises(ConfigError, match="less than a sample"):
        list(Cutter(IngestOptions(window="1ms", fs=10.0))(record))


def test_labels_by_folder_whatever_the_length_case_06(vibro, folder, tmp_path):
    code, out, _ = vibro("data", "labels", folder, "-o", tmp_path / "l.csv", *MAP)
    assert code == 0 and "labels of 6 recordings" in out
    found = rows(tmp_path / "l.csv")
    assert {(row["recording"], row["label"], row["fault_type"]) for row in found} == {
        (f"{name}.mat", str(int(not name.startswith("normal"))), "" if name.startswith("normal") else name[:-2])
        for name in LENGTHS
    }
    for argv in ((folder, "--window", "256"), (_converted(vibro, folder, tmp_path),)):
        code, out, err = vibro("data", "check", *argv, "--labels", tmp_path / "l.csv", "--json")
        labels = json.loads(out)["labels"]
        assert code == 0, err
        assert (labels["key"], labels["matched"], labels["normal"], labels["anomalous"]) == ("recording", 6, 22, 44)


def _converted(vibro, folder, tmp_path):
    code, _, err = vibro("data", "convert", folder, "-o", tmp_path / "w.npz", "--window", "256")
    assert code == 0, err
    return tmp_path / "w.npz"


def test_convert_writes_the_labels_of_folders(vibro, folder, tmp_path):
    argv = ("-o", tmp_path / "w.npz", "--window", "256", "--labels-out", tmp_path / "l.csv")
    code, _, err = vibro("data", "convert", folder, *argv)
    assert code == 2 and "--map normal=0" in err and not (tmp_path / "w.npz").exists()
    assert vibro("data", "convert", folder, *argv, *MAP)[0] == 0
    code, out, _ = vibro("data", "check", tmp_path / "w.npz", "--labels", tmp_path / "l.csv", "--json")
    labels = json.loads(out)["labels"]
    assert (labels["key"], labels["normal"], labels["anomalous"]) == ("record_id", 22, 44)


def test_a_table_may_name_files_and_say_labels_in_words(vibro, folder, tmp_path):
    text = "source,label\n" + "".join(f"{name}.mat,{name[:-2]}\n" for name in LENGTHS)
    (tmp_path / "l.csv").write_text(text)
    argv = ("data", "check", folder, "--window", "256", "--labels", tmp_path / "l.csv", "--json")
    code, _, err = vibro(*argv)
    assert code == 2 and "label is 'normal'" in err and "--map 'normal=1'" in err
    code, out, err = vibro(*argv, "--map", "normal=0", "--map", "inner=1", "--map", "outer=1")
    labels = json.loads(out)["labels"]
    assert (labels["key"], labels["normal"], labels["anomalous"]) == ("source", 22, 44), err
    (tmp_path / "l.csv").write_text("source,label\ninner/0.mat,1\nnowhere.mat,1\n")
    code, _, err = vibro(*argv)
    assert code == 2 and "1 row of l.csv matches no record" in err


def test_a_row_about_a_recording_that_was_refused_is_no_error(vibro, folder, tmp_path):
    vibro("data", "labels", folder, "-o", tmp_path / "l.csv", *MAP)
    code, _, err = vibro("data", "check", folder, "--labels", tmp_path / "l.csv")
    assert code == 4 and "no record" not in err


def test_folders_of_two_labels_in_one_path(vibro, folder, tmp_path):
    (folder / "normal" / "inner").mkdir()
    savemat(folder / "normal" / "inner" / "0.mat", {"gs": RNG.normal(size=(3000, 1))})
    code, _, err = vibro("data", "labels", folder, "-o", tmp_path / "l.csv", *MAP)
    assert code == 2 and "different labels" in err


def test_windows_of_a_run_are_scored_and_judged(vibro, folder, tmp_path):
    vibro("data", "labels", folder, "-o", tmp_path / "l.csv", *MAP)
    argv = ("--window", "256", "--labels", tmp_path / "l.csv", "--no-report", "--json")
    code, out, err = vibro("ensemble", "run", folder, "-o", tmp_path / "OUT", "--detectors", "mahalanobis", *argv)
    assert code == 0, err
    assert json.loads(out)["metrics"]["labels"]["anomalous"] == 44
    code, out, err = vibro("score", tmp_path / "OUT", folder, "-o", tmp_path / "S", *argv)
    assert code == 0 and json.loads(out)["records"]["accepted"] == 66, err
    code, _, err = vibro("score", tmp_path / "OUT", folder / "outer" / "1.mat", "-o", tmp_path / "S2", "--no-report")
    assert code == 0 and "--window 256" in err  # as the model was fitted
