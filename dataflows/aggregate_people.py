"""The fold of the people flow: one partition's users, each with one state and one row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from dataflows.aggregate import DueSet
from dataflows.aggregates.people import User
from dataflows.events import Outcome
from dataflows.stages import Aggregated, Enriched, Row
from dataflows.state import StateTable


class FoldPeople:
    """Users of one partition, which the first micro-batch names: an empty one comes for each when the flow starts.

    Args:
        users: their states.
        due_of: by partition, when rows change by themselves.
        committed: by partition, the offset up to which earlier commits counted the events.
    """

    def __init__(self, users: StateTable[User], due_of: Callable[[int], DueSet], committed: Mapping[int, int]) -> None:
        self._users, self._due_of, self._committed = users, due_of, committed
        self._partition: int | None = None

    def fold(self, batches: list[Enriched], now: int) -> list[Aggregated]:
        """What some micro-batches of the partition come to, one commit each."""
        self._users.shrink()
        if self._partition is None:
            self._partition = batches[0].batch.partition
            self._due = self._due_of(self._partition)
            self._counted = self._committed[self._partition]
        return [self._fold(batch, now) for batch in batches if batch.batch.offset >= 0]

    def _fold(self, enriched: Enriched, now: int) -> Aggregated:
        batch, facts = enriched
        partition = batch.partition
        # The catalogue belongs to the items flow: its events are nobody's, and have done their part when they are read.
        keyed = [(offset, None if event.type == "item" else event.key, event) for offset, event in batch.events]
        users = self._users.load({key for _, key, _ in keyed if key is not None})
        outcomes: Counter[Outcome] = Counter()
        newest: dict[str, int] = {}
        counted = self._counted
        for offset, key, event in keyed:
            outcome: Outcome = "applied"
            if key is not None:
                user = users[key]
                if offset > user.offset:
                    user.offset = offset
                    outcome = user.apply(event, facts, now)
                    if outcome == "applied":
                        newest[key] = max(event.at, newest.get(key, 0))
            if offset > counted:
                outcomes[outcome] += 1
        refused = [(partition, offset, refusal) for offset, refusal in batch.refused if offset > counted]
        if refused:
            outcomes["refused"] = len(refused)
        self._counted = max(counted, batch.offset)
        result = Aggregated((partition,), {partition: self._counted}, outcomes.total(), outcomes, refused)
        self._emit(result, {key: users[key] for key in newest}, newest, now)
        return result

    def expire(self, now: int) -> list[Aggregated]:
        """Rows of the users for whom a tile left a window since."""
        if self._partition is None or not (due := self._due.until(now)):
            return []
        self._users.shrink()
        result = Aggregated((self._partition,))
        self._emit(result, self._users.load(due), {}, now)
        return [result]

    def _emit(self, result: Aggregated, users: dict[str, User], newest: dict[str, int], now: int) -> None:
        due = {}
        for key, user in users.items():
            values, due[key] = user.row(now)
            user.row_at = max(user.row_at + 1, newest.get(key, 0))
            result.rows.append(Row("user", key, user.row_at, values, user.pack()))
        result.commands += self._due.commands(due)
