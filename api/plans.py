"""Plans: what a layout file may say, as values. The JSON Schema for editors is made from these classes."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta, Struct

Words: TypeAlias = Annotated[str, Meta(min_length=1, max_length=500)]
Tag: TypeAlias = Annotated[
    str,
    Meta(
        description="a language tag such as `de` or `pt-BR`",
        extra_json_schema={"pattern": "^[a-z]{2,3}([-_][A-Za-z0-9]{2,8})*$"},
    ),
]
Text: TypeAlias = Annotated[
    Words | dict[Tag, Words],
    Meta(description="One text for all readers, or one a language: `{en: Trending now, de: Gerade beliebt}`."),
]
Country: TypeAlias = Annotated[
    str,
    Meta(description="a country, as ISO 3166 writes it: `FR`", extra_json_schema={"pattern": "^[A-Z]{2}$"}),
]
ItemId: TypeAlias = Annotated[str, Meta(min_length=1, max_length=200)]
Path: TypeAlias = Annotated[
    str, Meta(min_length=1, description="a category and all below it: `Home` or `Home/Lighting`")
]
Brand: TypeAlias = Annotated[str, Meta(min_length=1)]
Amount: TypeAlias = Annotated[float, Meta(ge=0)]


UtmWord: TypeAlias = Annotated[str, Meta(max_length=100)]


class Plan(Struct, frozen=True, forbid_unknown_fields=True):
    """A part of a layout file; what it does not know it refuses."""


class PriceRange(Plan, frozen=True):
    """A range of prices, both ends included, in whatever currency the catalogue has."""

    min: Amount = 0.0
    max: Amount | None = None


class Filters(Plan, frozen=True):
    """What an item must be to stand in the block; all that is said must hold."""

    category: Annotated[tuple[Path, ...], Meta(description="in one of these categories, or below it")] = ()
    brand: Annotated[tuple[Brand, ...], Meta(description="of one of these brands")] = ()
    price: PriceRange | None = None
    in_stock: Annotated[
        bool, Meta(description="only what is said to be in stock (what is said to be sold out is never shown anyway)")
    ] = False
    min_discount: Annotated[
        float, Meta(ge=0, le=100, description="at least this many percent below its list price")
    ] = 0
    countries: Annotated[
        tuple[Country, ...], Meta(description="the whole block only for readers known to be in one of these countries")
    ] = ()


class Boost(Plan, frozen=True):
    """Moves items up: `by: 3` lets the sixth stand where the second stood; below 1 moves down."""

    by: Annotated[float, Meta(gt=0, le=100)]
    category: Path | None = None
    brand: Brand | None = None
    item: ItemId | None = None
    discounted: bool = False


class Diversity(Plan, frozen=True):
    """How many items of one category (its whole path), and of one brand, may stand in the block."""

    category: Annotated[int, Meta(ge=1)] | None = None
    brand: Annotated[int, Meta(ge=1)] | None = None


class FrequencyCap(Plan, frozen=True):
    """An item goes to the same person at most so many times in so many days; a mail is known by its `send_id`."""

    times: Annotated[int, Meta(ge=1, le=100)]
    days: Annotated[int, Meta(ge=1, le=90)]


class Content(Plan, frozen=True):
    """A piece of editorial, or a message: what the layout itself shows."""

    id: Annotated[ItemId, Meta(description="its name in clicks and reports; each once in a layout")]
    title: Text
    text: Text
    url: str | None = None
    image_url: str | None = None


class BlockPlan(Plan, frozen=True):
    """One block of a layout, from top to bottom."""

    block: Annotated[str, Meta(description="the kind of block")]
    title: Annotated[
        Text, Meta(description="the title; `{first_name}`, `{country}` and `{category}` stand for the reader's own")
    ]
    fallback_title: Annotated[
        Text | None, Meta(description="the title when the items are not what the kind is about, or a name is not known")
    ] = None
    count: Annotated[int, Meta(ge=1, le=30, description="how many items at most")] = 4
    filters: Filters | None = None
    pins: Annotated[
        tuple[ItemId, ...], Meta(max_length=30, description="items that stand first, where they may be shown")
    ] = ()
    boosts: Annotated[tuple[Boost, ...], Meta(max_length=30)] = ()
    diversity: Diversity | None = None
    frequency_cap: FrequencyCap | None = None
    fallback: Annotated[
        tuple[str, ...] | None,
        Meta(
            description="the kinds that stand in, in this order, and `static` (what is popular at all); `[]` for none:"
            " the block is then empty where it has nothing of its own"
        ),
    ] = None
    within_days: Annotated[
        Annotated[int, Meta(ge=1, le=365)] | None,
        Meta(description="how long something is new, reduced or back: for kinds about a moment"),
    ] = None
    template: Annotated[str | None, Meta(description="how it is drawn")] = None
    content: Annotated[tuple[Content, ...], Meta(max_length=10, description="what `editorial` and `message` show")] = ()


class OnlyFor(Plan, frozen=True):
    """What may be shown in some countries alone; a reader whose country is not known is shown none of it."""

    countries: Annotated[tuple[Country, ...], Meta(min_length=1)]
    category: Path | None = None
    brand: Brand | None = None
    item: ItemId | None = None


class Hidden(Plan, frozen=True):
    """What is never shown."""

    items: tuple[ItemId, ...] = ()
    categories: tuple[Path, ...] = ()
    brands: tuple[Brand, ...] = ()


class Rules(Plan, frozen=True):
    """What holds for every block, whatever else is said: the part of the eligibility rule that the shop writes."""

    hidden: Hidden = Hidden()
    only_for: tuple[OnlyFor, ...] = ()

    def joined(self, other: Rules) -> Rules:
        """Both."""
        mine, theirs = self.hidden, other.hidden
        hidden = Hidden(
            mine.items + theirs.items, mine.categories + theirs.categories, mine.brands + theirs.brands
        )  # fmt: skip
        return Rules(hidden, self.only_for + other.only_for)


class Utm(Plan, frozen=True):
    """What is added to the links that go through `/v1/click`, as `utm_source` and so on; what a link has, stays."""

    source: UtmWord = ""
    medium: UtmWord = ""
    campaign: UtmWord = ""
    content: UtmWord = ""
    term: UtmWord = ""


class Layout(Plan, frozen=True):
    """The blocks of one kind of mail, from top to bottom."""

    name: Annotated[str, Meta(description="the name of the file, without `.yaml`")]
    blocks: Annotated[tuple[BlockPlan, ...], Meta(min_length=1, max_length=10)]
    locale: Annotated[Tag, Meta(description="the language for readers whose own is not known")] = "en"
    rules: Annotated[Rules, Meta(description="for this mail, beside those of rules.yaml")] = Rules()
    public: Annotated[
        bool, Meta(description="whether its feeds, which are about nobody, can be read without a key")
    ] = False
    home_url: Annotated[
        str | None, Meta(description="where a click leads when its item is not known; else that is INLAY_HOME_URL")
    ] = None
    utm: Annotated[Utm | None, Meta(description="added to the links that go through `/v1/click`")] = None


def json_schema(kinds: tuple[str, ...], templates: tuple[str, ...], *, of: type[Plan] = Layout) -> dict[str, Any]:
    """The JSON Schema of a file, by which editors complete and check it."""
    schema = msgspec.json.schema(of)
    plan = schema["$defs"].get("BlockPlan")
    if plan:
        plan["properties"]["block"]["enum"] = list(kinds)
        plan["properties"]["template"]["enum"] = [*templates, None]
        plan["properties"]["fallback"]["anyOf"][0]["items"]["enum"] = [*kinds, "static"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
