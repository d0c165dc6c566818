"""Makes one script of modules that import numpy alone, or each other: each becomes a function whose names are its own."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from textwrap import indent
from types import ModuleType
from typing import Any

from vibro.errors import NotApplicableError

ALLOWED = {"numpy", *sys.stdlib_module_names}
LATER = {"onnxruntime"}  # imported by the script itself, where there is a graph


def function_name(function: Callable[..., Any]) -> str:
    """The name by which the script knows a function of a module."""
    return f"{function.__module__}:{function.__qualname__}"


def assembled(script: str, functions: Iterable[Callable[..., Any]]) -> str:
    """The source of module ``script`` with all that it and the functions need, ready to be run.

    ``script`` has ``main`` and an empty table ``FUNCTIONS``, which gets the functions by name. NotApplicableError for a
    function that is not of module level, or whose module needs more than numpy.
    """
    functions = list(dict.fromkeys(functions))
    parts: dict[str, str] = {}
    for function in functions:
        if function.__qualname__ != function.__name__ or not function.__name__.isidentifier():
            raise NotApplicableError(f"{function_name(function)} is no function of a module's own level")
        _add(function.__module__, parts)
    main = _source(script, parts)
    docstring, _, body = main.partition('"""\n')
    table = "".join(f"    {function_name(f)!r}: {_place(f.__module__)}.{f.__name__},\n" for f in functions)
    return (
        f'{docstring}"""\n\nfrom __future__ import annotations\n\nfrom types import SimpleNamespace\n'
        + "".join(parts.values())
        + body
        + f'\n\nFUNCTIONS.update({{\n{table}}})\n\nif __name__ == "__main__":\n    sys.exit(main())\n'
    )


def loaded(path: Path) -> ModuleType:
    """The script in a file as a module."""
    spec = spec_from_file_location("vibro_exported", path)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _add(name: str, parts: dict[str, str]) -> None:
    """Adds a module, after those that it imports."""
    if name in parts:
        return
    source = _source(name, parts)
    place = _place(name)
    parts[name] = (
        f"\n\ndef {place}():\n{indent(source.strip(), '    ')}\n\n    return SimpleNamespace(**locals())\n"
        f"\n\n{place} = {place}()\n"
    )


def _source(name: str, parts: dict[str, str]) -> str:
    """The source of a module, its imports of other modules replaced by their namespaces, which are added first."""
    try:
        source = inspect.getsource(import_module(name))
    except (ImportError, OSError, TypeError) as error:
        raise NotApplicableError(f"the source of {name} cannot be read: {error}") from None
    lines = source.splitlines()
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        named = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
        module, known = named[0], ALLOWED | (LATER if name.startswith("vibro.portable.") else set())
        if module == "__future__":
            new = ""
        elif all(other.partition(".")[0] in known for other in named):
            continue
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node in tree.body:
            _add(module, parts)
            new = "; ".join(f"{alias.asname or alias.name} = {_place(module)}.{alias.name}" for alias in node.names)
        else:
            raise NotApplicableError(f"{name} imports {module or 'a module beside it'}; only numpy is there")
        assert node.end_lineno is not None
        lines[node.lineno - 1 : node.end_lineno] = [new] + [""] * (node.end_lineno - node.lineno)
    return "\n".join(lines) + "\n"


def _place(name: str) -> str:
    return "_" + name.replace(".", "_")
