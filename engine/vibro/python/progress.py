"""Progress in a notebook: a bar of the running stage; silent in scripts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from vibro.cli.progress import Progress
from vibro.host.manager import PluginHost


@contextmanager
def shown_in_notebook(host: PluginHost) -> Iterator[None]:
    """Shows the events of the host's runs as bars, in a notebook or an interactive shell of IPython."""
    if "IPython" not in sys.modules or sys.modules["IPython"].get_ipython() is None:
        yield
        return
    observer = Progress(live=True)
    host.observe(observer, "notebook")
    try:
        yield
    finally:
        observer.close()
