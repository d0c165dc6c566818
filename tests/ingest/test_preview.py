"""``vibro data check`` as a preview: what the first file of every kind looks like, and a way out for all that is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.io import wavfile

from vibro import cli
from vibro.ingest.accounting import REASONS
from vibro.ingest.preview import ending
from vibro.ingest.ways import WAYS, way_out

RNG = np.random.default_rng(0)


@pytest.fixture
def vibro(capsys):
    def run(*argv):
        code = cli.run([*map(str, argv)])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def folder(tmp_path):
    """Three kinds of files, and some that are none."""
    root = tmp_path / "in"
    (root / "pump").mkdir(parents=True)
    for i in (1, 2, 10):
        rows = "".join(f"{a:.4f},{b:.4f}\n" for a, b in RNG.normal(size=(256, 2)))
        (root / "pump" / f"{i}.csv").write_text("# fs: 1000 Hz\nx (g),y (g)\n" + rows)
    wavfile.write(root / "2024-02-01_10-11-12.wav", 1000, (RNG.normal(size=256) * 1000).astype(np.int16))
    (root / "a.jsonl").write_text(
        json.dumps({"sensor_id": "s", "data_time": "2024-01-01T00:00:00Z", "fs": 1000, "signal_value": [1.5, 2] * 128})
    )
    (root / "notes.docx").write_bytes(b"PK\x03\x04")
    (root / "photo.jpg").write_bytes(b"\xff\xd8")
    return root


def test_the_first_file_of_every_kind(vibro, folder):
    code, out, _ = vibro("data", "check", folder, "--json")
    found = json.loads(out)
    assert code == 0
    kinds = {kind["kind"]: kind for kind in found["preview"]}
    assert set(kinds) == {".csv", ".wav", ".jsonl"}
    table = kinds[".csv"]
    assert (table["file"], table["files"], table["records"]) == ("pump/1.csv", 3, 2)
    assert (table["samples"], table["channels"], table["fs"], table["units"]) == ([256, 256], 1, [1000.0], ["g"])
    assert (table["sensors"], table["machines"], table["time"]) == (["pump:x", "pump:y"], ["pump"], None)
    assert "samples down the rows" in table["looks_like"]
    assert kinds[".wav"]["time"] == "2024-02-01T10:11:12Z"
    assert {i["source"] for i in found["ignored"]} == {"notes.docx", "photo.jpg"} and found["refused"] == []


def test_the_tables_of_the_terminal(vibro, folder):
    code, out, _ = vibro("data", "check", folder)
    lines = out.splitlines()
    assert code == 0 and lines[0].startswith("first file of a kind") and "pump/1.csv (1 / 3)" in out
    assert any(line.startswith("ignored files: notes.docx (no reader takes it), photo.jpg") for line in lines)
    assert "每类首个文件" in vibro("data", "check", folder, "--lang", "zh")[1]


def test_what_is_refused_has_a_way_out(vibro, folder):
    (folder / "pump" / "3.csv").write_text("# fs: 1000 Hz\nx (bananas)\n" + "1.5\n2.5\n" * 128)
    (folder / "b.jsonl").write_text('{"sensor_id": "s"}\nno json\n')
    code, out, err = vibro("data", "check", folder)
    assert code == 4
    assert "Q002 json x 1: b.jsonl line 2" in out and "Q005 missing_field x 1: b.jsonl line 1" in out
    assert "  -> --columns time=NAME,signal=NAME" in out
    refused = {item["code"]: item for item in json.loads(vibro("data", "check", folder, "--json")[1])["refused"]}
    assert set(refused) >= {"Q002", "Q005"} and all(item["way"] for item in refused.values())
    assert "hint: " in err and "data check" not in err and "--help" not in err


def test_nothing_that_a_reader_takes(vibro, folder):
    for path in [*folder.rglob("*.csv"), folder / "a.jsonl", folder / "2024-02-01_10-11-12.wav"]:
        path.unlink()
    code, out, err = vibro("data", "check", folder)
    assert code == 3
    assert "2 files that no reader takes: 1 with .docx (notes.docx), 1 with .jpg (photo.jpg)" in err
    assert "hint: export as one of .asc" in err and "vibro plugins new my_format --kind reader" in err
    assert "ignored files: notes.docx (no reader takes it)" in out
    code, out, _ = vibro("data", "check", folder, "--json")
    assert code == 3 and json.loads(out)["preview"] == [] and len(json.loads(out)["ignored"]) == 2


def test_a_table_that_is_none_says_why(vibro, tmp_path):
    (tmp_path / "labels.csv").write_text("source,label\na.csv,1\n")
    code, _, err = vibro("data", "check", tmp_path)
    assert code == 3 and "1 with .csv (labels.csv); labels.csv: " in err
    (tmp_path / "a.xyz").write_text("x")
    code, _, err = vibro("data", "check", tmp_path / "a.xyz")
    assert code == 3 and "no reader takes this file" in err and "vibro plugins new my_format --kind reader" in err


def test_no_hint_leads_nowhere(vibro, folder, tmp_path):
    """No hint of a command on data names --help or that command itself."""
    (tmp_path / "empty").mkdir()
    (folder / "long.csv").write_text("x\n" + "1.5\n2.5\n" * 300)
    for argv in (
        (folder, "--fs", "5000"),
        (folder / "long.csv", folder / "pump", "--length", "7"),
        (tmp_path / "empty",),
        (tmp_path / "nowhere",),
        (folder / "photo.jpg",),
        (folder / "a.jsonl", "--unit", "bananas"),
        (folder, "--channels", "no such channel"),
    ):
        code, _, err = vibro("data", "check", *argv)
        hint = err.partition("hint: ")[2]
        assert code in (2, 3, 4) and err.count("error: ") == 1, argv
        assert "--help" not in hint and "data check" not in hint, argv


def test_every_reason_that_costs_a_record_has_a_way_out():
    remarks = {"Q017", "Q023", "Q024", "Q025"}
    assert set(WAYS) == set(REASONS) - remarks
    assert way_out("Q008", 2048).startswith("--window 2048")


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a/b.CSV", ".csv"), ("a.jsonl.gz", ".jsonl.gz"), ("2004.02.12.10.02.39", ""), ("a", ""), ("a.tar.gz", ".tar.gz")],
)
def test_the_ending_of_a_kind(name, kind):
    assert ending(name) == kind


def test_an_option_without_effect_is_told(vibro, folder):
    argv = ("data", "check", folder / "2024-02-01_10-11-12.wav", "--json")
    told = json.loads(vibro(*argv, "--columns", "time=t")[1])["warnings"]
    assert [text for text in told if "no effect" in text] == [
        "--columns has no effect: files of this kind (wav) do not take it"
    ]
