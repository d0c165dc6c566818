"""Patterns on a path: ``{machine}/{sensor}/{time:%Y%m%d_%H%M%S}.csv``, matched without any going back."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import PurePosixPath

from vibro.errors import ConfigError

FIELDS = ("machine", "sensor", "channel", "time", "recording", "state")
_PART = re.compile(r"\{(\w*)(?::([^{}]*))?\}|(\*)|([^{}*]+)")
_DIGITS = {
    **{"%Y": r"\d{4}", "%y": r"\d\d", "%m": r"\d\d", "%d": r"\d\d", "%H": r"\d\d", "%M": r"\d\d", "%S": r"\d\d"},
    **{"%f": r"\d{1,6}", "%j": r"\d{3}", "%b": r"[A-Za-z]{3}", "%B": r"[A-Za-z]+", "%p": r"[APap][Mm]", "%I": r"\d\d"},
    **{"%z": r"(?:Z|[+-]\d\d:?\d\d)", "%%": "%"},
}
_HOURS = re.compile("%[HI]")
_MOST = 300  # characters of a pattern
HINT = "such as {machine}/{sensor}/{time:%Y%m%d_%H%M%S}.csv"


class PathPattern:
    """A pattern on the end of a path; a field takes the text up to what the pattern shows behind it.

    Fields are FIELDS, of which ``state`` and ``{}`` are left out of every name; ``*`` stands for any text without ``/``.
    A ``time`` has a format of ``strptime``; where there are several, they are read together.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        if len(text) > _MOST or text.startswith("/") or ".." in PurePosixPath(text).parts or "://" in text:
            raise ConfigError(f"{text[:60]!r} is no pattern on a path below the data", hint=HINT)
        parts = list(_PART.finditer(text))
        if "".join(part[0] for part in parts) != text or not parts:
            raise ConfigError(f"the braces of {text!r} do not match", hint=HINT)
        self.names: list[str] = []
        self._formats: dict[str, str] = {}
        expression = "".join(self._expression(parts, i) for i in range(len(parts)))
        self._regex = re.compile(rf"(?:.*/)?{expression}", re.DOTALL)

    def _expression(self, parts: list[re.Match[str]], i: int) -> str:
        name, form, star, plain = parts[i].groups()
        if plain is not None:
            return re.escape(plain)
        following = parts[i + 1] if i + 1 < len(parts) else None
        if following is not None and following[4] is None and not (form or following[2]):
            raise ConfigError(f"{parts[i][0]}{following[0]}: nothing shows where the first of the two ends", hint=HINT)
        stop = f"(?!{re.escape(following[4])})" if following is not None and following[4] else ""
        any_text = f"(?>(?:{stop}[^/])+)"
        if star or not name:
            return any_text
        if name not in FIELDS:
            raise ConfigError(f"{{{name}}} is no field of a pattern", hint=f"fields: {', '.join(FIELDS)}; {HINT}")
        if name != "time":
            if name in self.names:
                raise ConfigError(f"{self.text!r} names {{{name}}} twice", hint=HINT)
            self.names.append(name)
            return f"(?P<{name}>{any_text})"
        if not form:
            raise ConfigError(f"{{time}} of {self.text!r} has no format", hint="{time:%Y%m%d_%H%M%S}")
        group = f"time{len(self._formats)}"
        self._formats[group] = form
        if "time" not in self.names:
            self.names.append("time")
        return f"(?P<{group}>{self._time(form)})"

    def _time(self, form: str) -> str:
        found = ""
        for code, plain in re.findall(r"(%.)|([^%]+)", form):
            if code and code not in _DIGITS:
                raise ConfigError(f"{code} is no part of a time", hint="{time:%Y%m%d_%H%M%S}")
            found += _DIGITS[code] if code else re.escape(plain)
        return found

    def match(self, source: str) -> dict[str, str] | None:
        """Fields of a path by name, None where the pattern does not fit, or no such time exists.

        ``time`` is ISO text; where the pattern gives a day without an hour, ``day`` stands in its place.
        """
        found = self._regex.fullmatch(source)
        if found is None and "." in PurePosixPath(source).name:
            found = self._regex.fullmatch(source.rpartition(".")[0])
        if found is None:
            return None
        fields = {name: found[name] for name in self.names if name != "time"}
        if self._formats:
            texts = " ".join(found[group] for group in self._formats)
            try:
                time = datetime.strptime(texts, " ".join(self._formats.values()))
            except ValueError:
                return None
            fields["time" if _HOURS.search("".join(self._formats.values())) else "day"] = time.isoformat()
        return fields
