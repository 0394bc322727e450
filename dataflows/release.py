"""A row leaves quarantine: written as the flow would have, unless a newer one is there; or given up.

The flows write blindly, since they own what they write. Whoever releases a row does not, so it watches the entity's
hash: if the flow writes in between, nothing of the release happens, and it looks again.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec
import redis

from dataflows.connectors.letters import DeadLetter
from dataflows.connectors.quarantine import AsideRow, Quarantine
from feature_repo.layout import LAYOUTS, read_stamp

Released: TypeAlias = Literal["released", "newer row there", "forgotten since"]
_read_row: Final = msgspec.json.Decoder(AsideRow).decode


def row_of(letter: DeadLetter) -> AsideRow:
    """The row as it was set aside."""
    return _read_row(letter.original)


def release(client: redis.Redis, quarantine: Quarantine, letter: DeadLetter, *, dry_run: bool = False) -> Released:
    """Write a row and take it out of quarantine, in one transaction.

    Of a row only those views are written whose time is older than the row's: what time alone changed may be newer in
    one view and older in another. A row of an entity that was forgotten, or erased, since is not brought back.

    Args:
        client: of the online store.
        quarantine: where the row is.
        letter: the row as it is kept there.
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
            outcome: Released = "released" if there and older else "newer row there" if there else "forgotten since"
            if dry_run:
                return outcome
            pipeline.multi()
            if outcome == "released":
                values = {name: value for name, value in row.values.items() if layout.columns[name].view in older}
                pipeline.hset(key, mapping=layout.pairs(values, row.at))
            pipeline.execute_command(*quarantine.released_command(letter.letter_id))
            try:
                pipeline.execute()
            except redis.WatchError:
                continue
            return outcome
