"""Every bad input of the corpus ends as it must: exit code, reasons, accepted records, and no traceback."""

from __future__ import annotations

import json
import os

import pytest
import typer.main

from vibro import cli
from vibro.cli.session import Session

from . import corpus

CASES = corpus.cases()


@pytest.fixture(scope="module", autouse=True)
def one_application():
    """One application and one plugin host for all cases: making them takes longer than reading a case."""
    command, host = typer.main.get_command(cli.make_app()), Session().host()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.main, "get_command", lambda app: command)
        patch.setattr(cli, "make_app", lambda *parts: None)
        patch.setattr(Session, "host", lambda self: host)
        patch.setattr(host, "observe", lambda observer, name: None)
        yield


@pytest.mark.timeout(60)
@pytest.mark.parametrize("case", CASES, ids=[f"{case.family}-{case.name}" for case in CASES])
def test_bad_input(case, tmp_path, capsys):
    folder, table = tmp_path / "in", tmp_path / "quarantine.csv"
    folder.mkdir()
    before = os.getcwd()
    paths = case.make(folder)
    code = cli.run(["data", "check", *map(str, paths), "--json", "-o", str(table), *case.options])
    out, err = capsys.readouterr()
    assert "Traceback" not in err and "internal error" not in err
    assert os.getcwd() == before
    found = json.loads(out)["records"]
    expected = {name[:4]: 0 for name in case.codes}
    for name, count in case.codes.items():
        expected[name[:4]] += count
    quarantined = {}
    for file in json.loads(out)["files"]:
        assert file["read"] == file["accepted"] + file["quarantined"]
        for name, count in file["by_code"].items():
            quarantined[name] = quarantined.get(name, 0) + count
    assert found["read"] == found["accepted"] + found["quarantined"] == found["accepted"] + sum(quarantined.values())
    if -1 in expected.values():  # some count of that one reason
        assert set(quarantined) == set(expected)
    else:
        assert quarantined == expected
    assert found["accepted"] == case.accepted
    assert found["invalid"] == case.invalid
    assert code == case.exit, err
    text = table.read_text(encoding="utf-8")
    assert case.detail in text
    rows = [row for row in text.splitlines()[1:] if ",quarantined," in row]
    assert len(rows) >= found["quarantined"]
    if code == 3:
        assert err.count('"event": "error"') == 1


def test_the_corpus_is_large_enough():
    assert len(CASES) >= 180
    assert len(corpus.tally(CASES)) >= 14
    assert len({(case.family, case.name) for case in CASES}) == len(CASES)
