"""The page: one file that holds all it shows, for a browser and as an attachment of a mail."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from expectations.profiles import Profile
from expectations.report.alarms import Alarm
from expectations.report.data_docs import Validated
from expectations.report.offenders import Offenders
from expectations.report.pictures import of_alarm, of_trend

HOUR: Final = 3600
MOST_ALARMS: Final = 20
MOST_PAST: Final = 50
TREND_HOURS: Final = 7 * 24
OLD: Final = 6 * HOUR
"""Seconds without a row after which that is said in red."""


class Fresh(NamedTuple):
    """How lately there were rows of something, and how many."""

    name: str
    newest: str
    hour: int
    day: int
    old: bool


class Kept(NamedTuple):
    """A report of before."""

    name: str
    href: str


class Findings(NamedTuple):
    """All that a report tells.

    Attributes:
        now: epoch seconds.
        hours: how many are profiled.
        newest: the newest hour that is, 0: none.
        judged: the newest hour that was judged, 0: none.
        recent: profiles of the last days, by hour.
        line: for who is on call.
        alarms: the open ones, the worst first.
        past: the others that are remembered.
        offenders: None: Redis does not answer.
        validated: by Great Expectations.
        audit: what the last audit found, as names and values.
        reports: of before, the newest first.
        notes: what to do, where something is missing.
    """

    now: int
    hours: int
    newest: int
    judged: int
    recent: Mapping[int, Profile]
    line: str
    alarms: Sequence[Alarm]
    past: Sequence[Alarm]
    offenders: Offenders | None
    validated: Sequence[Validated]
    audit: Sequence[tuple[str, str]]
    reports: Sequence[Kept]
    notes: Sequence[str]


def page(found: Findings, audit_path: str) -> str:
    """The page in HTML."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["moment"] = moment
    shown = found.alarms[:MOST_ALARMS]
    return environment.get_template("overview.html.j2").render(
        found._asdict()
        | {
            "alarms": shown, "past": found.past[:MOST_PAST], "audit_path": audit_path,
            "pictures": {alarm.name: data_url(of_alarm(alarm.drawn)) for alarm in shown if alarm.drawn},
            "broken": any(each.broken for each in found.validated),
            "tiles": _tiles(found), "trends": _trends(found), "fresh": freshness(found.recent, found.now),
        }
    )  # fmt: skip


def moment(seconds: int) -> str:
    """An hour as people write it."""
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%a %d %b %H:%M} UTC"


def data_url(png: bytes) -> str:
    """A picture as part of the page."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def audited(content: str) -> list[tuple[str, str]]:
    """What an audit wrote (`python -m expectations.audits --json`), as names and values."""
    said: dict[str, Any] = json.loads(content)
    rows = [("made", str(said.get("audited_at", "at a time that is not known"))[:16].replace("T", " "))]
    rows += [(f"{entity}s compared", f"{count:,}") for entity, count in said.get("compared", {}).items()]
    rows += [(f"fields that are {kind}", f"{count:,}") for kind, count in said.get("counts", {}).items()]
    if "days" in said:
        rows.append(("days on which an export differs", f"{len(said['days']):,}"))
    return rows


def freshness(recent: Mapping[int, Profile], now: int) -> list[Fresh]:
    """Of each view, and of each source of events, when there was a row last, and how many there were."""
    last_full = now // HOUR * HOUR - HOUR
    names = sorted({name for profile in recent.values() for name in profile if _told_of(name)})
    rows = []
    for name in names:
        counts = {hour: profile[name].rows for hour, profile in recent.items() if name in profile}
        newest = max(hour for hour, count in counts.items() if count)
        words = f"events from {name.split('/')[1]}" if name.startswith("events/") else name
        since = (now - newest) // HOUR
        rows.append(
            Fresh(
                words.replace("events from *", "all events"), "this hour" if not since else f"{since} h ago",
                counts.get(last_full, 0), sum(count for hour, count in counts.items() if hour > now - 24 * HOUR),
                now - newest > OLD,
            )
        )  # fmt: skip
    return rows


def _told_of(subject: str) -> bool:
    return not subject.startswith("events/") or subject.endswith("/*")


def _lasting(seconds: float) -> str:
    """A length of time in the unit that suits it."""
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds:,.1f} s"


def _tiles(found: Findings) -> list[tuple[str, str]]:
    day = [profile["events/*/*"] for hour, profile in found.recent.items()
           if hour > found.now - 24 * HOUR and "events/*/*" in profile]  # fmt: skip
    delays = [each.columns["delay"].quantiles[-3] for each in day if "delay" in each.columns]
    offenders = found.offenders
    return [
        ("alarms", f"{len(found.alarms):,}"),
        ("events, 24 hours", f"{sum(each.rows for each in day):,}"),
        ("nine of ten arrive within", _lasting(sorted(delays)[len(delays) // 2]) if delays else "–"),
        ("rows held back, 24 hours", "–" if offenders is None else f"{offenders.rows_day:,}"),
        ("events refused, 24 hours", "–" if offenders is None else f"{offenders.day - offenders.rows_day:,}"),
    ]


_TRENDS: Final[Mapping[str, Callable[[str], bool]]] = {
    "Events an hour by source": lambda name: name.startswith("events/") and name.endswith("/*") and "/*/" not in name,
    "Events an hour by type": lambda name: name.startswith("events/*/") and not name.endswith("/*"),
    "Rows stored an hour by view": lambda name: not name.startswith("events/"),
}
"""What is drawn, and of which subjects."""


def _trends(found: Findings) -> list[tuple[str, str, str]]:
    last = found.now // HOUR * HOUR
    known = [hour for hour in found.recent if hour > last - TREND_HOURS * HOUR]
    if not known:
        return []
    first = min(known)
    hours = range(first, last + HOUR if len(known) == 1 else last, HOUR)
    shown = []
    for title, ours in _TRENDS.items():
        counts: dict[str, list[float]] = {}
        for place, hour in enumerate(hours):
            for name, subject in found.recent.get(hour, {}).items():
                if ours(name):
                    counts.setdefault(name, [0.0] * len(hours))[place] = subject.rows
        counts = _alike(counts) if "view" in title else counts
        most = dict(sorted(counts.items(), key=lambda pair: -sum(pair[1]))[:6])
        if most:
            named = {_label(name): values for name, values in most.items()}
            words = "; ".join(f"{name}: {values[-1]:,.0f} in the last hour shown" for name, values in named.items())
            shown.append((title, data_url(of_trend(named, first)), f"{title}. {words}."))
    return shown


def _alike(counts: Mapping[str, list[float]]) -> dict[str, list[float]]:
    """Views of one entity are stored together: one line says it of all."""
    groups: dict[tuple[float, ...], list[str]] = {}
    for name, values in counts.items():
        groups.setdefault(tuple(values), []).append(name)
    return {
        names[0] if len(names) == 1 else f"{names[0].split('_')[0]}_*": [*values] for values, names in groups.items()
    }


def _label(subject: str) -> str:
    if not subject.startswith("events/"):
        return subject
    _, source, kind = subject.split("/", 2)
    return source if kind == "*" else kind
