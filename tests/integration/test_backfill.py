"""A backfill of the sample's events beside a stream that holds some of them: killed on its way, then handed over."""

from __future__ import annotations

import importlib
import itertools
import multiprocessing
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import pandas as pd
import pytest

from dataflows.events import partition_of
from dataflows.mapping import load_mapping
from dataflows.replay import read_events
from tests.integration.oracle import EVENTS, ITEMS, Oracle, sample_folder
from tests.integration.stand import FLOWS, PARTITIONS, ForkedFlow, Stand
from tests.integration.test_real_events import MAPS, assert_equal_to_oracle, now_micros

SAMPLE: Final = sample_folder()
SECONDS: Final = 120
SETTINGS: Final = {"INLAY_BATCH_EVENTS": "4000"}
"""So that there are many commits between which a backfill may be killed."""
NUMBERS: Final = itertools.count()

Events = list[dict[str, Any]]
encode = msgspec.json.Encoder().encode

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not (SAMPLE / EVENTS).exists(), reason=f"no sample data in {SAMPLE} (INLAY_SAMPLE_DATA)"),
]


def test_a_backfill_that_is_killed_and_overlaps_the_stream_hands_over_to_the_flows(tmp_path: Path) -> None:
    """By time: the file holds 0-80 % of the events, the stream 60-100 %, of which the flows have read to 70 %.

    What lies behind the file comes while it is read, and while the flows take over.
    """
    some, past = tmp_path / "some", tmp_path / "past"
    take_every_third_visitor(some)
    past.mkdir()
    events, shift = events_that_end_now(some)
    oracle = Oracle(some, shift)
    at = {percent: len(events) * percent // 100 for percent in (0, 40, 60, 70, 80, 85, 90, 100)}
    for number, (first, end) in enumerate(((0, 40), (40, 80))):
        (past / f"{number}.jsonl").write_bytes(b"\n".join(map(encode, events[at[first] : at[end]])))
    with Stand(SETTINGS, forked=True) as stand:
        said = run(stand, some / ITEMS, "--map", MAPS / "ga360_items.yaml")
        assert f"{oracle.catalogue_rows:,} received = {oracle.catalogue_rows:,} applied + 0 duplicate" in said
        publish(stand, events[at[60] : at[70]])
        for flow in FLOWS:
            stand.start(flow, wait=False)
        stand.wait_until_drained()
        assert_refused_beside_a_flow(stand, past)
        for flow in FLOWS:
            stand.stop(flow)
        publish(stand, events[at[70] : at[80]])
        before = left_alone(stand)

        for flow, first, end in (("items", 80, 85), ("people", 85, 90)):  # the order in which it goes through a file
            with backfilling(stand, past) as process:
                wait_for_commits(stand, flow, process)
                publish(stand, events[at[first] : at[end]])
                if flow == "items":
                    assert_flow_is_refused(stand)
        said = run(stand, past)
        written = stand.client.info("stats")["total_commands_processed"]
        assert run(stand, past) == said
        assert stand.client.info("stats")["total_commands_processed"] - written < 1000, "it did its work once more"
        assert left_alone(stand) == before

        for flow in FLOWS:
            stand.start(flow, wait=False)
            stand.wait_until_owner(flow)
        publish(stand, events[at[90] : at[100]])
        stand.wait_until_drained()
        assert_equal_to_oracle(stand, oracle)
        counted = oracle.outcomes(now_micros())["applied"]
        for flow in FLOWS:
            past = backfilled(stand, flow)
            assert past["received"] == sum(past[name] for name in ("applied", "duplicate", "late", "refused"))
            assert past["duplicate"] == past["late"] == 0
            assert stand.outcomes(flow)["duplicate"] == 0
            assert past["applied"] + stand.outcomes(flow)["applied"] == oracle.catalogue_rows + counted
            left = at[80] - (past["received"] - oracle.catalogue_rows)
            assert f"{flow:<7}{at[80]:,} rows: {left:,} left to the live flow" in said
            stand.stop(flow)


def take_every_third_visitor(folder: Path) -> None:
    """A sample of the sample, with the whole catalogue: a third of the time, and all that happens to a visitor."""
    folder.mkdir()
    shutil.copy(SAMPLE / ITEMS, folder)
    rows = pd.read_parquet(SAMPLE / EVENTS)
    rows[pd.factorize(rows["user_id"])[0] % 3 == 0].to_parquet(folder / EVENTS, index=False)


def events_that_end_now(folder: Path) -> tuple[Events, int]:
    """All events of a sample in order of time, the last one now; and by how much they were moved (microseconds)."""
    events = read_events(folder / EVENTS, load_mapping(MAPS / "ga360_events.yaml"))
    moved = now_micros() - int(events[-1]["occurred_at"])
    for event in events:
        event["occurred_at"] += moved
    return events, moved


def publish(stand: Stand, events: Events) -> None:
    partitions: list[list[bytes]] = [[] for _ in range(PARTITIONS)]
    for event in events:
        partitions[partition_of(event["user_id"], PARTITIONS)].append(encode(event))
    for partition, records in enumerate(partitions):
        stand.publish(partition, records)


class Backfill:
    """`python -m dataflows.backfill` in a process of its own, forked from the server that flows are forked from."""

    def __init__(self, stand: Stand, *arguments: str | Path) -> None:
        self.log = stand.folder / f"backfill-{next(NUMBERS)}.log"
        self.log.touch()
        server = multiprocessing.get_context("forkserver")
        server.set_forkserver_preload(["bytewax.run", *(f"dataflows.{each}" for each in (*FLOWS, "backfill"))])
        self._process = server.Process(target=be_backfill, args=([*map(str, arguments)], stand.environment, self.log))
        self._process.start()

    def wait(self) -> int:
        self._process.join(SECONDS)
        assert self._process.exitcode is not None, f"it did not end in {SECONDS} s\n{self.log.read_text()}"
        return self._process.exitcode

    def assert_runs(self) -> None:
        assert self._process.exitcode is None, f"it ended with code {self._process.exitcode}\n{self.log.read_text()}"

    def kill(self) -> None:
        self._process.kill()
        self._process.join()


def be_backfill(arguments: list[str], environment: dict[str, str], log: Path) -> None:
    file = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.environ.clear()
    os.environ.update(environment)
    sys.exit(importlib.import_module("dataflows.backfill").main(arguments))


def run(stand: Stand, *arguments: str | Path, code: int = 0) -> str:
    """What a backfill says that runs to its end: its accounts, or why it does not."""
    process = Backfill(stand, *arguments)
    try:
        assert process.wait() == code, process.log.read_text()
    finally:
        process.kill()
    assert code or "100%|" in process.log.read_text(), "the bar tells of what was done before, too"
    said = process.log.read_text().splitlines()
    return "\n".join(said[-len(FLOWS) :] if not code else said)


@contextmanager
def backfilling(stand: Stand, *arguments: str | Path) -> Iterator[Backfill]:
    """A backfill that runs meanwhile, and is killed at the end."""
    process = Backfill(stand, *arguments)
    try:
        yield process
        process.assert_runs()
    finally:
        process.kill()


def wait_for_commits(stand: Stand, flow: str, process: Backfill) -> None:
    """Wait until some commits of the flow were made beyond those that are there."""
    before, give_up_at = backfilled(stand, flow)["received"], time.monotonic() + SECONDS
    while backfilled(stand, flow)["received"] < before + 2 * int(SETTINGS["INLAY_BATCH_EVENTS"]):
        process.assert_runs()
        assert time.monotonic() < give_up_at, f"no commits of {flow}"
        time.sleep(0.02)


def backfilled(stand: Stand, flow: str) -> dict[str, int]:
    """What became of the rows of all files in one flow."""
    keys = list(stand.client.scan_iter(f"inlay:outcomes:backfill-{flow}:*"))
    found = [stand.outcomes(key.decode().removeprefix("inlay:outcomes:")) for key in keys]
    names = ("received", "applied", "duplicate", "late", "refused")
    return {name: sum(each[name] for each in found) for name in names}


def left_alone(stand: Stand) -> dict[str, Any]:
    """What a backfill does not touch: where the flows are, what they counted, and what was told to others."""
    told = sum(stand.client.xlen(f"derived:{partition}") for partition in range(PARTITIONS))
    return {flow: (stand.offsets(flow), stand.outcomes(flow)) for flow in FLOWS} | {"derived": told}


def assert_refused_beside_a_flow(stand: Stand, folder: Path) -> None:
    said = run(stand, folder, code=1)
    assert "is held by process" in said
    assert "stop that one first" in said


def assert_flow_is_refused(stand: Stand) -> None:
    """While a backfill runs, a live flow does not start."""
    log = stand.folder / "refused.log"
    log.touch()
    flow = ForkedFlow("people", stand.environment, log)
    try:
        assert flow.wait(SECONDS) != 0
    finally:
        flow.kill()
    assert "of people is held by process" in log.read_text()
