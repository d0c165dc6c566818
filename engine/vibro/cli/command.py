"""``@command`` adds a function to the command line and hands it the options that every command has."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from vibro.cli.session import Session

COMMON = "Options of every command"


def _show_version(value: bool) -> None:
    if value:
        from vibro import __version__

        typer.echo(f"vibro {__version__}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.", rich_help_panel=COMMON),
]
_OPTIONS: dict[str, tuple[Any, Any]] = {
    "json": (
        Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.", rich_help_panel=COMMON)],
        False,
    ),
    "quiet": (
        Annotated[bool, typer.Option("--quiet", help="No progress and no notes.", rich_help_panel=COMMON)],
        False,
    ),
    "debug": (
        Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.", rich_help_panel=COMMON)],
        False,
    ),
    "lang": (
        Annotated[str, typer.Option("--lang", help="en or zh: text of tables and reports.", rich_help_panel=COMMON)],
        "en",
    ),
    "registry": (
        Annotated[Path | None, typer.Option("--registry", help="Registry overlay.", rich_help_panel=COMMON)],
        None,
    ),
    "sign": (
        Annotated[
            Path | None,
            typer.Option(
                "--sign", help="Key file: sign what is written, demand it of what is read.", rich_help_panel=COMMON
            ),
        ],
        None,
    ),
    "no_plugins": (
        Annotated[bool, typer.Option("--no-plugins", help="No third-party plugins.", rich_help_panel=COMMON)],
        False,
    ),
    "version": (Version, False),
}


def show_top(
    version: Version = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, errors as JSON too.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no notes.")] = False,
    lang: Annotated[str, typer.Option("--lang", help="en or zh: text of tables and reports.")] = "en",
) -> None:
    """An ensemble of anomaly detectors over vibration records: one verdict per record."""
    # every command takes these options itself; ``vibro.cli`` puts those that stand before a command behind it


def command(app: typer.Typer, name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Adds a function as a command; its first argument is the Session made of the common options.

    A parameter whose type is a dataclass stands for a group of options, one a field.
    """

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        hints = get_type_hints(function, include_extras=True)
        groups: dict[str, Any] = {
            name: hint for name, hint in hints.items() if name != "session" and is_dataclass(hint)
        }
        own = [
            option
            for p in list(inspect.signature(function).parameters.values())[1:]
            for option in (
                _fields(groups[p.name])
                if p.name in groups
                else [p.replace(annotation=hints[p.name], kind=p.KEYWORD_ONLY)]
            )
        ]
        shared = [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)
            for key, (hint, default) in _OPTIONS.items()
        ]

        @functools.wraps(function)
        def run(**values: Any) -> Any:
            common = {key: values.pop(key) for key in _OPTIONS}
            common.pop("version")
            sign = common.pop("sign")
            if common["lang"] not in ("en", "zh"):
                raise typer.BadParameter("should be en or zh", param_hint="--lang")
            from vibro.cli import console
            from vibro.store.seal import use_key

            session = Session(**common)
            console.configure(quiet=session.quiet, json=session.json, lang=session.lang)
            use_key(sign)
            for group, cls in groups.items():
                values[group] = cls(**{field.name: values.pop(field.name) for field in fields(cls)})
            return function(session, **values)

        run.__signature__ = inspect.Signature([*own, *shared])  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in [*own, *shared]}
        app.command(name)(run)
        return function

    return add


def translate_help(command: Any) -> None:
    """The help of a command and of all below it in Chinese."""
    from vibro.report.messages import translate

    def chinese(text: str | None) -> str | None:
        return text and translate(" ".join(text.split()), "zh")

    command.help, command.short_help = chinese(command.help), chinese(command.short_help)
    given = command.get_help_option(typer.Context(command))
    for parameter in [*command.params, *([given] if given else [])]:
        if getattr(parameter, "help", None):
            parameter.help = chinese(parameter.help)
        if hasattr(parameter, "rich_help_panel"):
            panel = "Arguments" if parameter.param_type_name == "argument" else "Options"
            parameter.rich_help_panel = chinese(parameter.rich_help_panel or panel)
    for child in getattr(command, "commands", {}).values():
        translate_help(child)


def _fields(group: Any) -> list[inspect.Parameter]:
    """The options of a group."""
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in fields(group)
    ]
