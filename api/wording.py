"""Wording: the titles of blocks and the reasons of items, in the language of the reader. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

from api.blocks.ladder import Rung
from api.known import CatalogueRow, UserFeatures
from api.plans import BlockPlan
from api.words import country_name, day_and_month, phrases_of, said
from dataflows.events import to_rfc3339

NAMES: Final = re.compile(r"\{(\w+)\}")
"""What stands in a title for something of the reader's own."""
TITLE_NAMES: Final = ("first_name", "country", "category")


def title_of(plan: BlockPlan, user: UserFeatures, locale: str, first_choice: bool) -> str:
    """The title, in the reader's language, if it fits what is shown and all names in it are known."""
    title = said(plan.title, locale)
    if not first_choice and plan.fallback_title:
        return said(plan.fallback_title, locale)
    if "{" not in title:
        return title
    names = {
        "first_name": user.first_name,
        "country": country_name(user.country or "", locale),
        "category": user.top_categories[0].rpartition("/")[2] if user.top_categories else None,
    }
    if plan.fallback_title and not all(names.get(name) for name in NAMES.findall(title)):
        return said(plan.fallback_title, locale)
    return NAMES.sub(lambda found: names.get(found[1]) or "", title)


def reason_of(
    rung: Rung, item_id: str, catalogue: Mapping[str, CatalogueRow], locale: str, looked: set[str],
    may_name: Callable[[str, CatalogueRow], bool],
) -> str:  # fmt: skip
    """Why an item stands in a block, in the language of the reader.

    Args:
        rung: that offered it.
        item_id: of the item.
        catalogue: rows of items.
        locale: the reader's.
        looked: takes in the item that led to this one, which the reason names.
        may_name: whether it may; else the reason does without.
    """
    if rung.because is None:
        phrase, seed, about = rung.phrase, None, rung.about
    else:
        because = rung.because(item_id)
        phrase, seed, about = because.phrase, because.seed, because.about
    if seed:
        looked.add(seed)
        row = catalogue.get(seed)
        about = row.title if row and may_name(seed, row) else None
        phrase = phrase if about else "picked"
    elif rung.dated:
        about = day_and_month(getattr(catalogue[item_id], rung.dated), locale)
    elif about:
        about = about.rpartition("/")[2]  # of the path of a category
    return _worded(phrase, about, locale)


@lru_cache(maxsize=4096)
def _worded(phrase: str, about: str | None, locale: str) -> str:
    """The same few reasons stand in very many mails."""
    words = phrases_of(locale)[phrase]
    return words.format(about) if about else words


@lru_cache(maxsize=4096)
def moment(micros: int) -> str:
    """A time, in microseconds since 1970, as RFC 3339: several blocks of a mail, and many mails, are of the same."""
    return to_rfc3339(micros)
