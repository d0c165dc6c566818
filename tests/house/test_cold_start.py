"""Nothing heavy at import: what `vibro --help` and a bare host load."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {
    *("torch", "pyod", "sklearn", "scipy", "numba", "pywt", "pandas", "matplotlib"),
    *("pyarrow", "jinja2", "pydantic", "tomlkit", "safetensors", "distributed"),
}
HELP = "from vibro.cli import run\nassert run({argv}) == 0"
HOST = "from vibro.host.manager import PluginHost\nassert PluginHost.create(autoload=False, environ={}).plugins"


def loaded(code: str) -> set[str]:
    """Top-level names of the modules that a fresh interpreter has loaded after the code."""
    script = f"{code}\nimport sys\nprint('|'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in done.stdout.splitlines()[-1].split("|")}


def test_help_loads_nothing_heavy():
    assert loaded(HELP.format(argv=["--help"])) & (HEAVY | {"numpy", "vibro_plugins"}) == set()


@pytest.mark.parametrize("argv", (["ensemble", "run", "--help"], ["plugins", "list", "--help"]), ids=" ".join)
def test_help_of_a_command_loads_nothing_heavy(argv):
    """typer itself checks the defaults of a command with pydantic, in its newer versions."""
    assert loaded(HELP.format(argv=argv)) & ((HEAVY - {"pydantic"}) | {"numpy", "vibro_plugins"}) == set()


def test_import_vibro_loads_nothing_heavy():
    assert loaded("import vibro") & (HEAVY | {"numpy", "typer", "rich"}) == set()


def test_a_host_imports_no_plugin():
    assert loaded(HOST) & (HEAVY | {"vibro_plugins"}) == set()


def test_list_imports_no_bundled_plugin():
    code = "from vibro.cli import run\nassert run(['plugins', 'list', '--no-plugins']) == 0"
    assert loaded(code) & (HEAVY - {"pydantic"}) == set()


def test_the_pytest_plugin_loads_nothing():
    assert loaded("import vibro.testing.pytest_plugin") & (HEAVY | {"numpy"}) == set()
