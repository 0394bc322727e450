"""A lake as the lake flow writes it, made up: weeks of a small shop, with faults planted in its last hours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq

from feature_repo.layout import LAYOUTS

HOUR: Final = 3600
DAY: Final = 24 * HOUR
MOMENT: Final = pa.timestamp("us", tz="UTC")
SOURCES: Final = {"api": 0.55, "shopify": 0.3, "sendgrid": 0.15}
TYPES: Final = {
    "api": ("view", "view", "view", "view", "add_to_cart", "purchase"),
    "shopify": ("checkout", "purchase"),
    "sendgrid": ("email_open", "email_open", "email_click"),
}
COUNTRIES: Final = (("DE", 0.5), ("FR", 0.3), ("AT", 0.15), ("CH", 0.05))
Spoil = Callable[[pd.DataFrame], pd.DataFrame]
"""Plants a fault in the rows of an hour."""


class File(NamedTuple):
    path: str


class Storage(NamedTuple):
    filesystem: Any


class FolderLake:
    """A lake in a folder, as far as the report reads it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.storage = Storage(pa.fs.SubTreeFileSystem(str(folder), pa.fs.LocalFileSystem()))

    def files(self, folder: str) -> list[File]:
        paths = sorted((self._folder / folder).glob("date=*/part-*.parquet"))
        return [File(path.relative_to(self._folder).as_posix()) for path in paths]


def events(hour: int, chance: np.random.Generator, rate: float = 60) -> pd.DataFrame:
    """Events received in an hour (its beginning, epoch seconds); `rate` an hour on average over the week."""
    moment = datetime.fromtimestamp(hour, timezone.utc)
    busy = (1 + 0.7 * np.sin(2 * np.pi * (moment.hour - 8) / 24)) * (0.7 if moment.weekday() >= 5 else 1.1)
    number = chance.poisson(rate * busy)
    received = hour + np.sort(chance.uniform(0, HOUR, number))
    source = chance.choice([*SOURCES], number, p=[*SOURCES.values()])
    kind = np.array([chance.choice(TYPES[each]) for each in source], object)
    ids = [f"{'' if each == 'api' else f'{each}:'}{hour}-{place}" for place, each in enumerate(source)]
    about_item = np.isin(kind, ("view", "add_to_cart", "purchase", "checkout"))
    names, weights = zip(*COUNTRIES, strict=True)
    return pd.DataFrame(
        {
            "event_id": ids, "type": kind, "occurred_at": received - chance.exponential(2, number),
            "user_id": [f"u{each}" for each in chance.integers(0, 4000, number)], "anonymous_id": None,
            "item_id": np.where(about_item, [f"p{each}" for each in chance.integers(0, 200, number)], None),
            "quantity": np.where(about_item, 1.0, np.nan),
            "price": np.where(about_item, np.round(chance.lognormal(3.2, 0.6, number), 2), np.nan),
            "currency": np.where(about_item, "EUR", None), "country": chance.choice(names, number, p=weights),
            "device": chance.choice(["mobile", "desktop"], number, p=[0.6, 0.4]), "campaign_id": None,
            "send_id": np.where(source == "sendgrid", "weekly-1", None), "properties": None, "received_at": received,
        }
    )  # fmt: skip


def features(told: pd.DataFrame, chance: np.random.Generator) -> pd.DataFrame:
    """The rows of users that such events lead to: every feature of every view, as far as it is of use here."""
    last = told.drop_duplicates("user_id", keep="last")
    number = len(last)
    rows: dict[str, Any] = {"user_id": last.user_id.to_numpy()}
    for name, column in LAYOUTS["user"].columns.items():
        if column.kind == "int64_val":
            rows[name] = chance.poisson(2, number) % 5 + 1 if name.startswith("rfm") else chance.poisson(3, number)
        elif column.kind == "double_val":
            rows[name] = np.round(chance.lognormal(3, 0.5, number), 2)
        elif column.kind == "bool_val":
            rows[name] = chance.random(number) < 0.9
        elif column.kind == "unix_timestamp_val":
            rows[name] = _moments(last.received_at - chance.exponential(3 * DAY, number))
        elif column.kind.endswith("_list_val") and name not in ("recent_at", "top_category_weights"):
            rows[name] = [[f"p{place}" for place in range(each)] for each in chance.integers(0, 6, number)]
    rows |= {
        "segment": chance.choice(["champions", "loyal", "browsers"], number, p=[0.2, 0.3, 0.5]),
        "lifecycle": chance.choice(["new", "active", "lapsing"], number, p=[0.2, 0.6, 0.2]),
        "country": last.country.to_numpy(), "locale": "de-DE", "event_timestamp": _moments(last.received_at),
    }  # fmt: skip
    return pd.DataFrame(rows).assign(created=rows["event_timestamp"])


def write(folder: Path, hours: Sequence[int], seed: int = 1, rate: float = 60, **spoilt: tuple[int, Spoil]) -> None:
    """Write the events and the rows of users of some hours.

    Args:
        folder: of the lake.
        hours: their beginnings.
        seed: of chance.
        rate: events an hour.
        spoilt: by any name, from which hour on a fault is planted, and the fault.
    """
    chance = np.random.default_rng(seed)
    days: dict[str, list[pd.DataFrame]] = {}
    for hour in hours:
        told = events(hour, chance, rate)
        for begins, spoil in spoilt.values():
            told = spoil(told) if hour >= begins else told
        days.setdefault(datetime.fromtimestamp(hour, timezone.utc).date().isoformat(), []).append(told)
    for day, parts in days.items():
        told = pd.concat(parts, ignore_index=True)
        if len(told):
            _put(folder / f"features/entity=user/date={day}/part-{seed}.parquet", features(told, chance))
            times = {name: _moments(told[name]) for name in ("occurred_at", "received_at")}
            _put(folder / f"events/date={day}/part-{seed}.parquet", told.assign(**times))


def _moments(seconds: Any) -> Any:
    return pd.to_datetime((np.asarray(seconds, float) * 1e6).astype("int64"), unit="us", utc=True)


def _put(path: Path, rows: pd.DataFrame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pandas(rows, preserve_index=False)
    kinds = [
        pa.field(each.name, pa.string() if pa.types.is_null(each.type) else
                 MOMENT if pa.types.is_timestamp(each.type) else each.type)
        for each in table.schema
    ]  # fmt: skip
    pq.write_table(table.cast(pa.schema(kinds)), path)
