"""The report: from a lake to a page, alarms that are told once, and what is said where there is nothing."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from api.quality import ALARM_KINDS
from dataflows.aggregates.people import User
from dataflows.connectors.letters import DeadLetter
from dataflows.lake_rows import Group, to_table
from expectations import anomalies
from expectations.drift import THRESHOLDS
from expectations.history import History, bring_up_to_date
from expectations.profiles import to_table as profile_table
from expectations.report import site as site_module
from expectations.report.__main__ import entities
from expectations.report.alarms import Alarm, AlarmBook, Rates, judge, on_call, telling
from expectations.report.offenders import worst
from expectations.report.overview import audited
from expectations.report.site import EMPTY_LAKE, NO_LAKE, Site, newest_rows
from feature_repo.layout import LAYOUTS
from tests.given import NOW
from tests.made_up_lake import FolderLake, write

HOUR, DAY = 3600, 86_400
LAST = 1_764_684_000  # 2025-12-02 14:00 UTC
NOON = LAST + HOUR + 300  # when the report is written
HOURS = [LAST - day * DAY for day in range(6, -1, -1)]


def in_cents(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(price=np.where(rows.event_id.str.startswith("shopify"), rows.price * 100, rows.price))


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> FolderLake:
    folder = tmp_path_factory.mktemp("lake")
    write(folder, HOURS, rate=300, cents=(LAST, in_cents))
    return FolderLake(folder)


@pytest.fixture(scope="module")
def written(lake: FolderLake, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, bool]:
    folder = tmp_path_factory.mktemp("report")
    letters = [letter("row", "item", "expect_column_values_to_be_between(price)", NOON)] * 3
    site = Site(folder, entities(), 120)
    return (folder, *site.write(lake, worst(letters, NOON - DAY), NOON))


def letter(kind: str, field: str, reason: str, at: int) -> DeadLetter:
    moment = pd.Timestamp(at, unit="s", tz="UTC").isoformat()
    return DeadLetter("1-0", "people", "gate" if kind == "row" else "validate", kind, reason, field, moment, "", b"")


def test_a_price_in_cents_is_told_in_one_plain_line(written: tuple[Path, str, bool]) -> None:
    folder, line, fine = written
    assert not fine
    assert re.match(r"The price of (purchase|checkout) events from shopify is [\d,.]+ instead of \d+", line)
    assert (folder / "site/on-call.txt").read_text() == f"{line}\n"
    status = json.loads((folder / "site/status.json").read_text())
    assert {alarm["kind"] for alarm in status["alarms"]} == {"middle"}
    assert {alarm["subject"] for alarm in status["alarms"]} <= {"events/shopify/purchase", "events/shopify/checkout"}


def test_the_page_holds_all_it_shows(written: tuple[Path, str, bool]) -> None:
    folder = written[0]
    page = (folder / "site/index.html").read_text()
    assert page.count("data:image/png;base64,") >= 4
    assert re.findall(r"""(?:src|href|url\()\s*=?\s*["']?(?:https?:)?//""", page) == []
    assert "<script" not in page
    assert "expect_column_values_to_be_between(price)" in page
    for name in re.findall(r'href="([^"]+)"', page):
        assert (folder / "site" / name).exists(), name
    pictures = re.findall(r"<img [^>]*>", page)
    assert all(re.search(r'alt="[^"]{10,}"', picture) for picture in pictures)


def test_data_docs_fetch_nothing_from_elsewhere(written: tuple[Path, str, bool]) -> None:
    pages = [*(written[0] / "site/docs").rglob("*.html")]
    assert len(pages) >= 3
    for page in pages:
        text = page.read_text()
        assert re.findall(r"<script|<link|<iframe|<img", text) == []
        assert re.findall(r"""(?:src|href|url\()\s*=?\s*["']?https?://""", text) == []
        for link in re.findall(r'href="([^"#]+\.html)', text):
            assert (page.parent / link).exists(), (page, link)


def test_an_alarm_is_told_once_and_the_history_grows(
    written: tuple[Path, str, bool], lake: FolderLake, caplog: pytest.LogCaptureFixture
) -> None:
    folder = written[0]
    before = AlarmBook(folder / "alarms.json").alarms
    with caplog.at_level(logging.WARNING):
        line, fine = Site(folder, entities(), 120).write(lake, None, NOON + 60)
    assert caplog.records == []
    assert not fine
    assert line.startswith("The price")
    assert AlarmBook(folder / "alarms.json").alarms == before
    assert len([*(folder / "site/history").glob("*.html")]) == 2
    assert "Redis does not answer" in (folder / "site/index.html").read_text()


def test_a_report_of_before_leads_to_pages_that_exist(written: tuple[Path, str, bool]) -> None:
    page = max((written[0] / "site/history").glob("*.html"))
    for name in re.findall(r'href="([^"]+)"', page.read_text()):
        assert (page.parent / name).exists(), name


def test_what_is_old_goes(lake: FolderLake, tmp_path: Path) -> None:
    site = Site(tmp_path, entities(), 3)
    site.write(lake, None, NOON)
    site.write(None, None, NOON + 2 * DAY)
    assert len(History(tmp_path / "profiles").hours()) == 1
    site.write(None, None, NOON + 9 * DAY)
    assert [path.stem for path in (tmp_path / "site/history").glob("*.html")] == ["2025-12-11T1505"]
    assert AlarmBook(tmp_path / "alarms.json").alarms == []


@pytest.mark.parametrize("is_there", [False, True], ids=["none", "empty"])
def test_without_a_lake_it_says_what_to_do(tmp_path: Path, is_there: bool) -> None:
    said = EMPTY_LAKE if is_there else NO_LAKE
    line, fine = Site(tmp_path / "report", entities(), 120).write(
        FolderLake(tmp_path) if is_there else None, worst([], 0), NOON
    )
    assert (line, fine) == (said, True)
    page = (tmp_path / "report/site/index.html").read_text()
    assert "INLAY_LAKE_URL" in page or "dataflows.lake" in page
    assert "there are no dead letters" in page


def test_rows_as_the_flows_store_them_keep_every_expectation(tmp_path: Path) -> None:
    bought = {"rfm_recency": 5, "rfm_frequency": 1, "rfm_monetary": 3, "segment": "promising", "lifecycle": "new"}
    looked = {**dict.fromkeys(bought), "segment": "browsers", "lifecycle": "lapsed"}
    row = User().row(NOW)[0]
    rows = [[f"u{number}", *(row | each).values()] for number, each in enumerate((bought, looked, looked))]
    names = (*(row | bought),)
    table = to_table(LAYOUTS["user"], [Group("user", names, LAST * 1_000_000, rows)])
    path = tmp_path / "lake/features/entity=user/date=2025-12-02/part-1.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(table, path)
    line, fine = Site(tmp_path / "report", entities(), 120).write(FolderLake(tmp_path / "lake"), None, NOON)
    assert fine, line


def test_the_newest_rows_are_read_and_little_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_module, "MOST_ROWS", 4)
    chance = np.random.default_rng(1)
    told = []
    for number in range(6):  # the newest file is not the last one by name
        at = 1_000_000 * (LAST - 600 * number + chance.permutation(300))
        file = pa.table({"user_id": [f"u{each}" for each in chance.integers(0, 9, 300)], "price": chance.random(300),
                         "event_timestamp": pa.array(at).cast(pa.timestamp("us", tz="UTC"))})  # fmt: skip
        path = tmp_path / f"features/entity=user/date=2025-12-02/part-{number}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(file, path, row_group_size=100)
        told.append(file.to_pandas())
    other = tmp_path / "features/entity=user/date=2025-12-01/part-1.parquet"
    other.parent.mkdir()
    other.write_bytes(b"nobody looks here")
    for number in (2, 3, 4, 5):
        spoil_values(tmp_path / f"features/entity=user/date=2025-12-02/part-{number}.parquet")
    found = newest_rows(FolderLake(tmp_path), "features/entity=user", "user_id")
    assert found is not None
    rows = pd.concat(told).sort_values("event_timestamp", ascending=False).drop_duplicates("user_id").head(4)
    assert found.to_pydict() == pa.Table.from_pandas(rows, found.schema, preserve_index=False).to_pydict()


def spoil_values(path: Path) -> None:
    """Make the values of a file unreadable, and leave its statistics."""
    content = bytearray(path.read_bytes())
    length = int.from_bytes(content[-8:-4], "little")
    content[4 : len(content) - 8 - length] = bytes(len(content) - 12 - length)
    path.write_bytes(content)


def test_a_source_that_goes_silent_is_told_by_name_once_a_season_is_known(tmp_path: Path) -> None:
    history = History(tmp_path / "profiles")
    chance = np.random.default_rng(1)
    start = LAST - 29 * DAY - 14 * HOUR  # a midnight
    for hour in range(start, LAST + HOUR, HOUR):
        rows = []
        for source in ("api", "sendgrid"):
            people = 0 if source == "sendgrid" and hour > LAST - 3 * HOUR else int(chance.poisson(40))
            if people:
                rows += [subject(hour, f"events/{source}/{kind}", people) for kind in ("view", "*")]
        rows += [subject(hour, f"events/*/{kind}", sum(each["people"] for each in rows[::2])) for kind in ("view", "*")]
        history.write(hour, {"events": rows})
    found, hours = judge(history, LAST + HOUR, LAST - HOUR)
    assert hours == [LAST]
    assert [(alarm.kind, alarm.subject) for alarm in found] == [("silence", "events/sendgrid/view")]
    assert "where" in found[0].sentence
    assert "Tuesday 15:00" in found[0].sentence
    assert Rates(history, start, LAST).alarms(LAST - 5 * HOUR) == []


def subject(hour: int, name: str, people: int) -> dict[str, object]:
    row = dict.fromkeys(profile_table([]).column_names)
    return {**row, "hour": hour, "subject": name, "column": "", "rows": 2 * people, "people": people}


def test_of_a_sum_and_its_parts_that_is_told_which_says_most() -> None:
    def told(*names: str) -> list[str]:
        return telling(dict.fromkeys(names, False))

    assert told("events/a/view", "events/a/*", "events/*/view", "events/*/*") == ["events/a/view"]
    assert told("events/a/view", "events/a/click", "events/a/*", "events/*/*") == ["events/a/*"]
    assert told("events/a/view", "events/b/view", "events/*/view") == ["events/*/view"]
    assert told("events/a/view", "events/b/click", "events/*/*") == ["events/*/*"]
    assert told("events/*/*") == ["events/*/*"]
    assert telling({"events/a/view": True, "events/*/*": False}) == ["events/*/*", "events/a/view"]


def test_an_alarm_that_comes_again_within_twelve_hours_is_the_same(tmp_path: Path) -> None:
    book = AlarmBook(tmp_path / "alarms.json")
    first = Alarm("drop", "events/a/*", "", LAST, LAST, "One.", 1.0)
    again = Alarm("drop", "events/a/*", "", LAST + 12 * HOUR, LAST + 12 * HOUR, "Two.", 2.0)
    late = Alarm("drop", "events/a/*", "", LAST + 25 * HOUR, LAST + 25 * HOUR, "Three.", 1.0)
    assert book.add([first]) == [first]
    assert book.add([again]) == []
    assert book.add([late]) == [late]
    book.keep(LAST + 25 * HOUR, LAST)
    kept = AlarmBook(tmp_path / "alarms.json")
    assert [(alarm.since, alarm.until, alarm.sentence) for alarm in kept.alarms] == [
        (LAST + 25 * HOUR, LAST + 25 * HOUR, "Three."), (LAST, LAST + 12 * HOUR, "Two."),
    ]  # fmt: skip
    assert on_call(kept.open()) == "Three. And 1 more."
    assert on_call([]) == "All is as usual."


def test_the_worst_offenders_are_those_of_the_last_day() -> None:
    old, new = LAST - 3 * DAY, LAST - 60
    letters = [
        *[letter("time", "occurred_at", "in the future", old)] * 9, letter("row", "user", "not_null(key)", new),
        letter("schema", "", "it is no event", new), letter("schema", "", "it is no event", new),
    ]  # fmt: skip
    found = worst(letters, LAST - DAY)
    assert [(each.kind, each.what, each.day, each.kept) for each in found.worst] == [
        ("schema", "validate: it is no event", 2, 2), ("row", "user: not_null(key)", 1, 1),
        ("time", "validate: occurred_at", 0, 9),
    ]  # fmt: skip
    assert (found.letters, found.day, found.rows_day) == (12, 3, 1)


def test_what_an_audit_wrote_is_read() -> None:
    said = {
        "audited_at": "2026-05-01T10:00:00+00:00",
        "compared": {"user": 1000},
        "counts": {"mismatch": 2},
        "days": [1],
    }
    assert audited(json.dumps(said)) == [
        ("made", "2026-05-01 10:00"), ("users compared", "1,000"), ("fields that are mismatch", "2"),
        ("days on which an export differs", "1"),
    ]  # fmt: skip


def test_the_kinds_that_metrics_tell_are_those_of_alarms() -> None:
    assert set(ALARM_KINDS) == {*THRESHOLDS, "silence", "drop", "spike", "leak"}
    assert len(anomalies.WINDOWS) == 7


def test_hours_without_a_row_are_hours(lake: FolderLake, tmp_path: Path) -> None:
    history = History(tmp_path / "profiles")
    bring_up_to_date(history, lake, {"user": entities()["user"]}, 0)
    found, hours = judge(history, LAST + DAY + HOUR, LAST + DAY - HOUR)
    assert hours == [LAST + DAY]
    assert any(alarm.kind == "volume" and "no rows of user_items" in alarm.sentence.lower() for alarm in found)
