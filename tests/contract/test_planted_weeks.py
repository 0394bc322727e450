"""Faults that only time shows: each is told by the report, nothing is before it begins, and the page says how.

A few of them here; `PLANTED_WEEKS=all` plants all.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.contract.planted_weeks import BEGIN, END, PAGE, faults, planted, table
from tests.contract.redis_server import RedisServer

SOME = (
    "one source falls silent",
    "a robot with one id",
    "a field begins to be missing: two prices of five, from one source",
)


def test_each_is_told_and_nothing_before_it_and_the_page_says_how(tmp_path: Path, running_redis: RedisServer) -> None:
    names = [fault.name for fault in faults()]
    wanted = names if os.environ.get("PLANTED_WEEKS") == "all" else SOME
    outcomes, shops = planted(tmp_path, running_redis.url, wanted)
    assert [*outcomes] == [name for name in names if name in wanted]
    for shop in shops:
        assert shop.is_calm, shop.calm
    for name, outcome in outcomes.items():
        assert outcome.went_to == "page, line, metric, log", name
        assert (outcome.hours or 0) > 0, name
    told = PAGE.read_text().partition(BEGIN)[2].partition(END)[0].strip().splitlines()
    assert len(told) == 2 + len(names)
    assert set(table(outcomes).splitlines()) <= set(told), "make it anew: python -m tests.contract.planted_weeks"
