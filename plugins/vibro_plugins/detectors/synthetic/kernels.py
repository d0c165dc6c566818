"""Compiled walk of rows through trees."""

from __future__ import annotations

from vibro_plugins.compiled import compiled


@compiled(nogil=True, boundscheck=True)
def walk(x, depth, root, left, right, feature, cut, leaf):
    """The leaf (rows, trees) that each row of x (rows, p) ends in, after ``depth`` steps at most; a leaf points to itself."""
    for r in range(len(x)):
        for t in range(len(root)):
            node = root[t]
            for _ in range(depth):
                if left[node] == node:
                    break
                node = left[node] if x[r, feature[node]] <= cut[node] else right[node]
            leaf[r, t] = node
