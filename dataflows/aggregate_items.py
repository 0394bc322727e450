"""The fold of the items flow: every item, what goes with it, and what is popular where.

An item is touched from every partition, so this fold takes the micro-batches of all of them together, and commits
them in one transaction.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable
from typing import Any, Final

from dataflows.aggregate import DueSet
from dataflows.aggregates.items import COUNTED, Item, pack_scope
from dataflows.aggregates.neighbours import STRENGTHS, Visit, bind
from dataflows.aggregates.popularity import WEIGHTS, Scope, country_scope, is_of_country, scopes_of
from dataflows.aggregates.seen import Seen, hash_id
from dataflows.aggregates.tiles import is_late
from dataflows.events import OURS, TIMELESS, Event, Outcome, Refused
from dataflows.stages import Aggregated, Command, Row, Validated
from dataflows.state import VISIT_TTL_SECONDS, StateTable, visit_key

SEEN_KEY: Final = "inlay:seen:items:{}"
WIDTH: Final = 8
"""Bytes of a hash in a chunk."""
BY_SENDER: Final = b"\2"
"""Before the hashes of a chunk that are of ids with their senders; before there was no such byte, and no sender."""
SCOPE_DUE: Final = "\0scope:"
"""Before the name of a scope among the keys that are due: no item's id holds a control character."""
SCOPES_AT_ONCE: Final = 50
"""Countries that one tick brings up to date; they all become due at midnight."""


class SeenIds:
    """The event ids a partition has brought, kept in Redis as a list of chunks, one a commit.

    An id counts once a sender, as it does for users: else what another sender brings under it would depend on how many
    partitions there are.

    Args:
        partition: which one.
        capacity: how many ids are remembered.
        chunks: what earlier commits stored.
    """

    def __init__(self, partition: int, capacity: int, chunks: Iterable[bytes] = ()) -> None:
        self._key = SEEN_KEY.format(partition)
        self._capacity = capacity
        self._seen = Seen(capacity)
        self._sizes: deque[int] = deque()
        self._stored = 0
        self._fresh: list[int] = []
        self._plain: set[int] = set()
        """Hashes of ids alone, without their sender, as they were stored before."""
        for chunk in chunks:
            by_sender = len(chunk) % WIDTH == len(BY_SENDER)
            ids = Seen.unpack(chunk[len(BY_SENDER) :] if by_sender else chunk, capacity)
            if not by_sender:
                self._plain.update(ids)
            self._sizes.append(len(ids))
            self._stored += len(ids)
            for hashed in ids:
                self._seen.add_hash(hashed)

    def add(self, sender: str, event_id: str) -> bool:
        """Remember an id of a sender; False if it was seen before."""
        hashed = hash_id(f"{sender}\n{event_id}")  # neither holds the separator
        if self._plain and hash_id(event_id) in self._plain:
            return False
        if not self._seen.add_hash(hashed):
            return False
        self._fresh.append(hashed)
        return True

    def commands(self) -> list[Command]:
        """What stores the ids that came since the last time, and drops chunks that are out of reach."""
        if not self._fresh:
            return []
        out: list[Command] = [("RPUSH", self._key, BY_SENDER + Seen.of(self._fresh).pack())]
        self._sizes.append(len(self._fresh))
        self._stored += len(self._fresh)
        self._fresh = []
        while len(self._sizes) > 1 and self._stored - self._sizes[0] >= self._capacity:
            self._stored -= self._sizes.popleft()
            out.append(("LPOP", self._key))
        return out


class FoldItems:
    """All items.

    Args:
        items, visits, scopes: their states.
        seen: by partition, the event ids that were applied.
        due: when rows change by themselves.
        committed: by partition, the offset up to which earlier commits counted the events.
        history: whether the events are those of a file, each judged as of when it happened: none of them is late.
    """

    def __init__(
        self,
        items: StateTable[Item],
        visits: StateTable[Visit],
        scopes: StateTable[Scope],
        seen: dict[int, SeenIds],
        due: DueSet,
        committed: dict[int, int],
        *,
        history: bool = False,
    ) -> None:
        self._items, self._visits, self._scopes = items, visits, scopes
        self._seen, self._due, self._counted, self._history = seen, due, committed, history

    def fold(self, batches: list[Validated], now: int) -> list[Aggregated]:
        """What the micro-batches of all partitions come to: one commit."""
        batches = [batch for batch in batches if batch.offset >= 0]
        if not batches:
            return []
        self._shrink()
        result = Aggregated(tuple(self._seen))
        erasures = [
            command
            for batch in batches
            for offset, command in batch.erasures
            if offset > self._counted[batch.partition]
        ]
        applied = self._sift(batches, result, now)
        visits = self._visits.load({event.key for event in applied if event.type in STRENGTHS})
        touch = _Touch(self._items.load(_items_met(applied, visits)), self._scopes.load, now)
        for event in applied:
            touch.apply(event, visits.get(event.key))
        self._emit(result, touch, now)
        for user in touch.visited:
            result.commands.append(("SET", visit_key(user), visits[user].pack(), "EX", VISIT_TTL_SECONDS))
        for command in erasures:
            # Behind the visits of this commit: what of it came after the command is not worth a commit of its own.
            self._visits.renew(command.key)
            result.commands += [("DEL", visit_key(command.key)), *command.commands("items")]
        for seen in self._seen.values():
            result.commands += seen.commands()
        return self._until_stored(result)

    def expire(self, now: int) -> list[Aggregated]:
        """Rows of the items whose score or windows fell since, and of the countries whose day is over."""
        due = self._due.until(now)
        if not due:
            return []
        self._shrink()
        result = Aggregated(tuple(self._seen))
        items = [key for key in due if not key.startswith(SCOPE_DUE)]
        scopes = [key.removeprefix(SCOPE_DUE) for key in due if key.startswith(SCOPE_DUE)]
        touch = _Touch(self._items.load(items), self._scopes.load, now)
        touch.items_at = dict.fromkeys(items, 0)
        touch.countries = self._scopes.load(scopes[:SCOPES_AT_ONCE])
        self._emit(result, touch, now)
        return self._until_stored(result)

    def _shrink(self) -> None:
        for table in (self._items, self._visits, self._scopes):
            table.shrink()

    def _until_stored(self, result: Aggregated) -> list[Aggregated]:
        """The result, until which is stored the states in it stay."""
        for table in (self._items, self._visits, self._scopes):
            table.stay([result])
        return [result]

    def _sift(self, batches: list[Validated], result: Aggregated, now: int) -> list[Event]:
        """The events that are neither repeated nor late, in order; what became of the rest is counted."""
        outcomes: Counter[Outcome] = Counter()
        applied, offsets = [], {}
        kept: list[tuple[int, int, Refused]] = []
        for batch in batches:
            partition, counted = batch.partition, self._counted[batch.partition]
            for offset, event in batch.events:
                if offset <= counted:
                    continue
                outcome: Outcome = "applied"
                if event.type in OURS:
                    outcomes[outcome] += 1
                    continue
                if not self._history and event.type not in TIMELESS and is_late(event.at, now):
                    outcome = "late"
                elif not self._seen[partition].add(event.key, event.event_id):
                    outcome = "duplicate"
                else:
                    applied.append(event)
                outcomes[outcome] += 1
            outcomes["applied"] += sum(offset > counted for offset, _ in batch.erasures)
            # Refusals are counted here and kept by the people flow, which reads the same events; but for those that
            # are this flow's own.
            refused = [(partition, offset, each) for offset, each in batch.refused if offset > counted]
            outcomes["refused"] += len(refused)
            kept += [each for each in refused if each[2].stage == "gate"]
            self._counted[partition] = offsets[partition] = max(counted, batch.offset)
        result.offsets, result.outcomes, result.received = offsets, outcomes, outcomes.total()
        result.refused = kept
        return applied

    def _emit(self, result: Aggregated, touch: _Touch, now: int) -> None:
        due: dict[str, int | None] = {}
        for item_id, at in touch.items_at.items():
            item = touch.items[item_id]
            near = self._items.peek(item.bindings)
            values, due[item_id] = item.row(now, {other: each.binding for other, each in near.items()})
            item.row_at = max(item.row_at + 1, at)
            result.rows.append(Row("item", item_id, item.row_at, values, item.pack()))
            touch.place(item_id, values)
        for name, scope in touch.settled():
            scope.row_at = max(scope.row_at + 1, now)
            result.rows.append(Row("scope", name, scope.row_at, scope.row(now), pack_scope(scope)))
            if name in touch.countries:
                due[SCOPE_DUE + name] = scope.due(now)
        result.commands += self._due.commands(due)


class _Touch:
    """What one commit touches: items with the newest moment of each, scopes, and visits."""

    def __init__(self, items: dict[str, Item], load_scopes: Callable[[Any], dict[str, Scope]], now: int) -> None:
        self.items, self._load_scopes, self._now = items, load_scopes, now
        self.items_at: dict[str, int] = {}
        self.visited: set[str] = set()
        self.countries: dict[str, Scope] = {}
        self._placed: defaultdict[str, list[tuple[str, float, int]]] = defaultdict(list)

    def apply(self, event: Event, visit: Visit | None) -> None:
        """Fold one event into the items it is about, and into what they are met with."""
        at = event.at
        if event.type == "item":
            assert event.item_id is not None  # noqa: S101  # parse() refuses the event otherwise
            self._describe(event.item_id, event)
            return
        counted, strength = COUNTED.get(event.type), STRENGTHS.get(event.type)
        country = country_scope(event.country) if counted is not None else None
        for item_id in dict.fromkeys(line.item_id for line in event.lines()):
            if counted is not None:
                self.items[item_id].tiles.count(counted, at, self._now)
                self._saw(item_id, at)
                if country and is_of_country(at, self._now):
                    self._country(country).count(item_id, at, WEIGHTS[counted], event.type == "purchase")
            if strength and visit is not None:
                self._meet(event.key, visit, item_id, at, strength)

    def place(self, item_id: str, values: dict[str, Any]) -> None:
        """Note where an item stands in the scopes of its category, from its fresh row."""
        for name in scopes_of(values["category"]):
            self._placed[name].append((item_id, values["trend"], values["purchases_7d"]))

    def settled(self) -> list[tuple[str, Scope]]:
        """The scopes that changed, brought up to date."""
        scopes = self._load_scopes(self._placed.keys() | self.countries.keys())
        for name, scope in scopes.items():
            for placed in self._placed.get(name, ()):
                scope.place(*placed, self._now)
            if name in self.countries:
                scope.settle(self._now)
        return sorted(scopes.items())

    def _country(self, name: str) -> Scope:
        if name not in self.countries:
            self.countries.update(self._load_scopes([name]))
        return self.countries[name]

    def _describe(self, item_id: str, event: Event) -> None:
        item = self.items[item_id]
        before = set(scopes_of(item.said("category")))
        item.describe(event, event.at)
        for name in before - set(scopes_of(item.said("category"))):
            self._placed[name].append((item_id, 0.0, 0))
        self._saw(item_id, event.at)

    def _meet(self, user: str, visit: Visit, item_id: str, at: int, strength: int) -> None:
        more, pairs = visit.meet(item_id, at, strength)
        self.visited.add(user)
        item = self.items[item_id]
        if more:
            item.binding += more
            self._saw(item_id, at)
        for other, with_it, with_other in pairs:
            bind(item.bindings, other, with_it)
            bind(self.items[other].bindings, item_id, with_other)
            self._saw(other, at)

    def _saw(self, item_id: str, at: int) -> None:
        self.items_at[item_id] = max(at, self.items_at.get(item_id, at))


def _items_met(applied: list[Event], visits: dict[str, Visit]) -> set[str]:
    """Every item that the events may touch: their own, and those of the visits they belong to."""
    met: set[str] = set()
    for event in applied:
        met.update([event.item_id or ""] if event.type == "item" else (line.item_id for line in event.lines()))
    for visit in visits.values():
        met.update(visit.met)
    return met
