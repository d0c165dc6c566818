"""What goes along when one folder of a run takes the place of another."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path

from vibro.io import files
from vibro.store.lock import LOCK, LOCK_INFO
from vibro.store.place import INTERNAL, PUBLIC, remove


def copy_links(out: Path, beside: Path) -> None:
    """Fills a folder with hard links to the files of a run; files that grow in place are copied."""

    def link(source: str, target: str) -> None:
        if Path(source).name != "events.jsonl":
            try:
                os.link(source, target)
                return
            except OSError as error:
                if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.EXDEV):
                    raise
        shutil.copy2(source, target)

    with files.disk_errors(beside):
        for path in out.iterdir():
            if path.name in (LOCK, LOCK_INFO):
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.copytree(path, beside / path.name, copy_function=link, symlinks=True)
            else:
                link(str(path), str(beside / path.name))


def carry_over(old: Path, new: Path) -> None:
    """Moves the user's own files from the old folder to the new one."""
    with files.disk_errors(new):
        for path in old.iterdir():
            target = new / path.name
            if path.name in PUBLIC | INTERNAL or target.exists():
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.copytree(path, target, symlinks=True)
            else:
                shutil.copy2(path, target, follow_symlinks=False)


def tidy(folder: Path) -> None:
    """Removes unfinished files that could not be removed where they were made."""
    for path in folder.glob(".tmp-*"):
        with suppress(OSError):
            remove(path)
