"""Resolve: what is known of a user becomes the blocks of a mail. Pure: no reading, no clock.

One list of shown items runs through the whole mail, so that nothing stands in it twice; and one rule says on every
rung of every block what may be shown at all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import islice
from typing import Final, NamedTuple

from api.answer import Block, Item
from api.blocks import KINDS
from api.blocks.ladder import Candidate, Kind, Rung
from api.blocks.recommended import seeds
from api.known import CatalogueRow, Known, UserFeatures
from api.layout import BlockPlan, Layout

LOOKED_AT: Final = 24
"""How many candidates of a rung are considered beyond those that other blocks may take."""
CATEGORIES: Final = 3


class Offer(NamedTuple):
    """A block of the layout with the ladder that its kind offers."""

    plan: BlockPlan
    kind: Kind
    rungs: list[Rung]


def scopes_wanted(user: UserFeatures) -> list[str]:
    """The scopes whose popular items may stand in a mail to this user."""
    country = [f"country:{user.country.upper()}"] if user.country and len(user.country) == 2 else []
    return ["all", *country, *(f"category:{category}" for category in user.top_categories[:CATEGORIES])]


def seeds_wanted(user: UserFeatures) -> list[str]:
    """The items whose neighbours may stand in a mail to this user."""
    return list(seeds(Known(user, {}, {})))


def offers(layout: Layout, known: Known, excluded: Collection[str] = ()) -> list[Offer]:
    """The ladders of a layout's blocks, each rung cut to what could possibly be needed of it."""
    out = len(known.user.purchased_items) + len(known.user.cart_items) + len(excluded)
    most = LOOKED_AT + sum(plan.count for plan in layout.blocks) + out
    found = []
    for plan in layout.blocks:
        kind = KINDS[plan.block]
        rungs = [rung._replace(candidates=rung.candidates[:most]) for rung in kind.rungs(known)]
        found.append(Offer(plan, kind, rungs))
    return found


def items_wanted(found: Iterable[Offer]) -> set[str]:
    """Every item whose catalogue row is needed: the candidates, and those named in a reason."""
    wanted: set[str] = set()
    for offer in found:
        for rung in offer.rungs:
            for candidate in rung.candidates:
                wanted.add(candidate.item_id)
                if candidate.because:
                    wanted.add(candidate.because)
    return wanted


def may_show(
    item_id: str, row: CatalogueRow | None, user: UserFeatures, excluded: Collection[str], shows_cart: bool
) -> bool:
    """The one rule: not bought, not sold out, not left out by the caller, complete, and no cart item out of place."""
    return (
        row is not None
        and row.in_stock is not False
        and bool(row.title and row.url and row.image_url)
        and row.price is not None
        and item_id not in user.purchased_items
        and item_id not in excluded
        and (shows_cart or item_id not in user.cart_items)
    )


def fill(
    found: Iterable[Offer], user: UserFeatures, catalogue: Mapping[str, CatalogueRow], excluded: Collection[str] = ()
) -> tuple[Block, ...]:
    """The blocks of the mail, in order; a block without anything right to show is empty."""
    shown: set[str] = set()
    blocks = []
    for plan, kind, rungs in found:
        source, first_choice = rungs[-1].source, False
        chosen: list[Candidate] = []
        for rung in rungs:
            fresh = (
                candidate
                for candidate in {each.item_id: each for each in rung.candidates}.values()
                if candidate.item_id not in shown
                and may_show(candidate.item_id, catalogue.get(candidate.item_id), user, excluded, kind.shows_cart)
            )
            picked = list(islice(fresh, plan.count - len(chosen)))
            if picked and not chosen:
                source, first_choice = rung.source, rung.first_choice
            chosen += picked
            shown.update(candidate.item_id for candidate in picked)
            if len(chosen) >= plan.count or (chosen and not kind.mixes):
                break
        title = plan.title if first_choice else plan.fallback_title or plan.title
        items = tuple(_item(position, each, catalogue) for position, each in enumerate(chosen, start=1))
        blocks.append(Block(plan.block, title, source, items))
    return tuple(blocks)


def _item(position: int, candidate: Candidate, catalogue: Mapping[str, CatalogueRow]) -> Item:
    row = catalogue[candidate.item_id]
    reason = candidate.reason
    if candidate.because:
        because = catalogue.get(candidate.because)
        reason = f"{reason} {because.title}" if because and because.title else "picked for you"
    return Item(
        candidate.item_id, row.title or "", row.url, row.image_url, row.price, row.list_price, row.currency,
        position, reason,
    )  # fmt: skip
