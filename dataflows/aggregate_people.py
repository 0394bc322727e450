"""The fold of the people flow: one partition's users, each with one state and one row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from dataflows.aggregate import DueSet
from dataflows.aggregates.merging import whole
from dataflows.aggregates.people import User
from dataflows.events import Outcome
from dataflows.identities import Identities
from dataflows.stages import Aggregated, Enriched, Row
from dataflows.state import StateTable


class FoldPeople:
    """Users of one partition, which the first micro-batch names: an empty one comes for each when the flow starts.

    Args:
        users: their states.
        due_of: by partition, when rows change by themselves.
        committed: by partition, the offset up to which earlier commits counted the events.
        identities_of: by partition, what its users are to others.
    """

    def __init__(
        self,
        users: StateTable[User],
        due_of: Callable[[int], DueSet],
        committed: Mapping[int, int],
        identities_of: Callable[[int], Identities],
    ) -> None:
        self._users, self._due_of, self._committed = users, due_of, committed
        self._identities_of = identities_of
        self._partition: int | None = None

    def fold(self, batches: list[Enriched], now: int) -> list[Aggregated]:
        """What some micro-batches of the partition come to, one commit each, after what other partitions tell."""
        self._users.shrink()
        if self._partition is None:
            self._partition = batches[0].batch.partition
            self._due = self._due_of(self._partition)
            self._identities = self._identities_of(self._partition)
            self._counted = self._committed[self._partition]
        told = self._hear(now)
        return told + [self._fold(batch, now) for batch in batches if batch.batch.offset >= 0]

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
                        if event.anonymous_id is not None or event.type == "identify":
                            self._identities.note(key, user, event, facts)
            if offset > counted:
                outcomes[outcome] += 1
        refused = [(partition, offset, refusal) for offset, refusal in batch.refused if offset > counted]
        if refused:
            outcomes["refused"] = len(refused)
        self._counted = max(counted, batch.offset)
        result = Aggregated((partition,), {partition: self._counted}, outcomes.total(), outcomes, refused)
        for key in newest:
            if users[key].identity is not None:
                self._identities.changed(key, users[key])
        self._emit(result, {key: users[key] for key in newest}, newest, now)
        return result

    def expire(self, now: int) -> list[Aggregated]:
        """What other partitions tell, and the rows of the users for whom a tile left a window since."""
        if self._partition is None:
            return []
        self._users.shrink()
        results = self._hear(now)
        if due := self._due.until(now):
            result = Aggregated((self._partition,))
            self._emit(result, self._users.load(due), {}, now)
            results.append(result)
        return results

    def _hear(self, now: int) -> list[Aggregated]:
        """What the messages of other partitions come to: one commit, which takes them out of the inbox."""
        messages = self._identities.read()
        if not messages:
            return []
        assert self._partition is not None  # noqa: S101  # an inbox is a partition's
        users = self._users.load({message.to for message in messages})
        touched = self._identities.take(messages, users)
        result = Aggregated((self._partition,))
        self._emit(result, {key: users[key] for key in sorted(touched)}, {}, now)
        result.commands += self._identities.taken()
        return [result]

    def _emit(self, result: Aggregated, users: dict[str, User], newest: dict[str, int], now: int) -> None:
        due = {}
        for key, user in users.items():
            values, due[key] = whole(user, now).row(now)
            user.row_at = max(user.row_at + 1, newest.get(key, 0))
            result.rows.append(Row("user", key, user.row_at, values, user.pack()))
        result.commands += self._due.commands(due)
        result.commands += self._identities.commands()
