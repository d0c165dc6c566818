"""The page of two runs compared: the sentence, marks where verdicts changed, cuts, bars by cause; nothing hidden, nothing raw."""

from __future__ import annotations

import re

import numpy as np
import pytest

from vibro.report.difference import MARKS, ROWS, Difference, cause_bars, headline, render_difference, scatter
from vibro.report.texts import texts

N = 600
CUTS = np.array([[2.0, 3.0], [2.0, 2.5]])
LEVELS = np.array(["normal", "attention", "alarm"])


def made(
    changed: int | None = None, parts=(("cut", "budget alarm=0.02 -> alarm=0.07"),), sensor="pump 1"
) -> Difference:
    """Equal scores, a lower alarm cut in B; ``changed``: as if these many records had changed."""
    score = np.random.default_rng(0).normal(1.2, 0.8, N)
    level = [LEVELS[np.searchsorted(cuts, score)] for cuts in CUTS]
    moved = np.flatnonzero(level[0] != level[1]) if changed is None else np.arange(changed)
    rows = [
        {
            "record_id": f"{i:016x}",
            "sensor_id": sensor,
            "data_time": np.datetime64("2024-05-01") + int(i),
            "level_a": str(level[0][i]) if changed is None else "normal",
            "level_b": str(level[1][i]) if changed is None else "alarm",
            "score_a": score[i],
            "score_b": score[i],
            "persistent_score_a": score[i],
            "persistent_score_b": score[i],
            "cause": "cut",
            "enough": ["cut"],
        }
        for i in moved
    ]
    causes = {"cut": len(rows)} if rows else {}
    return Difference(("a", "b"), list(parts), N, 0, 0, 0, rows, causes, np.stack([score, score]), moved, CUTS)


def marks(page: str) -> list[str]:
    return re.findall(r'<(?:path|circle)[^>]*class="mark (\w+)"><title>', page)


@pytest.mark.parametrize("lang", ("en", "zh"))
def test_the_page_says_what_changed_and_marks_it(lang):
    found = made()
    assert 5 < len(found.changed) < 60
    page, t = render_difference(found, lang), texts(lang)
    assert headline(found, t) in page and f"{N} " in page and t["part_cut"] in page
    assert marks(page) == ["alarm"] * len(found.changed)  # a lower alarm cut raises attention alone
    assert page.count('class="cut attention"') == page.count('class="cut alarm"') == 2  # of A and of B
    assert page.count("<tr><td><code>") == len(found.changed)
    assert "default-src &#39;none&#39;" in page and "http" not in page.replace("http-equiv", "") and "//" not in page
    assert not re.search(r'<[^>]* (?:style|on\w+)="', page.split("<script>")[0])


def test_marks_lie_between_the_cuts_of_a_and_of_b():
    found = made()
    page = scatter(found, texts("en"))
    cut = {
        (run, name): float(
            re.search(rf'<line x1="([\d.]+)" x2="([\d.]+)" y1="([\d.]+)"[^>]*class="cut {name}"><title>{run}', page)[k]
        )
        for run, k in (("A", 1), ("B", 3))
        for name in ("attention", "alarm")
    }
    places = [
        (float(x), float(y) + 5) for x, y in re.findall(r'<path d="M([\d.]+) ([\d.]+)[^>]*class="mark alarm"', page)
    ]
    assert len(places) == len(found.changed)
    for x, y in places:  # in A between attention and alarm, in B above the alarm cut
        assert cut["A", "attention"] <= x <= cut["A", "alarm"] and y <= cut["B", "alarm"] + 0.1


def test_every_part_has_its_bar_and_unchanged_parts_a_dash():
    found = made(parts=[("cut", "budget"), ("view", "knn sees other things")])
    drawn = cause_bars(found, texts("en"))
    told = dict(re.findall(r'class="label"[^>]*>([^<]+)</text>(?:<rect.*?</rect>)*<text[^>]*>([^<]+)<', drawn))
    assert told == {
        "data": "–", "view": "0", "detector": "–", "calibration": "–", "weight": "–", "cut": str(len(found.changed))
    }  # fmt: skip


def test_equal_verdicts_are_said_with_equal_scores_and_with_others():
    found = made(changed=0)
    page = render_difference(found)
    assert (
        "All 600 verdicts are equal, and so are the scores." in page
        and marks(page) == []
        and '<table class="sort' not in page
    )
    other = Difference(**{**found.__dict__, "judged": found.judged + np.array([[0.0], [0.25]])})
    assert "All 600 verdicts are equal; the scores differ by 0.250 at most." in render_difference(other)
    none = Difference(**{**found.__dict__, "both": 0, "judged": np.zeros((2, 0)), "only_a": 3})
    assert "no record in common" in render_difference(none) and "Records only in A: 3" in render_difference(none)


def test_what_is_not_shown_is_counted():
    page = render_difference(made(changed=N))
    assert page.count("<tr><td><code>") == ROWS and f"{N - ROWS} more" in page
    assert len(marks(page)) == MARKS and f"beyond the first drawn: {N - MARKS}" in page
    found = made()
    found.judged[1, :3] = np.nan
    assert "not drawn: 3" in render_difference(found)


def test_names_of_the_data_cannot_write_into_the_page():
    page = render_difference(made(sensor="<script>alert(1)</script>\u202e"))
    assert "<script>alert" not in page and "&lt;script&gt;" in page and "\u202e" not in page
