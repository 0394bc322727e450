"""Resolve: what is known of a user becomes the blocks of a mail. Pure: no reading, no clock.

One list of shown items runs through the whole mail, so that nothing stands in it twice; and one rule says on every
rung of every block what may be shown at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import filterfalse, islice
from typing import Final, NamedTuple

from msgspec.structs import replace

from api.answer import Block, Item, Source
from api.blocks import KINDS
from api.blocks.ladder import Kind, Rung
from api.choice import boosted, has_room, passes, worn_out
from api.eligibility import Eligibility
from api.known import CatalogueRow, Known, UserFeatures
from api.plans import BlockPlan, Layout
from api.wording import moment, reason_of, title_of
from api.words import said

LOOKED_AT: Final = 24
"""How many items of a block's ladder are looked at beyond those that the mail shows."""
PICKED_OVER: Final = 120
"""Likewise where the block is choosy: filters, boosts and the like want more to choose from."""
CATEGORIES: Final = 3
DAY: Final = 86_400
STATIC: Final = "static"
_PINNED: Final = "pinned"


class Ladder:
    """The rungs of a block, each made when it is come to: most mails need the first one or two.

    The items of a rung are cut to what could be needed, since each is a catalogue row to read, and come once.
    """

    def __init__(self, plan: BlockPlan, kind: Kind, known: Known, gone: Collection[str], most: int) -> None:
        self._given = plan, kind, known, gone, most

    def __iter__(self) -> Iterator[Rung]:
        return _cut(*self._given)


class Offer(NamedTuple):
    """A block of the layout with the ladder that its kind offers.

    Attributes:
        plan: what the layout says.
        kind: of the block.
        rungs: the ladder; pins are its first rung.
        since: what is older is not new, reduced or back any more, in seconds since 1970.
        gone: items that are out whatever their rows say.
    """

    plan: BlockPlan
    kind: Kind
    rungs: Iterable[Rung]
    since: int
    gone: Collection[str]


class Readings(NamedTuple):
    """What must be read before the ladders of a layout can be built: scopes, and items whose neighbours count."""

    scopes: list[str]
    seeds: list[str]


class Mail(NamedTuple):
    """The blocks of a mail on their way: their ladders, and the rule for all of them."""

    offers: list[Offer]
    eligibility: Eligibility
    known: Known
    locale: str


class _Page(NamedTuple):
    """What blocks are filled from, one after another: what stands in the mail already is `shown`."""

    mail: Mail
    catalogue: Mapping[str, CatalogueRow]
    shown: set[str]
    looked: set[str]


def wanted(layout: Layout, user: UserFeatures) -> Readings:
    """What blocks of a layout need to know beside the user."""
    country = [f"country:{user.country.upper()}"] if user.country and len(user.country) == 2 else []
    liked = [f"category:{category}" for category in user.top_categories[:CATEGORIES]]
    filtered = [f"category:{path}" for plan in layout.blocks if plan.filters for path in plan.filters.category]
    asking = dict.fromkeys(ask for plan in layout.blocks for ask in _asking(plan.block, plan.fallback))
    seeds = dict.fromkeys(item_id for ask in asking for item_id in ask(user))
    return Readings(list(dict.fromkeys(("all", *country, *liked, *filtered))), list(seeds))


def prepare(layout: Layout, known: Known, excluded: Collection[str] = ()) -> Mail:
    """The ladders of a layout's blocks, each cut to what could possibly be needed of it."""
    locale = known.user.locale or layout.locale
    rule = Eligibility(known.user, layout.rules, excluded)
    if (told := rule.likes(known.user)) is not known.user:
        known = replace(known, user=told)
    mail = Mail([], rule, known, locale)
    most = sum(plan.count for plan in layout.blocks) + LOOKED_AT
    for plan in layout.blocks:
        kind = KINDS[plan.block]
        choosy = plan.filters or plan.boosts or plan.diversity
        gone = mail.eligibility.barred(kind.shows_cart)
        if plan.frequency_cap:
            gone = gone | worn_out(known.served, plan.frequency_cap, known.now)
        rungs = Ladder(plan, kind, known, gone, most + PICKED_OVER if choosy else most)
        since = known.now - (plan.within_days or kind.within_days) * DAY
        mail.offers.append(Offer(plan, kind, rungs, since, gone))
    return mail


def items_wanted(mail: Mail) -> set[str]:
    """Every item whose catalogue row must be read: those that may be shown, and those named in a reason.

    The last rung's are remembered with their rows.
    """
    found: set[str] = set()
    for offer in mail.offers:
        for rung in offer.rungs:
            if _is_read(rung):
                found.update(rung.ids)
                if because := rung.because:
                    found.update(seed for item_id in rung.ids if (seed := because(item_id).seed))
    return found


def fill(mail: Mail, catalogue: Mapping[str, CatalogueRow], looked: set[str] | None = None) -> tuple[Block, ...]:
    """The blocks of the mail, in order; a block without anything right to show is empty.

    Args:
        mail: what it is made of.
        catalogue: rows of items.
        looked: takes in every item whose row decided something, in the catalogue or missing there: where all of these
            were read, no other row changes the mail. Those of the last rung are remembered with their rows.
    """
    page = _Page(mail, catalogue, set(), set() if looked is None else looked)
    return tuple(_content(offer, page) if offer.kind.content else _products(offer, page) for offer in mail.offers)


@lru_cache(maxsize=256)
def _asking(block: str, fallback: tuple[str, ...] | None) -> tuple[Callable[[UserFeatures], Iterable[str]], ...]:
    """What asks for items whose neighbours count, of the kinds whose rungs a block may come to."""
    kind = KINDS[block]
    kinds = (kind, *(KINDS[name] for name in _fallback(fallback, kind) if name != STATIC))
    return tuple(each.seeds for each in kinds if each.seeds)


def _fallback(said: tuple[str, ...] | None, kind: Kind) -> tuple[str, ...]:
    """What stands in: what the layout says, else what the kind does."""
    return kind.fallback if said is None else said


def _ladder(plan: BlockPlan, kind: Kind, known: Known) -> Iterator[Rung]:
    """The rungs of a block: its pins, its own, what is popular where it filters for, and the kinds that stand in."""
    if plan.pins:
        yield Rung(STATIC, plan.pins, _PINNED)
    yield from kind.rungs(known)
    if plan.filters and plan.fallback is None:
        for path in plan.filters.category:
            if scope := known.scopes.get(f"category:{path}"):
                yield Rung("popular", scope.items, "popular_in", path, as_of=scope.as_of)
    for name in _fallback(plan.fallback, kind):
        if name != STATIC:
            for rung in KINDS[name].rungs(known):
                yield replace(rung, first_choice=False)


def _cut(plan: BlockPlan, kind: Kind, known: Known, gone: Collection[str], most: int) -> Iterator[Rung]:
    """The ladder, cut to what could be needed of it."""
    countries = plan.filters.countries if plan.filters else ()
    if countries and (known.user.country or "").upper() not in countries:
        return
    left, seen = most, set(gone)
    for rung in _ladder(plan, kind, known):
        if rung.suits:  # most may not, and what does not suit here may do on another rung
            new = dict.fromkeys(item_id for item_id in rung.ids if item_id not in seen)
            yield _with(rung, list(islice(new, PICKED_OVER)))
            continue
        ids = list(islice(filterfalse(seen.__contains__, rung.ids), left))
        if len(set(ids)) < len(ids):  # something stands in it twice, which is rare
            ids = list(islice(filterfalse(seen.__contains__, dict.fromkeys(rung.ids)), left))
        seen.update(ids)
        yield _with(rung, ids)
        left -= len(ids) if rung.phrase != _PINNED else 0
        if left <= 0:
            break
    if STATIC in _fallback(plan.fallback, kind):  # remembered with its rows, so it costs no reading
        yield Rung(STATIC, known.fallback, "worth_a_look")


def _with(rung: Rung, ids: list[str]) -> Rung:
    """A rung with other items, in less time than `replace` takes."""
    return Rung(
        rung.source, ids, rung.phrase, rung.about, rung.first_choice, rung.because, rung.suits, rung.dated, rung.as_of
    )  # fmt: skip


def _products(offer: Offer, page: _Page) -> Block:
    plan, kind, rungs, *_ = offer
    mail, catalogue, shown, looked = page
    source: Source = STATIC
    first_choice = answered = False
    as_of: int | None = None
    chosen: list[tuple[str, Rung]] = []
    crowd: Counter[tuple[str, str]] | None = Counter() if plan.diversity else None
    for rung in rungs:
        before = len(chosen)
        for item_id in _ranked(rung, offer, page):
            row = catalogue[item_id]
            if plan.diversity and crowd is not None:
                if rung.phrase != _PINNED and not has_room(plan.diversity, row, crowd):
                    continue
                crowd.update((("category", row.category or ""), ("brand", row.brand or "")))
            chosen.append((item_id, rung))
            shown.add(item_id)
            if len(chosen) >= plan.count:
                break
        if len(chosen) > before and not answered and rung.phrase != _PINNED:
            source, first_choice, answered = rung.source, rung.first_choice, True
            as_of = mail.known.user.as_of if source == "personal" else rung.as_of
        if len(chosen) >= plan.count or (answered and not kind.mixes):
            break
    title = title_of(plan, mail.known.user, mail.locale, first_choice)
    locale, speaks = mail.locale, mail.eligibility.may_name
    items = [
        _item(position, item_id, catalogue[item_id], reason_of(rung, item_id, catalogue, locale, looked, speaks))
        for position, (item_id, rung) in enumerate(chosen, start=1)
    ]
    # What stands in for a cart is no cart: under it there is nothing to go back to.
    drawn_as = plan.template or ("list" if kind.template == "cart" and not first_choice else "")
    return Block(plan.block, title, source, tuple(items), drawn_as, None if as_of is None else moment(as_of))


def _ranked(rung: Rung, offer: Offer, page: _Page) -> Iterable[str]:
    """The items of a rung that may be shown and are what the block asks for, best first."""
    boosts = offer.plan.boosts
    right = _right(rung, offer, page)
    if not boosts or rung.phrase == _PINNED:
        return right
    places = [
        (place / boosted(boosts, item_id, page.catalogue[item_id]), -place, item_id)  # who is lifted goes first
        for place, item_id in enumerate(right, start=1)
    ]
    return [item_id for *_, item_id in sorted(places)]


def _right(rung: Rung, offer: Offer, page: _Page) -> Iterator[str]:
    """Likewise in the order of the rung."""
    mail, catalogue, shown, looked = page
    gone, suits, complete = offer.gone, rung.suits, mail.eligibility.complete
    filters = offer.plan.filters if rung.phrase != _PINNED else None
    is_read = _is_read(rung)
    for item_id in rung.ids:
        if item_id in shown or item_id in gone:
            continue
        if is_read:
            looked.add(item_id)
        row = catalogue.get(item_id)
        if row is None or not complete(item_id, row) or (filters is not None and not passes(filters, row)):
            continue
        if suits is not None:
            if seed := rung.because(item_id).seed if rung.because else None:
                looked.add(seed)
            if not suits(row, catalogue.get(seed) if seed else None, offer.since):
                continue
        yield item_id


def _is_read(rung: Rung) -> bool:
    """Whether the rows of its items must be read; those of the last rung are remembered."""
    return rung.source != STATIC or rung.phrase == _PINNED


def _content(offer: Offer, page: _Page) -> Block:
    """What the layout itself says, each piece once in a mail, without what the caller left out."""
    plan, mail, shown = offer.plan, page.mail, page.shown
    countries = plan.filters.countries if plan.filters else ()
    pieces = () if countries and (mail.known.user.country or "").upper() not in countries else plan.content
    chosen = [piece for piece in pieces if piece.id not in offer.gone and piece.id not in shown][: plan.count]
    shown.update(piece.id for piece in chosen)
    items = tuple(
        Item(
            piece.id, said(piece.title, mail.locale), piece.url, piece.image_url, None, None, None, position,
            said(piece.text, mail.locale),
        )
        for position, piece in enumerate(chosen, start=1)
    )  # fmt: skip
    return Block(plan.block, title_of(plan, mail.known.user, mail.locale, True), STATIC, items, plan.template or "")


def _item(position: int, item_id: str, row: CatalogueRow, reason: str) -> Item:
    return Item(
        item_id, row.title or "", row.url, row.image_url, row.price, row.list_price, row.currency, position, reason
    )  # fmt: skip
