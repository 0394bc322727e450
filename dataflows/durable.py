"""What must outlast a loss of power."""

from __future__ import annotations

import os
from pathlib import Path


def keep_names(folder: Path) -> None:
    """Let the names in a folder be durable; the files themselves are flushed by who writes them.

    Raises:
        OSError: the disk does not take it.
    """
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
