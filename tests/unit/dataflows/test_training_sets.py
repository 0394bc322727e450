"""Training sets: what Feast says was known of a user at a moment is what the events that had come by then say.

Events come late and again; the rows go the way of the product: folded, committed, into the lake, and out through Feast.
"""

from __future__ import annotations

import random
import re
import shutil
from pathlib import Path
from typing import Any, Final, NamedTuple

import duckdb
import pandas as pd
import pytest
from feast import Entity, FeatureStore, FeatureView
from feast.repo_config import load_repo_config

from dataflows.connectors.lake_events import Arrived
from dataflows.connectors.lake_events import to_table as events_table
from dataflows.connectors.lake_files import EVENTS, FEATURES, date_of, open_lake
from dataflows.events import DAY, HOUR, MINUTE, SECOND, partition_of
from dataflows.lake_rows import Group, RowsToLake, read_group, schema_of, to_table
from dataflows.stages import Aggregated, Received, Row
from feature_repo import features
from feature_repo.layout import LAYOUTS, USER
from tests.given import FACTS, NOW, an_event, told
from tests.unit.dataflows.doubles import Clock, Committed, People
from tests.unit.dataflows.oracle import Arrival, user_row
from tests.unit.dataflows.streams import PARTITIONS, USERS, written

START: Final = NOW - 5 * DAY
VIEWS: Final = ("user_activity", "user_items", "user_profile")
NAMES: Final = [field.name for view in VIEWS for field in getattr(features, view).features]
REFS: Final = [f"{view}:{field.name}" for view in VIEWS for field in getattr(features, view).features]
REPO: Final = Path(features.__file__).parent


class Stamped(NamedTuple):
    """Rows as they were told to the lake, and the times that the flow gave them, by which they are ordered online."""

    groups: list[Group]
    by_row_at: list[Group]


def events_of(chance: random.Random) -> list[Arrival]:
    """What some users did over four days, in order of arrival: a third comes late, a fifth comes again."""
    found = []
    for number in range(60):
        at = START + chance.randrange(4 * DAY)
        kind = chance.choice(("view", "view", "view", "add_to_cart", "remove_from_cart", "purchase", "email_click"))
        event = told(
            event_id=f"e{number}", type=kind, occurred_at=at, user_id=chance.choice(USERS),
            item_id=chance.choice(list(FACTS)), price=chance.choice((None, 2.5, 10)),
            country=chance.choice(("FR", None)),
        )  # fmt: skip
        late = chance.choice((0, 0, 3 * MINUTE, 2 * HOUR, DAY)) + chance.randrange(SECOND)
        found.append(Arrival(event, at + late))
        if chance.random() < 0.2:
            found.append(Arrival(event, at + late + chance.randrange(DAY)))
    return sorted(found, key=lambda arrival: arrival.at)


def rows_of(arrivals: list[Arrival]) -> Stamped:
    """What the people flow stores while they come, its timers going off when they are due."""
    committed, clock, told_rows = Committed(), Clock(START), Stamped([], [])

    def stored(rows: Any) -> list[dict[str, Any]]:
        return [committed.rows[row.entity, row.key][1] for row in rows]

    to_lake = RowsToLake(stored, clock)

    def commit(batch: Aggregated) -> None:
        for *_, entry in to_lake.commands(batch):
            told_rows.groups.append(read_group(entry))
        committed.commit(batch)
        for row in batch.rows:
            values = committed.rows[row.entity, row.key][1]
            told_rows.by_row_at.append(Group("user", tuple(values), row.at, [[row.key, *values.values()]]))

    flow = People(committed, clock, PARTITIONS, commit=commit)
    for offset, (event, at) in enumerate(arrivals):
        pass_time(flow, committed, clock, at)
        clock.now = at
        flow.take([Received(partition_of(event.user_id, PARTITIONS), [offset], [written(event)])])
    pass_time(flow, committed, clock, NOW)
    return told_rows


def pass_time(flow: People, committed: Committed, clock: Clock, until: int) -> None:
    """Let every timer go off that is due by then, each at its moment."""
    while (
        due := min((at for key, of in committed.sets.items() if key[:3] == "due" for at in of.values()), default=until)
    ) < until:
        clock.now = max(clock.now, due)
        flow.expire()


def training_set(lake: Path, groups: list[Group], asked: pd.DataFrame, patch: pytest.MonkeyPatch) -> pd.DataFrame:
    """Write rows into a lake, and ask Feast, over the declarations of the project."""
    written_to = open_lake(str(lake))
    for number in range(0, len(groups), 7):
        some = groups[number : number + 7]
        for name in (f"{number}", f"{number}-again")[: 1 + number % 2]:  # written by a process that was killed, again
            written_to.add(FEATURES.format("user"), date_of(some[0].at), name, to_table(USER, some))
    patch.setenv("INLAY_LAKE_URL", str(lake))
    config = load_repo_config(REPO, REPO / "feature_store.yaml")
    config.registry_config = {"path": str(lake / "registry.db"), "cache_ttl_seconds": 0}
    feast = FeatureStore(config=config)
    feast.apply([features.user, *(getattr(features, view) for view in VIEWS)])
    return feast.get_historical_features(entity_df=asked, features=REFS).to_df()


def plain(value: Any) -> Any:
    """A value of a DataFrame as the oracle has it: times in seconds, nulls as None."""
    if isinstance(value, pd.Timestamp):
        return value.timestamp()
    if hasattr(value, "tolist") and not isinstance(value, float | int):
        return [plain(pd.Timestamp(each, tz="UTC")) if str(value.dtype)[:8] == "datetime" else each for each in value]
    return None if value is None or value is pd.NaT or value != value else value


def asked_of(chance: random.Random) -> pd.DataFrame:
    moments = [START + chance.randrange(5 * DAY) for _ in range(60)]
    return pd.DataFrame(
        {
            "user_id": [chance.choice((*USERS, "nobody")) for _ in moments],
            "event_timestamp": pd.to_datetime(moments, unit="us", utc=True),
            "label": range(len(moments)),
        }
    )


def wrong(found: pd.DataFrame, asked: pd.DataFrame, arrivals: list[Arrival]) -> list[tuple[int, str]]:
    """Which features of which asked rows are not what the events that had come by then say."""
    assert found["label"].to_list() == asked["label"].to_list(), "each asked row is answered, in its order"
    mistakes = []
    for number, (user, moment) in enumerate(zip(asked["user_id"], asked["event_timestamp"], strict=True)):
        now = moment.value // 1000
        known = [arrival for arrival in arrivals if arrival.at <= now and arrival.event.user_id == user]
        expected = user_row(known, FACTS, now) if known else {}
        mistakes += [(number, name) for name in NAMES if plain(found[name][number]) != expected.get(name)]
    return mistakes


@pytest.mark.parametrize("seed", range(2))
def test_what_was_known_at_a_moment_is_what_had_come_by_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """The mutant: rows in the order of their events' times know of a late event, and of passing time, too early."""
    chance = random.Random(seed)
    arrivals = events_of(chance)
    rows, asked = rows_of(arrivals), asked_of(chance)
    assert wrong(training_set(tmp_path / "lake", rows.groups, asked, monkeypatch), asked, arrivals) == []
    assert wrong(training_set(tmp_path / "mutant", rows.by_row_at, asked, monkeypatch), asked, arrivals) != []


def test_rows_that_time_left_as_they_were_are_not_told() -> None:
    stored = {"views_1h": 1, "views_24h": 2, "recent_items": ["p"]}
    to_lake = RowsToLake(lambda rows: [stored] * len(rows), Clock())
    timed = [Row("user", "u", 1, {"views_1h": views, "views_24h": 2}, None, timed=True) for views in (1, 0)]
    (command,) = to_lake.commands(Aggregated((3,), rows=timed))
    assert command[1] == "inlay:rows:3"
    (row,) = to_table(USER, [read_group(command[-1])]).to_pylist()
    assert (row["views_1h"], row["views_24h"], row["recent_items"], row["spend_30d"]) == (0, 2, ["p"], None)


def test_stamps_grow_though_the_clock_goes_back() -> None:
    clock = Clock()
    to_lake = RowsToLake(lambda rows: [], clock)
    stamps = []
    for now in (NOW, NOW, NOW - HOUR, NOW + 1):
        clock.now = now
        ((*_, entry),) = to_lake.commands(Aggregated((0,), rows=[Row("user", "u", 1, {"views_1h": 1}, None)]))
        stamps.append(read_group(entry).at)
    assert stamps == [NOW, NOW + 1, NOW + 2, NOW + 3]


@pytest.mark.parametrize("entity", LAYOUTS)
def test_the_columns_of_a_row_are_the_features_of_all_views_of_its_entity(entity: str) -> None:
    layout = LAYOUTS[entity]
    declared = [
        field.name
        for view in vars(features).values()
        if isinstance(view, FeatureView) and view.entities == [entity]
        for field in view.features
    ]
    names = schema_of(layout).names
    assert sorted(names) == sorted({layout.join_key, *declared, "event_timestamp", "created"} - {"state"})
    for view in vars(features).values():
        if isinstance(view, FeatureView) and view.entities == [entity]:
            assert view.batch_source.path.endswith(f"lake/features/entity={entity}")
            assert (view.batch_source.timestamp_field, view.batch_source.created_timestamp_column) == (
                "event_timestamp",
                "created",
            )


def test_what_the_page_of_the_lake_says_to_type_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (REPO.parent / "docs/lake.md").read_text()
    (python,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (sql,) = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    lake = open_lake(str(tmp_path / "lake"))
    row = {"views_24h": 3, "cart_items": ["p"], "lifecycle": "active"}
    group = Group("user", tuple(row), NOW - HOUR, [["anna", *row.values()]])
    lake.add(FEATURES.format("user"), date_of(NOW), "x", to_table(USER, [group]))
    for name in ("once", "twice"):
        lake.add(EVENTS, date_of(NOW), name, events_table([Arrived(an_event(), NOW, 0, 0)]))
    assert duckdb.sql(sql.replace("/srv/inlay/lake", str(tmp_path / "lake"))).fetchall() == [("view", 1)]

    shutil.copytree(REPO, tmp_path / "feature_repo", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INLAY_LAKE_URL", str(tmp_path / "lake"))
    declared = [each for each in vars(features).values() if isinstance(each, (Entity, FeatureView))]
    FeatureStore("feature_repo").apply(declared)
    said: dict[str, Any] = {}
    exec(python, said)  # noqa: S102  # the page's own words
    known = said["known"]
    assert known["user_id"].to_list() == ["anna", "ben"]
    assert [plain(known[name][0]) for name in row] == list(row.values())
    assert [plain(known[name][1]) for name in row] == [None, None, None]
