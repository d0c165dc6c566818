"""Writes docs/cli.md from the commands themselves: `make docs`. A house test compares the file with what this gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer.main

from vibro.cli import make_app
from vibro.cli.command import COMMON

HEAD = """# Commands

Made from the commands themselves by `make docs`; edit the help texts, not this file.

Results go to stdout; progress, warnings and errors to stderr. An error is one line `error: ...` and, where there is a next
step, `hint: ...`.

| exit code | meaning |
| --- | --- |
| 0 | success; alarms in the data are a success |
| 1 | findings that the command was asked to look for: `--fail-on`, `plugins check`, `benchmark compare --fail-on-worse` |
| 2 | usage or configuration: option, ensemble, parameter, label or covariate table, missing fs |
| 3 | input unusable: nothing readable, or no record accepted |
| 4 | quarantine share above `--max-quarantine` |
| 5 | a requested plugin failed to load or run, or the quorum was missed |
| 6 | integrity: a file of a run or model is damaged, missing or extra |
| 7 | locked: a run works in the directory |
| 8 | resources: disk or memory, workers that are gone, or a stdout that takes no more |
| 9 | incompatible model: format, fs, length, channels, unit, probe scores |
| 70 | a defect of vibro itself |
| 130, 143 | interrupted by SIGINT; by SIGTERM or SIGHUP |
| 141 | whoever read stdout has ended |
"""


def reference() -> str:
    """The whole page."""
    root = typer.main.get_command(make_app())
    blocks = [HEAD]
    shared: dict[str, Any] = {}
    for path, command in _commands(root, "vibro"):
        own = []
        for parameter in command.params:
            if getattr(parameter, "rich_help_panel", None) == COMMON:
                shared[parameter.name] = parameter
            elif parameter.name != "help":
                own.append(parameter)
        blocks.append(f"## `{path}`\n\n{_oneline(command.help)}\n\n{_table(own)}")
    blocks.insert(1, f"## {COMMON}\n\n{_table(shared.values())}")
    return "\n".join(blocks)


def _commands(command: Any, path: str) -> list[tuple[str, Any]]:
    if not hasattr(command, "commands"):
        return [(path, command)]
    return [pair for name, child in command.commands.items() for pair in _commands(child, f"{path} {name}")]


def _table(parameters: Any) -> str:
    rows = ["| option | default | meaning |", "| --- | --- | --- |"]
    for p in parameters:
        names = (
            ", ".join(f"`{name}`" for name in getattr(p, "opts", []))
            if p.param_type_name == "option"
            else f"`{p.name}`"
        )
        default = "required" if p.required else "" if p.default in (None, False, (), []) else f"`{p.default}`"
        rows.append(f"| {names} | {default} | {_oneline(getattr(p, 'help', '') or '')} |")
    return "\n".join(rows) + "\n"


def _oneline(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


if __name__ == "__main__":
    (Path(__file__).parent / "cli.md").write_text(reference(), encoding="utf-8")
