"""The snapshot on disk, so that a process that starts while the online store is gone has something to show."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from pathlib import Path
from typing import Final

import msgspec

from api.known import CatalogueRow, ScopeFeatures
from api.snapshot import Snapshot

SECONDS: Final = 60.0
"""How often the file is written."""
_log = logging.getLogger(__name__)


class _Content(msgspec.Struct, frozen=True):
    everywhere: ScopeFeatures
    catalogue: dict[str, CatalogueRow]


def recall(snapshot: Snapshot, file: Path) -> bool:
    """Fill a snapshot from what a process before wrote; False, and nothing has changed, if there is nothing to read."""
    try:
        content = msgspec.msgpack.decode(file.read_bytes(), type=_Content)
    except FileNotFoundError:
        return False
    except (OSError, msgspec.MsgspecError) as error:
        _log.warning("%s cannot be read, and is written anew: %s", file, error)
        return False
    snapshot.take(content.everywhere, content.catalogue)
    return True


def remember(snapshot: Snapshot, file: Path) -> None:
    """Write what the snapshot holds, if it holds anything: aside first, then in the place of what was there.

    Raises:
        OSError: it cannot be written.
    """
    if not snapshot.catalogue:
        return
    aside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        aside.write_bytes(msgspec.msgpack.encode(_Content(snapshot.everywhere, snapshot.catalogue)))
        aside.replace(file)
    finally:
        aside.unlink(missing_ok=True)


async def keep_remembering(snapshot: Snapshot, file: Path, seconds: float = SECONDS) -> None:
    """Write the file now and then, for ever, off the event loop; that it cannot be written is said once."""
    said = False
    while True:
        await asyncio.sleep(seconds)
        try:
            await asyncio.to_thread(remember, snapshot, file)
            said = False
        except OSError as error:
            if not said:
                _log.warning("what is popular cannot be remembered in %s: %s; set INLAY_SNAPSHOT", file, error)
            said = True


def remember_last(snapshot: Snapshot, file: Path) -> None:
    """Write the file as the process ends; a failure of that is nobody's trouble any more."""
    with contextlib.suppress(OSError):
        remember(snapshot, file)
