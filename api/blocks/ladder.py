"""Fallback ladders: what a kind of block offers, the most personal first.

A kind turns what is known into *rungs*, lists of candidates. Which of them may be shown is decided elsewhere, by one
rule for all kinds and all rungs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from api.answer import Source
from api.known import Known, ScopeFeatures

SEEDS: Final = 10
"""How many of a user's items are asked for their neighbours."""


class Candidate(NamedTuple):
    """An item that could be shown, and why; `because` names another item whose title completes the reason."""

    item_id: str
    reason: str | None = None
    because: str | None = None


class Rung(NamedTuple):
    """One step of a fallback ladder: who answers, the candidates, best first, and whether the title is about them."""

    source: Source
    candidates: list[Candidate]
    first_choice: bool = False


class Kind(NamedTuple):
    """A kind of block.

    Attributes:
        rungs: its ladder.
        mixes: whether a later rung may fill up what an earlier one left open; a cart is never filled up.
        shows_cart: whether items in the cart may stand in it.
    """

    rungs: Callable[[Known], Iterable[Rung]]
    mixes: bool
    shows_cart: bool = False


def popular_rungs(known: Known, list_of: Callable[[ScopeFeatures], Iterable[str]], reason: str) -> Iterable[Rung]:
    """The lower rungs that all ladders end on: the user's country, then everywhere, then what never needs Redis."""
    if known.user.country and (there := known.scopes.get(f"country:{known.user.country.upper()}")):
        yield Rung("popular", [Candidate(item_id, reason) for item_id in list_of(there)])
    if everywhere := known.scopes.get("all"):
        yield Rung("popular", [Candidate(item_id, reason) for item_id in list_of(everywhere)])
    yield Rung("static", [Candidate(item_id) for item_id in known.fallback])


def segment_rungs(known: Known, list_of: Callable[[ScopeFeatures], Iterable[str]], reason: str) -> Iterable[Rung]:
    """What does best in the categories that the user likes, the best liked first."""
    for category in known.user.top_categories:
        if scope := known.scopes.get(f"category:{category}"):
            yield Rung("segment", [Candidate(item_id, reason.format(category)) for item_id in list_of(scope)])
