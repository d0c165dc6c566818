"""Sentences of a run: found in the catalogue, translated with their figures and names, in order of what to do."""

from __future__ import annotations

import re

import pytest

from vibro.report.messages import DO, KNOW, OTHERS, TRUST, known, remarks, translate
from vibro.report.sentences import SENTENCES

ALONE = "sensor S3 of machine U1 deviates alone: look at the sensor and its mounting first"
BUDGET = "5.1 % of the records lie above the alarm cut, for a budget of 1 %: faults, or the data differ from those of the fit"
CLONE = "knn repeats another member; they share one prior weight"


def test_figures_and_names_are_taken_over_and_phrases_within_are_translated():
    assert translate(ALONE, "zh") == "设备 U1 的传感器 S3 单独偏离：请先检查该传感器及其安装"
    assert translate(BUDGET, "zh") == "5.1 % 的记录超过报警界限，预算为 1 %：存在故障，或数据与拟合时不同"
    said = "8 records raise alarms too seldom for an alarm of the machine (3 of 5 consecutive instants): attention of 5 machines"
    assert "8 条记录" in translate(f"{said} (U0, U1, U2 and 2 more)", "zh")
    assert "5 台设备（U0, U1, U2 等，另 2 个）" in translate(f"{said} (U0, U1, U2 and 2 more)", "zh")
    assert translate(ALONE, "en") == ALONE


def test_what_the_catalogue_does_not_know_stays_english_and_is_not_lost():
    strange = "a plugin says something of its own"
    assert not known(strange) and translate(strange, "zh") == strange
    assert [remark.text for remark in remarks([strange, ALONE], "zh")] == [translate(ALONE, "zh"), strange]


def test_paths_are_never_translated_and_a_sentence_with_and_is_no_list():
    assert translate("results: fit", "zh") == "结果：fit" and translate("fit", "zh") == "拟合"
    assert (
        translate("harmonics and impacts", "zh") == "谐波 和 冲击" and translate("knn and rise", "zh") == "knn 和 rise"
    )
    assert translate("A and B hold other things", "zh") == "A and B hold other things"


def test_remarks_come_in_order_of_what_to_do_and_many_of_a_kind_are_counted():
    many = [f"{i} records of sensor S{i} hold the same samples (Q021)" for i in range(2, 32)]
    said = remarks([CLONE, BUDGET, *many, ALONE, ALONE], "en")
    assert [(remark.group, remark.more) for remark in said] == [(DO, 29), (DO, 0), (TRUST, 0), (KNOW, 0)]
    assert said[0].text == many[0] and said[1].text == ALONE
    assert len(remarks(many[:3], "en")) == 3  # few are all shown


@pytest.mark.parametrize("english,chinese", [pair for rows in (*SENTENCES.values(), OTHERS) for pair in rows])
def test_every_entry_matches_itself_and_uses_the_same_names(english, chinese):
    names = set(re.findall(r"(?<!\{)\{(\w+)[#?]?\}", english))
    assert set(re.findall(r"(?<!\{)\{(\w+)\}", chinese)) == names
    sample = re.sub(r"\[([^|\]]*)\|[^\]]*\]", r"\1", english)
    sample = re.sub(
        r"(?<!\{)\{(\w+)[#?]?\}", lambda found: "7" if f"{found[1]}#" in english else f"X{len(found[1])}", sample
    )
    sample = sample.replace("{{", "{").replace("}}", "}")
    assert known(sample)
    assert translate(sample, "zh") != sample
