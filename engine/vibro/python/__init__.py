"""The Python API: ``vibro.fit``, ``vibro.load``, ``vibro.read`` (docs/python.md)."""
