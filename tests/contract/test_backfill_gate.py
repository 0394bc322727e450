"""A backfill of a file that cannot be right, over a real Redis: not begun, in words, and taken by who says so."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dataflows import backfill
from dataflows.events import DAY, SECOND
from dataflows.stopping import StopSignal
from feature_repo.layout import USER
from tests.contract.redis_server import RedisServer
from tests.given import NOW

Run = Callable[..., tuple[int, str, str]]


class Silent(StopSignal):
    def listen(self) -> None:
        """Leave the signals of the test's process alone."""


@pytest.fixture
def run(server: RedisServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command as it is typed; what it says and what it complains of."""
    monkeypatch.setenv("INLAY_REDIS_URL", server.url)
    monkeypatch.setenv("INLAY_BATCH_EVENTS", "200")
    monkeypatch.setattr(backfill, "StopSignal", Silent)

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        code = backfill.main([*map(str, arguments)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def shop(folder: Path, name: str, price: float, first: int = 0) -> Path:
    """A catalogue of ten things at 10, and 300 views of them, the last 100 of them at `price`."""
    described = [
        {"event_id": f"i{n}", "type": "item", "occurred_at": NOW - 9 * DAY, "item_id": f"p{n}", "title": f"Thing {n}",
         "price": 10.0} for n in range(10)
    ]  # fmt: skip
    viewed = [
        {"event_id": f"e{n}", "type": "view", "occurred_at": NOW - 8 * DAY + n * SECOND, "user_id": f"u{n % 10}",
         "item_id": f"p{n % 10}", "price": 10.0 if n < first + 200 else price} for n in range(first, first + 300)
    ]  # fmt: skip
    path = folder / name
    path.write_text("\n".join(map(json.dumps, [*described, *viewed])))
    return path


def test_a_file_in_cents_is_not_begun_and_is_taken_when_somebody_says_that_it_is_right(
    tmp_path: Path, server: RedisServer, run: Run
) -> None:
    code, _, wrong = run(shop(tmp_path, "cents.jsonl", 1000.0))
    assert code == 1
    assert "cents.jsonl is not taken, since expect_column_median_to_be_between(price_ratio): 100" in wrong
    assert "This is so in events 201 to 310 of it" in wrong
    written = ("inlay:outcomes:*", "inlay:offsets:*", "*u1*", "*p1*", "dead_letters", "quarantine")
    assert [key for pattern in written for key in server.client.keys(pattern)] == []

    code, said, _ = run(shop(tmp_path, "mended.jsonl", 10.0))
    assert (code, said.count("310 received = 310 applied")) == (0, 2)
    other = shop(tmp_path, "more.jsonl", 1000.0, 300)
    assert run(other)[0] == 1
    before = USER.decode(server.client.hgetall(USER.key("u1")))[0]["typical_price"]
    code, said, _ = run(other, "--as-it-is")
    assert code == 0
    after = USER.decode(server.client.hgetall(USER.key("u1")))[0]["typical_price"]
    assert (before, after) == (10.0, 1000.0)
    assert run(other)[:2] == (0, said), "what was begun is not looked at again"


def test_a_folder_is_taken_up_to_the_file_that_is_wrong(tmp_path: Path, server: RedisServer, run: Run) -> None:
    shop(tmp_path, "1.jsonl", 10.0)
    shop(tmp_path, "2.jsonl", 1000.0, 300)
    code, _, wrong = run(tmp_path)
    assert (code, "2.jsonl is not taken" in wrong) == (1, True)
    assert len([*server.client.scan_iter("inlay:outcomes:backfill-people:*")]) == 1
