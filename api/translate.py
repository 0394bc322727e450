"""From a platform's words to ours, as far as a table can say it; nothing of a delivery is kept that no table names."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, Final, NamedTuple, TypeAlias
from urllib.parse import quote

import msgspec

from api.platforms import Told, Unread, Unreadable
from dataflows.events import to_micros
from dataflows.machines import SAID

Path: TypeAlias = str
"""Where a field lies, as `data.customer.id`; a number picks from a list. Alternatives are separated by `|`."""

MOST_TEXT: Final = 2048
LONGEST: Final = {"url": MOST_TEXT, "reason": 500, "user_agent": 500}
_NO: Final = (None, False, "", "false", "False", "none", "0", 0)


class Mail(NamedTuple):
    """How a platform tells what happened to a mail.

    Attributes:
        kind: where its name for it lies.
        types: that name → our type; `consent+` is a consent to mails given.
        event_id: what identifies an event; where a platform has nothing of the kind, its whole content does.
        at: when it happened.
        email: the address, of which only a hash is kept, and only where no `user_id` is found.
        user_id: the shop's own id of the user.
        fields: our field → where it lies.
        properties: likewise, of `properties`.
        hard: where it lies whether a bounce is for good, and the values that say so.
        machine: where the platform itself says that a machine opened or clicked.
    """

    kind: Path
    types: Mapping[str, str]
    event_id: Path
    at: Path
    email: Path
    user_id: Path = ""
    fields: Mapping[str, Path] = {}
    properties: Mapping[str, Path] = {}
    hard: tuple[Path, Sequence[str]] = ("", ())
    machine: Path = ""


def read_mails(
    platform: str,
    told: Sequence[Any],
    table: Mail,
    arranged: Callable[[dict[str, Any]], dict[str, Any]] = lambda content: content,
) -> list[Told | Unread]:
    """The events of a platform's objects; those of a kind that the table leaves out are left out.

    Args:
        platform: its name.
        told: the objects.
        table: what they mean.
        arranged: puts what an object says where a path of the table finds it.
    """

    def read(content: dict[str, Any]) -> list[Told]:
        content = arranged(content)
        our_type = table.types.get(text_at(content, table.kind) or "")
        return _read_mail(platform, content, our_type, table) if our_type else []

    return read_each(told, read)


def read_each(told: Sequence[Any], read: Callable[[dict[str, Any]], Sequence[Told]]) -> list[Told | Unread]:
    """The events of several things, each by itself: one that makes no sense keeps none of the others back."""
    events: list[Told | Unread] = []
    for each in told:
        try:
            if isinstance(each, dict):
                events += read(each)
            else:
                events.append(Unread("it is no JSON object", msgspec.json.encode(each)))
        except Unreadable as error:
            events.append(Unread(str(error), msgspec.json.encode(each)))
    return events


def _read_mail(platform: str, content: Mapping[str, Any], our_type: str, table: Mail) -> list[Told]:
    email = text_at(content, table.email)
    properties: dict[str, Any] = _texts(content, table.properties, email)
    if any(value_at(content, path) not in _NO for path in table.machine.split("|")):
        properties[SAID] = True
    event: Told = {
        "event_id": event_id(platform, text_at(content, table.event_id) or fingerprint(content)),
        "type": our_type,
        "occurred_at": moment(value_at(content, table.at)),
        "user_id": text_at(content, table.user_id) or user_of_email(email),
        **_texts(content, table.fields, email),
    }
    if our_type == "consent+":
        return [{**event, "type": "consent", "properties": {**properties, "email_allowed": True}}]
    path, values = table.hard
    if our_type != "email_bounce":
        return [{**event, "properties": properties} if properties else event]
    is_hard = (text_at(content, path) or "") in values
    bounce = {**event, "properties": {**properties, "bounce": "hard" if is_hard else "soft"}}
    return [bounce, withdrawal(event, "hard bounce")] if is_hard else [bounce]


def _texts(content: Mapping[str, Any], paths: Mapping[str, Path], email: str | None) -> dict[str, Any]:
    """What lies at the paths as text, without the address, which links and the answers of mail servers like to hold."""
    texts = {name: text for name, path in paths.items() if (text := text_at(content, path))}
    for address in (email.strip(), quote(email.strip(), safe="")) if email else ():
        hide = re.compile(re.escape(address), re.IGNORECASE).sub
        texts = {name: hide("(address)", text) for name, text in texts.items()}
    return {name: text[: LONGEST.get(name, 200)] for name, text in texts.items()}


def withdrawal(event: Told, reason: str) -> Told:
    """That no mail may go to the user of an event any more, since it would not arrive."""
    kept = {name: event[name] for name in ("occurred_at", "user_id")}
    said = {"email_allowed": False, "reason": reason}
    return {"event_id": f"{event['event_id'][:190]}:consent", "type": "consent", **kept, "properties": said}


def event_id(platform: str, *words: object) -> str:
    """An event's id from what the platform calls it, the same however often it is delivered."""
    whole = ":".join((platform, *map(str, words)))
    return whole if len(whole) <= 190 and whole.isprintable() else f"{platform}:{_hash(whole.encode())[:40]}"


def fingerprint(content: Any) -> str:
    """A name for something without one, made from all of it."""
    return _hash(msgspec.json.encode(content, order="deterministic"))[:40]


def user_of_email(email: str | None) -> str:
    """The id of somebody of whom no more is known than an address: `email:` and its SHA-256, trimmed, in lower case.

    Raises:
        Unreadable: there is no address either.
    """
    if not email or not email.strip():
        raise Unreadable("an event names neither a user nor an address")
    return f"email:{_hash(email.strip().lower().encode('utf-8', 'replace'))}"


def several_of(body: bytes) -> list[Any]:
    """What a body holds: the elements of its array, or the one thing that it is.

    Raises:
        Unreadable: it is no JSON.
    """
    content = json_of(body)
    return content if isinstance(content, list) else [content]


def json_of(body: bytes) -> Any:
    """The JSON of a body.

    Raises:
        Unreadable: it is none.
    """
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(f"the body is not JSON: {str(error).removeprefix('JSON is malformed: ')}") from None


def object_of(body: bytes) -> dict[str, Any]:
    """The JSON object that a body is.

    Raises:
        Unreadable: it is something else.
    """
    content = json_of(body)
    if not isinstance(content, dict):
        raise Unreadable("the body is not a JSON object")
    return content


def value_at(content: Any, paths: Path) -> Any:
    """What lies at the first of the paths where anything does; None if nothing does."""
    for path in paths.split("|") if paths else ():
        found = content
        for name in path.split("."):
            if isinstance(found, dict):
                found = found.get(name)
            elif isinstance(found, list) and name.isdigit():
                found = found[int(name)] if int(name) < len(found) else None
            else:
                found = None
        if found not in (None, "", [], {}):
            return found
    return None


def text_at(content: Any, paths: Path) -> str | None:
    """What lies there as text; None where it is nothing, or neither text nor a number."""
    found = value_at(content, paths)
    if isinstance(found, bool):
        return "true" if found else "false"
    if isinstance(found, (int, float)):
        return str(found)
    return found[:MOST_TEXT] if isinstance(found, str) and found.strip() else None


def list_at(content: Any, path: Path) -> list[dict[str, Any]]:
    """The objects of the list that lies there."""
    found = value_at(content, path)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def number_at(content: Any, path: Path) -> float | None:
    """What lies there as a number, which many write as text."""
    try:
        found = float(text_at(content, path) or "")
    except ValueError:
        return None
    return found if abs(found) < 1e15 else None


def moment(said: Any) -> int:
    """A time in microseconds since 1970: a number, also as text, or any of the ways in which platforms write one.

    A time without a zone is in UTC.

    Raises:
        Unreadable: it is none.
    """
    try:
        if isinstance(said, (int, float)) and not isinstance(said, bool):
            return to_micros(said, "time")
        text = str(said).strip()
        if text.replace(".", "", 1).isdigit():
            return to_micros(float(text), "time")
        words = text.removesuffix(" UTC").replace("Z", "+00:00").replace(" +", "+")
        parsed = datetime.fromisoformat(_padded(words))
        return to_micros(parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc), "time")
    except (ValueError, OverflowError, TypeError):
        raise Unreadable("an event does not say when it happened, or not in a way that can be read") from None


def _padded(text: str) -> str:
    """Fractions of a second in six digits, which Python 3.10 asks for."""
    head, dot, rest = text.partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    return f"{head}.{digits[:6]:0<6}{rest[len(digits) :]}" if dot and digits else text


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
