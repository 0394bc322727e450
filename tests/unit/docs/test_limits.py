"""The page of limits gives the numbers that the code has, and leaves none out."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio.retry import Retry as AsyncRetry
from redis.retry import Retry

from api.breaker import PAUSE
from api.features import connect as connect_features
from api.snapshot import REFRESH_SECONDS
from dataflows.connectors.letters import connect_keeper
from dataflows.connectors.redis_streams import connect
from dataflows.settings import SETTINGS

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/limits.md").read_text()
ROWS = re.findall(r"^\| ([^|]+) \| ([\d,]+) \| `([^`]+)` \| ([^|]+) \|$", PAGE, re.MULTILINE)
BOUNDS = re.compile(
    r"^(MOST_[A-Z_]+|[A-Z_]+_AT_ONCE|MAX_(?:BODY|EVENTS|EVENT_BYTES)|KEPT_[A-Z]+)\b[^=\n]* = (?!\d+\.\d)[\d(]"
    r"|^@lru_cache\(maxsize=\d{4,}\)\ndef ([a-z]\w*)", re.MULTILINE
)  # fmt: skip
UNLISTED = {
    "dataflows.aggregates.neighbours.decay",  # remembers a number a day
    "dataflows.aggregates.packing.MOST_DIGITS",  # these two choose how ids are written, and let none go
    "dataflows.aggregates.packing.MOST_STARTS",
}


def bound(where: str) -> int:
    """What the code says."""
    if where.startswith("INLAY_"):
        return round(float({setting.name: setting.default for setting in SETTINGS}[where]))
    module, _, name = where.rpartition(".")
    found: Any = getattr(import_module(module), name)
    return int(found.cache_parameters()["maxsize"] if callable(found) else found)


@pytest.mark.parametrize("row", ROWS, ids=[where for _, _, where, _ in ROWS])
def test_a_bound_is_what_the_page_says(row: tuple[str, str, str, str]) -> None:
    assert f"{bound(row[2]):,}" == row[1]


def test_every_row_of_the_page_is_read() -> None:
    table = PAGE[PAGE.index("## Buffers") : PAGE.index("## Calls")]
    assert len(re.findall(r"^\| ", table, re.MULTILINE)) == len(ROWS) + 1


def test_no_bound_in_the_code_is_left_out() -> None:
    found = set()
    for package in ("dataflows", "api", "expectations"):
        for path in (ROOT / package).rglob("*.py"):
            if "demo" not in path.parts:
                module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
                found |= {f"{module}.{one or other}" for one, other in BOUNDS.findall(path.read_text())}
    assert len(found) > 20
    assert found - {where for _, _, where, _ in ROWS} <= UNLISTED


def pauses(retry: Retry | AsyncRetry) -> tuple[int, Any]:
    return retry._retries, retry._backoff


def test_calls_to_redis_wait_and_try_again_as_the_page_says() -> None:
    kwargs = connect("redis://127.0.0.1:1/0").connection_pool.connection_kwargs
    tries, backoff = pauses(kwargs["retry"])
    said = f"{tries} times, pauses from {backoff._base:g} s doubling to {backoff._cap:g} s, with jitter"
    waits = f"{kwargs['socket_connect_timeout']} s to connect, {kwargs['socket_timeout']} s for an answer"
    assert f"| {waits} | {said} |" in PAGE


def test_what_is_refused_at_the_door_is_kept_as_the_page_says() -> None:
    pool = connect_keeper("redis://127.0.0.1:1/0").connection_pool
    assert pauses(pool.connection_kwargs["retry"])[0] == 0
    waits = f"{pool.timeout} s for a connection, {pool.connection_kwargs['socket_timeout']} s for an answer"
    assert f"| API → dead letters | {waits} | never: a letter" in PAGE


def test_calls_for_features_wait_and_try_again_as_the_page_says() -> None:
    pool = connect_features("redis://127.0.0.1:1/0").connection_pool
    tries, backoff = pauses(pool.connection_kwargs["retry"])
    assert (tries, backoff.compute(1)) == (1, 0)
    waits = f"{pool.timeout:g} s for a connection, {pool.connection_kwargs['socket_timeout']:g} s for an answer"
    assert f"| API → features | {waits} | once, at once" in PAGE
    assert f"a breaker spares the store for {PAUSE:g} s" in PAGE
    assert f"| every {REFRESH_SECONDS:g} s, for ever |" in PAGE
