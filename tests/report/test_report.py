"""The report: complete, self-contained, safe against hostile ids, the same in both languages."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from vibro.errors import ConfigError, StateError
from vibro.io import files
from vibro.report import charts, render, sections, trends, write_report
from vibro.report.scale import Scale, score_scale, time_ticks
from vibro.report.texts import LANGUAGES, texts
from vibro.store import tables

from .made import made_run, made_signals


class Page(HTMLParser):
    """Collects what the tests ask about, and the tags left open."""

    VOID = frozenset({"meta", "br", "link", "img", "hr", "input"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return made_run(tmp_path_factory.mktemp("report") / "run")


@pytest.fixture(scope="module")
def html(run) -> str:
    return render(run, signals=made_signals)


def test_page_is_well_formed_and_says_the_verdict(html):
    page = Page(html)
    assert page.open == []
    scores = re.search(r"Of 2,000 records (\d+) in alarm and (\d+) in attention", page.text)
    assert scores
    assert "T1: alarm since 2024-02-04 02:00; kept up; sensors that keep it up by themselves: 2 of 5." in page.text
    for part in (
        "read 2,002 = accepted 2,000 + quarantined 2",
        "Q006",
        "token 17",
        "needs 200 rows",
        "vibro ensemble run",
    ):
        assert part in page.text, part


def test_counts_are_those_of_the_scores(run, html):
    level = tables.read_scores(run)["level"]
    shown = dict(re.findall(r"<dt>(\w+)</dt><dd>([\d,]+)</dd>", html))
    for name in ("alarm", "attention", "normal", "invalid", "indeterminate"):
        assert int(shown[name].replace(",", "")) == int((level == name).sum()), name


def test_nothing_is_fetched_and_only_our_blocks_may_run(html):
    without_names = re.sub(r'<script type="application/json".*?</script>', "", html, flags=re.S).replace(
        "http-equiv", ""
    )
    assert "http" not in without_names and "//" not in without_names
    for tag, attributes in Page(html).tags:
        assert tag not in ("link", "img", "iframe", "object", "form", "base"), tag
        assert not {name for name in attributes if name.startswith("on")} | ({"style", "src"} & set(attributes))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html).group(1).replace("&#39;", "'")
    assert policy.startswith("default-src 'none'")
    for block in ("style", "script"):
        content = re.search(rf"<{block}>(.*?)</{block}>", html, re.S).group(1)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{block}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy


def test_same_run_gives_the_same_page(run, html, tmp_path):
    write_report(run, tmp_path / "report.html", signals=made_signals)
    assert (tmp_path / "report.html").read_text("utf-8") == html
    assert len(html) < 600_000


def test_of_many_sensors_the_worst_have_a_trend_and_the_page_says_so(run, html, monkeypatch):
    monkeypatch.setattr(trends, "DRAWN", 3)
    few = render(run, signals=made_signals)
    drawn = [re.findall(r'id="(trend-\d+)"', page) for page in (html, few)]
    assert len(drawn[0]) == 10 and drawn[1] == drawn[0][:3]
    linked = set(re.findall(r'href="#(trend-\d+)"', few))
    assert linked <= set(drawn[1])
    assert "The 3 most urgent of 10 sensors." in Page(few).text and "most urgent of 10" not in Page(html).text


def test_chinese_page_has_the_same_sections(run, html):
    chinese = render(run, "zh", made_signals)
    assert '<html lang="zh-CN">' in chinese and "振动分析报告" in chinese
    assert re.findall(r'id="(\w+)"', chinese) == re.findall(r'id="(\w+)"', html)
    with pytest.raises(ConfigError, match="language"):
        render(run, "fr")


def test_every_text_is_used_and_translated():
    folder = Path(charts.__file__).parent
    files_using = [*folder.rglob("*"), folder.parent / "cli" / "run_tables.py"]
    sources = "".join(p.read_text("utf-8") for p in files_using if p.suffix in (".py", ".j2") and p.name != "texts.py")
    english, chinese = (texts(lang) for lang in LANGUAGES)
    tokens = {
        "warning",
        "ok",
        "excluded",
        "failed",
        "absent",
        "complete",
        "interrupted",
        "own",
        "pooled",
    }  # values in files
    for key, text in english.items():
        assert (
            key in tokens
            or key.startswith(("grade_", "i_", "k_", "raised_", "reason_", "why_", "group_", "part_", "diff_", "Q0"))
            or re.search(rf"\b{key}\b", sources)
        ), f"text {key!r} is not used"
        assert text and chinese[key]
        assert set(re.findall(r"{\w+}", text)) == set(re.findall(r"{\w+}", chinese[key])), key


HOSTILE = ["<script>alert(1)</script>", '"onload="x', "javascript:alert(1)", "a\u202eb\x1b[31m", "{{ 7*7 }}", "=cmd()"]


def test_hostile_names_stay_text(tmp_path):
    run = made_run(tmp_path / "run", n=60, sensors=6, labels=False)
    columns = tables.read_scores(run)
    columns["sensor_id"] = np.array(HOSTILE)[np.arange(60) % 6]
    columns["source"] = np.full(60, HOSTILE[0])
    tables.write_scores(run, {k.replace("ecod", HOSTILE[0]): v for k, v in columns.items()})
    tables.write_machines(
        run, [{"machine_id": name, "level": "alarm", "since": np.datetime64("2024-01-01")} for name in HOSTILE]
    )
    summary = json.loads((run / "summary.json").read_text())
    summary["warnings"] = HOSTILE
    summary["sensors"] = [{"sensor_id": name, "machine_id": name} for name in HOSTILE]
    files.write_text(run / "summary.json", json.dumps(summary))
    html = render(run)
    page = Page(html)
    assert [attributes for tag, attributes in page.tags if tag == "script"] == [
        {"type": "application/json", "id": "data-block"},
        {},
    ]
    assert not [a for _, attributes in page.tags for a in attributes if a.startswith("on")]
    assert "\u202e" not in html and "\x1b" not in html
    assert "<script>alert(1)</script>" in page.text and "{{ 7*7 }}" in page.text


@pytest.mark.parametrize("n", [1, 2, 5, 40])
@pytest.mark.parametrize("timed", [True, False])
def test_small_runs(tmp_path, n, timed):
    page = Page(render(made_run(tmp_path / "run", n=n, sensors=min(n, 3), timed=timed, labels=False)))
    assert page.open == []
    assert f"{n} records" in page.text


def test_run_without_judged_records(tmp_path):
    run = made_run(tmp_path / "run", n=6, sensors=2, labels=False)
    columns = tables.read_scores(run)
    columns["level"] = np.full(6, "indeterminate")
    for name in columns:
        if name in ("score", "p_value", "agreement", "confidence") or name.startswith("z_"):
            columns[name] = np.full(6, np.nan)
    tables.write_scores(run, columns)
    assert "Records that cannot be judged: 6" in Page(render(run)).text
    tables.write_scores(run, {name: column[:0] for name, column in columns.items()})
    assert "0 records" in Page(render(run)).text


def test_failures_and_bad_figures_are_said(run, tmp_path):
    copy = made_run(tmp_path / "run", n=50)
    summary = json.loads((copy / "summary.json").read_text())
    summary["status"] = "failed"
    summary["failures"] = [{"detector": "tadgan", "phase": "fit", "error": "ValueError", "message": "NaN loss"}]
    summary["thresholds"] = {}
    files.write_text(copy / "summary.json", json.dumps(summary))
    (copy / "manifest.json").unlink()
    page = Page(render(copy))
    assert "This run is not complete: failed." in page.text
    assert "tadgan (fit): NaN loss" in page.text
    assert "lof: below 0.5: ranks worse than chance here" in page.text
    assert "looseness" in page.text


def test_damaged_run_is_refused(run, tmp_path):
    copy = made_run(tmp_path / "run", n=20)
    files.write_text(copy / "summary.json", "[")
    with pytest.raises(StateError, match=r"summary\.json"):
        render(copy)
    (copy / "scores.parquet").write_bytes(b"PAR1")
    with pytest.raises(StateError, match=r"scores\.parquet"):
        render(copy)
    with pytest.raises(StateError):
        render(tmp_path / "nothing")


def test_bars_add_up_to_the_judged_records_and_change_colour_at_the_cuts(run):
    columns = tables.read_scores(run)
    judged = columns["score"][~np.isin(columns["level"], ["invalid", "indeterminate"])]
    drawn = charts.histogram(judged, (2.4, 4.2), texts("en"))
    bars = re.findall(r'class="bar (\w+)"><title>[^:]*: ([\d,]+)<', drawn)
    counted = {name: sum(int(n.replace(",", "")) for level, n in bars if level == name) for name, _ in bars}
    assert counted == {
        "normal": int((judged < 2.4).sum()),
        "attention": int(((judged >= 2.4) & (judged < 4.2)).sum()),
        "alarm": int((judged >= 4.2).sum()),
    }


def test_scale_keeps_order_and_inverts():
    rng = np.random.default_rng(0)
    for scores in (rng.normal(size=500), np.concatenate([rng.normal(size=500), [30.0, 800.0]]), np.full(5, 3.0)):
        scale = score_scale(scores, 10, 500, 4.0)
        places = scale(np.sort(scores))
        assert (np.diff(places) >= 0).all() and places.min() >= 10 and places.max() <= 500
        np.testing.assert_allclose(scale.inverse(scale.transform(scores)), scores, rtol=1e-9, atol=1e-9)
        ticks = scale.ticks()
        assert 2 <= len(ticks) <= 14 and all(scale.lo <= t <= scale.hi for t in ticks)
    assert score_scale(np.append(rng.normal(size=500), 800.0), 0, 1).width > 0
    assert score_scale(np.array([np.nan]), 0, 1) == Scale(0.0, 1.0, 0, 1)


@pytest.mark.parametrize("span", [10, 3000, 40_000, 300_000, 3e6, 4e7, 4e8])
def test_time_ticks_are_few_and_inside(span):
    start = 1_704_700_000.0
    ticks = time_ticks(start, start + span, 8)
    assert 1 <= len(ticks) <= 10
    assert all(start <= value <= start + span for value, _ in ticks)
    assert len({label for _, label in ticks}) == len(ticks)


@pytest.mark.parametrize(("count", "last"), [(5, "m4: alarm; kept up."), (7, "and 2 more")])
def test_the_banner_names_five_machines_and_says_how_many_more(monkeypatch, count, last):
    counted = [("alarm", 9), ("attention", 0), ("invalid", 0), ("indeterminate", 0)]
    rows = [{"machine_id": f"m{i}", "level": "alarm", "since": "", "why": "kept up"} for i in range(count)]
    monkeypatch.setattr(sections, "machines", lambda run, t: rows)
    monkeypatch.setattr(sections, "levels", lambda run: counted)
    run = type("Run", (), {"machines": range(count), "__len__": lambda self: 9})()
    assert sections.say(run, texts("en"))["lines"][-1] == last
