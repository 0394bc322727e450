"""The vocabulary: what an event is, what became of it, and how bytes are judged.

Both sides of the stream use it: the API judges what it is sent before it publishes, the flows judge what they
read, with the same function, so that an event is never accepted by one and refused by the other.
"""

from __future__ import annotations

import zlib
from datetime import datetime, timezone
from typing import Annotated, Any, Final, Literal, TypeAlias, get_args

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

MICROSECOND: Final = 1
SECOND: Final = 1_000_000 * MICROSECOND
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

MAX_EVENT_BYTES: Final = 32 * 1024
MAX_SKEW: Final = 5 * MINUTE
"""How far ahead of our clock an event may lie; the default of INLAY_MAX_SKEW."""

EventType: TypeAlias = Literal[
    "view", "click", "search", "add_to_cart", "remove_from_cart", "add_to_wishlist", "remove_from_wishlist",
    "checkout", "purchase", "refund", "sign_up", "identify", "profile", "consent", "email_delivered", "email_open",
    "email_click", "email_bounce", "email_complaint", "email_unsubscribe", "item", "block_served", "custom",
]  # fmt: skip
EVENT_TYPES: Final[tuple[str, ...]] = get_args(EventType)

TIMELESS: Final = frozenset(
    {"item", "sign_up", "identify", "profile", "consent", "email_complaint", "email_unsubscribe"}
)
"""Types that describe rather than count: no window holds them, so they are never late."""
OURS: Final = frozenset({"block_served"})
"""Types that tell what the service itself did. They are applied, and that is all: nobody did anything, so that no
feature and no user comes of them, and nothing is read or stored. Who counts them goes by their `event_id`."""

Outcome: TypeAlias = Literal["applied", "duplicate", "late", "refused"]
OUTCOMES: Final[tuple[Outcome, ...]] = ("applied", "duplicate", "late", "refused")
"""Every event received has exactly one of these, and their counts add up to what was received."""

RefusalKind: TypeAlias = Literal["format", "schema", "size", "time", "signature", "enrichment", "gate"]
REFUSAL_KINDS: Final[tuple[RefusalKind, ...]] = get_args(RefusalKind)
"""No JSON; no event; too large; a time that cannot be; not proven who sent it; a strict enrichment failed; a row held
back."""

Id: TypeAlias = Annotated[str, Meta(min_length=1, max_length=200)]
Text: TypeAlias = Annotated[str, Meta(max_length=4096)]
Word: TypeAlias = Annotated[str, Meta(max_length=200)]
Quantity: TypeAlias = Annotated[float, Meta(gt=0, le=1_000_000)]
Price: TypeAlias = Annotated[float, Meta(ge=0, le=1_000_000_000)]
Currency: TypeAlias = Annotated[str, Meta(pattern="^[A-Z]{3}$")]

EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)

BACKSLASH: Final = 0x5C
DELETE: Final = 0x7F
"""As numbers: whether bytes hold a number is found four times as fast as whether they hold other bytes."""

_set: Final = msgspec.structs.force_setattr


class Line(Struct, frozen=True, omit_defaults=True, gc=False):
    """One line of a cart or an order: an item, how many (one where not said), and the price of one."""

    item_id: Id
    quantity: Quantity | None = None
    price: Price | None = None


class Event(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """One thing that happened. Once parsed, `occurred_at` and `added_at` are whole microseconds since 1970, UTC."""

    event_id: Id
    type: EventType
    occurred_at: datetime | float | int
    user_id: Id | None = None
    anonymous_id: Id | None = None
    item_id: Id | None = None
    items: tuple[Line, ...] = ()
    quantity: Quantity | None = None
    price: Price | None = None
    currency: Currency | None = None
    order_id: Id | None = None
    query: Text | None = None
    url: Text | None = None
    country: Word | None = None
    device: Word | None = None
    campaign_id: Word | None = None
    send_id: Word | None = None
    layout: Word | None = None
    block: Word | None = None
    slot: int | None = None
    traits: dict[str, Any] = {}
    properties: dict[str, Any] = {}
    title: Text | None = None
    image_url: Text | None = None
    list_price: Price | UnsetType | None = UNSET
    category: Text | None = None
    brand: Word | None = None
    in_stock: bool | None = None
    added_at: datetime | float | int | None = None

    def __post_init__(self) -> None:
        """Settle the times and the one rule that spans several fields.

        Raises:
            ValueError: a time that cannot be read, or nobody the event could belong to.
        """
        at = self.occurred_at
        if type(at) is not int or not 1e14 <= at < 1e17:  # most senders' times are in whole microseconds already
            _set(self, "occurred_at", to_micros(at, "occurred_at"))
        if self.added_at is not None:
            _set(self, "added_at", to_micros(self.added_at, "added_at"))
        if self.user_id is None or self.type == "item":
            self._check_owner()

    def _check_owner(self) -> None:
        if self.type == "item":
            if self.item_id is None:
                raise ValueError("item_id: an event of type item must say which item it describes")
        elif self.user_id is None and self.anonymous_id is None:
            raise ValueError("user_id: give user_id or anonymous_id, so that the event belongs to somebody")

    @property
    def at(self) -> int:
        """When it happened, in microseconds since 1970, UTC."""
        return self.occurred_at  # type: ignore[return-value]  # settled in __post_init__

    @property
    def key(self) -> str:
        """Whom it belongs to; everything of one key travels in one partition, in order."""
        return self.user_id or self.anonymous_id or self.item_id or ""

    def lines(self) -> tuple[Line, ...]:
        """What it is about as lines: `items` where given, else the one item of the event."""
        if self.items or self.item_id is None:
            return self.items
        return (Line(self.item_id, self.quantity, self.price),)


class Refused(Struct, frozen=True):
    """An event that could not be taken: where it failed, why in words, which field, and the original bytes."""

    stage: str
    kind: RefusalKind
    reason: str
    field: str
    original: bytes


Placed: TypeAlias = tuple[int, Event]
"""An event that can be read, and its place: the offset in its partition, then the event."""

KNOWN_KEYS: Final = frozenset(Event.__struct_fields__)
_read_event = msgspec.json.Decoder(Event).decode
_read_any = msgspec.json.Decoder().decode


def parse(raw: bytes, now: int, *, max_skew: int = MAX_SKEW, stage: str = "validate") -> Event | Refused:
    """Judge the bytes of one event at `now` (microseconds): the event, or the reason why it was refused."""
    if len(raw) > MAX_EVENT_BYTES:
        reason = f"the event has {len(raw):,} bytes; an event may have {MAX_EVENT_BYTES:,}: send less text in it"
        return Refused(stage, "size", reason, "", raw)
    try:
        event = _read_event(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        judged = _read_slowly(raw, stage)
        if isinstance(judged, Refused):
            return judged
        event = judged
    # Plain ASCII without an escape holds no character that needs a look, and that is nearly every event.
    if (BACKSLASH in raw or not raw.isascii() or DELETE in raw) and (found := _control_character(event)):
        reason = f"{found} holds a control character (such as NUL); send plain text"
        return Refused(stage, "format", reason, found, raw)
    if event.occurred_at > now + max_skew:  # type: ignore[operator]  # an int by now
        ahead = (event.at - now) / MINUTE
        reason = f"occurred_at lies {ahead:,.1f} minutes in the future; check the clock and the time zone of the sender"
        return Refused(stage, "time", reason, "occurred_at", raw)
    return event


def partition_of(key: str, partitions: int) -> int:
    """The partition that carries all of `key`: CRC-32 of its UTF-8 bytes, modulo the number of partitions."""
    return zlib.crc32(key.encode()) % partitions


def to_micros(moment: datetime | float, field: str) -> int:
    """Whole microseconds since 1970 of a time with its zone, or of epoch seconds, milliseconds or microseconds.

    A number below 1e11 is read as seconds, below 1e14 as milliseconds: seconds reach 1e11 in the year 5138.

    Raises:
        ValueError: no time zone, or a number that is no time.
    """
    if isinstance(moment, datetime):
        if moment.tzinfo is None:
            raise ValueError(f"{field}: the time has no zone; write it as RFC 3339, such as 2026-05-17T09:30:00Z")
        delta = moment - EPOCH
        return (delta.days * 86_400 + delta.seconds) * SECOND + delta.microseconds
    size = abs(moment)
    if size < 1e11:
        return round(moment * 1_000_000)
    if size < 1e14:
        return round(moment * 1_000)
    if size < 1e17:
        return round(moment)
    raise ValueError(f"{field}: the number is no time; send RFC 3339, epoch seconds or epoch milliseconds")


def to_rfc3339(micros: int) -> str:
    """A moment in microseconds since 1970 as RFC 3339 in UTC, to the millisecond."""
    moment = datetime.fromtimestamp(micros // 1000 / 1000, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _read_slowly(raw: bytes, stage: str) -> Event | Refused:
    """The event of `raw` that has unknown keys, or why it cannot be read."""
    try:
        try:
            return _read_event(raw)
        except msgspec.ValidationError as error:
            if "unknown field" not in str(error):
                return _refuse(stage, str(error), raw)
            return _read_with_unknown_keys(raw)
    except msgspec.ValidationError as error:
        return _refuse(stage, str(error), raw)
    except msgspec.DecodeError as error:
        return Refused(stage, "format", _explain_json(str(error), raw), "", raw)
    except UnicodeDecodeError:
        return Refused(stage, "format", "not JSON: the text is not UTF-8", "", raw)
    except RecursionError:
        return Refused(stage, "format", "the JSON is nested too deeply", "", raw)


def _read_with_unknown_keys(raw: bytes) -> Event:
    """The event of `raw` with every key that we do not know moved into `properties`."""
    content = _read_any(raw)
    unknown = {key: content.pop(key) for key in content.keys() - KNOWN_KEYS}
    properties = content.get("properties")
    if isinstance(properties, dict):
        unknown |= properties
    elif properties is not None:
        raise msgspec.ValidationError("Expected `object`, got something else - at `$.properties`")
    content["properties"] = unknown
    return msgspec.convert(content, Event)


def _refuse(stage: str, message: str, raw: bytes) -> Refused:
    """Turn a message of msgspec, or of Event itself, into words and the field that it is about."""
    text, _, path = message.partition(" - at `$")
    field = path.rstrip("`").lstrip(".")
    if not field and (head := text.partition(":"))[1] and head[0] in KNOWN_KEYS:
        field = head[0]
    elif "required field" in text:
        field = text.split("`")[1]
        text = "is missing"
    kind: RefusalKind = "time" if field in ("occurred_at", "added_at") and "missing" not in text else "schema"
    if not field:
        text = text.replace("Expected `object`, got", "an event is a JSON object, this is")
    words = text if text.startswith(f"{field}:") or not field else f"{field}: {_plain(text)}"
    return Refused(stage, kind, words, field, raw)


def _explain_json(message: str, raw: bytes) -> str:
    """Why the bytes are no JSON; half a surrogate pair is named, since the parser calls it truncated input."""
    if b"\\ud" in raw.lower() and "truncated" in message:
        return "not JSON: the text holds half of a surrogate pair (\\ud800 to \\udfff); send whole characters"
    return f"not JSON: {message.removeprefix('JSON is malformed: ')}"


_PLAIN: Final = (
    ("Expected `object`, got", "must be a JSON object, this is"),
    ("Expected `str`, got", "must be text, this is"),
    ("Expected `float`, got", "must be a number, this is"),
    ("Expected `str` of length >= 1", "must not be empty"),
    ("Expected `str` of length <= ", "is too long; the longest allowed is "),
    ("Expected `float` > 0.0", "must be more than 0"),
    ("Expected `float` >= 0.0", "must not be negative"),
    ("Expected `float` <= ", "is too large; the largest allowed is "),
    ("Expected `str` matching regex '^[A-Z]{3}$'", "must be an ISO 4217 code such as EUR"),
    ("Invalid enum value", "is none of the known types:"),
    ("Expected", "must be"),
)


def _plain(text: str) -> str:
    """A message of msgspec in words that a support person understands."""
    for theirs, ours in _PLAIN:
        if text.startswith(theirs):
            return ours + text[len(theirs) :]
    return text[:1].lower() + text[1:]


def _control_character(event: Event) -> str:
    """The first field that holds NUL, or an identifier that holds any invisible character; empty if none does.

    Identifiers become keys, and have no room for what cannot be seen.
    """
    for name in _IDS:
        found = getattr(event, name)
        if found is not None and not found.isprintable():
            return name
    if any(not line.item_id.isprintable() for line in event.items):
        return "items"
    return next((name for name in _TEXTS if _holds_nul(getattr(event, name))), "")


_IDS: Final = ("event_id", "user_id", "anonymous_id", "item_id", "order_id")
_TEXTS: Final = tuple(name for name in Event.__struct_fields__ if name not in (*_IDS, "items"))


def _holds_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, dict):
        return any(_holds_nul(key) or _holds_nul(each) for key, each in value.items())
    return isinstance(value, list) and any(map(_holds_nul, value))
