"""A row leaves quarantine: written as the flow would have, unless a newer one is there; or given up.

The flows write blindly, since they own what they write. Whoever releases a row does not, so it watches the entity's
hash: if the flow writes in between, nothing of the release happens, and it looks again.

What follows from a row (a cart left behind and the like) sets off mails, so it waits with the row, and is told with it.
"""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple, TypeAlias

import msgspec
import redis

from dataflows.connectors.letters import DeadLetter
from dataflows.connectors.quarantine import AsideRow, Quarantine
from dataflows.derived import DerivedStream, read_event, still_true
from feature_repo.layout import LAYOUTS, read_stamp

Outcome: TypeAlias = Literal["released", "newer row there", "forgotten since"]
ACTS: Final = LAYOUTS["user"].columns["cart_items"].view
"""The view that events of a person write anew, and passing time does not."""
_read_row: Final = msgspec.json.Decoder(AsideRow).decode


class Released(NamedTuple):
    """What became of a row, and how many derived events were told with it."""

    outcome: Outcome
    told: int


def row_of(letter: DeadLetter) -> AsideRow:
    """The row as it was set aside."""
    return _read_row(letter.original)


def release(
    client: redis.Redis,
    quarantine: Quarantine,
    letter: DeadLetter,
    derived: DerivedStream,
    now: int,
    *,
    dry_run: bool = False,
) -> Released:
    """Write a row, tell what follows from it, and take it out of quarantine, in one transaction.

    Of a row only those views are written whose time is older than the row's: what time alone changed may be newer in
    one view and older in another. A row of an entity that was forgotten, or erased, since is not brought back, and
    nothing is told of it.

    Args:
        client: of the online store.
        quarantine: where the row is.
        letter: the row as it is kept there.
        derived: where what follows is told, as far as it still holds.
        now: microseconds since 1970.
        dry_run: say what would be, and change nothing.
    """
    row = row_of(letter)
    layout = LAYOUTS[row.entity]
    key = layout.key(row.key)
    views = sorted({layout.columns[name].view for name in row.values})
    with client.pipeline(transaction=True) as pipeline:
        while True:
            pipeline.watch(key)
            there = pipeline.exists(key)
            stamps = pipeline.hmget(key, [layout.stamps[view] for view in views])
            older = {view for view, raw in zip(views, stamps, strict=True) if not raw or read_stamp(raw) < row.at}
            outcome: Outcome = "released" if there and older else "newer row there" if there else "forgotten since"
            told = _still_true(row, pipeline.hget(key, layout.stamps[ACTS]), now) if there and row.follows else []
            if dry_run:
                return Released(outcome, len(told))
            pipeline.multi()
            if outcome == "released":
                values = {name: value for name, value in row.values.items() if layout.columns[name].view in older}
                pipeline.hset(key, mapping=layout.pairs(values, row.at))
            if told:
                pipeline.execute_command(*quarantine.tell_command(letter.letter_id, derived.commands_of(row.key, told)))
            pipeline.execute_command(*quarantine.released_command(letter.letter_id))
            try:
                pipeline.execute()
            except redis.WatchError:
                continue
            return Released(outcome, len(told))


def _still_true(row: AsideRow, acted: Any, now: int) -> list[bytes]:
    """Of what waits with a row, what may be told still; `acted` is when the newest row was made that an event made."""
    acted_since = acted is not None and read_stamp(acted) > row.at
    records = map(bytes, row.follows)
    return [each for each in records if still_true(read_event(each), now, acted_since=acted_since)]
