"""Amazon Kinesis as an inlet: `kinesis://region/stream`. All shards by one reader; credentials as boto3 finds them.

A stream that was split or merged has shards that follow others; they are read when those are read to their end, so that
what belongs to one partition key stays in order. Up to where each shard is safe is kept by us, and with it the moment
up to which nothing was left unread: Kinesis goes on without a word where records ran out of its retention.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import boto3
import msgspec
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as BotoConnectionError

from dataflows.connectors import Delivered, Delivery, OffsetGone, Positions, StreamDown, StreamError
from dataflows.events import Refused
from dataflows.settings import split_query

SHARD_PAUSE: Final = 0.25
"""Seconds between reads of a shard: five a second are allowed to all its readers together."""
LIST_SECONDS: Final = 30.0
"""Seconds after which the shards are listed again, should one of them have ended unnoticed."""
NOTE_SECONDS: Final = 30.0
"""Seconds after which it is noted anew that nothing is unread, while nothing comes."""
MOST_OF_A_SHARD: Final = 10_000
AGGREGATED: Final = b"\xf3\x89\x9a\xc2"
CREATED: Final = "created"
PASSING: Final = frozenset(
    {
        "InternalFailure", "KMSThrottlingException", "LimitExceededException", "ProvisionedThroughputExceededException",
        "RequestTimeout", "ServiceUnavailable", "ThrottlingException",
    }
)  # fmt: skip


class Place(msgspec.Struct, frozen=True):
    """Up to where a shard is safe.

    Attributes:
        after: the sequence number of its last record; empty: none yet.
        ended: whether it was read to its end.
        as_of: when nothing else of it was unread, in epoch seconds.
    """

    after: str = ""
    ended: bool = False
    as_of: float = 0.0


class Shards:
    """The shards of a stream: which there are, which may be read, and where in each we are.

    Args:
        places: as they were kept.
    """

    def __init__(self, places: Mapping[str, Place]) -> None:
        self.places = dict(places)
        self.closed: set[str] = set()
        self._parents: dict[str, tuple[str, ...]] = {}

    def update(self, listed: list[dict[str, Any]]) -> None:
        """Take note of the shards as Kinesis lists them.

        Raises:
            OffsetGone: one that was not read to its end is gone.
        """
        self._parents = {
            each["ShardId"]: tuple(filter(None, (each.get("ParentShardId"), each.get("AdjacentParentShardId"))))
            for each in listed
        }
        self.closed = {each["ShardId"] for each in listed if "EndingSequenceNumber" in each["SequenceNumberRange"]}
        for shard, place in self.places.items():
            if shard not in self._parents and not place.ended:
                raise OffsetGone(f"{shard} ran out of the stream's retention before it was read to its end. {RESET}")

    def readable(self) -> list[str]:
        """Those that are not at their end, and whose parents are; a parent that is listed no more is."""
        return [
            shard
            for shard, parents in self._parents.items()
            if not self._ended(shard) and all(map(self._ended, (each for each in parents if each in self._parents)))
        ]

    def _ended(self, shard: str) -> bool:
        return shard in self.places and self.places[shard].ended


class Kinesis:
    """A stream of Kinesis as an inlet.

    Args:
        client: of boto3.
        region: where it is.
        stream: its name.
        positions: keeps where we are in each shard.
        clock: epoch seconds, now.
        monotonic, sleep: the clock that paces.

    Raises:
        StreamDown: Kinesis does not answer.
        StreamError: there is no such stream, or we may not read it.
    """

    shared = False

    def __init__(
        self,
        client: Any,
        region: str,
        stream: str,
        positions: Positions,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.name = f"kinesis://{region}/{stream}"
        self._client, self._stream, self._positions = client, stream, positions
        self._clock, self._monotonic, self._sleep = clock, monotonic, sleep
        self._shards: Shards | None = None
        self._iterators: dict[str, str] = {}
        self._read_at: dict[str, float] = {}
        self._listed_at = self._noted_at = float("-inf")
        with _answers():
            client.describe_stream_summary(StreamName=stream)

    def read(self, most: int, wait: float) -> Delivered | None:
        """A round over the shards that may be read; those that were read a moment ago are left out."""
        with _answers():
            shards = self._open() if self._shards is None else self._shards
            if self._monotonic() - self._listed_at > LIST_SECONDS:
                self._list(shards)
            deliveries: list[Delivery] = []
            moved: dict[str, Place] = {}
            for shard in shards.readable():
                if len(deliveries) < most and self._monotonic() >= self._read_at.get(shard, 0.0):
                    self._read_shard(shards, shard, most - len(deliveries), deliveries, moved)
        if any(place.ended for place in moved.values()):
            self._listed_at = float("-inf")  # those that follow it may be new
        if deliveries or any(place.ended for place in moved.values()) or (moved and self._is_time_to_note()):
            return Delivered(deliveries, {shard: msgspec.json.encode(place).decode() for shard, place in moved.items()})
        self._sleep(wait)
        return None

    def confirm(self, receipt: Mapping[str, str]) -> None:
        """Note where we are."""
        self._positions.write(receipt)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _open(self) -> Shards:
        """Where we were, checked against the stream.

        Raises:
            OffsetGone: what was to be read next is not there any more.
        """
        kept = self._positions.read()
        found = self._client.describe_stream_summary(StreamName=self._stream)["StreamDescriptionSummary"]
        created = str(found["StreamCreationTimestamp"].timestamp())
        if kept.pop(CREATED, created) != created:
            raise OffsetGone(f"{self.name} was deleted and made again since the bridge last read it. {RESET}")
        shards = Shards({shard: msgspec.json.decode(place, type=Place) for shard, place in kept.items()})
        self._list(shards)
        hours = found["RetentionPeriodHours"]
        for shard in shards.readable():
            place = shards.places.get(shard)
            if place is not None and self._clock() - place.as_of > hours * 3600:
                raise OffsetGone(
                    f"{shard} of {self.name} was last read to its tip {(self._clock() - place.as_of) / 3600:.0f} hours "
                    f"ago, and the stream keeps {hours}: records may be gone unread. {RESET}"
                )
        self._positions.write({CREATED: created})
        self._shards = shards
        return shards

    def _list(self, shards: Shards) -> None:
        pages = self._client.get_paginator("list_shards").paginate(StreamName=self._stream)
        shards.update([shard for page in pages for shard in page["Shards"]])
        self._listed_at = self._monotonic()

    def _read_shard(
        self, shards: Shards, shard: str, most: int, deliveries: list[Delivery], moved: dict[str, Place]
    ) -> None:
        place = shards.places.get(shard, Place())
        if shard not in self._iterators:
            where = {"StartingSequenceNumber": place.after} if place.after else {}
            self._iterators[shard] = self._client.get_shard_iterator(
                StreamName=self._stream, ShardId=shard,
                ShardIteratorType="AFTER_SEQUENCE_NUMBER" if where else "TRIM_HORIZON", **where,
            )["ShardIterator"]  # fmt: skip
        iterator = self._iterators.pop(shard)  # after an error the next one begins at the place
        answer = self._client.get_records(ShardIterator=iterator, Limit=min(most, MOST_OF_A_SHARD))
        records, behind = answer["Records"], answer.get("MillisBehindLatest", 0)
        for record in records:
            mark = f"{self.name}/{shard}/{record['SequenceNumber']}"
            deliveries.append(Delivery(mark, _value(record["Data"]), mark))
        following = answer.get("NextShardIterator")
        ended = not following or (not records and not behind and shard in shards.closed)
        after = records[-1]["SequenceNumber"] if records else place.after
        shards.places[shard] = moved[shard] = Place(after, ended, self._clock() - behind / 1000)
        if not ended:
            self._iterators[shard] = following
        if not records or not behind:
            self._read_at[shard] = self._monotonic() + SHARD_PAUSE

    def _is_time_to_note(self) -> bool:
        if self._monotonic() - self._noted_at < NOTE_SECONDS:
            return False
        self._noted_at = self._monotonic()
        return True


RESET: Final = "To go on with the first record that is still there: python -m dataflows.bridge reset"


def open_inlet(url: str, positions: Positions) -> Kinesis:
    """The stream of `kinesis://region/stream`, at another `endpoint` if that is given."""
    parts, query = urlsplit(url), split_query(url)[1]
    stream = parts.path.strip("/")
    if not parts.netloc or not stream or "/" in stream or query.keys() - {"endpoint"}:
        raise StreamError(f"{url}: a stream of Kinesis is written kinesis://region/stream[?endpoint=https://…]")
    patience = Config(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 1})  # the bridge tries again
    client = boto3.client("kinesis", region_name=parts.netloc, endpoint_url=query.get("endpoint"), config=patience)
    return Kinesis(client, parts.netloc, stream, positions)


def _value(data: bytes) -> bytes | Refused:
    if data.startswith(AGGREGATED):
        reason = "several records in one, as Amazon's Producer Library packs them: switch off its AggregationEnabled"
        return Refused("read", "format", reason, "", data)
    return data


@contextmanager
def _answers() -> Iterator[None]:
    """Our errors for those of boto3."""
    try:
        yield
    except ClientError as error:
        found, said = error.response["Error"], f"Kinesis says: {error}"
        if found["Code"] in PASSING or error.response["ResponseMetadata"].get("HTTPStatusCode", 0) >= 500:
            raise StreamDown(said) from None
        if found["Code"] == "ExpiredIteratorException":  # we slept too long; the next one begins at the place
            raise StreamDown(said) from None
        raise StreamError(said) from None
    except (BotoConnectionError, HTTPClientError) as error:
        raise StreamDown(f"Kinesis does not answer: {error}") from None
    except BotoCoreError as error:
        raise StreamError(f"Kinesis cannot be asked: {error}") from None
