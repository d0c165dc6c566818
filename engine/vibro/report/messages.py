"""Sentences of a run in the reader's language, and what they ask of the reader.

The English sentence is the key: a pattern of the catalogue finds the figures and names in it, and the Chinese sentence
takes them over. So whoever writes a sentence writes plain English, and old runs are translated too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from vibro.report.catalogue.benchmark import BENCHMARK
from vibro.report.catalogue.detectors import DETECTORS
from vibro.report.catalogue.errors import ERRORS
from vibro.report.catalogue.evidence import EVIDENCE
from vibro.report.catalogue.help import HELP
from vibro.report.catalogue.quarantine import QUARANTINE
from vibro.report.catalogue.terminal import TERMINAL
from vibro.report.sentences import PHRASES, SENTENCES

VERBATIM = {"path", "path2", "file", "folder", "run"}  # values that are typed: a folder may be called as a word is
LISTS = ("{a}, {b} and {c}", "{a} and {b}")  # of names and known phrases; anything else with "and" in it is no list
OTHERS = (*PHRASES, *DETECTORS, *EVIDENCE, *BENCHMARK, *ERRORS, *QUARANTINE, *HELP, *TERMINAL)

DO, TRUST, KNOW = "do", "trust", "know"  # go and look; how far the verdict can be trusted; how it came about
GROUPS = (DO, TRUST, KNOW)
SHOWN = 3  # sentences of one kind; of more only the first is shown


@dataclass(frozen=True)
class Remark:
    """A sentence that a run says: what it asks of the reader, and how many more of its kind it stands for."""

    group: str
    text: str
    more: int = 0


@dataclass(frozen=True)
class _Entry:
    """One sentence of the catalogue."""

    pattern: re.Pattern[str]
    group: str
    chinese: str
    fixed: int  # characters that no name stands for: the sentence with the most is the best match
    list_: bool  # one of LISTS


def translate(text: str, lang: str) -> str:
    """The text in a language; in English where the catalogue does not know it."""
    if lang == "en":
        return text
    entry, values = _find(text)
    if entry is None:
        return text
    told = {name: value if name in VERBATIM else translate(value, lang) for name, value in values.items()}
    return entry.chinese.format(**told)


def known(text: str) -> bool:
    """Whether the catalogue has the sentence."""
    return _find(text)[0] is not None


def remarks(sentences: Sequence[str], lang: str) -> list[Remark]:
    """The sentences of a run in order of what the reader must do; where a kind is many, its first, which counts the others."""
    kinds: dict[object, tuple[str, list[str]]] = {}
    for text in dict.fromkeys(sentences):
        entry, _ = _find(text)
        kinds.setdefault(entry or text, (entry.group if entry else TRUST, []))[1].append(text)
    said = []
    for group, texts in kinds.values():
        shown = texts if len(texts) <= SHOWN else texts[:1]
        said += [Remark(group, translate(text, lang), (len(texts) - 1) if len(texts) > SHOWN else 0) for text in shown]
    return sorted(said, key=lambda remark: GROUPS.index(remark.group))


@lru_cache(maxsize=4096)
def _find(text: str) -> tuple[_Entry | None, dict[str, str]]:
    for entry in _entries():
        found = entry.pattern.fullmatch(text)
        if found and not (entry.list_ and any(" " in part and not known(part) for part in found.groups())):
            return entry, found.groupdict()
    return None, {}


@cache
def _entries() -> list[_Entry]:
    """All sentences, then the phrases within them and the rest of the catalogue; the most specific first."""
    sentences = [_entry(group, english, chinese) for group, rows in SENTENCES.items() for english, chinese in rows]
    return _specific(sentences) + _specific(_entry(TRUST, english, chinese) for english, chinese in OTHERS)


def _specific(entries: Iterable[_Entry]) -> list[_Entry]:
    """The most characters that no name stands for first; of equals the one that begins with such."""
    return sorted(entries, key=lambda entry: (-entry.fixed, entry.pattern.pattern.startswith("(")))


def _entry(group: str, english: str, chinese: str) -> _Entry:
    """``{name}`` is any text, ``{name#}`` a number, ``{name?}`` text or nothing, ``[a|b]`` either word, ``{{`` a brace."""
    pattern, fixed = "", 0
    for part in re.split(r"(\{\{|\}\}|\{\w+[#?]?\}|\[[^\]|]*\|[^\]]*\])", english):
        if part in ("{{", "}}"):
            pattern += re.escape(part[0])
            fixed += 1
        elif part.startswith("{") and part.endswith("}"):
            name, kind = part[1:-1].rstrip("#?"), part[-2]
            fixed += 3 * (kind == "#")
            pattern += f"(?P<{name}>{ {'#': '[0-9.,]+', '?': '.*?'}.get(kind, '.+?') })"
        elif part.startswith("[") and "|" in part:
            pattern += f"(?:{'|'.join(re.escape(word) for word in part[1:-1].split('|'))})"
            fixed += 1
        else:
            pattern += re.escape(part)
            fixed += len(part)
    return _Entry(re.compile(pattern, re.DOTALL), group, chinese, fixed, english in LISTS)
