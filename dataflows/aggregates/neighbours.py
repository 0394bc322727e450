"""What goes with what: items met in one visit, and how strongly.

A visit is what one user does without a pause of 30 minutes. In it an item has a strength: 1 looked at, 2 put into the
cart, 4 bought. Two items of a visit are bound by the lesser of their strengths, so that bought together outweighs
viewed together. The weight of a pair is its binding over all visits, corrected for popularity by the cosine:
w(a, b) = binding(a, b) / sqrt(binding(a) * binding(b)), where binding(a) is a's own strength over all visits
(item-to-item co-occurrence after Sarwar et al., 2001, "Item-based collaborative filtering").
"""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import Final

import msgspec

from dataflows.events import MINUTE

VISIT_PAUSE: Final = 30 * MINUTE
VISIT_ITEMS: Final = 20
STRENGTHS: Final[Mapping[str, int]] = {"view": 1, "click": 1, "add_to_cart": 2, "purchase": 4}
NEIGHBOURS: Final = 50
CANDIDATES: Final = 400
"""Neighbours counted an item, so that memory is bounded whatever the catalogue; the weakest make room."""


class Visit:
    """The items of a user's current visit with their strengths, in order of arrival."""

    __slots__ = ("last_at", "strengths")

    def __init__(self, last_at: int = 0, strengths: dict[str, int] | None = None) -> None:
        self.last_at = last_at
        self.strengths = strengths or {}

    def strengthen(self, item_id: str, at: int, strength: int) -> tuple[int, list[tuple[str, int]]]:
        """An item was met in the visit: by how much it, and each of its pairs, is now bound more strongly."""
        if at > self.last_at + VISIT_PAUSE:
            self.strengths = {}
        elif at < self.last_at - VISIT_PAUSE:
            return strength, []
        self.last_at = max(at, self.last_at)
        before = self.strengths.get(item_id, 0)
        if strength <= before:
            return 0, []
        pairs = []
        for other, theirs in self.strengths.items():
            if other != item_id and (more := min(strength, theirs) - min(before, theirs)) > 0:
                pairs.append((other, more))
        self.strengths[item_id] = strength
        if len(self.strengths) > VISIT_ITEMS:
            del self.strengths[next(iter(self.strengths))]
        return strength - before, pairs

    def pack(self) -> bytes:
        """The visit as bytes."""
        return msgspec.msgpack.encode((self.last_at, self.strengths))

    @classmethod
    def unpack(cls, packed: bytes) -> Visit:
        """The visit that `pack` wrote."""
        return cls(*msgspec.msgpack.decode(packed))


def bind(bindings: dict[str, int], other: str, more: int) -> None:
    """Count a pair once more on one of its sides; past CANDIDATES the newcomer takes the weakest one's place and count.

    That is the rule of Space-Saving (Metwally et al., 2005): a strong newcomer is never kept out for good.
    """
    if other in bindings or len(bindings) < CANDIDATES:
        bindings[other] = bindings.get(other, 0) + more
        return
    weakest = min(bindings, key=lambda item_id: (bindings[item_id], item_id))
    bindings[other] = bindings.pop(weakest) + more


def weigh(own: int, bindings: Mapping[str, int], theirs: Mapping[str, int]) -> tuple[list[str], list[float]]:
    """The strongest neighbours and their weights, given an item's own binding and that of its neighbours."""
    weights = [
        (-round(count / sqrt(own * max(theirs.get(item_id, count), count)), 6), item_id)
        for item_id, count in bindings.items()
        if own > 0
    ]
    best = sorted(weights)[:NEIGHBOURS]
    return [item_id for _, item_id in best], [-weight for weight, _ in best]
