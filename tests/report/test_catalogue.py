"""What the code can say has its Chinese: errors and hints, help, lines and headings of the terminal, benchmark's report."""

from __future__ import annotations

import ast
import re
from itertools import product
from pathlib import Path

import pytest
import typer.main

import vibro
import vibro_plugins
from vibro import errors
from vibro.cli import make_app, run
from vibro.ingest import REASONS
from vibro.report.messages import known
from vibro.report.texts import _TEXTS
from vibro.words import counted

PACKAGE = Path(vibro.__file__).parent
ENGLISH = ("host", "testing", "python", "sklearn.py", "io")  # read by authors of plugins and of programs
FOR_USERS = ("registry.py",)  # of these rooms
ERRORS = {name for name, cls in vars(errors).items() if isinstance(cls, type) and issubclass(cls, errors.VibroError)}
CONTRACT = {"ContractError", "NotFittedError"}  # about the code of a plugin
TYPED = re.compile(r"[-\\[{(]|vibro |pip |ulimit |head -c |until:|utf-8|X1 NAME=")  # a hint that is all to be typed

Text = list[str] | None


def texts(node: ast.AST) -> Text:
    """Every text that an expression can give, X1 for each of its values; None where it is no text of its own."""
    match node:
        case ast.Constant(value=str(value)):
            return [value]
        case ast.JoinedStr(values=parts):
            told = [texts(part) if isinstance(part, ast.Constant) else inserted(part) for part in parts]
            return ["".join(choice) for choice in product(*told)]
        case ast.IfExp(body=body, orelse=other):
            return [*(texts(body) or []), *(texts(other) or [])] or None
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            first, second = texts(left), texts(right)
            return [a + b for a in first for b in second] if first and second else None
    return None


def inserted(part: ast.AST) -> list[str]:
    """A value within a text: a choice of texts, a number of something, or any."""
    assert isinstance(part, ast.FormattedValue)
    if isinstance(part.value, ast.Call) and getattr(part.value.func, "id", "") == "counted":
        words = [ast.literal_eval(word) for word in part.value.args[1:]]
        return [counted(n, *words) for n in (1, 2)]
    return (texts(part.value) if isinstance(part.value, ast.IfExp) else None) or ["X1"]


def calls():
    """Every call in the package with the place where it stands."""
    for path in sorted(PACKAGE.rglob("*.py")):
        where = path.relative_to(PACKAGE)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                yield where, name, node


def test_errors_and_hints():
    said = set()
    for where, name, node in calls():
        if (
            (where.parts[0] in ENGLISH and where.name not in FOR_USERS)
            or name not in {*ERRORS, "BadParameter"} - CONTRACT
            or not node.args
        ):
            continue
        hints = [word.value for word in node.keywords if word.arg == "hint"]
        said |= {(text, str(where)) for part in (node.args[0], *hints) for text in texts(part) or []}
    assert len(said) > 350
    worded = {(text, place) for text, place in said if re.search("[a-z]{2}", text) and not TYPED.match(text)}
    assert sorted(f"{place}: {text}" for text, place in worded if not known(text)) == []


def test_reasons_why_a_detector_takes_no_part():
    said = set()
    for root in (PACKAGE / "core", Path(vibro_plugins.__file__).parent):
        for path in root.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                name = getattr(getattr(node, "func", None), "id", "")
                if name == "NotApplicableError":
                    said |= {(text, path.name) for text in texts(node.args[0]) or []}
    assert len(said) > 30
    assert sorted(f"{place}: {text}" for text, place in said if not known(text)) == []


def test_why_items_are_quarantined():
    said = set()
    for root in (PACKAGE / "ingest", Path(vibro_plugins.__file__).parent / "readers"):
        for path in root.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                name = getattr(getattr(node, "func", None), "id", getattr(getattr(node, "func", None), "attr", ""))
                place = {"Rejected": 1, "BadJson": 1, "BadField": 2, "BadNumber": 2, "out": 2}.get(name)
                if place is not None and len(node.args) > place:
                    said |= {(text, path.name) for text in texts(node.args[place]) or []}
                elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "detail":
                    said |= {(text, path.name) for text in texts(node.value) or []}
    said = {(text.replace("X1", "1"), place) for text, place in said if re.search("[a-z]{2} ", text)}
    said -= {
        ("the unit 1 1", "sift.py"),
        ("a signal is 1 1, not float32 (C, T)", "contract.py"),
    }  # ends elsewhere; of code
    assert len(said) > 130
    assert sorted(f"{place}: {text}" for text, place in said if not known(text)) == []
    assert {code: _TEXTS[code][0] for code in REASONS} == REASONS


def test_help_of_every_command():
    said = set()

    def collect(command):
        said.add(" ".join((command.help or "").split()))
        said.update(" ".join(p.help.split()) for p in command.params if getattr(p, "help", None))
        for child in getattr(command, "commands", {}).values():
            collect(child)

    collect(typer.main.get_command(make_app()))
    said -= {"", "vibro plugins list --kind classifier"}
    assert len(said) > 150 and sorted(text for text in said if not known(text)) == []


def test_lines_and_headings_of_the_terminal():
    said = set()
    for where, name, node in calls():
        if where.parts[0] != "cli" or name not in ("line", "note", "table") or not node.args:
            continue
        given = node.args[0].elts if isinstance(node.args[0], ast.Tuple) else [node.args[0]]
        titles = [word.value for word in node.keywords if word.arg == "title"]
        said |= {text for part in (*given, *titles) for text in texts(part) or []}
    worded = {text for text in said if re.search("[a-z]{2}", text)}
    same = {"id", "int8", "fs", "z", "p", "macro F1"}
    assert len(worded) > 60 and sorted(text for text in worded - same if not known(text)) == []


def test_notes_of_long_work_and_reasons_of_suggestions():
    said = set()
    for where, name, node in calls():
        if where.parts[0] == "runs" and name in ("say", "_say", "_once") and node.args:
            said |= set(texts(node.args[0]) or [])
    tree = ast.parse((PACKAGE / "scoring" / "suggestions.py").read_text(encoding="utf-8"))
    returned = [node.value for node in ast.walk(tree) if isinstance(node, ast.Return) and node.value is not None]
    said |= {text for value in returned for text in texts(value) or []}
    filled = {text.replace("X1", "1") for text in said if re.search("[a-z]{2} ", text)}
    assert len(filled) > 15 and sorted(text for text in filled if not known(text)) == []


def test_what_was_set_differently_between_two_runs():
    tree = ast.parse((PACKAGE / "runs" / "stated.py").read_text(encoding="utf-8"))
    tuples = [node.elts for node in ast.walk(tree) if isinstance(node, ast.Tuple) and len(node.elts) == 2]
    said = {text for elts in tuples for text in texts(elts[1]) or [] if " " in text}
    said |= {f"{key} X1 -> X1" for key in ("calibration", "fuser", "quorum", "method", "budget")}
    said.discard("thresholder X1")  # its two values come from one call
    worded = {text for text in said if re.search("[a-z]{2}", text)}
    assert len(worded) > 10 and sorted(text for text in worded if not known(text)) == []


def test_titles_and_notes_of_a_benchmarks_report():
    said = set()
    for where, name, node in calls():
        if where.parts == ("benchmark", "tables.py") and name == "Section":
            said |= {text for part in node.args[:2] for text in texts(part) or []}
    assert len(said) > 14 and sorted(text for text in said - {""} if not known(text)) == []


@pytest.mark.parametrize("argv", (["--lang", "zh", "threshold", "nowhere"], ["threshold", "nowhere", "--lang=zh"]))
def test_the_language_may_stand_before_and_behind_the_command(argv, capsys):
    assert run(argv) == 2
    assert capsys.readouterr().err.startswith("错误: 没有运行目录：nowhere")


def test_help_is_chinese_in_chinese_and_english_after_it(capsys):
    assert run(["report", "--help", "--lang", "zh"]) == 0
    assert "重新写出自包含的 HTML 报告" in capsys.readouterr().out
    assert run(["report", "--help"]) == 0
    assert "Writes the self-contained HTML report again" in capsys.readouterr().out
