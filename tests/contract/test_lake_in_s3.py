"""The lake in S3, as moto plays it: the same files, and whole or not at all, from the first event to a backfill."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pytest
from feast import FeatureStore
from moto.server import ThreadedMotoServer

from dataflows.connectors.lake_events import Arrived, to_table
from dataflows.connectors.lake_files import EVENTS, Lake, LakeError, date_of, open_lake
from dataflows.connectors.lake_storage import open_storage
from dataflows.connectors.lake_upkeep import Upkeep
from dataflows.events import DAY, HOUR, SECOND
from dataflows.lake_reader import connect
from expectations.audits import __main__ as audits
from expectations.audits.online import open_online
from expectations.report import __main__ as reporting
from feature_repo.layout import USER
from tests.contract.redis_server import RedisServer
from tests.given import NOW, an_event


@pytest.fixture
def url(moto: tuple[ThreadedMotoServer, int], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty bucket, and the credentials of the environment."""
    endpoint = f"http://127.0.0.1:{moto[1]}"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    client = boto3.client("s3", endpoint_url=endpoint)
    client.create_bucket(Bucket="lake", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    yield f"s3://lake/shop/a?endpoint={endpoint}"
    for each in client.list_objects_v2(Bucket="lake").get("Contents", ()):
        client.delete_object(Bucket="lake", Key=each["Key"])
    client.delete_bucket(Bucket="lake")


def fill(lake: Lake) -> None:
    for number in range(9):
        rows = [
            Arrived(an_event(event_id=f"e{number}-{n}", user_id=f"u{n}", occurred_at=NOW - n), NOW, 0, number * 3 + n)
            for n in range(3)
        ]
        lake.add(EVENTS, date_of(NOW), f"{number}", to_table(rows))


def ids(lake: Lake) -> list[str]:
    with connect(lake) as tables:
        return [row[0] for row in tables.sql("SELECT event_id FROM events ORDER BY event_id").fetchall()]


def test_what_is_written_is_read_merged_erased_and_kept_for_its_time(url: str) -> None:
    lake = open_lake(url)
    fill(lake)
    assert len(lake.files(EVENTS)) == 9
    assert all(file.size > 0 and file.path.startswith("events/date=") for file in lake.files(EVENTS))
    assert len(ids(lake)) == 27
    assert Upkeep(lake, lambda: NOW, 0).run()[:3] == (9, 1, 0)
    assert len(lake.files(EVENTS)) == 1
    assert len(ids(lake)) == 27
    assert (lake.holds(["u1"], []), lake.erase(["u1"], []), lake.holds(["u1"], [])) == (9, 9, 0)
    assert len(ids(lake)) == 18
    with pytest.raises(FileNotFoundError):
        lake.read("events/date=2026-05-17/part-gone.parquet")
    lake.storage.remove("events/date=2026-05-17/part-gone.parquet")
    assert Upkeep(lake, lambda: NOW + 9 * DAY, 5 * DAY).run().expired == 1
    assert ids(lake) == []


def test_a_put_is_one_request_and_one_that_breaks_leaves_nothing(
    url: str, moto: tuple[ThreadedMotoServer, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = open_storage(url)
    asked: list[str] = []
    with watched(moto[1], asked):
        storage.put("events/x.parquet", pa.py_buffer(b"x" * 3_000_000))
    assert [each for each in asked if "events/x.parquet" in each] == ["PUT /lake/shop/a/events/x.parquet"]
    assert [file.size for file in storage.find("events")] == [3_000_000]

    class Breaks:
        def __init__(self, path: str) -> None:
            self.path = path

        def __enter__(self) -> Any:
            raise OSError("the connection broke")

        def __exit__(self, *error: object) -> None:
            return None

    pauses: list[float] = []
    monkeypatch.setattr(storage, "_sleep", pauses.append)
    monkeypatch.setattr(
        storage, "filesystem", type("Gone", (), {"open_output_stream": staticmethod(lambda path: Breaks(path))})()
    )
    with pytest.raises(LakeError, match="the connection broke"):
        storage.put("events/y.parquet", pa.py_buffer(b"y"))
    assert pauses == [0.2, 0.4, 0.8]
    assert [file.path for file in open_storage(url).find("events")] == ["events/x.parquet"]


@contextmanager
def watched(port: int, asked: list[str]) -> Iterator[None]:
    """What moto is asked meanwhile."""
    from werkzeug.serving import WSGIRequestHandler

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            WSGIRequestHandler, "log_request", lambda self, *rest: asked.append(f"{self.command} {self.path}")
        )
        yield


def test_a_backfill_reads_a_lake_in_s3_an_audit_finds_what_is_damaged_and_a_report_is_made(
    url: str, server: RedisServer, store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    lake = open_lake(url)
    fill(lake)
    late = time.time_ns() // 1000 - 2 * HOUR
    more = [
        an_event(event_id=f"o{day}", type="purchase", user_id="u0", order_id=f"o{day}", item_id="p1", price=20.0,
                 occurred_at=NOW - day * DAY) for day in range(3)
    ]  # fmt: skip
    lake.add(EVENTS, date_of(NOW), "orders", to_table([Arrived(each, NOW, 0, 90) for each in more]))
    now = an_event(event_id="now", user_id="u3", item_id="p2", occurred_at=late)
    lake.add(EVENTS, date_of(late), "now", to_table([Arrived(now, late, 0, 91)]))
    plain = {name: value for name, value in os.environ.items() if not name.startswith("INLAY_")}
    command = [sys.executable, "-m", "dataflows.backfill", url.replace("?", "/events?")]
    done = subprocess.run(
        command, env=plain | {"INLAY_REDIS_URL": server.url}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "31 received = 31 applied" in done.stdout
    values, _ = USER.decode(server.client.hgetall(USER.key("u1")))
    assert values["last_view_at"] == (NOW - 1) // 1_000_000

    report, orders = tmp_path / "quality", tmp_path / "orders.csv"
    for name, value in {"REDIS_URL": server.url, "LAKE_URL": url, "REPORT": str(report)}.items():
        monkeypatch.setenv(f"INLAY_{name}", value)
    monkeypatch.setattr(audits, "open_online", lambda redis_url: open_online(redis_url, Path(store.repo_path)))
    made = [datetime.fromtimestamp((NOW - day * DAY) / SECOND, timezone.utc).isoformat() for day in range(3)]
    orders.write_text("\n".join(["order_id,ordered_at,total", *(f"o{n},{at},20" for n, at in enumerate(made))]))
    report.mkdir()
    told = ("--patience", "0", "--json", str(report / "audits.json"), "--orders", str(orders))
    assert audits.main(told) == 0
    said = capsys.readouterr().out
    assert "4 users compared" in said
    assert "0 mismatch, 0 missing, 0 extra, 0 stale\n0 days on which the export and the events differ" in said
    views = USER.columns["views_7d"]
    server.client.hset(USER.key("u1"), views.field, views.encode(7))
    server.client.delete(USER.key("u2"))
    assert audits.main(told) == 1
    said = capsys.readouterr().out
    assert "1 mismatch, 1 missing, 0 extra, 0 stale" in said
    assert "user u1: views_7d is 7, the events make it 0" in said
    counts = {name.decode(): int(number) for name, number in server.client.hgetall("inlay:audit").items()}
    assert [counts[name] for name in ("mismatch", "missing", "extra", "stale", "days")] == [1, 1, 0, 0, 0]

    assert reporting.main(()) in (0, 1)
    line = capsys.readouterr().out.strip()
    assert (report / "site/on-call.txt").read_text().strip() == line
    assert "mismatch" in (report / "site/index.html").read_text()
    assert len([*(report / "profiles").rglob("*.parquet")]) == 1, "the hour of today is profiled, others are too old"
