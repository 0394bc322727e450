"""What goes with what: items met in one visit, in which direction, and how lately.

A visit is what one user does without a pause of 30 minutes. In it an item has a strength s: 1 looked at, 2 put into the
cart, 4 bought. It binds a to b (b goes with a) by

    f(a, b) = max(min(s(a), s(b)), 2 if b was bought when a was first met, or later)

so that bought together outweighs viewed together, and what a view led to buying counts as much as a cart. f looks only
at what the visit holds, so whenever an event changes that, f(after) - f(before) is counted, and the order in which the
events of a visit arrive changes nothing.

Weight of a neighbour: w(a, b) = sum f(a, b) / sqrt(sum s(a) * sum s(b)) over all visits, each term times its decay: the
cosine, which corrects for popularity (Sarwar et al., 2001, "Item-based collaborative filtering"). As f(a, b) never
exceeds sqrt(s(a) * s(b)), no weight exceeds 1.

Decay: half-life 30 days, by the UTC day on which an item was first met in the visit; of a pair the earlier of the two.
Nothing is ever decayed in place: a term of day d is counted times 2^((d - ORIGIN) / 30), and what that has grown by at
any later day is the same factor in every sum, which a ratio does not show (forward decay: Cormode et al., 2009). So one
origin serves all items, late events count with their age, and passing time alone changes no weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from heapq import nlargest
from math import ldexp, sqrt
from typing import Any, Final

import msgspec

from dataflows.events import DAY, MINUTE

VISIT_PAUSE: Final = 30 * MINUTE
VISIT_ITEMS: Final = 20
BOUGHT: Final = 4
LED_TO_BUYING: Final = 2
STRENGTHS: Final[Mapping[str, int]] = {"view": 1, "click": 1, "add_to_cart": 2, "purchase": BOUGHT}
NEIGHBOURS: Final = 50
CANDIDATES: Final = 400
"""Neighbours counted an item, so that memory is bounded whatever the catalogue; the weakest make room."""

HALF_LIFE_DAYS: Final = 30
ORIGIN: Final = 20_781
"""The day, since 1970, that weighs 1: 2026-11-24, when decay began. What was counted before is taken to be of it.
A double holds the weights of 84 years from there."""
DIGITS: Final = 36
"""Binary digits behind the point of a weight between 1 and 2: 1e-11 off at most. A double has room for 17 more, so that
sums are exact, in whatever order they are made, up to thousands of terms over months; after that to 16 digits."""

Met = tuple[int, int, int]
"""An item of a visit: its strength, when it was first met, and when it was last bought (0: not)."""


@lru_cache(maxsize=1024)
def decay(day: int) -> float:
    """How much a thing of a day counts, beside one of the day ORIGIN: twice as much every HALF_LIFE_DAYS."""
    doublings, rest = divmod(day - ORIGIN, HALF_LIFE_DAYS)
    return ldexp(round(ldexp(2.0 ** (rest / HALF_LIFE_DAYS), DIGITS)), doublings - DIGITS)


class Visit:
    """The items of a user's current visit, in order of arrival."""

    __slots__ = ("last_at", "met")

    def __init__(self, last_at: int = 0, met: dict[str, Met] | None = None) -> None:
        self.last_at = last_at
        self.met = met or {}

    def meet(self, item_id: str, at: int, strength: int) -> tuple[float, list[tuple[str, float, float]]]:
        """An item was met in the visit.

        Returns:
            By how much it is now stronger; and by item that it was met with, by how much more that one goes with it,
            and it with that one. All decayed; below zero where an older event makes the visit older than it seemed.
        """
        if at > self.last_at + VISIT_PAUSE:
            self.met = {}
        elif at < self.last_at - VISIT_PAUSE and at < min(each[1] for each in self.met.values()) - VISIT_PAUSE:
            return strength * decay(at // DAY), []
        if at > self.last_at:
            self.last_at = at
        before = self.met.get(item_id)
        bought_at = at if strength == BOUGHT else 0
        if before is None:
            after = (strength, at, bought_at)
        else:
            after = (max(strength, before[0]), min(at, before[1]), max(bought_at, before[2]))
            if after == before:
                return 0.0, []
        more = after[0] * decay(after[1] // DAY) - (before[0] * decay(before[1] // DAY) if before else 0.0)
        pairs = []
        for other, theirs in self.met.items():
            if other != item_id:
                with_it, with_them = bound(after, theirs), bound(theirs, after)
                if before is not None:
                    with_it -= bound(before, theirs)
                    with_them -= bound(theirs, before)
                if with_it or with_them:
                    pairs.append((other, with_it, with_them))
        self.met[item_id] = after
        if len(self.met) > VISIT_ITEMS:
            del self.met[next(iter(self.met))]
        return more, pairs

    def pack(self) -> bytes:
        """The visit as bytes."""
        return msgspec.msgpack.encode((self.last_at, self.met))

    @classmethod
    def unpack(cls, packed: bytes) -> Visit:
        """The visit that `pack` wrote.

        Once it held strengths alone. All of those were met when the last one was, as far as is known, and none of
        them was bought: so that of what follows only what is more than was counted then is counted.
        """
        last_at, found = msgspec.msgpack.decode(packed)
        return cls(last_at, {item_id: _met(each, last_at) for item_id, each in found.items()})


def bound(one: Met, other: Met) -> float:
    """How much a visit binds one of its items to another: by how much the other goes with it, decayed."""
    strength, first_at, _ = one
    theirs, their_first_at, their_bought_at = other
    least = min(strength, theirs)
    if least < LED_TO_BUYING and their_bought_at >= first_at:
        least = LED_TO_BUYING
    return least * decay(min(first_at, their_first_at) // DAY)


def bind(bindings: dict[str, float], other: str, more: float) -> None:
    """Count a neighbour of an item once more; past CANDIDATES the newcomer takes the weakest one's place and count.

    That is the rule of Space-Saving (Metwally et al., 2005): a strong newcomer is never kept out for good.
    """
    if other in bindings:
        bindings[other] += more
    elif more > 0:
        least = 0.0
        if len(bindings) >= CANDIDATES:
            least = min(bindings.values())
            del bindings[min(item_id for item_id, count in bindings.items() if count == least)]
        bindings[other] = least + more


def weigh(own: float, bindings: Mapping[str, float], theirs: Mapping[str, float]) -> tuple[list[str], list[float]]:
    """The strongest neighbours and their weights to 6 digits, given an item's own strength and its neighbours'.

    A count that was taken over from another may exceed what its item has: then its own strength is taken to be that.
    """
    if own <= 0:
        return [], []
    root = sqrt(own)
    weights = [
        (round(count / (root * sqrt(max(theirs.get(item_id, count), count))), 6), item_id)
        for item_id, count in bindings.items()
        if count > 0
    ]
    if len(weights) > NEIGHBOURS:
        least = nlargest(NEIGHBOURS, [weight for weight, _ in weights])[-1]
        weights = [each for each in weights if each[0] >= least]
    best = sorted(weights, key=lambda each: (-each[0], each[1]))[:NEIGHBOURS]
    return [item_id for _, item_id in best], [weight for weight, _ in best]


def _met(packed: Any, last_at: int) -> Met:
    if isinstance(packed, int):
        return packed, last_at, 0
    strength, first_at, bought_at = packed
    return strength, first_at, bought_at
