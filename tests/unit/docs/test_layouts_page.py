"""What the page for marketers says of layouts is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from babel import Locale

from api.blocks import KINDS
from api.layout import load_layouts
from api.lint import LONG, drawing
from api.plans import BlockPlan, Diversity, Filters, FrequencyCap, Layout, Rules
from api.render import TEMPLATES
from api.words import BUTTONS

PAGE = (Path(__file__).parents[3] / "docs/layouts.md").read_text("utf-8")


def test_every_kind_is_described_with_what_stands_in_and_how_it_is_drawn() -> None:
    for name, kind in KINDS.items():
        row = re.search(rf"^\| `{name}` \| .+ \| (.+) \|$", PAGE, re.MULTILINE)
        assert row, name
        assert tuple(re.findall("`([a-z_]+)`", row[1])) == kind.fallback


@pytest.mark.parametrize("form", [BlockPlan, Filters, Diversity, FrequencyCap, Layout, Rules])
def test_every_option_is_described(form: type[BlockPlan]) -> None:
    for name in form.__struct_fields__:
        assert re.search(rf"\b{name}\b", PAGE), name


def test_every_template_is_named() -> None:
    assert all(f"`{name}`" in PAGE for name in TEMPLATES)


def test_every_language_is_named() -> None:
    for tag in BUTTONS:
        name = Locale(tag).get_language_name("en")
        assert name
        assert name.split()[0] in PAGE


def test_the_examples_are_layouts(tmp_path: Path) -> None:
    layout, rules = re.findall(r"```yaml\n(.+?)```", PAGE, re.DOTALL)
    (tmp_path / "weekly.yaml").write_text(layout, "utf-8")
    (tmp_path / "rules.yaml").write_text(rules, "utf-8")
    (found,) = load_layouts(tmp_path).values()
    assert found.rules.hidden.brands == ("Acme",)
    assert [plan["block"] for plan in yaml.safe_load(layout)["blocks"]] == [plan.block for plan in found.blocks]


def test_a_block_of_four_takes_as_many_bytes_as_the_page_says() -> None:
    layout = Layout("page", (BlockPlan("trending", "Trending now"),))
    assert max(size for locale in BUTTONS for size in drawing(layout, locale, "long", LONG).blocks) <= 16 * 1024


def test_the_picture_is_there() -> None:
    assert (Path(__file__).parents[3] / "docs/layouts.png").stat().st_size > 10_000
