"""The spool: what was acknowledged comes back whole and in order, whatever the disk was left with."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from api import spool as spooling
from api.publish import Bounded, Spooled
from api.spool import HEAD, MAGIC, Spool, SpoolFile, SpoolFull

Records = list[tuple[int, bytes]]
ROOM = 10_000_000
PARTITIONS = 4


class Stream:
    """A publisher that keeps what it is given, or fails, or waits to be told."""

    partitions = PARTITIONS

    def __init__(self) -> None:
        self.records: Records = []
        self.failure: Exception | None = None
        self.calls = 0

    async def publish(self, records: Sequence[tuple[int, bytes]]) -> None:
        self.calls += 1
        await asyncio.sleep(0)
        if self.failure:
            raise self.failure
        self.records += records

    async def close(self) -> None:
        pass


def left_by(folder: Path, groups: Sequence[Records]) -> Path:
    """A file as a process leaves it that is killed."""

    async def fill() -> None:
        spool = Spool(folder, ROOM, PARTITIONS)
        for group in groups:
            await spool.append(group)
        await spool.close()

    asyncio.run(fill())
    (path,) = folder.iterdir()
    return path


def read_back(path: Path) -> Records:
    file = SpoolFile.adopt(path, PARTITIONS)
    assert file is not None
    found: Records = []
    while True:
        records, position = file.read()
        if not records:
            file.close()
            return found
        found += records
        file.position = position


RECORDS = st.lists(st.tuples(st.integers(0, PARTITIONS - 1), st.binary(max_size=40)), min_size=1, max_size=6)


@settings(max_examples=50)  # each syncs a disk
@given(st.lists(RECORDS, min_size=1, max_size=4), st.integers(0, 400))
def test_a_torn_tail_is_cut_off_and_all_before_it_is_there(groups: list[Records], torn: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = left_by(Path(folder), groups)
        size = path.stat().st_size
        os.truncate(path, max(0, size - torn))
        kept = max(0, size - torn)
        whole, place = 0, HEAD.size
        everything = [record for group in groups for record in group]
        for _, event in everything:  # 8 bytes of length and CRC, 4 of the partition
            place += 12 + len(event)
            whole += place <= kept
        assert read_back(path) == everything[:whole]


@settings(max_examples=50)
@given(RECORDS, st.data())
def test_a_byte_that_changed_ends_the_file_there(records: Records, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = left_by(Path(folder), [records])
        content = bytearray(path.read_bytes())
        place = data.draw(st.integers(HEAD.size, len(content) - 1))
        content[place] ^= 1 << data.draw(st.integers(0, 7))
        path.write_bytes(content)
        found = read_back(path)
        assert found == records[: len(found)]
        assert len(found) < len(records)


def test_a_file_is_read_in_pieces_and_a_record_larger_than_a_piece_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spooling, "CHUNK_BYTES", 64)
    records = [(number % PARTITIONS, bytes([number]) * (number * 37 % 300)) for number in range(50)]
    assert read_back(left_by(tmp_path, [records])) == records


def test_a_file_of_a_living_process_is_left_to_it(tmp_path: Path) -> None:
    file = SpoolFile.create(tmp_path, PARTITIONS)
    assert SpoolFile.adopt(file.path, PARTITIONS) is None
    file.close()
    adopted = SpoolFile.adopt(file.path, PARTITIONS)
    assert adopted is not None
    adopted.remove()
    assert SpoolFile.adopt(file.path, PARTITIONS) is None


def test_a_file_of_a_stream_with_other_partitions_stays(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = left_by(tmp_path, [[(1, b"a")]])
    assert SpoolFile.adopt(path, PARTITIONS + 1) is None
    assert "another number of partitions" in caplog.text
    assert read_back(path) == [(1, b"a")]


def test_a_file_that_is_only_a_name_is_empty(tmp_path: Path) -> None:
    for content in (b"", MAGIC[:3]):
        path = tmp_path / "1-1.spool"
        path.write_bytes(content)
        file = SpoolFile.adopt(path, PARTITIONS)
        assert file is not None
        assert file.read()[0] == []
        file.close()


def run(story: Callable[[], Awaitable[Any]]) -> Any:
    async def bounded() -> Any:
        return await asyncio.wait_for(story(), 30)

    return asyncio.run(bounded())


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0.001)  # gives the disk's thread a turn; what is waited for is an event, not a time


def spooled(folder: Path, stream: Stream, room: int = ROOM) -> Spooled:
    return Spooled(Bounded(stream, 5), Spool(folder, room, PARTITIONS))


def test_many_callers_share_one_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    real = os.fsync

    def fsync(handle: int) -> None:
        synced.append(handle)
        real(handle)

    async def story() -> None:
        spool = Spool(tmp_path, ROOM, PARTITIONS)
        await spool.append([(0, b"first")])
        synced.clear()
        await asyncio.gather(*(spool.append([(0, b"%d" % number)]) for number in range(100)))
        assert len(synced) == 1
        await spool.close()

    monkeypatch.setattr(os, "fsync", fsync)
    run(story)


def test_what_the_stream_takes_never_sees_the_disk(tmp_path: Path) -> None:
    async def story() -> None:
        stream = Stream()
        publisher = spooled(tmp_path, stream)
        await publisher.publish([(1, b"a")])
        await publisher.close()
        assert stream.records == [(1, b"a")]
        assert list(tmp_path.iterdir()) == []

    run(story)


async def outage(publisher: Spooled, stream: Stream, folder: Path, failure: Exception) -> Records:
    """Send one after another while the stream fails for a while; what was sent, once all of it has arrived."""
    publisher.start()
    sent: Records = []
    for number in range(300):
        stream.failure = failure if 50 <= number < 150 else None
        sent.append((number % PARTITIONS, b"%d" % number))
        await publisher.publish(sent[-1:])
    await until(lambda: len(stream.records) >= len(sent) and not list(folder.iterdir()))
    return sent


@pytest.mark.parametrize("failure", [redis.ConnectionError("refused"), redis.ResponseError("OOM"), OSError("gone")])
def test_what_it_does_not_take_comes_behind_in_order(tmp_path: Path, failure: Exception) -> None:
    async def story() -> None:
        stream = Stream()
        publisher = spooled(tmp_path, stream)
        assert await outage(publisher, stream, tmp_path, failure) == stream.records
        await publisher.publish([(0, b"last")])
        assert stream.records[-1] == (0, b"last")
        await publisher.close()

    run(story)


class Overtaking(Spooled):
    """New events go to the stream though older ones are on the disk."""

    async def publish(self, records: Sequence[tuple[int, bytes]]) -> None:
        try:
            await self._inner.publish(records)
        except OSError:
            await super().publish(records)


def test_who_does_not_queue_behind_the_spool_is_found_out(tmp_path: Path) -> None:
    async def story() -> None:
        stream = Stream()
        publisher = Overtaking(Bounded(stream, 5), Spool(tmp_path, ROOM, PARTITIONS))
        sent = await outage(publisher, stream, tmp_path, OSError("gone"))
        assert sorted(stream.records) == sorted(sent)
        assert stream.records != sent
        await publisher.close()

    run(story)


def test_under_a_load_that_never_stops_the_spool_comes_to_an_end(tmp_path: Path) -> None:
    """New events always come while the disk is busy: without a pause for them the spool would never be empty."""

    async def story() -> None:
        stream = Stream()
        publisher = spooled(tmp_path, stream)
        stream.failure = OSError("gone")
        await publisher.publish([(0, b"start")])
        stream.failure = None
        stop = False

        async def sender(name: int) -> list[bytes]:
            sent: list[bytes] = []
            while not stop:
                sent.append(b"%d-%d" % (name, len(sent)))
                await publisher.publish([(name % PARTITIONS, sent[-1])])
            return sent

        senders = [asyncio.create_task(sender(name)) for name in range(8)]
        await asyncio.sleep(0)
        publisher.start()
        await until(lambda: bool(stream.records) and not list(tmp_path.iterdir()))
        stop = True
        everything = await asyncio.gather(*senders)
        for name, sent in enumerate(everything):
            arrived = [event for _, event in stream.records if event.startswith(b"%d-" % name)]
            assert arrived == sent
        await publisher.close()

    run(story)


def test_a_full_spool_says_so_and_takes_again_once_there_is_room(tmp_path: Path) -> None:
    async def story() -> None:
        stream = Stream()
        stream.failure = OSError("gone")
        publisher = spooled(tmp_path, stream, room=2000)
        taken = (2000 - HEAD.size) // 112
        for _ in range(taken):
            await publisher.publish([(0, b"x" * 100)])
        with pytest.raises(SpoolFull, match="INLAY_SPOOL_MB"):
            await publisher.publish([(0, b"x" * 100)])
        stream.failure = None
        publisher.start()
        await until(lambda: len(stream.records) == taken)
        await until(lambda: not list(tmp_path.iterdir()))
        await publisher.publish([(0, b"again")])
        await publisher.close()

    run(story)


def test_a_disk_that_fails_fails_its_callers_and_nothing_that_was_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        stream = Stream()
        stream.failure = OSError("gone")
        publisher = spooled(tmp_path, stream)
        await publisher.publish([(0, b"before")])
        with monkeypatch.context() as broken:
            broken.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(5, "Input/output error")))
            with pytest.raises(OSError, match="Input/output"):
                await publisher.publish([(0, b"lost")])
        await publisher.publish([(0, b"after")])
        stream.failure = None
        publisher.start()
        await until(lambda: len(stream.records) == 2)
        assert stream.records == [(0, b"before"), (0, b"after")]
        await publisher.close()

    run(story)


def test_files_of_the_dead_are_adopted_oldest_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left_by(tmp_path, [[(0, b"1")], [(0, b"2")]])
    monkeypatch.setattr(spooling, "FILE_BYTES", 1)

    async def story() -> None:
        stream = Stream()
        stream.failure = OSError("gone")
        dead = Spool(tmp_path, ROOM, PARTITIONS)
        await dead.append([(0, b"3")])
        await dead.append([(0, b"4")])
        await dead.close()
        publisher = spooled(tmp_path, stream)
        publisher.start()
        await until(lambda: stream.calls > 0)
        await publisher.publish([(0, b"5")])
        stream.failure = None
        await until(lambda: not list(tmp_path.iterdir()))
        assert [event for _, event in stream.records] == [b"1", b"2", b"3", b"4", b"5"]
        await publisher.close()

    run(story)


def test_a_stream_that_hangs_is_waited_for_so_long_and_no_longer() -> None:
    class Hanging(Stream):
        async def publish(self, records: Sequence[tuple[int, bytes]]) -> None:
            await asyncio.Event().wait()

    async def story() -> None:
        with pytest.raises(TimeoutError, match="did not acknowledge"):
            await Bounded(Hanging(), 0).publish([(0, b"a")])

    run(story)
