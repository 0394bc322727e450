"""Input files: which files a path stands for, and what tells one from another.

Progress is kept by content, so that a copy, or a folder to which files were added, goes on where it was.
"""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple

from dataflows.mapping import MappingError

KINDS: Final = (".jsonl", ".ndjson", ".json", ".csv", ".parquet", ".avro")
"""How the names of files end whose rows can be read, before a `.gz`."""


class Version(NamedTuple):
    """What changes when a file is written to."""

    size: int
    written_at: int


def files_of(path: Path) -> list[Path]:
    """The file itself; or the files of events in a folder, and in the folders in it, in the order of their names.

    Raises:
        MappingError: the folder holds none.
    """
    if not path.is_dir():
        return [path]
    found = sorted(each for each in path.rglob("*") if each.is_file() and each.name.removesuffix(".gz").endswith(KINDS))
    if not found:
        raise MappingError(f"{path} holds no file that ends in one of {', '.join(KINDS)} (also with .gz)")
    return found


def fingerprint(*paths: Path) -> str:
    """What tells contents from others: the same after a copy, another after a change."""
    whole = blake2b(digest_size=16)
    for path in paths:
        one = blake2b()
        with path.open("rb") as content:
            while piece := content.read(1 << 20):
                one.update(piece)
        whole.update(one.digest())
    return whole.hexdigest()


def version_of(path: Path) -> Version:
    """The version of a file that is there now."""
    stat = path.stat()
    return Version(stat.st_size, stat.st_mtime_ns)
