"""Profiles: what DuckDB says of an hour is what pandas counts by itself; and the history of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from api.platforms import NAMES
from expectations.history import History, bring_up_to_date
from expectations.profiles import (
    MOST_LABELS,
    OTHERS,
    PLATFORMS,
    QUANTILES,
    of_events,
    of_features,
    to_profiles,
    to_table,
)
from expectations.report.__main__ import entities
from tests.made_up_lake import FolderLake, write

HOUR = 3600
DAY_AT = 1_764_633_600  # 2025-12-02 00:00 UTC
HOURS = [DAY_AT + number * HOUR for number in range(9, 12)]
USER = {"user": entities()["user"]}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lake")
    write(folder, HOURS, rate=200)
    return folder


def told(lake: Path) -> pd.DataFrame:
    rows = pq.read_table(next((lake / "events").glob("date=*/*.parquet"))).to_pandas()
    rows["source"] = np.where(rows.event_id.str.contains(":"), rows.event_id.str.split(":").str[0], "api")
    rows["hour"] = rows.received_at.astype("int64") // 3_600_000_000 * 3600
    return rows


def test_the_platforms_are_those_that_there_are() -> None:
    assert PLATFORMS == NAMES


def test_a_profile_of_events_is_what_pandas_counts(lake: Path) -> None:
    rows = told(lake)
    profiles = to_profiles(to_table(of_events(ds.dataset(str(lake / "events")), HOURS)))
    assert sorted(profiles) == HOURS
    for hour in HOURS:
        of_hour = rows[rows.hour == hour]
        assert profiles[hour]["events/*/*"].rows == len(of_hour)
        for (source, kind), part in of_hour.groupby(["source", "type"]):
            subject = profiles[hour][f"events/{source}/{kind}"]
            assert (subject.rows, subject.people) == (len(part), part.user_id.nunique())
            price = subject.columns["price"]
            assert price.nulls == pytest.approx(part.price.isna().mean())
            if part.price.notna().any():
                assert price.quantiles == pytest.approx(part.price.quantile(list(QUANTILES)).tolist())
            countries = part.country.value_counts(normalize=True).to_dict()
            assert subject.columns["country"].shares == pytest.approx(countries)
            late = (part.received_at - part.occurred_at).dt.total_seconds()
            assert subject.columns["delay"].quantiles[10] == pytest.approx(late.median())
        for source, part in of_hour.groupby("source"):
            assert profiles[hour][f"events/{source}/*"].people == part.user_id.nunique()


def test_an_event_that_is_there_twice_counts_once(lake: Path) -> None:
    rows = pq.read_table(next((lake / "events").glob("date=*/*.parquet")))

    once, twice = (of_events(each, HOURS) for each in (rows, pa.concat_tables([rows, rows.slice(5, 200)])))
    assert once == twice


def test_where_an_event_came_from() -> None:
    events = told_by(
        ("sendgrid:1", None), ("order:1", None), ("e1", {"source": "pos"}), ("shopify:2", {"source": "outlet"}),
        ("e2", {"context": {"library": {"name": "analytics-node"}}}), ("e3", {"context": {"page": {"url": "https://x"}}}),
        ("e4", {"color": "red"}),
    )  # fmt: skip
    found = {
        row["subject"] for row in of_events(events, [DAY_AT]) if not row["column"] and row["subject"].endswith("/view")
    }
    assert found - {"events/*/view"} == {
        f"events/{source}/view" for source in ("sendgrid", "api", "pos", "outlet", "analytics-node", "track.js")
    }


def told_by(*events: tuple[str, object]) -> object:

    at = pd.to_datetime([DAY_AT * 1_000_000] * len(events), unit="us", utc=True).as_unit("us")
    names = ("user_id", "anonymous_id", "item_id", "currency", "country", "device", "send_id")
    table = pd.DataFrame(
        {
            "event_id": [name for name, _ in events], "type": "view", "occurred_at": at, "received_at": at,
            "properties": [json.dumps(said) if said else None for _, said in events], "price": 1.0, "quantity": 1.0,
            **dict.fromkeys(names, "x"),
        }
    )  # fmt: skip
    return pa.Table.from_pandas(table)


def test_labels_beyond_the_most_frequent_are_others() -> None:

    many = MOST_LABELS + 20
    at = pd.to_datetime([DAY_AT * 1_000_000] * many, unit="us", utc=True).as_unit("us")
    rows = pa.table(
        {"item_id": list(map(str, range(many))), "brand": list(map(str, range(many))), "event_timestamp": at}
    )
    profile = to_profiles(to_table(of_features(rows, [DAY_AT], "item_id", {"item_catalogue": ["brand"]})))
    shares = profile[DAY_AT]["item_catalogue"].columns["brand"].shares
    assert len(shares) == MOST_LABELS + 1
    assert shares[OTHERS] == pytest.approx(20 / many)


def test_a_profile_of_rows_tells_views_apart_and_reads_times_and_lists_as_numbers(lake: Path) -> None:
    rows = pq.read_table(next((lake / "features/entity=user").glob("date=*/*.parquet"))).to_pandas()
    dataset = ds.dataset(str(lake / "features/entity=user"))
    profile = to_profiles(to_table(of_features(dataset, HOURS, *USER["user"])))[HOURS[1]]
    rows = rows[rows.event_timestamp.astype("int64") // 3_600_000_000 * 3600 == HOURS[1]]
    assert set(USER["user"][1]) == set(profile)
    assert profile["user_items"].rows == len(rows)
    age = (rows.event_timestamp - rows.last_view_at).dt.total_seconds()
    assert profile["user_activity"].columns["last_view_at"].quantiles[10] == pytest.approx(age.median(), abs=0.01)
    assert profile["user_items"].columns["cart_items"].quantiles[-1] == max(map(len, rows.cart_items))
    shares = rows.segment.value_counts(normalize=True).to_dict()
    assert profile["user_segment"].columns["segment"].shares == pytest.approx(shares)


def test_only_what_is_new_is_profiled_and_what_comes_late_is_added(lake: Path, tmp_path: Path) -> None:
    history = History(tmp_path / "profiles")
    reader = FolderLake(lake)
    assert bring_up_to_date(history, reader, USER, 0) == HOURS
    assert bring_up_to_date(history, reader, USER, 0) == []
    before = to_profiles(history.read(HOURS))
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "profiles").rglob("*.parquet")}
    late = lake / "events/date=2025-12-02/part-late.parquet"
    one = pq.read_table(next((lake / "events").glob("date=*/part-1.parquet"))).to_pandas().iloc[:1]
    table = pq.read_table(next((lake / "events").glob("date=*/part-1.parquet"))).slice(0, 1).to_pylist()

    schema = pq.read_schema(next((lake / "events").glob("date=*/part-1.parquet")))
    pq.write_table(pa.Table.from_pylist([{**table[0], "event_id": "late"}], schema), late)
    try:
        touched = bring_up_to_date(history, reader, USER, 0)
        after = to_profiles(history.read(HOURS))
    finally:
        late.unlink()
    assert touched == [int(one.received_at.iloc[0].timestamp()) // HOUR * HOUR]
    assert after[HOURS[0]]["events/*/*"].rows == before[HOURS[0]]["events/*/*"].rows + 1
    assert after[HOURS[0]]["user_items"] == before[HOURS[0]]["user_items"]
    unchanged = [path for path, at in written.items() if path.stat().st_mtime_ns == at]
    assert len(unchanged) == len(HOURS) - 1


def test_what_is_old_is_forgotten(lake: Path, tmp_path: Path) -> None:
    history = History(tmp_path / "profiles")
    bring_up_to_date(history, FolderLake(lake), USER, 0)
    history.prune(HOURS[1])
    assert history.hours() == HOURS[1:]
    assert bring_up_to_date(history, FolderLake(lake), USER, DAY_AT + 24 * HOUR) == []


def test_a_kill_before_the_note_costs_a_repetition_and_nothing_else(lake: Path, tmp_path: Path) -> None:
    history = History(tmp_path / "profiles")
    bring_up_to_date(history, FolderLake(lake), USER, 0)
    before = history.read(HOURS)
    (tmp_path / "profiles/seen.json").unlink()
    assert bring_up_to_date(history, FolderLake(lake), USER, 0) == HOURS
    assert (
        history.read(HOURS)
        .sort_by([("hour", "ascending"), ("subject", "ascending"), ("column", "ascending")])
        .equals(before.sort_by([("hour", "ascending"), ("subject", "ascending"), ("column", "ascending")]))
    )
