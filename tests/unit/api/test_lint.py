"""The rules of e-mail HTML: every template, kind and layout keeps them, and the check finds what breaks them."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from api.answer import Answer
from api.blocks import KINDS
from api.layout import SHIPPED, load_layouts
from api.lint import LONG, USUAL, drawings, main, schemas, templates
from api.mail_rules import BLOCK_BYTES, MAIL_BYTES, faults, too_large
from api.plans import Layout
from api.render import TEMPLATES, render_html
from api.words import BUTTONS, PHRASES
from tests.unit.api.mails import SAMPLES

EVERYTHING = [*load_layouts().values(), *templates()]
GOOD = '<table role="presentation" cellpadding="0" cellspacing="0" border="0" bgcolor="#ffffff"><tr>{}</tr></table>'
CELL = '<td style="color:#1c1b19">{}</td>'


@pytest.mark.parametrize("layout", EVERYTHING, ids=lambda layout: layout.name)
def test_everything_that_is_drawn_keeps_the_rules(layout: Layout) -> None:
    for each in drawings(layout):
        assert each.faults == [], (each.locale, each.products)
        assert each.size <= MAIL_BYTES
        assert max(each.blocks) <= BLOCK_BYTES, (each.locale, each.products)


def test_everything_means_every_kind_template_and_language() -> None:
    assert {plan.block for layout in EVERYTHING for plan in layout.blocks} == set(KINDS)
    assert {plan.template for layout in EVERYTHING for plan in layout.blocks} >= set(TEMPLATES)
    assert {each.locale for layout in templates() for each in drawings(layout)} >= set(BUTTONS) == set(PHRASES)


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES.keys())
def test_mails_of_all_sorts_keep_the_rules(sample: Answer) -> None:
    assert faults(render_html(sample, locale="fr")) == []


@pytest.mark.parametrize(
    ("cell", "fault"),
    [
        ("<style>td{}</style>", "<style> is not for mail"),
        ("<script>1</script>", "<script> is not for mail"),
        ("<svg></svg>", "<svg> is not for mail"),
        ("<td><form></form></td>", "<form> is not for mail"),
        ("<td><table><tr></tr></table></td>", "a table that is not for layout only"),
        ('<td><div style="display:block;padding:4px"></div></td>', "padding on <div>"),
        ('<td><div style="display:flex"></div></td>', "display:flex on <div>"),
        ('<td style="float:left"></td>', "float on <td>"),
        ('<td style="position:absolute"></td>', "position on <td>"),
        ('<td><div style="max-width:9px"></div></td>', "max-width on <div>"),
        ('<td><h2 style="margin:-4px"></h2></td>', "relies on margin:-4px"),
        ('<td style="background-image:none"></td>', "background-image on <td>"),
        ('<td style="background-color:url(x)"></td>', "background-color:url(x) on <td>"),
        ('<td style="font-size:1rem"></td>', "font-size:1rem on <td>"),
        ('<td style="color:var(--ink)"></td>', "color:var(--ink) on <td>"),
        ('<td style="color:#000000"></td>', "color:#000000, which turns white in the dark"),
        ('<td class="a"></td>', "class on <td>"),
        ('<td onclick="a()"></td>', "onclick on <td>"),
        (
            '<td><img src="https://a.example/1.jpg" width="9" style="display:block;height:auto"></td>',
            "a picture without",
        ),
        (
            '<td><img src="https://a.example/1.jpg" width="9%" alt="a" style="display:block;height:auto"></td>',
            "a picture w",
        ),
        ('<td><img src="https://a.example/1.jpg" width="9" alt="a" style="display:block"></td>', "a picture that will"),
        (
            '<td><img src="https://a.example/1.webp" width="9" alt="a" style="display:block;height:auto"></td>',
            "a picture tha",
        ),
        (
            '<td><img src="data:image/png;base64,AA" width="9" alt="a" style="display:block;height:auto"></td>',
            "src=data:",
        ),
        ('<td><a href="/p/1" style="color:#1c1b19">x</a></td>', "href=/p/1 is no absolute https address"),
        (
            '<td><a href="http://a.example" style="color:#1c1b19">x</a></td>',
            "href=http://a.example is no absolute https",
        ),
        ('<td><a href="https://a.example">x</a></td>', "a link in the mail program's own blue"),
        ('<td><div style="line-height:20px"></div></td>', "line-height:20px that Outlook"),
        ("<td>words</td>", "'words' has no colour of its own"),
        ("<td><!-- hello --></td>", "comment ' hello '"),
        ("<td></b></td>", "</b> closes nothing"),
        ("<td><div>", "<div> is left open"),
        ("<td>" + "a" * 999, "line of"),
        ("<td>é</td>", "characters that depend on the charset"),
    ],
)
def test_the_check_finds_what_breaks_them(cell: str, fault: str) -> None:
    assert any(found.startswith(fault) for found in faults(GOOD.format(cell))), faults(GOOD.format(cell))


def test_the_check_finds_nothing_where_nothing_is() -> None:
    assert faults(GOOD.format(CELL.format("words"))) == []


def test_what_is_too_large_is_said_with_what_it_may_be() -> None:
    assert too_large("a" * BLOCK_BYTES) == []
    assert too_large("é" * BLOCK_BYTES) == ["40,960 bytes, of which 20,480 may be"]
    assert too_large("a" * (MAIL_BYTES + 1), MAIL_BYTES) == ["104,449 bytes, of which 104,448 may be shown"]


def test_the_command_tells_how_much_of_a_mail_each_layout_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    told = capsys.readouterr().out
    assert all(f"\n{name} " in told for name in load_layouts())
    assert told.endswith("nothing that a mail program would spoil\n")


def test_the_command_refuses_a_bad_layout_and_one_that_is_too_large(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mail.yaml").write_text("name: mail\nblocks:\n  - block: trendy\n    title: x\n")
    assert main([str(tmp_path)]) == 1
    assert "mail.yaml:3: there is no block 'trendy'" in capsys.readouterr().out
    large = "name: mail\nblocks:\n" + "  - {block: trending, title: x, count: 30}\n" * 4
    (tmp_path / "mail.yaml").write_text(large)
    assert main([str(tmp_path)]) == 1
    told = capsys.readouterr().out
    assert "bytes, of which 104,448 may be shown" in told
    assert "mail: trending takes" in told


class TestSchemas:
    """What editors complete and check layouts by."""

    @pytest.mark.parametrize("name", ["layout.json", "rules.json"])
    def test_what_is_published_is_what_is_made(self, name: str) -> None:
        published = (SHIPPED / "schema" / name).read_text("utf-8")
        assert published == schemas()[name], "run python -m api.lint --schema"

    def test_every_layout_names_its_schema_and_keeps_it(self) -> None:
        schema = json.loads(schemas()["layout.json"])
        jsonschema.Draft202012Validator.check_schema(schema)
        for path in SHIPPED.glob("*.yaml"):
            text = path.read_text("utf-8")
            first = text.splitlines()[0]
            assert (SHIPPED / first.removeprefix("# yaml-language-server: $schema=")).exists(), path
            jsonschema.validate(yaml.safe_load(text), schema)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"block": "trendy", "title": "x"}, {"block": "trending"}, {"block": "trending", "title": "x", "conut": 1},
            {"block": "trending", "title": "x", "count": 0}, {"block": "trending", "title": "x", "template": "gird"},
            {"block": "trending", "title": "x", "fallback": ["trendy"]},
            {"block": "trending", "title": "x", "filters": {"countries": ["France"]}},
        ],
    )  # fmt: skip
    def test_it_refuses_what_the_service_refuses(self, wrong: dict[str, object]) -> None:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"name": "mail", "blocks": [wrong]}, json.loads(schemas()["layout.json"]))

    def test_the_command_writes_them(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main([str(tmp_path), "--schema"]) == 0
        assert {path.name: path.read_text("utf-8") for path in (tmp_path / "schema").iterdir()} == schemas()
        assert "$schema=schema/layout.json" in capsys.readouterr().out


def test_the_products_that_are_drawn_are_long_and_usual_indeed() -> None:
    assert len(LONG.title) > 300
    assert USUAL.list_price
    assert USUAL.price
    assert USUAL.list_price > USUAL.price
