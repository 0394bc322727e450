"""`python -m api.lint`: checks layouts, and what is drawn of them against the rules of e-mail HTML.

Every layout is drawn in every language that it speaks, with products as they usually are, with the longest texts, and
with as little as possible: what mail programs would spoil is told, and how much of a mail each block takes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from api.answer import Answer, Block, Item
from api.blocks import KINDS
from api.layout import SHIPPED, LayoutError, load_layouts
from api.mail_rules import BLOCK_BYTES, MAIL_BYTES, faults, too_large
from api.plans import BlockPlan, Layout, Rules, json_schema
from api.render import TEMPLATES, render_html
from api.words import BUTTONS, said

USUAL: Final = Item(
    "p-1042", "Stoneware carafe, sea blue", "https://shop.example/p/p-1042?utm_source=mail&utm_campaign=weekly",
    "https://shop.example/i/p-1042.jpg", 1249.0, 1599.0, "EUR", 1, "because you viewed Stoneware cups",
)  # fmt: skip
BARE: Final = msgspec.structs.replace(USUAL, url=None, image_url=None, list_price=None, currency=None, reason="new")
LONG: Final = msgspec.structs.replace(
    USUAL, title="備前焼の花瓶 & co. " * 40, reason="because you viewed «tea» " * 40,
    url=f"https://shop.example/{'a' * 300}",
)  # fmt: skip


class Drawing(NamedTuple):
    """A layout as it was drawn: in which language, with which products, and the bytes of it and of each block."""

    layout: str
    locale: str
    products: str
    faults: list[str]
    size: int
    blocks: list[int]


def drawings(layout: Layout) -> Iterator[Drawing]:
    """The layout in all its languages, and right to left, with all sorts of products."""
    texts = (text for plan in layout.blocks for text in (plan.title, plan.fallback_title))
    spoken = dict.fromkeys((layout.locale, *(tag for text in texts if isinstance(text, dict) for tag in text), "ar"))
    for locale in spoken:
        for products, item in (("usual", USUAL), ("bare", BARE), ("long", LONG)):
            yield drawing(layout, locale, products, item)


def drawing(layout: Layout, locale: str, products: str, item: Item) -> Drawing:
    """The layout filled with one product, over and over."""
    blocks = tuple(
        Block(
            plan.block, said(plan.title, locale), "personal",
            tuple(
                msgspec.structs.replace(
                    USUAL, title=said(piece.title, locale), reason=said(piece.text, locale), url=piece.url,
                    image_url=piece.image_url, price=None,
                )
                for piece in plan.content
            ) or (item,) * plan.count,
            plan.template or "",
        )
        for plan in layout.blocks
    )  # fmt: skip
    whole = Answer(layout.name, "lint", None, "2026-01-01T00:00:00Z", None, blocks)
    html = render_html(whole, locale=locale)
    sizes = [len(render_html(msgspec.structs.replace(whole, blocks=(block,)), locale=locale)) for block in blocks]
    return Drawing(layout.name, locale, products, [*faults(html), *too_large(html, MAIL_BYTES)], len(html), sizes)


def templates() -> Iterator[Layout]:
    """Every kind of block, every template and every language, so that all are drawn even where no layout has them."""
    for kind in KINDS:
        yield Layout(f"the kind {kind}", (BlockPlan(kind, "A title"),))
    for template in TEMPLATES:
        yield Layout(f"the template {template}", (BlockPlan("trending", "A title", template=template),))
    yield Layout("every language", (BlockPlan("trending", dict.fromkeys(BUTTONS, "A title"), count=2),))


def schemas() -> dict[str, str]:
    """The JSON Schemas of the files of a folder of layouts, as text, by the name of their file."""
    kinds = tuple(KINDS)
    return {
        f"{name}.json": json.dumps(json_schema(kinds, TEMPLATES, of=form), indent=2, ensure_ascii=False) + "\n"
        for name, form in (("layout", Layout), ("rules", Rules))
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Check a folder of layouts, or write its schemas."""
    parser = argparse.ArgumentParser(prog="python -m api.lint", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=SHIPPED, help="of layouts; default: those shipped")
    parser.add_argument("--schema", action="store_true", help="write the JSON Schemas for editors into FOLDER/schema")
    chosen = parser.parse_args(arguments)
    if chosen.schema:
        return _write_schemas(chosen.folder / "schema")
    try:
        layouts = load_layouts(chosen.folder)
    except LayoutError as error:
        _say(str(error))
        return 1
    return _report(layouts)


def _report(layouts: dict[str, Layout]) -> int:
    wrong = 0
    _say(f"{'layout':<24}{'products':>10}{'languages':>11}{'bytes':>9}{'of what is shown':>18}  a block")
    for layout in (*layouts.values(), *templates()):
        drawn = list(drawings(layout))
        for products in ("usual", "long"):
            largest = max((each for each in drawn if each.products == products), key=lambda each: each.size)
            if layout.name in layouts:
                blocks = ", ".join(
                    f"{plan.block} {size:,}" for plan, size in zip(layout.blocks, largest.blocks, strict=True)
                )
                spoken = len({each.locale for each in drawn})
                share = largest.size / MAIL_BYTES
                _say(f"{layout.name:<24}{products:>10}{spoken:>11}{largest.size:>9,}{share:>18.0%}  {blocks}")
            for plan, size in zip(layout.blocks, largest.blocks, strict=True):
                if size > BLOCK_BYTES and products == "usual":
                    _say(f"{layout.name}: {plan.block} takes {size:,} bytes; write a count below {plan.count}")
        for each in drawn:
            for fault in dict.fromkeys(each.faults):
                wrong += 1
                _say(f"{layout.name} in {each.locale} with {each.products} products: {fault}")
    _say(f"{wrong} faults" if wrong else "nothing that a mail program would spoil")
    return 1 if wrong else 0


def _write_schemas(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in schemas().items():
        (folder / name).write_text(text, encoding="utf-8")
        _say(f"{folder / name} was written; begin a layout with: # yaml-language-server: $schema=schema/{name}")
    return 0


def _say(text: str) -> None:
    print(text)  # noqa: T201  # a command speaks on its terminal


if __name__ == "__main__":
    sys.exit(main())
