"""Faults that only time shows, each planted into weeks of a shop's lake and judged by the report as it is run.

What lies in the lake is made up (`tests.contract.weeks`). A fault begins at a known hour; `python -m
expectations.report` is run, and what it alarmed is read from what it left behind, never written down by hand. The
second table in docs/quality.md is made of it.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from html import unescape
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple, TypeAlias
from unittest import mock

import numpy as np

from api.quality import ReportMetrics
from dataflows.connectors.lake_files import EVENTS, FEATURES, date_of, open_lake
from dataflows.events import SECOND
from expectations.drift import subject_in_words
from expectations.report.__main__ import main as report
from expectations.report.alarms import HOURS_AT_ONCE, Alarm, AlarmBook
from tests.contract.redis_server import redis_server
from tests.contract.weeks import DAY, HOUR, MIDNIGHT, ROWS, USERS, Columns, as_events, events, named, those, together

PAGE: Final = Path(__file__).parents[2] / "docs" / "quality.md"
BEGIN: Final = "<!-- faults that only time shows: made by `python -m tests.contract.planted_weeks` -->\n"
END: Final = "<!-- end of faults that only time shows -->\n"
BEGINS: Final = MIDNIGHT + 14 * HOUR
"""Tuesday, 2 December 2025, 14:00 UTC: when each fault begins."""
AFTER: Final = 300
"""Seconds after the hour at which the report is run."""
SEED: Final = 1
Spoil: TypeAlias = Callable[[Columns, np.random.Generator], Columns]


class Fault(NamedTuple):
    """Something that goes wrong over the hours.

    Attributes:
        name: in the table.
        spoil: what becomes of the events since it began.
        days: for how long at most the report is run, a day at a time; 0: once, after four hours.
        rows: which entities' rows are stored; none: the shop is one of events alone.
    """

    name: str
    spoil: Spoil
    days: int = 0
    rows: tuple[str, ...] = ()


def faults() -> list[Fault]:
    """Of each kind of alarm one at least."""
    return [
        Fault("one source falls silent", lambda told, _: those(told, told["source"] != "sendgrid")),
        Fault("a slow leak: over five days six visits of ten get lost, of one source", _leak, days=8),
        Fault("a robot with one id", lambda told, chance: _with_robot(told, 1, chance)),
        Fault("a robot that is somebody else with each view", lambda told, chance: _with_robot(told, USERS, chance)),
        Fault("a sender sends everything twice, under new ids", _twice),
        Fault("events come later and later, by ten minutes an hour", _later),
        Fault(
            "a field begins to be missing: two prices of five, from one source", _in("shopify", "price", 0.4, np.nan)
        ),
        Fault("a country is renamed, by one source", _in("api", "country", 1, "Germany", instead_of="DE")),
        Fault("prices with the tax on top, from one source", _taxed),
        Fault("one price for everything, from one source", _in("shopify", "price", 1, 25.0)),
        Fault(
            "a category is renamed", _in(None, "category", 1, "Cooking", instead_of="Kitchen"), rows=("user", "item")
        ),
        Fault("no row of a user is stored any more", lambda told, _: told, rows=("item",)),
    ]


class Outcome(NamedTuple):
    """What became of a fault: what was alarmed, where that is seen, and hours until the first of it; none: never."""

    told_as: str
    went_to: str
    hours: int | None


class Shop:
    """A lake up to the hour in which the faults begin, and the reports on it; each fault finds them as they were.

    Args:
        folder: where both go.
        redis_url: of a Redis, where the report asks what was held back.
        days: whole days that lie in the lake before that of the faults.
        rows: whose rows lie in it beside the events.
    """

    def __init__(self, folder: Path, redis_url: str, days: int, rows: tuple[str, ...] = ()) -> None:
        self._folder, self._redis_url = folder, redis_url
        chance = np.random.default_rng(SEED)
        for day in range(MIDNIGHT - days * DAY, BEGINS, DAY):
            self._store(folder / "base", "before", events(day, min(24, (BEGINS - day) // HOUR), chance), rows)
        code, self.said, _ = self._report(folder / "base", BEGINS)
        self.calm = _book(folder / "base").alarms
        self.is_calm = code == 0 and _book(folder / "base").judged == BEGINS - HOUR

    def plant(self, fault: Fault) -> Outcome:
        """Plant a fault, run the report as long as it takes, and read what it left behind."""
        where = self._folder / fault.name.replace("/", " ")
        shutil.copytree(self._folder / "base", where, copy_function=os.link)  # files are replaced, never changed
        chance = np.random.default_rng(SEED + 1)
        for number in range(max(fault.days, 1)):
            hours = HOURS_AT_ONCE if fault.days else 4
            first = BEGINS + number * HOURS_AT_ONCE * HOUR
            told = fault.spoil(events(first, hours, chance), np.random.default_rng(SEED + 2))
            self._store(where, f"after-{number}", told, fault.rows)
            code, line, logged = self._report(where, first + hours * HOUR)
            if found := _book(where).alarms:
                break
        if not found:
            return Outcome("nothing", "nowhere", None)
        kinds = [*dict.fromkeys(_told_as(alarm) for alarm in sorted(found, key=lambda alarm: -alarm.score))]
        places = [_places(where, alarm, code, line, logged) for alarm in found]
        went_to = [place for place in places[0] if all(place in each for each in places)]
        hours = (min(alarm.since for alarm in found) + HOUR - BEGINS) // HOUR
        more = f"; and {len(kinds) - 1} more" if len(kinds) > 1 else ""
        return Outcome(kinds[0] + more, ", ".join(went_to), hours)

    def _store(self, where: Path, name: str, told: Columns, rows: Sequence[str]) -> None:
        """Put events into the lake, and the rows that follow from them, by the day on which they came."""
        lake, chance = open_lake(str(where / "lake")), np.random.default_rng(SEED + 3)
        days = (told["received_at"] // DAY).astype(int)
        for day in np.unique(days):
            today, date = those(told, days == day), date_of(int(day) * DAY * SECOND)
            lake.add(EVENTS, date, name, as_events(today))
            for entity in rows:
                lake.add(FEATURES.format(entity), date, name, ROWS[entity](today, chance))

    def _report(self, where: Path, at: int) -> tuple[int, str, list[str]]:
        """Run the command shortly after `at`: its exit code, what it printed, and the alarms in its log."""
        settings = {
            "INLAY_LAKE_URL": str(where / "lake"), "INLAY_REPORT": str(where / "report"),
            "INLAY_REDIS_URL": self._redis_url,
        }  # fmt: skip
        with mock.patch.dict(os.environ, settings), redirect_stdout(StringIO()) as printed, _alarms_logged() as logged:
            code = report([], lambda: at + AFTER)
        return code, printed.getvalue().strip(), logged


def _leak(told: Columns, chance: np.random.Generator) -> Columns:
    lost = np.minimum((told["received_at"] - BEGINS) / (5 * DAY), 1) * 0.6
    people, whose = np.unique(told["user_id"].astype(str), return_inverse=True)
    return those(told, (told["source"] != "api") | (chance.random(len(people))[whose] >= lost))


def _with_robot(told: Columns, ids: int, chance: np.random.Generator) -> Columns:
    """Nine hundred views an hour of one visitor, or of as many as there are."""
    views = those(told, (told["source"] == "api") & (told["type"] == "view"))
    hours = round((told["received_at"].max() - told["received_at"].min()) / HOUR)
    robot = those(views, np.sort(chance.integers(0, len(views["type"]), 900 * hours)))
    robot |= {
        "user_id": named("robot-", chance.integers(0, ids, 900 * hours)),
        "event_id": named(f"robot-{told['received_at'][0]:.0f}-", np.arange(900 * hours)),
    }
    return together(told, robot)


def _twice(told: Columns, _: np.random.Generator) -> Columns:
    again = those(told, told["source"] == "shopify")
    return together(told, again | {"event_id": again["event_id"] + "-again"})


def _later(told: Columns, _: np.random.Generator) -> Columns:
    late = np.where(told["source"] == "sendgrid", 600 * (1 + (told["received_at"] - BEGINS) // HOUR), 0)
    return told | {"occurred_at": told["occurred_at"] - late}


def _taxed(told: Columns, _: np.random.Generator) -> Columns:
    return told | {"price": np.where(told["source"] == "shopify", 1.5 * told["price"], told["price"])}


def _in(source: str | None, name: str, share: float, value: Any, instead_of: Any = None) -> Spoil:
    """What changes a share of the values of a column: of one source, in the place of one of them."""

    def spoil(told: Columns, chance: np.random.Generator) -> Columns:
        concerned = chance.random(len(told[name])) < share
        if source is not None:
            concerned &= told["source"] == source
        if instead_of is not None:
            concerned &= told[name] == instead_of
        return told | {name: np.where(concerned, np.array(value, told[name].dtype), told[name])}

    return spoil


def _told_as(alarm: Alarm) -> str:
    column = f", {alarm.column}" if alarm.column else ""
    return f"`{alarm.kind}`: {subject_in_words(alarm.subject)}{column}"


def _places(where: Path, alarm: Alarm, code: int, line: str, logged: Sequence[str]) -> list[str]:
    """Where an alarm is seen."""
    site = where / "report" / "site"
    page = unescape((site / "index.html").read_text())
    metrics = {
        sample.labels.get("kind"): sample.value
        for each in ReportMetrics(where / "report").collect() for sample in each.samples
    }  # fmt: skip
    worst = json.loads((site / "status.json").read_text())["alarms"][0]["sentence"]
    seen = {
        "page": f'<p class="said">{alarm.sentence}' in page and f'alt="{alarm.sentence}"' in page,
        "line": code == 1 and line.startswith(worst) and (site / "on-call.txt").read_text() == f"{line}\n",
        "metric": metrics.get(alarm.kind, 0) > 0,
        "log": alarm.name in logged,
    }
    return [place for place, is_there in seen.items() if is_there]


@contextmanager
def _alarms_logged() -> Iterator[list[str]]:
    """The names of the alarms that are logged meanwhile."""
    names: list[str] = []
    listener = logging.Handler(logging.WARNING)
    listener.emit = lambda record: names.append(getattr(record, "alarm", ""))  # type: ignore[method-assign]
    log = logging.getLogger("expectations.report.site")
    log.addHandler(listener)
    try:
        yield names
    finally:
        log.removeHandler(listener)


def _book(where: Path) -> AlarmBook:
    return AlarmBook(where / "report" / "alarms.json")


def after(hours: int | None) -> str:
    """How long it took, in words."""
    if hours is None:
        return "never"
    return f"{hours} h" if hours < 48 else f"{hours / 24:.0f} days"


def table(outcomes: Mapping[str, Outcome]) -> str:
    """The table of the page."""
    lines = ["| planted | told as | seen in | after |", "|---|---|---|---|"]
    for name, each in outcomes.items():
        lines.append(f"| {name} | {each.told_as} | {each.went_to} | {after(each.hours)} |")
    return "\n".join(lines) + "\n"


def planted(folder: Path, redis_url: str, names: Collection[str] = ()) -> tuple[dict[str, Outcome], list[Shop]]:
    """What became of each fault, or of some of them; and the shops as they were before."""
    shops: dict[bool, Shop] = {}
    outcomes = {}
    with mock.patch("os.fsync"):  # the power does not go here
        for fault in faults():
            if names and fault.name not in names:
                continue
            if (with_rows := bool(fault.rows)) not in shops:
                days, rows = (8, ("user", "item")) if with_rows else (29, ())
                shops[with_rows] = Shop(folder / ("rows" if rows else "events"), redis_url, days, rows)
            outcomes[fault.name] = shops[with_rows].plant(fault)
    return outcomes, [*shops.values()]


def main() -> None:
    """Write the table of the page anew."""
    argparse.ArgumentParser(prog="python -m tests.contract.planted_weeks", description=__doc__).parse_args()
    with redis_server() as server, TemporaryDirectory() as folder:
        outcomes, shops = planted(Path(folder), server.url)
    for shop in shops:
        print(shop.said, [alarm.sentence for alarm in shop.calm])
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    PAGE.write_text(before + BEGIN + "\n" + table(outcomes) + "\n" + END + rest.partition(END)[2])


if __name__ == "__main__":
    main()
