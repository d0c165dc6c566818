"""Hook of the site's builder: what a page says about files that are no pages."""

from __future__ import annotations

import re
from typing import Any

_OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./([^)]+)\)")


def on_page_markdown(markdown: str, **others: Any) -> str:
    """A link to a file of the repository beside docs/ becomes its name: the site does not hold that file."""
    return _OUTSIDE.sub(lambda link: f"{link[1]} (`{link[2]}`)" if link[1] != link[2] else f"`{link[2]}`", markdown)
