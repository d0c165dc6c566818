"""``python -m vibro``."""

from vibro.cli import main

main()
