"""Audit: compare what is online with what the events come to, and look again at what differs.

Flows are a moment behind the stream, and the lake is too. So what differs is looked at again after a pause, with the
lake as it is by then, and only what still differs is a finding.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from expectations.audits.comparison import Finding, differing
from expectations.audits.online import OnlineRow
from expectations.audits.recompute import SECOND, Recompute, Rows
from expectations.audits.scopes import scopes

LOOKS: Final = 3
"""How often what differs is looked at, at most."""


class Reader(Protocol):
    """What is online; see `online.Online`."""

    def keys(self, entity: str) -> Iterable[str]:
        """Every entity that has a row."""

    def rows(self, entity: str, keys: Sequence[str]) -> Mapping[str, OnlineRow]:
        """The rows of some entities."""


@dataclass
class Audit:
    """What an audit found.

    `compared` counts rows by entity, `unjudged` those that the lake cannot tell of, by reason; `ages` are seconds since
    the newest event of each row that was compared, by entity.
    """

    now: int
    compared: dict[str, int] = field(default_factory=dict)
    fields: int = 0
    unjudged: dict[str, int] = field(default_factory=dict)
    ages: dict[str, list[float]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def sample(keys: Iterable[str], most: int, chance: random.Random) -> list[str]:
    """At most `most` of some keys, by chance; all of them if there are no more."""
    known = sorted(set(keys))
    return known if len(known) <= most else sorted(chance.sample(known, most))


def audit(
    open_lake: Callable[[], Recompute],
    online: Reader,
    *,
    users: int,
    items: int,
    chance: random.Random,
    clock: Callable[[], int],
    pause: Callable[[], Any],
    looks: int = LOOKS,
) -> Audit:
    """Compare at most so many users and items; scopes are compared if all items are.

    Args:
        open_lake: gives the events as they are at the moment.
        online: reads what is online.
        users: most users to compare.
        items: most items to compare.
        chance: which.
        clock: microseconds since 1970, now.
        pause: waits between two looks.
        looks: how often what differs is looked at, at most.
    """
    lake = open_lake()
    found = Audit(clock())
    span = lake.span()
    if span is None:
        found.unjudged["the lake holds no event"] = 1
        return found
    wanted = {
        "user": sample([*lake.users(), *online.keys("user")], users, chance),
        "item": sample([*lake.items(), *online.keys("item")], items, chance),
    }
    found.compared = {entity: len(keys) for entity, keys in wanted.items()}
    whole = len(wanted["item"]) < items
    for look in range(looks):
        if look:
            pause()
            lake = open_lake()
        span = lake.span() or span
        found.now = now = clock()
        found.findings = _users(lake, online, wanted["user"], now, span, found) if wanted["user"] else []
        found.findings += _items(lake, online, wanted["item"], now, found) if wanted["item"] else []
        if whole:
            found.findings += scopes(lake, online, now)
        if not found.findings:
            break
        wanted = {entity: sorted({x.key for x in found.findings if x.entity == entity}) for entity in wanted}
    return found


def _users(
    lake: Recompute, online: Reader, users: list[str], now: int, span: tuple[int, int], found: Audit
) -> list[Finding]:
    read = online.rows("user", users)
    expected, newest = lake.user_rows(users, now)
    without_verdict = lake.unjudged(users)
    findings: list[Finding] = []
    for user in users:
        row, wanted = read.get(user), expected.get(user)
        if row is not None and (reason := _beyond(row.values, span)):
            found.unjudged[reason] = found.unjudged.get(reason, 0) + 1
            continue
        if user in without_verdict and wanted is not None:
            wanted = {name: value for name, value in wanted.items() if not name.startswith(("email_", "last_email_"))}
        findings += _judge("user", user, row, wanted, newest.get(user, 0), "first_seen_at")
        if row is not None and wanted is not None:
            found.fields += len(wanted)
            found.ages.setdefault("user", []).append((now - row.at) / SECOND)
    return findings


def _beyond(values: Mapping[str, Any], span: tuple[int, int]) -> str:
    """Why the lake cannot tell of somebody; empty if it can."""
    oldest, newest = (moment // SECOND for moment in span)
    first = values.get("first_seen_at")
    if first is not None and first < oldest:
        return "older than the lake"
    last = max((value for name, value in values.items() if name.startswith("last_") and value), default=0)
    return "ahead of the lake" if last > newest else ""


def _items(lake: Recompute, online: Reader, items: list[str], now: int, found: Audit) -> list[Finding]:
    read = online.rows("item", items)
    stats, catalogue = lake.item_rows(items, now)
    findings: list[Finding] = []
    for item in items:
        row = read.get(item)
        wanted = {**stats[item], **catalogue.get(item, {})}
        known = item in catalogue or any(stats[item].values())
        findings += _judge("item", item, row, wanted if known else None, 0, "title")
        if row is not None and known:
            found.fields += len(wanted)
            found.ages.setdefault("item", []).append((now - row.at) / SECOND)
    return findings


def _judge(
    entity: str, key: str, row: OnlineRow | None, wanted: Rows | dict[str, Any] | None, newest: int, sign: str
) -> list[Finding]:
    """What is wrong with one row; `sign` is the feature without which a row that nothing makes is nobody's."""
    if wanted is None:
        if row is None or row.values.get(sign) is None:
            return []
        return [Finding("extra", entity, key, "", row.at, None)]
    if row is None:
        return [Finding("missing", entity, key, "", None, newest)]
    found = differing(entity, key, row.values, wanted)
    if found and newest // SECOND > row.at // SECOND:
        return [Finding("stale", entity, key, "", row.at, newest)]
    return found
