"""Weeks of a shop as the lake flow would have written them: what was received and what was stored, made up.

There is the season of a day and of a week, there are bursts, and there is chance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dataflows.connectors.lake_events import MOMENT, SCHEMA
from dataflows.events import SECOND
from dataflows.lake_rows import schema_of
from feature_repo.layout import LAYOUTS

HOUR: Final = 3600
DAY: Final = 24 * HOUR
MIDNIGHT: Final = 1_764_633_600
"""Of Tuesday, 2 December 2025."""
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


def events(first: int, hours: int, chance: np.random.Generator) -> Columns:
    """What is received in some hours from `first` on, in order of time."""
    parts = [_of_source(source, first, hours, chance) for source in SOURCES]
    told = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return those(told, np.argsort(told["received_at"], kind="stable"))


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
        "event_id": named(f"{mark}{first}-", np.arange(count)), "type": kind,
        "occurred_at": received - chance.exponential(2, count), "received_at": received,
        "user_id": named("u", chance.integers(0, USERS, number))[visit],
        "item_id": np.where(about, named("p", item), None),
        "price": np.where(about, _price(item), np.nan), "quantity": np.where(about, 1.0, np.nan),
        "currency": np.where(about, np.array("EUR", object), None),
        "country": _some([*COUNTRIES], number, chance, [*COUNTRIES.values()])[visit],
        "device": _some([*DEVICES], number, chance, [*DEVICES.values()])[visit],
        "source": _some([source], count, chance),
        "category": np.array(CATEGORIES, object)[item % len(CATEGORIES)],
    }  # fmt: skip


def as_events(told: Columns) -> pa.Table:
    """Events as the lake has them."""
    number = len(told["event_id"])
    said = {name: values for name, values in told.items() if name in SCHEMA.names and name != "category"}
    said |= {"offset": np.arange(number).astype(str).astype(object), "partition": np.zeros(number, np.int32)}
    return _table(SCHEMA, said, {}, number)


def _users(told: Columns, chance: np.random.Generator) -> pa.Table:
    """A row for each visit."""
    told = those(told, np.unique(told["user_id"].astype(str), return_index=True)[1])
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
    told = those(told, told["item_id"] != np.array(None))
    numbers = np.array([int(name[1:]) for name in told["item_id"]], int)
    views = chance.poisson(4, len(numbers))
    said = {
        "title": named("Thing ", numbers), "url": named("https://shop.example/p", numbers),
        "image_url": named("https://shop.example/p.jpg?", numbers), "price": _price(numbers),
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


def those(told: Columns, which: Any) -> Columns:
    """Some of the events."""
    return {name: values[which] for name, values in told.items()}


def together(told: Columns, more: Columns) -> Columns:
    """Events and more events, in order of time."""
    both = {name: np.concatenate([values, more[name]]) for name, values in told.items()}
    return those(both, np.argsort(both["received_at"], kind="stable"))


def named(mark: str, numbers: NDArray[Any]) -> NDArray[Any]:
    """Ids that begin with a mark, and go on with numbers."""
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
