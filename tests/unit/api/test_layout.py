from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from api.__main__ import main as serve
from api.blocks import KINDS
from api.layout import SHIPPED, LayoutError, load_layouts
from api.plans import Hidden, OnlyFor, Rules
from api.words import BUTTONS

GOOD = """\
name: mail
blocks:
  - block: trending
    title: Heiß begehrt
    fallback_title: Worth a look
    count: 2
  - block: bestsellers
    title: Bestsellers
"""


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Write files into a folder of layouts; returns the folder."""

    def write(**files: str) -> Path:
        for name, text in files.items():
            (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
        return tmp_path

    return write


def test_the_layouts_that_are_shipped() -> None:
    layouts = load_layouts()
    assert {name: [plan.block for plan in layout.blocks] for name, layout in layouts.items()} == {
        "abandoned_cart": ["abandoned_cart", "recommended"],
        "post_purchase": ["bought_together", "bestsellers"],
        "weekly": ["recently_viewed", "price_drop", "recommended", "trending"],
        "welcome": ["bestsellers", "new_arrivals", "trending"],
    }


def test_a_block_that_something_may_stand_in_for_has_another_title_for_then() -> None:
    for layout in load_layouts(SHIPPED).values():
        for plan in layout.blocks:
            alone = plan.block in ("trending", "bestsellers") or plan.fallback == ()
            assert plan.fallback_title or alone, (layout.name, plan.block)


def test_the_texts_that_are_shipped_are_in_every_language_that_the_product_speaks() -> None:
    for layout in load_layouts(SHIPPED).values():
        for plan in layout.blocks:
            for text in (plan.title, plan.fallback_title):
                assert text is None or list(text) == list(BUTTONS), (layout.name, plan.block)


@pytest.mark.parametrize("tag", BUTTONS)
def test_a_title_is_written_in_the_letters_of_its_language(tag: str) -> None:
    """A title that nobody translated stands out where the letters are others, or where it is the English one."""
    letters = {"ar": "\u0600-\u06ff", "he": "\u0590-\u05ff"}.get(tag, "A-Za-z\u00c0-\u017f")
    texts = [
        text for layout in load_layouts(SHIPPED).values() for plan in layout.blocks
        for text in (plan.title, plan.fallback_title) if isinstance(text, dict)
    ]  # fmt: skip
    for text in texts:
        assert re.fullmatch(rf"[{letters} ’־-]+", text[tag]), text[tag]
        assert tag == "en" or text[tag] != text["en"]


def test_a_layout_of_ones_own(written: Callable[..., Path]) -> None:
    (layout,) = load_layouts(written(mail=GOOD)).values()
    first, second = layout.blocks
    assert (layout.name, first.block, first.title, first.fallback_title, first.count) == (
        "mail", "trending", "Heiß begehrt", "Worth a look", 2,
    )  # fmt: skip
    assert (second.fallback_title, second.count) == (None, 4)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_stand_in_a_layout(written: Callable[..., Path], kind: str) -> None:
    text = "name: mail\nblocks:\n" + EVERY_KIND.format(kind) + (CONTENT if KINDS[kind].content else "")
    assert load_layouts(written(mail=text))["mail"].blocks[0].block == kind


EVERY_KIND = "  - block: {}\n    title: x\n"
CONTENT = """\
    content:
      - id: spring
        title: {en: Spring, de: Frühling}
        text: It is here.
        url: https://shop.example/spring
"""
STORY = "name: mail\nblocks:\n" + EVERY_KIND.format("editorial") + CONTENT
RICH = """\
name: mail
locale: de
blocks:
  - block: recommended
    title: "{first_name}, das passt"
    fallback_title: Das passt
    count: 6
    filters:
      category: [Home, Toys/Cars]
      brand: [Ours]
      price: {min: 5, max: 100}
      in_stock: true
      min_discount: 10
      countries: [FR, DE]
    pins: [p1, p2]
    boosts:
      - {brand: Ours, by: 2}
      - {discounted: true, by: 1.5}
    diversity: {category: 2, brand: 3}
    frequency_cap: {times: 3, days: 7}
    fallback: [bestsellers, static]
    template: list
rules:
  hidden: {items: [p9], categories: [Adult], brands: [Theirs]}
  only_for:
    - {category: Wine, countries: [FR]}
"""


def test_every_option_can_be_written(written: Callable[..., Path]) -> None:
    (layout,) = load_layouts(written(mail=RICH)).values()
    (plan,) = layout.blocks
    assert all(getattr(plan, name) for name in plan.__struct_fields__ if name not in ("within_days", "content"))
    assert layout.rules == Rules(Hidden(("p9",), ("Adult",), ("Theirs",)), (OnlyFor(("FR",), category="Wine"),))


@pytest.mark.parametrize(
    "option",
    [
        "within_days: 7\n    fallback: [price_drop]",
        "filters: {countries: [FR]}",
        "pins: []",
        "fallback: []",
        "boosts: []",
    ],
)
def test_an_option_that_does_something_may_be_written(written: Callable[..., Path], option: str) -> None:
    assert load_layouts(written(mail=GOOD.replace("count: 2", option)))


def test_a_story_may_be_for_some_countries_and_not_too_often(written: Callable[..., Path]) -> None:
    more = "    filters: {countries: [FR]}\n    frequency_cap: {times: 1, days: 7}\n    count: 1\n    template: list\n"
    assert load_layouts(written(mail=STORY + more))["mail"].blocks[0].filters


def test_the_rules_of_a_folder_hold_in_every_layout_beside_its_own(written: Callable[..., Path]) -> None:
    layouts = load_layouts(written(mail=RICH, other=GOOD.replace("mail", "other"), rules="hidden: {items: [p0]}"))
    assert {name: layout.rules.hidden.items for name, layout in layouts.items()} == {
        "mail": ("p0", "p9"), "other": ("p0",),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        (GOOD.replace("name: mail", "name: male"), 1, "its name is 'male'; write name: mail"),
        (GOOD.replace("trending", "trendy"), 3, "there is no block 'trendy'; write trending, or one of recently_view"),
        (GOOD.replace("count: 2", "count: 0"), 6, r"blocks\[0\].count: expected `int` >= 1"),
        (GOOD.replace("count: 2", "count: 31"), 6, "<= 30"),
        (GOOD.replace("count: 2", "count: many"), 6, r"blocks\[0\].count: expected `int`, got `str`"),
        (GOOD.replace("count: 2", "conut: 2"), 6, "unknown field `conut`; write count, or one of block, title"),
        (GOOD.replace("count: 2", "filters: {prise: 1}"), 6, "`prise`; write price, or one of category, brand, price"),
        (GOOD.replace("title: Bestsellers", "count: 1"), 7, r"blocks\[1\]: here is missing the field `title`"),
        (GOOD.replace("blocks:", "rows:"), 2, "unknown field `rows`; write one of name, blocks, locale, rules"),
        (GOOD.replace("count: 2", "title: again"), 6, "'title' is there twice; leave one out"),
        (GOOD.replace("count: 2", "template: gird"), 6, "no template 'gird'; write grid, or one of grid, list, cart"),
        (GOOD.replace("count: 2", "fallback: [new_arrival]"), 6, "no fallback 'new_arrival'; write new_arrivals, or"),
        (GOOD.replace("count: 2", "fallback: [message]"), 6, "there is no fallback 'message'; write one of recently"),
        (GOOD.replace("count: 2", "fallback: [static, trending]"), 6, "nothing comes after static; write it last"),
        (
            GOOD.replace("title: Bestsellers", "title: 'Hi {name}'"),
            8,
            "nothing is known as {name}; write one of first_name,",
        ),
        (GOOD.replace("title: Bestsellers", "title: 'Hi {first_name}'"), 8, "write a fallback_title without {first_n"),
        (GOOD.replace("Worth a look", "'In {country}'"), 5, "not every reader has a country; write a fallback_title"),
        (
            GOOD.replace("title: Bestsellers", "title: {english: Best}"),
            8,
            "there is no language 'english'; write a tag",
        ),
        (GOOD.replace("title: Bestsellers", "title: {en: ''}"), 8, r"blocks\[1\].title"),
        (GOOD.replace("count: 2", "filters: {countries: [France]}"), 6, "there is no country 'France'; write two cap"),
        (GOOD.replace("count: 2", "filters: {price: {min: 9, max: 1}}"), 6, "no price is from 9.0 to 1.0; write min"),
        (GOOD.replace("count: 2", "boosts: [{by: 2}]"), 6, "it boosts everything; write a category, brand, item or"),
        (GOOD.replace("count: 2", "content: [{id: a, title: b, text: c}]"), 6, "trending shows products; leave it out"),
        (
            GOOD.replace("count: 2", "within_days: 7"),
            6,
            "trending is about no moment; leave within_days out, or write bl",
        ),
        (GOOD.replace("count: 2", "fallback: [bestsellers]\n    within_days: 7"), 7, "leave within_days out"),
        (STORY + "    pins: [p1]\n", 10, "editorial shows its content as it stands; leave pins out"),
        (STORY + "    boosts: [{brand: Ours, by: 2}]\n", 10, "leave boosts out"),
        (STORY + "    diversity: {brand: 1}\n", 10, "leave diversity out"),
        (STORY + "    fallback: [trending]\n", 10, "leave fallback out"),
        (STORY + "    within_days: 3\n", 10, "leave within_days out"),
        (STORY + "    filters: {countries: [FR], brand: [Ours]}\n", 10, "its content as it stands; leave brand out"),
        (STORY + "    filters: {price: {max: 9}}\n", 10, "leave price out"),
        (GOOD + "locale: english\n", 9, "there is no language 'english'; write a tag"),
        (GOOD + "rules: {only_for: [{countries: [FR]}]}\n", 9, "it concerns everything; write a category, brand or"),
        (STORY.replace(CONTENT, ""), 3, "nothing says what the editorial shows; write content: with id, title and t"),
        (STORY.replace("https:", "http:"), 9, "no link for a mail; write an absolute https:// one"),
        (STORY.replace("https://shop.example", ""), 9, "'/spring' is no link for a mail"),
        (STORY.replace("        url: https://shop.example/spring\n", ""), 6, "a story must lead somewhere; write url:"),
        (STORY + "      - {id: spring, title: a, text: b, url: 'https://a.example'}\n", 10, "'spring' is there twice"),
        (STORY.replace("de: Fr", "german: Fr"), 7, "there is no language 'german'"),
        ("name: mail\nblocks: []\n", 2, "length >= 1"),
        ("name: mail\nblocks:\n" + "  - {block: trending, title: x}\n" * 11, 2, "length <= 10"),
        ("name: mail\n  blocks: [", 2, "this is no YAML: mapping values are not allowed here"),
        ("name: \x00", 1, "this is no YAML"),
        (
            GOOD.replace("title: Bestsellers", "title: {en: Hi {country}}"),
            8,
            "this is no YAML: .*; put a text with signs",
        ),
        ("", 1, "expected `key: value` lines, got `null`"),
        ("- one\n- two\n", 1, "expected `key: value` lines, got `array`"),
    ],
)
def test_what_is_no_layout_is_refused_by_file_and_line_and_in_words(
    written: Callable[..., Path], text: str, line: int, says: str
) -> None:
    with pytest.raises(LayoutError, match=says) as refused:
        load_layouts(written(mail=text))
    assert f"mail.yaml:{line}: " in str(refused.value)


def test_wrong_rules_are_refused_likewise(written: Callable[..., Path]) -> None:
    with pytest.raises(LayoutError, match=r"rules\.yaml:1: hidden: here stands an unknown field `item`; write items"):
        load_layouts(written(mail=GOOD, rules="hidden: {item: [p0]}"))


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mail.yaml").write_bytes(GOOD.encode("latin-1"))
    with pytest.raises(LayoutError, match="save it as UTF-8"):
        load_layouts(tmp_path)


def test_a_folder_without_layouts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=r"holds no layout; put <name>\.yaml files there, or unset INLAY_LAYOUTS"):
        load_layouts(tmp_path)


def test_the_service_does_not_start_with_a_bad_layout_and_says_so_in_a_line(
    written: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = written(mail=GOOD.replace("count: 2", "count: many"))
    monkeypatch.setenv("INLAY_LAYOUTS", str(folder))
    assert serve([]) == 2
    assert capsys.readouterr().err == f"api: {folder}/mail.yaml:6: blocks[0].count: expected `int`, got `str`\n"


def test_one_bad_layout_is_not_passed_over_for_the_good_ones(written: Callable[..., Path]) -> None:
    with pytest.raises(LayoutError, match=r"other\.yaml"):
        load_layouts(written(mail=GOOD, other=GOOD))
