"""The report of a benchmark: what it concludes from the tests, and what its charts show."""

from __future__ import annotations

import re

import pytest

from vibro.benchmark.charts import MOST, accuracy_against_seconds, critical_difference, forest, learning_curve
from vibro.benchmark.conclusion import answer, basis, sureness
from vibro.benchmark.report import html
from vibro.benchmark.tables import Section


def pair(against, diff, lo=None, hi=None, p=None):
    return {"against": against, "diff": diff, "lo": lo, "hi": hi, "p": p}


def made(*pairs, data_sets=8, mean=0.7):
    """The part of benchmark.json that a conclusion is made of: ensemble ``ours`` with members ``a`` and ``b``."""
    tests = {
        "lead": "ours",
        "mean": {"ours": mean} | {p["against"]: mean - p["diff"] for p in pairs},
        "paired": list(pairs),
        "data_sets": data_sets,
        "blocks": 2 * data_sets,
    }
    return {
        "tests": {"open_blocks": tests, "all_blocks": tests},
        "ensembles": {"ours": {"detectors": [{"id": "a"}, {"id": "b"}]}, "theirs": {"detectors": [{"id": "c"}]}},
        "baselines": [{"set": "rms"}, {"set": "best_member"}],
        "losses": [],
        "learning": [],
        "data": [{"name": "plant", "records": 1200, "sensors": 1, "fs": 8192.0, "anomalous": 60}],
    }


SURE = pair("theirs", 0.1, 0.05, 0.15, 0.01)


def test_the_conclusion_says_which_by_how_much_and_whether_it_is_sure():
    said = answer(made(SURE, pair("a", 0.02, -0.01, 0.05, 0.2), pair("rms", 0.3, 0.2, 0.4, 0.01)))
    assert said == [
        "ours ranks best: mean average precision 0.700 over 8 data sets, 0.020 ahead of a; that may be noise",
        "ours against the next ensemble, theirs: +0.100 (95 % interval +0.050 to +0.150); that is more than noise",
        "ours against the best single detector, a: +0.020 (95 % interval -0.010 to +0.050); that may be noise",
        "ours against the best simple measure, rms: +0.300 (95 % interval +0.200 to +0.400); that is more than noise",
    ]


def test_an_oracle_is_no_rival_and_a_better_one_is_named():
    said = answer(made(pair("best_member", -0.2, -0.3, -0.1, 0.01), pair("b", -0.04, -0.06, -0.02, 0.01)))
    assert said[0].startswith("ours does not rank best") and "0.040 behind b; that is more than noise" in said[0]


@pytest.mark.parametrize(
    "one,data_sets,words",
    [
        (pair("a", 0.1, 0.05, 0.15, 0.01), 8, "that is more than noise"),
        (pair("a", 0.1, 0.05, 0.15, 0.06), 8, "that may be noise"),
        (pair("a", 0.1, -0.05, 0.15, 0.04), 8, "that may be noise"),
        (pair("a", 0.1, 0.05, 0.15, 0.03), 5, "too few data sets to be sure"),
        (pair("a", 0.1, 0.05, 0.15, 0.03), 1, "measured on one data set, which says nothing about other data"),
        (pair("a", 0.1), 1, "one draw, so nothing says whether that is noise"),
    ],
)
def test_a_difference_is_sure_only_with_enough_data_and_an_interval_beyond_zero(one, data_sets, words):
    assert sureness(one, {"data_sets": data_sets}) == words


def test_nothing_evaluated_is_said():
    assert answer(made(mean=None)) == ["no row could be evaluated, so there is nothing to compare"]


def test_losses_labels_and_data_are_named():
    found = made(SURE)
    behind = [{"name": "rms", "average_precision": 0.9}]
    found["losses"] = [{"data": "plant", "pool": "c10", "average_precision": 0.5, "behind": behind}]
    found["learning"] = [
        {"labelled_k": 5, "name": "ours", "data_sets": 8, "gain": 0.1, "lo": 0.05, "hi": 0.2, "p": 0.01}
    ]
    assert basis(found) == [
        "a competitor is better than ours by more than 0.01 in 1 of 16 blocks, most on plant/c10: rms 0.900 against 0.500",
        "ours with 5 labels per class against without: +0.100 (95 % interval +0.050 to +0.200); that is more than noise",
        "data set plant: 1,200 records of 1 sensor at 8,192 Hz, 60 anomalous",
    ]


def test_the_forest_colours_only_what_is_sure_and_shows_the_strongest_competitors():
    picture = forest([SURE, pair("a", 0.1, 0.05, 0.15, 0.06), pair("b", -0.1, -0.2, -0.05, 0.01)], "ours")
    assert (
        picture.count("whisker better") == picture.count("whisker worse") == 1 and picture.count('class="whisker"') == 1
    )
    many = forest([pair(f"d{i}", i / 100) for i in range(MOST + 9)], "ours")
    assert many.count("<circle") == MOST and "d0" in many and f"d{MOST}<" not in many
    assert forest([], "ours") is None


def test_the_learning_curve_starts_at_no_gain_and_leaves_oracles_out():
    rows = [
        {"labelled_k": k, "name": name, "data_sets": 3, "gain": k / 100}
        for k in (5, 20)
        for name in ("ours", "best_member")
    ]
    picture = learning_curve(rows, ("ours",))
    assert "ours: +0.000" in picture and "ours: +0.200" in picture and "best_member" not in picture
    assert "3 data sets" in picture and learning_curve([], ("ours",)) is None


def test_many_ranks_stay_readable():
    names = [f"d{i}" for i in range(60)]
    ranking = {"ranks": [{"name": n, "rank": 1.0 + i} for i, n in enumerate(names)], "critical_difference": 4.0}
    picture = critical_difference(ranking | {"cliques": [names[:3], names[20:30], names[40:50]]})
    assert (
        picture.count("clique") == 2 and "d23 " in picture.replace("<", " ") and "d24 " not in picture.replace("<", " ")
    )


def test_points_beside_the_front_are_pale():
    front = [{"set": "a", "fuser": "auto", "seconds": 0.1, "average_precision": 0.5}]
    other = [{"set": "a+b", "fuser": "auto", "seconds": 1.0, "average_precision": 0.4}]
    picture = accuracy_against_seconds(front, other)
    assert picture.count("point pale") == 1 and ">a<" in picture
    assert accuracy_against_seconds(front, []) is None


def test_columns_of_figures_are_told_from_words():
    section = Section("T", headers=("a", "b", "c"), rows=[("x", "0.5 ± 0.1", "–"), ("y", "–", "–")])
    assert section.numeric == {1}


def whole():
    """All of a benchmark.json, with every picture."""
    found = made(SURE, pair("a", 0.02, -0.01, 0.05, 0.2), pair("rms", 0.3, 0.2, 0.4, 0.01))
    ranks = [{"name": n, "rank": r} for n, r in (("ours", 1.2), ("a", 1.9), ("rms", 2.9))]
    figures = {"critical_difference": 0.9, "cliques": [["ours", "a"]], "blocks": 8, "statistic": 9.1, "p": 0.01}
    for tests in found["tests"].values():
        tests["friedman"] = {"ranks": ranks, **figures}
    found["ensembles"]["ours"]["fuser"] = {"use": "auto"}
    found["ensembles"]["theirs"]["fuser"] = {"use": "auto"}
    found["baselines"] = []
    found["learning"] = [
        {
            "labelled_k": 5,
            "name": "ours",
            "data_sets": 8,
            "average_precision": 0.8,
            "gain": 0.1,
            "lo": 0.05,
            "hi": 0.2,
            "p": 0.01,
        }
    ]
    points = (("a", 0.1, 0.6), ("a+b", 0.5, 0.7))
    found["pareto"] = found["best"] = [
        {"ensemble": "ours", "set": n, "fuser": "auto", "labelled_k": 0, "seconds": s, "average_precision": v}
        for n, s, v in points
    ]
    found["data"][0] |= {"normal": 1140, "machines": 1, "length": 8192, "fingerprint": "0" * 16}
    empty = {
        key: []
        for key in ("rows", "metrics", "leave_one_out", "shapley", "per_class", "per_sensor", "failures", "lost")
    }
    about = {"name": "made", "summary": "", "seeds": [0, 1], "combinations": 3, "protocol": "pool", "splits": ["none"]}
    made_with = {
        "vibro": "0",
        "libraries": {"python": "3"},
        "machine": {"cores": 2},
        "timings": {"fit": 1.0, "judge": 1.0},
    }
    return found | empty | about | made_with | {"warnings": ["odd"], "confound": {"rows": [], "warnings": []}}


@pytest.mark.parametrize("lang", ("en", "zh"))
def test_the_page_begins_with_the_answer_and_its_pictures_come_before_the_tables(lang):
    page = html(whole(), lang)
    answer_at, picture = page.index('class="verdict"'), page.index("<svg")
    assert answer_at < picture < page.index("<table") and page.count("<svg viewBox") == 4
    assert "http" not in page.replace("http-equiv", "")
    if lang == "zh":
        words = set(re.findall(r"[A-Za-z]{4,}", re.sub(r"<(style|script).*?</\1>|<[^>]+>", " ", page, flags=re.S)))
        assert words <= {
            "vibro",
            "numpy",
            "Python",
            "ours",
            "theirs",
            "made",
            "plant",
            "auto",
            "Friedman",
            "Nemenyi",
            "none",
            "best",
            "member",
            "pool",
        }
