"""The workers of the API are replaced under load, and no request is lost; and none of them outlives its parent."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from api.demo.embedded import free_port
from tests.benchmarks.failing_store import KEY
from tests.benchmarks.offered import Offered
from tests.benchmarks.open_loop import getting
from tests.benchmarks.restarts import replaced_under_load, workers_of
from tests.integration.stand import ROOT, Stand

pytestmark = pytest.mark.integration


@contextmanager
def small_service() -> Iterator[tuple[Any, str]]:
    """Workers as ours, of an app that starts in no time."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "tests.integration.small_app", str(port)], cwd=ROOT)
    url = f"http://127.0.0.1:{port}"
    try:
        yield SimpleNamespace(_processes={"api": process}), url
    finally:
        process.terminate()
        assert process.wait(30) == 0


def answered(url: str) -> None:
    give_up_at = time.monotonic() + 60
    while time.monotonic() < give_up_at:
        first = Offered(url, [getting(url + "/", {})], 10, 1)
        first.run(0.1)
        if first.statuses()[200]:
            return
    pytest.fail("it never answered")


def test_no_request_is_lost_while_workers_are_replaced() -> None:
    with small_service() as (stand, url):
        answered(url)
        statuses = replaced_under_load(stand, url, 3, rate=300).statuses()
    assert statuses.pop(200) > 300
    assert not statuses


def test_the_service_itself_is_replaced_and_its_workers_end_with_their_parent() -> None:
    with Stand({"INLAY_API_KEYS": KEY}) as stand:
        url = stand.start_api("--workers", 1)
        parent = stand._processes["api"].pid
        statuses = replaced_under_load(stand, url, 1, rate=50).statuses()
        assert statuses.pop(200) > 50
        assert not statuses
        assert workers_of(parent)
        stand.kill("api")
        give_up_at = time.monotonic() + 60
        while time.monotonic() < give_up_at:
            late = Offered(url, [getting(url + "/health/live", {})], 10, 1)
            late.run(0.1)
            if not late.statuses()[200]:
                return
            time.sleep(0.1)
        pytest.fail("a worker answers though its parent is dead")
