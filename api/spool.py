"""The spool: events on this machine's disk while the stream does not take them. Files are a process's own, by a lock.

A file is a head and records one behind another, each with its length and a CRC-32 of the rest. What was acknowledged is
on the disk: many callers share one fsync. A tail that was torn by a crash was never acknowledged, and is cut off.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import struct
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from dataflows.durable import keep_names

HEAD: Final = struct.Struct("<8sI")
"""Magic, and how many partitions the stream has: a record's partition means nothing in a stream with others."""
MAGIC: Final = b"inlayspl"
RECORD: Final = struct.Struct("<II")
"""Length and CRC-32 of what follows: the partition, then the event."""
PARTITION: Final = struct.Struct("<I")
FILE_BYTES: Final = 8 * 1024 * 1024
"""A file that has grown past it is followed by another, and removed once the stream has taken it."""
CHUNK_BYTES: Final = 1024 * 1024
SUFFIX: Final = ".spool"
ASIDE: Final = ".aside"
"""Of a file that is being written without some events; what is left of one is of no use to anybody."""

_log = logging.getLogger(__name__)


class SpoolFull(OSError):
    """The spool has as many bytes as it may have."""


class SpoolFile:
    """A file of the spool, locked as long as this process has it open.

    Args:
        path: where it is.
        handle: an open, locked descriptor, which is closed by `close` and `remove`.
        size: how many of its bytes are whole records behind the head.
        written_at: microseconds since 1970, when it was written to at last; of an own file when it was made.

    Attributes:
        position: up to where the stream has taken it.
    """

    def __init__(self, path: Path, handle: int, size: int, written_at: int = 0) -> None:
        self.path, self.size, self.position, self.written_at = path, size, min(size, HEAD.size), written_at
        self._handle = handle

    @classmethod
    def create(cls, folder: Path, partitions: int) -> SpoolFile:
        """A new file, whose name says when it was made."""
        while True:
            path = folder / f"{time.time_ns():020}-{os.getpid()}{SUFFIX}"
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            fcntl.flock(handle, fcntl.LOCK_EX)
            if os.fstat(handle).st_nlink:
                break
            os.close(handle)  # another process adopted it, empty as it was, before it was locked
        _write(handle, HEAD.pack(MAGIC, partitions), 0)
        keep_names(folder)  # or a loss of power could lose the file with all that is in it
        return cls(path, handle, HEAD.size)

    @classmethod
    def adopt(cls, path: Path, partitions: int) -> SpoolFile | None:
        """The file of a process that is no more, its torn tail cut off; None if it is somebody's, or gone."""
        try:
            handle = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.fstat(handle).st_nlink:
                os.close(handle)
                return None
        except BlockingIOError:
            os.close(handle)
            return None
        written_at = os.fstat(handle).st_mtime_ns // 1000
        content = path.read_bytes()
        if len(content) >= HEAD.size and HEAD.unpack_from(content) != (MAGIC, partitions):
            _log.error("%s is of a stream with another number of partitions: it stays where it is", path)
            os.close(handle)
            return None
        size = _whole(content)
        if size < len(content):
            _log.warning("%s: the last %d bytes are torn, and were never acknowledged", path, len(content) - size)
            os.ftruncate(handle, size)
        return cls(path, handle, size, written_at)

    @staticmethod
    def look(path: Path) -> list[bytes]:
        """The events in a file, whoever writes it; those that the stream has taken already may be among them."""
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return []
        return [event for (_, event), _ in _records(content[HEAD.size :])]

    def append(self, data: bytes) -> None:
        """Put records behind the others and have them on the disk.

        Raises:
            OSError: they are not; the file is as it was.
        """
        try:
            _write(self._handle, data, self.size)
        except OSError:
            os.ftruncate(self._handle, self.size)
            raise
        self.size += len(data)

    def read(self) -> tuple[list[tuple[int, bytes]], int]:
        """The next records from `position` on, and the position behind them; none at the end."""
        most = CHUNK_BYTES
        while self.position < self.size:
            content = os.pread(self._handle, min(most, self.size - self.position), self.position)
            if records := list(_records(content)):
                return [record for record, _ in records], self.position + records[-1][1]
            most *= 2  # one record alone is larger
        return [], self.position

    def without(self, is_gone: Callable[[bytes], bool]) -> tuple[SpoolFile, int]:
        """The file without some events, and how many those were: another one, whole on the disk before this one goes.

        Raises:
            OSError: the disk does not take it; this one is as it was.
        """
        content = os.pread(self._handle, self.size - self.position, self.position)
        records = [record for record, _ in _records(content)]
        kept = [record for record in records if not is_gone(record[1])]
        if len(kept) == len(records):
            return self, 0
        path = self.path.with_name(f"{self.path.stem}a{SUFFIX}")  # the next in order, also for who finds it here
        aside = path.with_suffix(ASIDE)  # nobody adopts it before it is whole
        handle = os.open(aside, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        data = os.pread(self._handle, HEAD.size, 0) + b"".join(map(_packed, kept))
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            _write(handle, data, 0)
            aside.rename(path)
            keep_names(path.parent)
        except OSError:
            aside.unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            os.close(handle)
            raise
        self.remove()
        return SpoolFile(path, handle, len(data), self.written_at), len(records) - len(kept)

    def remove(self) -> None:
        """The stream has it all."""
        self.path.unlink(missing_ok=True)
        os.close(self._handle)

    def close(self) -> None:
        """Leave it to whoever comes next."""
        os.close(self._handle)


class _Caller(NamedTuple):
    data: bytes
    done: asyncio.Future[None]


class Spool:
    """The files of one process, oldest first. All methods belong to one event loop; the disk has a thread.

    Args:
        folder: where all processes of this service spool; made if it is not there.
        most_bytes: what all files in it may have together.
        partitions: of the stream.
    """

    def __init__(self, folder: Path, most_bytes: int, partitions: int) -> None:
        self._folder, self._most_bytes, self._partitions = folder, most_bytes, partitions
        self._files: list[SpoolFile] = []
        self._current: SpoolFile | None = None
        self._waiting: list[_Caller] = []
        self._writing: asyncio.Task[None] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def is_empty(self) -> bool:
        """Nothing is in it, nor on its way into it."""
        return not self._files and self._writing is None

    @property
    def size(self) -> int:
        """Bytes that the stream has not taken yet."""
        return sum(file.size - file.position for file in self._files)

    async def append(self, records: Sequence[tuple[int, bytes]]) -> None:
        """Keep records; returns once they are on the disk.

        Raises:
            SpoolFull: there is no room.
            OSError: the disk does not take them.
        """
        caller = _Caller(b"".join(map(_packed, records)), asyncio.get_running_loop().create_future())
        self._waiting.append(caller)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        await caller.done

    async def written(self) -> None:
        """Returns once nothing is on its way onto the disk."""
        while self._writing is not None:
            await asyncio.shield(self._writing)

    async def adopt(self, was_before: Callable[[bytes, int], bool] = lambda raw, written_at: False) -> None:
        """Take over what processes left that are no more.

        Args:
            was_before: whether an event, of a file that was written to at some time at last, is not to be taken over.

        Raises:
            OSError: the disk does not take it without those.
        """
        mine = {file.path for file in self._files}
        await asyncio.to_thread(_tidy, self._folder)
        for path in await asyncio.to_thread(lambda: sorted(self._folder.glob(f"*{SUFFIX}"))):
            found = None if path in mine else await asyncio.to_thread(SpoolFile.adopt, path, self._partitions)
            if found is not None:
                file, _ = await asyncio.to_thread(found.without, partial(_was_before, was_before, found.written_at))
                self._files = sorted((*self._files, file), key=lambda each: each.path.name)

    async def without(self, is_gone: Callable[[bytes], bool]) -> int:
        """Take some events out of all files of this process, while nothing is written; how many those were.

        Raises:
            OSError: the disk does not take the files without them.
        """
        gone = 0
        self._current = None
        for place, file in enumerate(self._files):
            self._files[place], number = await asyncio.to_thread(file.without, is_gone)
            gone += number
        return gone

    def oldest(self) -> SpoolFile | None:
        """The file to be read now."""
        return self._files[0] if self._files else None

    def finish(self, file: SpoolFile) -> bool:
        """Remove a file that was read to its end; False where more may come into it."""
        if file.position < file.size or (file is self._current and self._writing is not None):
            return False
        if file is self._current:
            self._current = None
        self._files.remove(file)
        file.remove()
        return True

    async def close(self) -> None:
        """Leave the files to whoever comes next."""
        await self.written()
        for file in self._files:
            file.close()
        self._files.clear()

    async def _write(self) -> None:
        """Commit in groups until nobody waits."""
        while self._waiting:
            callers, self._waiting = [each for each in self._waiting if not each.done.done()], []
            try:
                if self._current is None or self._current.size > FILE_BYTES:
                    self._current = await asyncio.to_thread(SpoolFile.create, self._folder, self._partitions)
                    self._files.append(self._current)
                await asyncio.to_thread(self._commit, self._current, b"".join(each.data for each in callers))
            except OSError as error:
                for each in callers:
                    if not each.done.done():
                        each.done.set_exception(error)
                self._current = None if not isinstance(error, SpoolFull) else self._current
            else:
                for each in callers:
                    if not each.done.done():
                        each.done.set_result(None)
        self._writing = None

    def _commit(self, file: SpoolFile, data: bytes) -> None:
        if _size_of(self._folder) + len(data) > self._most_bytes:
            raise SpoolFull(f"the spool has {self._most_bytes:,} bytes, as many as INLAY_SPOOL_MB allows")
        file.append(data)


def _packed(record: tuple[int, bytes]) -> bytes:
    number, event = record
    content = PARTITION.pack(number) + event
    return RECORD.pack(len(content), zlib.crc32(content)) + content


def _records(content: bytes) -> Iterator[tuple[tuple[int, bytes], int]]:
    """Whole records from the front of some bytes, each with the place behind it."""
    place = 0
    while place + RECORD.size <= len(content):
        length, check = RECORD.unpack_from(content, place)
        record = content[place + RECORD.size : place + RECORD.size + length]
        if length < PARTITION.size or len(record) < length or zlib.crc32(record) != check:
            return
        place += RECORD.size + length
        yield (PARTITION.unpack_from(record)[0], record[PARTITION.size :]), place


def _whole(content: bytes) -> int:
    """How many bytes of a file are its head and whole records."""
    size = min(HEAD.size, len(content))
    for _, place in _records(content[HEAD.size :]):
        size = HEAD.size + place
    return size


def _write(handle: int, data: bytes, place: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(handle, view, place)
        view, place = view[written:], place + written
    os.fsync(handle)


def _was_before(was_before: Callable[[bytes, int], bool], written_at: int, raw: bytes) -> bool:
    return was_before(raw, written_at)


def _tidy(folder: Path) -> None:
    """Remove what a process left aside that was killed: its events are in the file that it was to replace."""
    for path in folder.glob(f"*{ASIDE}"):
        with contextlib.suppress(OSError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


def _size_of(folder: Path) -> int:
    total = 0
    for each in os.scandir(folder):
        try:
            total += each.stat().st_size
        except FileNotFoundError:  # another process is done with it
            continue
    return total
