"""Where the lake lies: a local folder, or a bucket of S3. A file is there whole, or not at all.

In a folder a file is written under a name that no reader looks at, flushed to the disk, and renamed; in a bucket it is
one put. Credentials of S3 are those that the environment has.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, TypeVar
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.fs

from dataflows.durable import keep_names
from dataflows.settings import split_query

TEMPORARY: Final = ".tmp"
"""How the name of a file ends that is being written; it begins with a dot."""
ABANDONED_SECONDS: Final = 3600
"""After which a file that was being written is one of a process that died."""
TRIES: Final = 4
FIRST_PAUSE: Final = 0.2
T = TypeVar("T")


class LakeError(RuntimeError):
    """The lake cannot be used; the message says what to do."""


class Found(NamedTuple):
    """A file: its path below the lake, its size in bytes, and when it was written, in seconds since 1970."""

    path: str
    size: int
    written_at: float


class Storage(Protocol):
    """Files by their paths, which have no slash in front; `filesystem` is how Arrow reads them."""

    filesystem: pa.fs.FileSystem

    def put(self, path: str, content: pa.Buffer) -> None:
        """Write a file; returns once it is durable. One of the same path is replaced."""

    def find(self, folder: str, ending: str = ".parquet") -> list[Found]:
        """The files in a folder and below, by path."""

    def remove(self, path: str) -> None:
        """Remove a file, if it is there."""

    def tidy(self) -> None:
        """Remove what processes that died left behind."""


class Folder:
    """A folder of this machine.

    Args:
        root: made if it is not there.

    Raises:
        LakeError: it cannot be written to.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LakeError(f"the lake's folder {root} cannot be made: {error}; mend INLAY_LAKE_URL") from None
        self.filesystem = pa.fs.SubTreeFileSystem(str(root), pa.fs.LocalFileSystem())

    def put(self, path: str, content: pa.Buffer) -> None:
        """Write aside, flush, rename, and flush the folder too."""
        wanted = self._root / path
        self._make(wanted.parent)
        aside = wanted.with_name(f".{wanted.name}.{os.getpid()}{TEMPORARY}")
        with aside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.rename(wanted)
        keep_names(wanted.parent)

    def find(self, folder: str, ending: str = ".parquet") -> list[Found]:
        """As `Storage.find`; a file that goes meanwhile is left out."""
        found = []
        for path in sorted((self._root / folder).rglob(f"[!.]*{ending}")):
            try:
                stat = path.stat()
            except FileNotFoundError:
                continue
            found.append(Found(path.relative_to(self._root).as_posix(), stat.st_size, stat.st_mtime))
        return found

    def remove(self, path: str) -> None:
        """As `Storage.remove`; a folder that becomes empty goes with it."""
        wanted = self._root / path
        wanted.unlink(missing_ok=True)
        try:
            wanted.parent.rmdir()
        except OSError:
            return  # something else is in it

    def tidy(self) -> None:
        """As `Storage.tidy`."""
        for path in self._root.rglob(f".*{TEMPORARY}"):
            try:
                if time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
                    path.unlink()
            except FileNotFoundError:
                continue

    def _make(self, folder: Path) -> None:
        if not folder.is_dir():
            self._make(folder.parent)
            folder.mkdir(exist_ok=True)
            keep_names(folder.parent)


class Bucket:
    """A part of a bucket of S3, or of what speaks like it.

    Args:
        filesystem: that answers for the bucket.
        prefix: bucket, and the path in it.
        sleep: the clock for waiting.
    """

    def __init__(self, filesystem: Any, prefix: str, sleep: Callable[[float], None] = time.sleep) -> None:
        self._prefix, self._sleep = prefix, sleep
        self.filesystem = pa.fs.SubTreeFileSystem(prefix, filesystem)

    def put(self, path: str, content: pa.Buffer) -> None:
        """One put; of a put that fails in the middle nothing is seen."""

        def once() -> None:
            with self.filesystem.open_output_stream(path) as stream:
                stream.write(content)

        self._patiently(once)

    def find(self, folder: str, ending: str = ".parquet") -> list[Found]:
        """As `Storage.find`."""
        selector = pa.fs.FileSelector(folder, recursive=True, allow_not_found=True)
        files = self._patiently(lambda: self.filesystem.get_file_info(selector))
        return sorted(
            Found(file.path, file.size, file.mtime.timestamp())
            for file in files
            if file.type is pa.fs.FileType.File and file.base_name.endswith(ending)
        )

    def remove(self, path: str) -> None:
        """As `Storage.remove`."""

        def once() -> None:
            try:
                self.filesystem.delete_file(path)
            except FileNotFoundError:
                return

        self._patiently(once)

    def tidy(self) -> None:
        """Nothing: a put that was not finished leaves no object."""

    def _patiently(self, call: Callable[[], T]) -> T:
        """The answer, tried a few times: whatever is done here may be done twice.

        Raises:
            LakeError: S3 does not answer, or refuses.
        """
        for number in range(TRIES):
            try:
                return call()
            except OSError as error:
                if number == TRIES - 1:
                    raise LakeError(f"the lake {self._prefix!r} in S3 cannot be used: {error}") from None
                self._sleep(FIRST_PAUSE * 2**number)
        raise AssertionError("unreachable")


def open_storage(url: str) -> Storage:
    """What `url` names: a folder, or `s3://bucket/prefix[?endpoint=http://host:port&region=…]`.

    Raises:
        LakeError: it names nothing that can be used.
    """
    scheme = urlsplit(url).scheme
    if scheme == "s3":
        return _bucket(url)
    if scheme not in ("", "file") or not url:
        raise LakeError(f"INLAY_LAKE_URL={url!r} is no lake; write a folder, or s3://bucket/prefix")
    return Folder(Path(url.removeprefix("file://")).absolute())


def _bucket(url: str) -> Bucket:
    query, address = split_query(url)[1], urlsplit(url)
    if unknown := query.keys() - {"endpoint", "region"}:
        raise LakeError(f"{min(unknown)!r} is no option of an S3 lake; it takes endpoint and region")
    prefix = f"{address.netloc}{address.path}".rstrip("/")
    if not address.netloc:
        raise LakeError(f"{url!r} names no bucket; write s3://bucket/prefix")
    options: dict[str, Any] = {"allow_delayed_open": True, "connect_timeout": 5, "request_timeout": 60}
    if endpoint := query.get("endpoint"):
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise LakeError(f"endpoint={endpoint!r} is no address; write http://host:port or https://host")
        options |= {"endpoint_override": parts.netloc, "scheme": parts.scheme}
    if region := query.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"):
        options["region"] = region
    return Bucket(pa.fs.S3FileSystem(**options), prefix)
