"""The flows as processes: one owner a partition, clean stops, and what a process may write after it was replaced."""

import signal
import subprocess
import sys
import time
from typing import Any

import msgspec
import pytest

from tests.integration.stand import ROOT, Stand, StandError

pytestmark = pytest.mark.integration


def _views(user: str, number: int) -> list[bytes]:
    return [
        msgspec.json.encode(
            {
                "event_id": f"{user}-{each}", "type": "view", "occurred_at": time.time(), "user_id": user,
                "item_id": f"i{each}",
            }
        )
        for each in range(number)
    ]  # fmt: skip


def _start_again(stand: Stand, flow: str) -> subprocess.CompletedProcess[str]:
    """Start a flow that runs already, and wait for its end."""
    command = [sys.executable, "-m", "bytewax.run", f"dataflows.{flow}"]
    return subprocess.run(
        command, cwd=ROOT, env=stand.environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_second_process_is_refused_in_words_and_the_first_goes_on() -> None:
    with Stand() as stand:
        stand.start("people")
        second = _start_again(stand, "people")
        assert second.returncode != 0
        assert "partition 0 of people is held by process" in second.stderr
        assert "INLAY_PARTITIONS" in second.stderr
        stand.publish(0, _views("u", 3))
        stand.wait_until_drained(flows=["people"])
        assert stand.read("user", ["u"])["u"]["views_1h"] == 3
        stand.stop("people")


def test_a_killed_process_is_replaced_at_once_and_a_stopped_one_leaves_no_lease() -> None:
    with Stand({"INLAY_LEASE": "600"}) as stand:
        stand.start("people")
        stand.publish(0, _views("u", 3))
        stand.wait_until_drained(flows=["people"])
        stand.kill("people")
        stand.start("people")  # far sooner than the lease runs out
        stand.publish(0, _views("v", 2))
        stand.wait_until_drained(flows=["people"])
        assert stand.read("user", ["v"])["v"]["views_1h"] == 2
        assert stand.outcomes("people") == {"received": 5, "applied": 5, "duplicate": 0, "late": 0, "refused": 0}
        stand.stop("people")
        assert not stand.client.keys("inlay:lease:people:*")


def test_a_process_that_slept_while_another_took_over_writes_nothing_more() -> None:
    with Stand({"INLAY_LEASE": "2"}) as stand:
        stand.start("people")
        sleeper = stand.release("people")
        sleeper.send_signal(signal.SIGSTOP)
        try:
            stand.start("people")  # once the lease of the sleeper has run out
            stand.publish(0, _views("u", 3))
            stand.wait_until_drained(flows=["people"])
            before = _written(stand)
            sleeper.send_signal(signal.SIGCONT)
            assert sleeper.wait(20) != 0
            after = _written(stand)
            assert after == before
            stand.stop("people")
        finally:
            sleeper.kill()
            sleeper.wait()


def _written(stand: Stand) -> dict[bytes, Any]:
    """All that is in Redis but for what an owner writes while nothing comes: its lease, and that it has caught up."""
    idle = (b"inlay:lease:", b"inlay:caught_up:")
    return {key: stand.client.dump(key) for key in stand.client.keys("*") if not key.startswith(idle)}


def test_two_processes_share_the_partitions_without_knowing_of_each_other() -> None:
    with Stand() as stand:
        names = [stand.start_part("people", part) for part in ("0-3", "4-7")]
        for partition in range(8):
            stand.publish(partition, _views(f"u{partition}", 4))
        stand.wait_until_drained(flows=["people"])
        users = [f"u{partition}" for partition in range(8)]
        assert {user: row["views_1h"] for user, row in stand.read("user", users).items()} == dict.fromkeys(users, 4)
        assert stand.outcomes("people")["applied"] == 32
        for name in names:
            stand.stop(name)


def test_garbage_in_the_stream_is_refused_kept_and_changes_nothing_else_but_too_much_of_it_stops_the_flow() -> None:
    nasty = [b"", b"nope", b"\xff\x00", b"[" * 3000, b"x" * 2_000_000, b'{"event_id": NaN}']
    with Stand() as stand:
        stand.start("people", more={"INLAY_REFUSED_RUN": "6"})
        stand.publish(3, [*_views("u", 2), *nasty, *_views("v", 1), *_views("u", 2)])
        said = (
            r"(?s)exit code 1.* 6 events in a row were refused, the last because: .*Mend their sender, or raise INLAY"
        )
        with pytest.raises(StandError, match=said):
            stand.wait_until_drained(flows=["people"])
        stand.release("people")
        assert stand.outcomes("people")["received"] == stand.client.xlen("dead_letters") == 0
        stand.start("people")
        stand.start("items")
        stand.wait_until_drained()
        expected = {"received": 11, "applied": 3, "duplicate": 2, "late": 0, "refused": 6}
        assert stand.outcomes("people") == expected
        assert stand.outcomes("items") == expected
        letters = [fields for _, fields in stand.client.xrange("dead_letters")]
        assert [fields[b"original"] for fields in letters] == nasty
        assert {fields[b"stage"] for fields in letters} == {b"validate"}
        assert all(fields[b"reason"] for fields in letters)
        assert stand.read("user", ["u"])["u"]["views_1h"] == 2
        listed = subprocess.run(
            [sys.executable, "-m", "dataflows.dead_letters", "list"], cwd=ROOT, env=stand.environment,
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert "6 dead letters · format 4 · schema 1 · size 1" in listed.stdout
