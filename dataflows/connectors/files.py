"""A folder into which others drop files: `file:///path`. JSON lines, CSV (both also gzipped), Parquet and Avro.

A file is read once it has kept its size and its time for `settle` seconds; one that is called `.…`, `….tmp` or `….part`
is somebody's who still writes it. Files are read one after another, by name, or by `order=time`; each goes to `done/`
when all of it is safe, and to `failed/` if its rest cannot be read. Where the bridge is in a file is kept by the
file's content, so that it goes on in the middle, under whatever name.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

import msgspec

from dataflows.connectors import Delivered, Delivery, Positions, StreamDown, StreamError
from dataflows.events import Refused
from dataflows.input_files import KINDS, Version, fingerprint, version_of
from dataflows.input_rows import STAGE, BrokenFile, Row, rows_of
from dataflows.settings import split_query

UNFINISHED: Final = (".tmp", ".part")
MOST_BYTES: Final = 8 * 1024 * 1024
"""Bytes of JSON lines handed out at once."""
FIELD: Final = "file"
DONE: Final = "done"
FAILED: Final = "failed"
_log: Final = logging.getLogger(__name__)


class Position(msgspec.Struct, frozen=True):
    """Up to where a file is safe: its name, its content, the number of the next row, and where it goes if it ended."""

    name: str = ""
    content: str = ""
    row: int = 0
    ended: str = ""


class Taken(NamedTuple):
    """A file that is being read."""

    path: Path
    version: Version
    content: str
    rows: Iterator[tuple[int, Row]]


class Folder:
    """The files of a folder, as an inlet.

    Args:
        folder: where files are dropped.
        positions: keeps where we are in a file.
        by_time: the order is that of their times, not of their names.
        settle: seconds without a change after which a file is complete.
        monotonic, sleep: the clock.

    Raises:
        StreamError: there is no such folder, or files in it cannot be moved.
    """

    shared = False

    def __init__(
        self,
        folder: Path,
        positions: Positions,
        *,
        by_time: bool,
        settle: float,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.name = f"file://{folder}"
        self._folder, self._positions, self._by_time, self._settle = folder, positions, by_time, settle
        self._monotonic, self._sleep = monotonic, sleep
        self._seen: dict[Path, tuple[Version, float]] = {}
        self._ignored: set[Path] = set()
        self._handed_out: set[Path] = set()
        self._taken: Taken | None = None
        self._position = Position()
        self._resumed = False
        if not folder.is_dir():
            raise StreamError(f"there is no folder {folder}; make it, or mend INLAY_BRIDGE_FROM")
        try:
            for name in (DONE, FAILED):
                (folder / name).mkdir(exist_ok=True)
        except OSError as error:
            raise StreamError(
                f"{folder} cannot be written to, and files that are done are moved in it: {error}"
            ) from None

    def read(self, most: int, wait: float) -> Delivered | None:
        """Rows of the file at hand; or of the next one that is complete."""
        try:
            if self._taken is None:
                self._taken = self._take_next()
            if self._taken is not None:
                return self._read(self._taken, most)
        except PermissionError as error:
            raise StreamError(f"{error.filename} cannot be read: let the user of the bridge read it") from None
        except OSError as error:
            self._taken = None
            raise StreamDown(f"the folder does not answer: {error}") from None
        self._sleep(wait)
        return None

    def confirm(self, receipt: Position) -> None:
        """Note where we are, and put a file away that was read to its end."""
        self._positions.write({FIELD: msgspec.json.encode(receipt).decode()})
        if receipt.ended:
            path = self._folder / receipt.name
            if path.exists():
                path.rename(self._free_name(receipt))
            self._handed_out.discard(path)

    def close(self) -> None:
        """Nothing is held open but a file."""
        self._taken = None

    def _take_next(self) -> Taken | None:
        """Open the next file, in the middle if it was left there."""
        if not self._resumed:
            kept = self._positions.read().get(FIELD)
            self._position, self._resumed = msgspec.json.decode(kept or "{}", type=Position), True
        path = self._next_file()
        if path is None:
            return None
        try:
            version, content = version_of(path), fingerprint(path)
        except FileNotFoundError:
            return None  # taken away again
        known = self._position if self._position.content == content else Position()
        _log.info("reading %s from row %d, content %s", path.name, known.row, content)
        self._position = Position(path.name, content, known.row, known.ended)
        # One that was read to its end, and not put away before the bridge died, has nothing more to say.
        return Taken(path, version, content, iter(()) if known.ended else rows_of(path, known.row))

    def _next_file(self) -> Path | None:
        """The one that was left in the middle, or the first of those that are complete."""
        now, complete = self._monotonic(), []
        names = {path: version_of(path) for path in self._folder.iterdir() if self._is_meant(path)}
        self._seen = {path: self._seen.get(path, (version, now)) for path, version in names.items()}
        for path, version in names.items():
            before, since = self._seen[path]
            if before != version:
                self._seen[path] = (version, now)
            elif now - since >= self._settle:
                complete.append(path)
        left = self._folder / self._position.name if self._position.name else None
        if left in complete:
            return left
        by_time = (lambda path: (names[path].written_at, path.name)) if self._by_time else (lambda path: (0, path.name))
        return min(complete, key=by_time, default=None)

    def _is_meant(self, path: Path) -> bool:
        if (
            path.name.startswith(".")
            or path.name.endswith(UNFINISHED)
            or path in self._handed_out
            or not path.is_file()
        ):
            return False
        if path.name.removesuffix(".gz").endswith(KINDS):
            return True
        if path not in self._ignored:
            self._ignored.add(path)
            _log.warning("%s stays where it is: its name ends in none of %s", path.name, ", ".join(KINDS))
        return False

    def _read(self, taken: Taken, most: int) -> Delivered:
        path, version, content, rows = taken
        deliveries: list[Delivery] = []
        row, size, ended = self._position.row, 0, self._position.ended or DONE
        try:
            for number, value in rows:
                deliveries.append(_delivery(taken, number, value))
                row = number + 1
                size += len(value) if isinstance(value, bytes) else 0
                if len(deliveries) >= most or size >= MOST_BYTES:
                    ended = ""
                    break
        except BrokenFile as error:
            _log.warning("the rest of %s cannot be read: %s", path.name, error)
            reason = f"the rest of the file {path.name} cannot be read, it is in {FAILED}/: {error}"
            deliveries.append(_delivery(taken, row, Refused(STAGE, "format", reason, "", b"")))
            row, ended = row + 1, FAILED
        if ended and version_of(path) != version:
            raise StreamError(
                f"{path} was written to while it was read; write it under a name that ends in .tmp, then rename it"
            )
        self._position = Position(path.name, content, row, ended)
        if ended:
            self._taken = None
            self._handed_out.add(path)
        return Delivered(deliveries, self._position)

    def _free_name(self, position: Position) -> Path:
        """Where a file is put away; a file of the same name that is there already is not overwritten."""
        wanted = self._folder / position.ended / position.name
        return wanted.with_name(f"{position.content}-{position.name}") if wanted.exists() else wanted


def _delivery(taken: Taken, number: int, value: Row) -> Delivery:
    return Delivery(f"{taken.path.name}/{number}", value, f"{taken.content}/{number}")


def open_inlet(url: str, positions: Positions) -> Folder:
    """The folder of `file:///path?order=name&settle=1`."""
    parts, query = urlsplit(url), split_query(url)[1]
    if parts.netloc or not parts.path.startswith("/"):
        raise StreamError(f"{url}: a folder is written file:///path, with three slashes")
    if unknown := query.keys() - {"order", "settle"}:
        raise StreamError(f"{min(unknown)!r} is no option of a folder; it takes order and settle")
    order, settle = query.get("order", "name"), query.get("settle", "1")
    if order not in ("name", "time") or not settle.replace(".", "", 1).isdecimal():
        raise StreamError(f"{url}: order is name or time, settle is seconds")
    return Folder(Path(unquote(parts.path)), positions, by_time=order == "time", settle=float(settle))
