"""Fallback ladders: what a kind of block offers, the most personal first.

A kind turns what is known into *rungs*, lists of items. Which of them may be shown is decided elsewhere, by one rule
for all kinds and all rungs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Final, NamedTuple, TypeAlias

from msgspec import Struct

from api.answer import Source
from api.known import CatalogueRow, Known, ScopeFeatures, UserFeatures

SEEDS: Final = 10
"""How many of a user's items are asked for their neighbours."""
POOL: Final = 200
"""How many neighbours count in all: of one item all it has, of many items the nearest of each."""
FADE: Final = 0.8
"""What each older item counts, compared with the one after it."""
_FADED: Final = tuple(FADE**rank for rank in range(SEEDS))

Suits: TypeAlias = Callable[[CatalogueRow, CatalogueRow | None, int], bool]
"""Whether an item is what a rung is about, by its row, that of the item it is because of, and since when it counts."""


class Because(Struct, frozen=True, gc=False):
    """Why an item is offered: a phrase of `api.words`, and what completes it: the title of an item, or a category."""

    phrase: str
    seed: str | None = None
    about: str | None = None


class Rung(Struct, frozen=True, gc=False):
    """One step of a fallback ladder.

    Attributes:
        source: who answers.
        ids: the items, best first.
        phrase: why they are offered, as a phrase of `api.words`.
        about: what completes the phrase, such as a category.
        first_choice: whether this is what the kind, and so its title, is about.
        because: the reason of each item, where it is its own.
        suits: what an item's row must be, beyond the one rule for all; None asks nothing.
        dated: the moment in an item's row whose day completes the phrase.
        as_of: of when the list is, in microseconds; None where it is the user's own, or not known.
    """

    source: Source
    ids: Sequence[str]
    phrase: str
    about: str | None = None
    first_choice: bool = False
    because: Callable[[str], Because] | None = None
    suits: Suits | None = None
    dated: str | None = None
    as_of: int | None = None


class Kind(NamedTuple):
    """A kind of block.

    Attributes:
        rungs: what it is about, and the nearest to it.
        fallback: the kinds whose rungs stand in after that, and `static`.
        mixes: whether a later rung may fill up what an earlier one left open; a cart is never filled up.
        shows_cart: whether items in the cart may stand in it.
        seeds: the user's items whose neighbours it asks for.
        within_days: how long a moment counts, for kinds about one.
        template: how it is drawn.
        content: whether the layout itself says what it shows.
        moment: the moment in an item's row that it is about.
    """

    rungs: Callable[[Known], Iterable[Rung]]
    fallback: tuple[str, ...] = ("trending", "static")
    mixes: bool = True
    shows_cart: bool = False
    seeds: Callable[[UserFeatures], Iterable[str]] | None = None
    within_days: int = 30
    template: str = "grid"
    content: bool = False
    moment: str | None = None


def popular_rungs(known: Known, list_of: Callable[[ScopeFeatures], Sequence[str]], phrase: str) -> Iterable[Rung]:
    """What is popular in the user's country, then everywhere."""
    if known.user.country and (there := known.scopes.get(f"country:{known.user.country.upper()}")):
        yield Rung("popular", list_of(there), phrase, first_choice=True, as_of=there.as_of)
    if everywhere := known.scopes.get("all"):
        yield Rung("popular", list_of(everywhere), phrase, first_choice=True, as_of=everywhere.as_of)


def segment_rungs(known: Known, list_of: Callable[[ScopeFeatures], Sequence[str]], phrase: str) -> Iterable[Rung]:
    """What does best in the categories that the user likes, the best liked first."""
    for category in known.user.top_categories:
        if scope := known.scopes.get(f"category:{category}"):
            yield Rung("segment", list_of(scope), phrase, category, as_of=scope.as_of)


def moment_rungs(known: Known, moment: str, phrase: str, own: Sequence[str], suits: Suits) -> Iterable[Rung]:
    """What came to a moment: of the user's own items, in the categories they like, then in the whole shop."""
    yield Rung("personal", own, phrase, first_choice=True, suits=suits, dated=moment)
    lately = known.lately.get(moment, {})
    for category in known.user.top_categories:
        if found := lately.get(f"category:{category}"):
            yield Rung("segment", found, phrase, first_choice=True, suits=suits, dated=moment)
    yield Rung("popular", lately.get("all", ()), phrase, first_choice=True, suits=suits, dated=moment)


def faded(*lists: tuple[Sequence[str], float]) -> dict[str, float]:
    """The first items of some lists, newest first, with weights: each list's own, falling with every older item."""
    weights: dict[str, float] = {}
    for items, weight in lists:
        for item_id, faded_by in zip(items, _FADED, strict=False):
            weights[item_id] = weights.get(item_id, 0.0) + weight * faded_by
    return weights


def near(known: Known, weights: Mapping[str, float]) -> tuple[list[str], dict[str, str]]:
    """Neighbours of weighted items by the weighted sum of their closeness (equal ones by id); none of the items itself.

    Returns:
        The neighbours, best first, and of each the item that gave most to it.
    """
    if len(weights) == 1:  # as of most users: what was read is in order
        (alone,) = weights
        found = [item_id for item_id in islice(known.neighbours.get(alone, ()), POOL) if item_id != alone]
        return found, dict.fromkeys(found, alone)
    each = POOL // max(len(weights), 1)
    scores: dict[str, float] = {}
    best: dict[str, str] = {}
    most: dict[str, float] = {}  # of those that several items gave to
    for seed, weight in weights.items():
        its = known.neighbours.get(seed)
        if not its:
            continue
        if not scores:
            scores = {item_id: weight * near for item_id, near in islice(its.items(), each)}
            best = dict.fromkeys(scores, seed)
            continue
        for item_id, near in islice(its.items(), each):
            share = weight * near
            if item_id in scores:
                if share > most.setdefault(item_id, scores[item_id]):
                    most[item_id], best[item_id] = share, seed
                scores[item_id] += share
            else:
                scores[item_id], best[item_id] = share, seed
    for seed in weights:
        scores.pop(seed, None)
    return _ranked(scores), best


def _ranked(scores: Mapping[str, float]) -> list[str]:
    """The keys, those with more first; equal ones, which are rare, in their own order."""
    alike = len(set(scores.values())) < len(scores)
    return sorted(sorted(scores) if alike else scores, key=scores.__getitem__, reverse=True)
