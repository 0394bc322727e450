"""Google Cloud Pub/Sub as an inlet: `pubsub://project/subscription`. Credentials as Google's client finds them.

A message is acknowledged when it is safe, and sent again if it is not in time. What has an ordering key comes in order
where the subscription is made with message ordering; other messages have no order.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final
from urllib.parse import urlsplit

from google.api_core import exceptions
from google.auth.exceptions import GoogleAuthError
from google.cloud.pubsub_v1 import SubscriberClient

from dataflows.connectors import Delivered, Delivery, OffsetGone, Positions, StreamDown, StreamError
from dataflows.settings import split_query

ANSWER_SECONDS: Final = 10.0
MOST_AT_ONCE: Final = 1000
GIVE_BACK_SECONDS: Final = 2.0
PASSING: Final = (
    exceptions.Aborted, exceptions.Cancelled, exceptions.DeadlineExceeded, exceptions.InternalServerError,
    exceptions.ServiceUnavailable, exceptions.TooManyRequests, exceptions.Unknown,
)  # fmt: skip


class PubSub:
    """A subscription as an inlet.

    Args:
        client: of Google.
        project: whose it is.
        subscription: its name.

    Raises:
        StreamDown: Pub/Sub does not answer.
        StreamError: there is no such subscription, or we may not read it.
    """

    shared = True

    def __init__(self, client: SubscriberClient, project: str, subscription: str) -> None:
        self.name = f"pubsub://{project}/{subscription}"
        self._client = client
        self._path = client.subscription_path(project, subscription)
        self._unconfirmed: set[str] = set()

    def read(self, most: int, wait: float) -> Delivered | None:
        """What Pub/Sub has for us."""
        try:
            with _answers(self.name):
                answer = self._client.pull(
                    subscription=self._path, max_messages=min(most, MOST_AT_ONCE), retry=None,
                    timeout=max(wait, LEAST_WAIT),
                )  # fmt: skip
        except NothingCame:
            return None
        if not answer.received_messages:
            return None
        deliveries, receipt = [], []
        for each in answer.received_messages:
            mark = f"{self.name}/{each.message.message_id}"
            deliveries.append(Delivery(mark, each.message.data, mark))
            receipt.append(each.ack_id)
        self._unconfirmed.update(receipt)
        return Delivered(deliveries, receipt)

    def confirm(self, receipt: list[str]) -> None:
        """Acknowledge."""
        with _answers(self.name):
            self._client.acknowledge(
                subscription=self._path, ack_ids=receipt, retry=None, timeout=ANSWER_SECONDS
            )  # fmt: skip
        self._unconfirmed.difference_update(receipt)

    def close(self) -> None:
        """Give back what is not acknowledged, to be sent again at once, and close the connections."""
        if self._unconfirmed:
            with suppress(exceptions.GoogleAPICallError):  # it is sent again in any case, only later
                self._client.modify_ack_deadline(
                    subscription=self._path, ack_ids=list(self._unconfirmed), ack_deadline_seconds=0, retry=None,
                    timeout=GIVE_BACK_SECONDS,
                )  # fmt: skip
        self._client.close()


class NothingCame(Exception):
    """The time for an answer is over."""


LEAST_WAIT: Final = 2.0
"""Seconds: a pull that is given up may take messages along, and they come again only when their time is over."""


def open_inlet(url: str, positions: Positions) -> PubSub:
    """The subscription of `pubsub://project/subscription`; PUBSUB_EMULATOR_HOST leads to another service."""
    parts, query = urlsplit(url), split_query(url)[1]
    name = parts.path.strip("/")
    if not parts.netloc or not name or "/" in name or query:
        raise StreamError(f"{url}: a subscription is written pubsub://project/subscription")
    try:
        return PubSub(SubscriberClient(), parts.netloc, name)
    except GoogleAuthError as error:
        raise StreamError(f"Pub/Sub cannot be asked: {error}") from None


@contextmanager
def _answers(name: str) -> Iterator[None]:
    """Our errors for those of Google."""
    try:
        yield
    except exceptions.NotFound:
        raise OffsetGone(
            f"there is no subscription {name}; one that nobody reads for a month is deleted, and with it what was not "
            "read. Make it anew, with message ordering, and see what is missing"
        ) from None
    except exceptions.DeadlineExceeded:
        raise NothingCame from None
    except PASSING as error:
        raise StreamDown(f"Pub/Sub does not answer: {error}") from None
    except exceptions.GoogleAPICallError as error:
        raise StreamError(f"Pub/Sub says: {error}") from None
    except GoogleAuthError as error:
        raise StreamDown(f"Pub/Sub cannot be asked: {error}") from None
