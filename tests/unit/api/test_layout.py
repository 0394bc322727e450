from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from api.blocks import KINDS
from api.layout import SHIPPED, LayoutError, load_layouts

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
        "post_purchase": ["recommended", "bestsellers"],
        "weekly": ["recently_viewed", "recommended", "trending"],
        "welcome": ["bestsellers", "trending"],
    }


def test_a_block_that_may_be_personal_has_another_title_for_when_it_is_not() -> None:
    for layout in load_layouts(SHIPPED).values():
        for plan in layout.blocks:
            assert plan.fallback_title or plan.block in ("trending", "bestsellers"), (layout.name, plan.block)


def test_a_layout_of_ones_own(written: Callable[..., Path]) -> None:
    (layout,) = load_layouts(written(mail=GOOD)).values()
    first, second = layout.blocks
    assert (layout.name, first.block, first.title, first.fallback_title, first.count) == (
        "mail", "trending", "Heiß begehrt", "Worth a look", 2,
    )  # fmt: skip
    assert (second.fallback_title, second.count) == (None, 4)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_stand_in_a_layout(written: Callable[..., Path], kind: str) -> None:
    assert load_layouts(written(mail=GOOD.replace("trending", kind)))["mail"].blocks[0].block == kind


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GOOD.replace("name: mail", "name: male"), "its name is 'male'; write name: mail"),
        (GOOD.replace("trending", "trendy"), "there is no block 'trendy'; write one of recently_viewed,"),
        (GOOD.replace("count: 2", "count: 0"), ">= 1"),
        (GOOD.replace("count: 2", "count: 31"), "<= 30"),
        (GOOD.replace("count: 2", "count: many"), r"\$.blocks\[0\].count"),
        (GOOD.replace("count: 2", "number: 2"), "unknown field `number`"),
        (GOOD.replace("title: Bestsellers", "count: 1"), "missing required field `title`"),
        (GOOD.replace("blocks:", "rows:"), "unknown field `rows`"),
        ("name: mail\nblocks: []\n", "length >= 1"),
        ("name: mail\nblocks:\n" + "  - {block: trending, title: x}\n" * 11, "length <= 10"),
        ("name: mail\n  blocks: [", "mapping values are not allowed here"),
        ("", "Expected `object`, got `null`"),
        ("- one\n- two\n", "Expected `object`, got `array`"),
    ],
)
def test_what_is_no_layout_is_refused_by_file_and_in_words(written: Callable[..., Path], text: str, says: str) -> None:
    with pytest.raises(LayoutError, match=says) as refused:
        load_layouts(written(mail=text))
    assert "mail.yaml: " in str(refused.value)


def test_a_folder_without_layouts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=r"holds no layout; put <name>\.yaml files there, or unset INLAY_LAYOUTS"):
        load_layouts(tmp_path)


def test_one_bad_layout_is_not_passed_over_for_the_good_ones(written: Callable[..., Path]) -> None:
    with pytest.raises(LayoutError, match=r"other\.yaml"):
        load_layouts(written(mail=GOOD, other=GOOD))
