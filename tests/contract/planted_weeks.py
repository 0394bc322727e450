"""Faults that only time shows, each planted into weeks of a shop's lake and judged by the report as it is run.

What lies in the lake is made up, as the lake flow would have written it: the season of a day and of a week, bursts, and
chance. A fault begins at a known hour; `python -m expectations.report` is run, and what it alarmed is read from what it
left behind, never written down by hand. The second table in docs/quality.md is made of it.
"""

from __future__ import annotations

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
import pyarrow as pa
from numpy.typing import NDArray

from api.quality import ReportMetrics
from dataflows.connectors.lake_events import MOMENT, SCHEMA
from dataflows.connectors.lake_files import EVENTS, FEATURES, date_of, open_lake
from dataflows.events import SECOND
from dataflows.lake_rows import schema_of
from expectations.drift import subject_in_words
from expectations.report.__main__ import main as report
from expectations.report.alarms import HOURS_AT_ONCE, Alarm, AlarmBook
from feature_repo.layout import LAYOUTS
from tests.contract.redis_server import redis_server

PAGE: Final = Path(__file__).parents[2] / "docs" / "quality.md"
BEGIN: Final = "<!-- faults that only time shows: made by `python -m tests.contract.planted_weeks` -->\n"
END: Final = "<!-- end of faults that only time shows -->\n"
HOUR: Final = 3600
DAY: Final = 24 * HOUR
MIDNIGHT: Final = 1_764_633_600
BEGINS: Final = MIDNIGHT + 14 * HOUR
"""Tuesday, 2 December 2025, 14:00 UTC: when each fault begins."""
AFTER: Final = 300
"""Seconds after the hour at which the report is run."""
SEED: Final = 1
ITEMS, USERS = 400, 20_000
SOURCES: Final[Mapping[str, tuple[float, int, tuple[str, ...]]]] = {
    "api": (70, 4, ("view", "view", "view", "view", "add_to_cart", "purchase")),
    "shopify": (60, 2, ("purchase",)),
    "sendgrid": (40, 1, ("email_open", "email_open", "email_click")),
}
"""By source, visits an hour on average, most events of a visit, and what is done in it."""
COUNTRIES: Final = {"DE": 0.5, "FR": 0.3, "AT": 0.15, "CH": 0.05}
DEVICES: Final = {"mobile": 0.6, "desktop": 0.4}
CATEGORIES: Final = ("Home", "Kitchen", "Garden", "Toys")
Columns: TypeAlias = dict[str, NDArray[Any]]
"""Events as columns of one length; times in seconds, `source` and `category` beside what the lake has."""
Spoil: TypeAlias = Callable[[Columns, np.random.Generator], Columns]


def events(first: int, hours: int, chance: np.random.Generator) -> Columns:
    """What is received in some hours from `first` on, in order of time."""
    parts = [_of_source(source, first, hours, chance) for source in SOURCES]
    told = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return _those(told, np.argsort(told["received_at"], kind="stable"))


def _of_source(source: str, first: int, hours: int, chance: np.random.Generator) -> Columns:
    rate, most, types = SOURCES[source]
    starts = first + HOUR * np.arange(hours)
    of_day, of_week = starts % DAY / DAY, (starts // DAY + 3) % 7
    busy = (1 + 0.7 * np.sin(2 * np.pi * (of_day - 1 / 3))) * np.where(of_week >= 5, 0.7, 1.1)
    visits = chance.poisson(rate * busy * chance.gamma(100, 1 / 100, hours))
    number = int(visits.sum())
    visit = np.repeat(np.arange(number), chance.integers(1, most + 1, number))
    began, count = np.repeat(starts, visits)[visit], len(visit)
    received = began + np.minimum(chance.uniform(0, HOUR, number)[visit] + chance.uniform(0, 99, count), HOUR - 1)
    kind, item = _some(types, count, chance), chance.integers(0, ITEMS, count)
    about = np.char.find(kind.astype(str), "email") < 0
    mark = "" if source == "api" else f"{source}:"
    return {
        "event_id": _named(f"{mark}{first}-", np.arange(count)), "type": kind,
        "occurred_at": received - chance.exponential(2, count), "received_at": received,
        "user_id": _named("u", chance.integers(0, USERS, number))[visit],
        "item_id": np.where(about, _named("p", item), None),
        "price": np.where(about, _price(item), np.nan), "quantity": np.where(about, 1.0, np.nan),
        "currency": np.where(about, np.array("EUR", object), None),
        "country": _some([*COUNTRIES], number, chance, [*COUNTRIES.values()])[visit],
        "device": _some([*DEVICES], number, chance, [*DEVICES.values()])[visit],
        "source": _some([source], count, chance),
        "category": np.array(CATEGORIES, object)[item % len(CATEGORIES)],
    }  # fmt: skip


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
        Fault("one source falls silent", lambda told, _: _those(told, told["source"] != "sendgrid")),
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
            today, date = _those(told, days == day), date_of(int(day) * DAY * SECOND)
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


def as_events(told: Columns) -> pa.Table:
    """Events as the lake has them."""
    number = len(told["event_id"])
    said = {name: values for name, values in told.items() if name in SCHEMA.names and name != "category"}
    said |= {"offset": np.arange(number).astype(str).astype(object), "partition": np.zeros(number, np.int32)}
    return _table(SCHEMA, said, {}, number)


def _users(told: Columns, chance: np.random.Generator) -> pa.Table:
    """A row for each visit."""
    told = _those(told, np.unique(told["user_id"].astype(str), return_index=True)[1])
    number = len(told["user_id"])
    views, bought = chance.poisson(3, number), chance.random(number) < 0.3
    said = {
        "views_24h": views, "views_7d": views + 1, "views_30d": views + 1 + chance.poisson(2, number),
        "last_view_at": told["received_at"] - chance.exponential(DAY, number), "country": told["country"],
        "rfm_recency": _where(bought, 5), "rfm_frequency": _where(bought, 1), "rfm_monetary": _where(bought, 3),
        "segment": np.where(bought, "promising", "browsers").astype(object),
        "lifecycle": np.where(bought, "new", "lapsed").astype(object),
    }  # fmt: skip
    return _rows("user", told["user_id"], told["received_at"], said)


def _items(told: Columns, chance: np.random.Generator) -> pa.Table:
    """A row for each event about an item."""
    told = _those(told, told["item_id"] != np.array(None))
    numbers = np.array([int(name[1:]) for name in told["item_id"]], int)
    views = chance.poisson(4, len(numbers))
    said = {
        "title": _named("Thing ", numbers), "url": _named("https://shop.example/p", numbers),
        "image_url": _named("https://shop.example/p.jpg?", numbers), "price": _price(numbers),
        "currency": _some(["EUR"], len(numbers), chance), "in_stock": np.ones(len(numbers), bool),
        "category": told["category"], "views_24h": views, "views_7d": views + chance.poisson(9, len(numbers)),
    }  # fmt: skip
    return _rows("item", told["item_id"], told["received_at"], said)


ROWS: Final[Mapping[str, Callable[[Columns, np.random.Generator], pa.Table]]] = {"user": _users, "item": _items}


def _rows(entity: str, keys: NDArray[Any], stored_at: NDArray[Any], said: Columns) -> pa.Table:
    layout = LAYOUTS[entity]
    usual: dict[str, Any] = {
        name: [] if column.kind.endswith("list_val") else 0
        for name, column in layout.columns.items()
        if column.kind.endswith(("list_val", "int64_val")) or name in ("spend_30d", "spend_90d", "trend")
    }
    said = {**said, layout.join_key: keys, "event_timestamp": stored_at, "created": stored_at}
    return _table(schema_of(layout), said, usual, len(keys))


def _table(schema: pa.Schema, said: Columns, usual: Mapping[str, Any], number: int) -> pa.Table:
    def column(field: pa.Field) -> pa.Array:
        if field.name not in said:
            return pa.repeat(pa.scalar(usual.get(field.name), field.type), number)
        if field.type == MOMENT:
            return pa.array((said[field.name] * SECOND).astype("int64")).cast(MOMENT)
        return pa.array(said[field.name], field.type, from_pandas=True)

    return pa.Table.from_arrays([column(field) for field in schema], schema=schema)


def _leak(told: Columns, chance: np.random.Generator) -> Columns:
    lost = np.minimum((told["received_at"] - BEGINS) / (5 * DAY), 1) * 0.6
    people, whose = np.unique(told["user_id"].astype(str), return_inverse=True)
    return _those(told, (told["source"] != "api") | (chance.random(len(people))[whose] >= lost))


def _with_robot(told: Columns, ids: int, chance: np.random.Generator) -> Columns:
    """Nine hundred views an hour of one visitor, or of as many as there are."""
    views = _those(told, (told["source"] == "api") & (told["type"] == "view"))
    hours = round((told["received_at"].max() - told["received_at"].min()) / HOUR)
    robot = _those(views, np.sort(chance.integers(0, len(views["type"]), 900 * hours)))
    robot |= {
        "user_id": _named("robot-", chance.integers(0, ids, 900 * hours)),
        "event_id": _named(f"robot-{told['received_at'][0]:.0f}-", np.arange(900 * hours)),
    }
    return _together(told, robot)


def _twice(told: Columns, _: np.random.Generator) -> Columns:
    again = _those(told, told["source"] == "shopify")
    return _together(told, again | {"event_id": again["event_id"] + "-again"})


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


def _those(told: Columns, which: Any) -> Columns:
    return {name: values[which] for name, values in told.items()}


def _together(told: Columns, more: Columns) -> Columns:
    both = {name: np.concatenate([values, more[name]]) for name, values in told.items()}
    return _those(both, np.argsort(both["received_at"], kind="stable"))


def _named(mark: str, numbers: NDArray[Any]) -> NDArray[Any]:
    return np.array([f"{mark}{number}" for number in numbers.tolist()], object)


def _some(
    values: Sequence[str], number: int, chance: np.random.Generator, weights: Sequence[float] | None = None
) -> NDArray[Any]:
    return np.array(values, object)[chance.choice(len(values), number, p=weights)]


def _where(there: NDArray[Any], value: float) -> NDArray[Any]:
    return np.where(there, value, np.nan)


def _price(items: NDArray[Any]) -> NDArray[Any]:
    prices: NDArray[Any] = np.round(5 + items % 97 * 0.9, 2)
    return prices


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
    with redis_server() as server, TemporaryDirectory() as folder:
        outcomes, shops = planted(Path(folder), server.url)
    for shop in shops:
        print(shop.said, [alarm.sentence for alarm in shop.calm])
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    PAGE.write_text(before + BEGIN + "\n" + table(outcomes) + "\n" + END + rest.partition(END)[2])


if __name__ == "__main__":
    main()
