"""Hostile views, fusers, thresholders and readers as text: one sound component of each kind, and what is done to it."""

from __future__ import annotations

from textwrap import dedent, indent

HEAD = """
import ctypes, os, signal, sys, time
import numpy as np
from vibro import hookimpl
from vibro.api import FeatureExtractor, Fuser, Reader, Thresholder
from vibro.data import Record

"""
SOUND = {
    "feature": '''
class Hostile(FeatureExtractor):
    """Root mean square and peak."""
    name, item = "hostile", "f"

    @classmethod
    def inputs(cls, params):
        return ("raw",)

    def transform(self, inputs):
        x = inputs["raw"]
        out = np.stack([np.sqrt((x**2).mean(axis=(1, 2))), np.abs(x).max(axis=(1, 2))], axis=1).astype(np.float32)
{act}
        return out
''',
    "fuser": '''
class Hostile(Fuser):
    """Mean of z."""
    name = "hostile"

    def fit(self, z, y=None, usefulness=None):
        self.n = len(z)

    def fuse(self, z):
        out = np.nan_to_num(z).sum(axis=1) / np.maximum(np.isfinite(z).sum(axis=1), 1)
{act}
        return out

    def state(self):
        return {{"n": np.array(self.n)}}

    def load_state(self, state):
        self.n = int(state["n"])
''',
    "thresholder": '''
class Hostile(Thresholder):
    """A quantile."""
    name = "hostile"

    def cut(self, scores, budget, y=None):
        out = float(np.quantile(scores, 1 - budget))
{act}
        return out
''',
    "reader": '''
class Hostile(Reader):
    """Lines of numbers."""
    name, extensions = "hostile", (".nums",)

    @classmethod
    def accepts(cls, path, head):
        return path.name.endswith(".nums")

    def read(self, path):
        out = [
            Record(np.array([line.split()], np.float32), sensor="s", row=i)
            for i, line in enumerate(path.read_text().splitlines())
        ]
{act}
        yield from out
''',
}
ACTS = {
    "raises": 'raise RuntimeError("no luck")',
    "system_exit": "sys.exit(0)",
    "none": "out = None",
    "nan": "out = out * np.nan",
    "text": "out = 'high'",
    "too_short": "out = out[1:]",
    "an_object": "out = object()",
    "quiet_death": "os._exit(0)",
    "segfault": "ctypes.string_at(0)",
    "hangs": "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: time.sleep(1)",
    "takes_20_gigabytes": "out = np.ones(20 << 27)",
    "loud": 'sys.stdout.write("x" * 5_000_000 + "\\n")',
    "patches_numpy": "np.median = np.mean = np.quantile = lambda *a, **k: 7.0",
}
HARMLESS = ("loud", "patches_numpy")
NOT_FOR = {
    "thresholder": ("too_short",),  # a cut is one number
    "reader": ("nan", "text"),  # what a record may hold is the corpus' matter
}


def source(kind: str, act: str) -> str:
    """The module of one hostile component."""
    body = SOUND[kind].format(act=indent(dedent(ACTS[act]), "        "))
    return f"{HEAD}{body}\n\n@hookimpl\ndef register_{kind}s(register):\n    register(Hostile)\n"


CASES = [(kind, act) for kind in SOUND for act in ACTS if act not in NOT_FOR.get(kind, ())]
