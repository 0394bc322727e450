from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import html5lib
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup
from msgspec.structs import replace

from api import card
from api.answer import Answer, Block
from api.dress import format_price, web_link
from api.render import render_html, render_json, render_text
from tests.unit.api.mails import PLAIN, SAMPLES, Parsed, answer, block, item


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES.keys())
def test_every_opened_element_is_closed_in_order(sample: Answer) -> None:
    open_elements: list[object] = []
    for kind, *rest in Parsed(render_html(sample)).skeleton:
        if kind == "end":
            assert open_elements.pop() == rest[0]
        elif kind not in {"img", "comment"}:
            open_elements.append(kind)
    assert open_elements == []


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES.keys())
def test_every_surface_and_text_has_a_colour_of_its_own_for_dark_mode(sample: Answer) -> None:
    parsed = Parsed(render_html(sample))
    assert all(
        re.search("(^|;)color:#[0-9a-f]{6}", a["style"] or "") for a in parsed.all_of("div") + parsed.all_of("h2")
    )
    assert [table["bgcolor"] for table in parsed.all_of("table") if "bgcolor" in table] == ["#ffffff"]
    buttons = [cell for cell in parsed.all_of("td") if "padding:2px 20px" in (cell.get("style") or "")]
    assert len(buttons) == len([a for a in parsed.all_of("a") if "display:block" in (a["style"] or "")])
    assert all(re.fullmatch("#[0-9a-f]{6}", cell.get("bgcolor") or "") for cell in buttons)


def test_a_mail_of_three_blocks_stays_far_below_what_is_clipped() -> None:
    assert len(render_html(SAMPLES["a whole mail"])) < 40_000


@pytest.mark.parametrize("title", ["備前焼の花瓶" * 60, "&" * 500, "W" * 500], ids=["wide", "escaped", "one word"])
def test_a_block_of_four_stays_within_20_kb_whatever_the_catalogue_says(title: str) -> None:
    long_url = "https://shop.example/p/" + "a" * 180
    sample = answer(block("recommended", *[item(title=title, reason=title, url=long_url)] * 4, title=title))
    assert len(render_html(sample)) <= 20 * 1024


NASTY = [
    '"><script>alert(1)</script>',
    "' onerror=alert(1) x='",
    "--><img src=x onerror=alert(1)><!--",
    "<![endif]-->",
    "]]><!DOCTYPE x>",
    "</td></tr></table>",
    "{{7*7}}{% raw %}*|MERGE|*%%=v(@x)=%%[[x]]",
    "javascript:alert(1)",
    "a\r\nBcc: x@example.com\n\nsecond",
    "\x00\x1b[31m\ud800\u202e\u2066\u2028\x85",
    "&lt;b&gt;&#x3c;&quot",
    "<?php ?><svg/onload=alert(1)>",
]
texts = st.tuples(st.sampled_from(NASTY) | st.text(max_size=40), st.text(max_size=10)).map(
    lambda two: two[0] + two[1] + "a"
)
kinds = st.sampled_from(
    [("recommended", ""), ("abandoned_cart", ""), ("editorial", ""), ("message", ""), ("trending", "list")]
)
shapes = st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.booleans())


@st.composite
def twins(draw: st.DrawFn) -> tuple[Answer, Answer]:
    """Two answers of one shape: the first holds hostile text, the second harmless words."""
    pair: tuple[list[Block], list[Block]] = ([], [])
    for _ in range(draw(st.integers(1, 2))):
        (kind, template), items, plain = draw(kinds), [], []
        for url, picture, price, was, reason in draw(st.lists(shapes, min_size=1, max_size=4)):
            common = item(
                url=PLAIN.url if url else None,
                image_url=PLAIN.image_url if picture else None,
                price=16.99 if price else None,
                list_price=19.5 if was else None,
            )
            hostile = {"title": draw(texts), "item_id": draw(texts), "currency": draw(texts)}
            items.append(replace(common, reason=draw(texts) if reason else None, **hostile))
            plain.append(replace(common, reason="b" if reason else None, title="b", currency=None))
        pair[0].append(replace(block(kind, *items, title=draw(texts)), template=template))
        pair[1].append(replace(block(kind, *plain, title="b"), template=template))
    return answer(*pair[0]), answer(*pair[1])


def tree(html: str) -> list[tuple[object, ...]]:
    """What a browser makes of a fragment in the body of a mail: elements and comments by depth, texts as marks."""
    body = html5lib.parse(f"<body><p>before</p>{html}<p>after</p></body>", namespaceHTMLElements=False).find("body")
    found: list[tuple[object, ...]] = []

    def walk(node: Any, depth: int) -> None:
        if not isinstance(node.tag, str):  # a comment
            found.append((depth, "comment", node.text))
            return
        words = {"alt", "aria-label"}
        attributes = sorted((name, "…" if name in words else value) for name, value in node.attrib.items())
        found.append((depth, node.tag, tuple(attributes), bool((node.text or "").strip())))
        for child in node:
            walk(child, depth + 1)
            found.append((depth, "then", bool((child.tail or "").strip())))

    walk(body, 0)
    return found


@settings(max_examples=max(60, settings().max_examples // 4), deadline=None)
@given(twins(), st.sampled_from(["en", "ar"]))
def test_hostile_text_never_changes_what_a_browser_makes_of_the_html(both: tuple[Answer, Answer], locale: str) -> None:
    hostile, plain = (tree(render_html(each, locale=locale)) for each in both)
    assert hostile == plain
    assert hostile[1][1] == hostile[-2][1] == "p"  # nothing before or after it was drawn in


@pytest.fixture
def escaping_nothing() -> Iterator[None]:
    """A renderer that escapes nothing, and remembers nothing of it."""
    with mock.patch.object(card, "for_html", Markup), mock.patch.object(card, "_pieces", card._pieces.__wrapped__):
        yield


@pytest.mark.usefixtures("escaping_nothing")
def test_a_browser_would_see_text_that_left_its_place() -> None:
    """The property itself, where nothing is escaped."""
    for nasty in NASTY[:1] + NASTY[2:3] + NASTY[5:6]:
        hostile, plain = (
            tree(render_html(answer(block("recommended", item(title=title))))) for title in (f"{nasty}a", "b")
        )
        assert hostile != plain, nasty


@settings(deadline=None)
@given(twins())
def test_hostile_text_never_changes_the_structure_of_the_html(both: tuple[Answer, Answer]) -> None:
    hostile, plain = map(render_html, both)
    assert Parsed(hostile).skeleton == Parsed(plain).skeleton
    assert len(Parsed(hostile).texts) == len(Parsed(plain).texts)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\U0010ffff]", hostile)


@settings(deadline=None)
@given(twins())
def test_hostile_text_never_changes_the_lines_of_the_text(both: tuple[Answer, Answer]) -> None:
    hostile, plain = map(render_text, both)
    assert len(hostile.splitlines()) == len(plain.splitlines())
    assert {sign for sign in hostile if unicodedata.category(sign) in {"Cc", "Cs"}} <= {"\n"}


@settings(deadline=None)
@given(st.sampled_from(["", "http:", "https:/", "https://", "javascript:", " https://", "https://["]), st.text())
def test_a_link_leads_to_the_web_or_is_not_there(start: str, rest: str) -> None:
    html = render_html(answer(block("recommended", item(url=start + rest, image_url=start + rest))))
    for link in Parsed(html).links():
        assert urlsplit(link).scheme in {"http", "https"}
        assert urlsplit(link).hostname


@pytest.mark.parametrize(
    "url",
    [
        None,
        "",
        "/p/1",
        "//evil.example/x",
        "javascript:alert(1)",
        "JaVaScRiPt://shop.example/%0aalert(1)",
        " javascript:alert(1)",
        "java\nscript:alert(1)",
        "data:text/html;base64,PHN2Zz4=",
        "ftp://shop.example/1",
        "https:///p/1",
        "https:\\\\shop.example\\p",
        "https://evil.example\\@shop.example/p",
        "https://shop.example/\u202egpj.exe",
        "https://shop.example/a b",
        "https://[shop.example/",
        "https://shop.example/" + "a" * 2_100,
    ],
)
def test_an_item_whose_address_is_not_of_the_web_keeps_its_words_and_loses_its_link(url: str | None) -> None:
    assert web_link(url) is None
    sample = answer(block("recommended", item(url=url, image_url=url)))
    parsed = Parsed(render_html(sample))
    assert parsed.links() == []
    assert PLAIN.title in parsed.texts
    assert "//" not in render_text(sample)


@pytest.mark.parametrize(
    ("url", "link"),
    [
        ("HTTPS://shop.example/p", "HTTPS://shop.example/p"),
        ("http://shop.example:8080/p?a=1&b=%20#c", "http://shop.example:8080/p?a=1&b=%20#c"),
        ("https://shop.example/a'b\"<c>", "https://shop.example/a%27b%22%3Cc%3E"),
        ("https://shop.example/{{x}}?c=%NAME%", "https://shop.example/%7B%7Bx%7D%7D?c=%25NAME%25"),
    ],
)
def test_a_web_address_is_kept_and_made_safe(url: str, link: str) -> None:
    assert web_link(url) == link
    assert link in Parsed(render_html(answer(block("recommended", item(url=url))))).links()


def test_text_reaches_the_reader_as_it_was_written() -> None:
    title = 'Tom & J "5 < 6" {50%} | [new] — naïve 花瓶'
    sample = answer(block("recommended", item(title=title)))
    parsed = Parsed(render_html(sample))
    assert title in parsed.texts
    assert parsed.all_of("img")[0]["alt"] == title
    assert title in render_text(sample).splitlines()


def test_no_catalogue_text_can_speak_to_the_platform_that_sends_the_mail() -> None:
    tags = ["{{name}}", "{%if%}", "*|NAME|*", "%%name%%", "[[name]]", "${name}", "<%=name%>"]
    sample = answer(block("recommended", *[item(title=tag, reason=tag) for tag in tags], title="{{name}}"))
    html, text = render_html(sample), render_text(sample)
    assert not re.search(r"[{}|\[\]]|%%|%\w+%", re.sub(r"<!--\[if mso\]>.*|<!\[endif\]-->", "", html))
    assert not re.search(r"\{\{|\{%|\*\||%%|\[\[", text)


def test_long_titles_are_cut_between_words() -> None:
    text = render_text(answer(block("recommended", item(title="carafe " * 40))))
    title = text.splitlines()[3]
    assert len(title) <= 100
    assert title.endswith("carafe…")


def test_a_story_may_be_longer_than_a_product_line() -> None:
    words = "glaze " * 60
    for kind, whole in (("message", True), ("recommended", False)):
        assert (words.strip() in render_text(answer(block(kind, item(reason=words))))) == whole


def test_blocks_without_items_are_not_drawn() -> None:
    sample = answer(block("wishlist", title="Wishlist"), block("recommended", item()))
    assert [text for text in Parsed(render_html(sample)).texts if text == "Wishlist"] == []
    assert "Wishlist" not in render_text(sample)


def test_an_answer_with_nothing_to_show_draws_nothing() -> None:
    assert render_html(answer(block("wishlist"))) == ""
    assert render_text(answer()) == ""


@pytest.mark.parametrize(("count", "rows"), [(1, [1]), (2, [2]), (3, [1, 2]), (4, [2, 2]), (5, [1, 2, 2])])
def test_a_grid_has_two_a_row_and_gives_an_odd_first_one_a_row_of_its_own(count: int, rows: list[int]) -> None:
    html = render_html(answer(block("recommended", *[item()] * count)))
    drawn = [part.count("<img") for part in html.split("table-layout:fixed")[1:]]
    assert drawn == rows


@pytest.mark.parametrize(("kind", "ground"), [("abandoned_cart", "#ffffff"), ("trending", "#f4f2ee")])
def test_a_small_picture_beside_a_long_title_stands_on_the_paper(kind: str, ground: str) -> None:
    """Its cell grows with the title; a tint would stand above and below the picture."""
    html = render_html(answer(block(kind, item(title="A very long title " * 6), item())))
    cells = re.findall(r'<td width="(?:88|48%)"[^>]* bgcolor="(#\w+)"', html)
    assert cells == [ground] * 2


@pytest.mark.parametrize(("price", "label"), [(9.5, "View"), (None, "Read more")])
def test_a_story_is_read_and_a_product_drawn_as_one_is_viewed(price: float | None, label: str) -> None:
    html = render_html(answer(block("editorial", item(price=price))))
    assert f">{label}</a>" in html


def test_a_cart_has_one_button_that_leads_to_its_first_address() -> None:
    second = "https://shop.example/p/2"
    sample = answer(block("abandoned_cart", item(url=None), item(url=second), item()))
    buttons = [a for a in Parsed(render_html(sample)).all_of("a") if "display:block" in (a["style"] or "")]
    assert [button["href"] for button in buttons] == [second]
    assert f"Back to your cart:\n{second}\n" in render_text(sample)


def test_a_cart_without_addresses_has_no_button() -> None:
    sample = answer(block("abandoned_cart", item(url=None)))
    assert "Back to your cart" not in render_html(sample) + render_text(sample)


def test_a_button_says_aloud_what_it_shows() -> None:
    labels = [a["aria-label"] for a in Parsed(render_html(SAMPLES["one item"])).all_of("a") if "aria-label" in a]
    assert labels == ["View: Stoneware carafe"]


@pytest.mark.parametrize(
    ("price", "list_price", "drawn"),
    [(16.99, 20.0, "20"), (16.99, 16.99, None), (16.99, 9.0, None), (None, 20.0, None), (16.99, 16.994, None)],
)
def test_an_old_price_is_struck_through_only_where_it_was_higher(
    price: float | None, list_price: float, drawn: str | None
) -> None:
    sample = answer(block("recommended", item(price=price, list_price=list_price)))
    assert len(Parsed(render_html(sample)).all_of("s")) == (drawn is not None)
    assert ("$16.99 (was $20.00)" in render_text(sample)) == (drawn is not None)


@pytest.mark.parametrize(
    ("amount", "currency", "locale", "written"),
    [
        (16.99, "USD", "en", "$16.99"),
        (1299, "EUR", "en-IE", "€1,299.00"),
        (1299.5, "EUR", "de", "1.299,50 €"),
        (1299.5, "EUR", "fr_FR", "1 299,50 €"),
        (1299.5, "EUR", "nl", "€ 1.299,50"),
        (1299.5, "CHF", "de-CH", "CHF 1’299.50"),
        (1299.5, "CHF", "en", "CHF 1,299.50"),
        (1980, "JPY", "en", "¥1,980"),
        (199, "SEK", "sv", "199,00 kr"),
        (199, "SEK", "en", "SEK 199.00"),
        (12.5, "gbp", "en", "£12.50"),
        (1.2345, "KWD", "en", "KWD 1.234"),
        (5, "XYZ", "en", "XYZ 5.00"),
        (5, "<b>", "en", "5.00"),
        (5, None, "xx", "5.00"),
        (1299.5, "EUR", "ar", "‏1,299.50 €"),
        (1299.5, "ILS", "he", "‏1,299.50 ‏₪"),
        (5, "USD", "no such language", "$5.00"),
        (0, "USD", "en", "$0.00"),
        (None, "USD", "en", ""),
        (-1, "USD", "en", ""),
        (float("nan"), "USD", "en", ""),
        (float("inf"), "USD", "en", ""),
        (1e16, "USD", "en", ""),
    ],
)
def test_prices_are_written_as_people_write_them(
    amount: float | None, currency: str | None, locale: str, written: str
) -> None:
    assert format_price(amount, currency, locale) == written.replace(" ", "\u00a0")


def test_buttons_speak_the_language_of_the_mail() -> None:
    sample = answer(block("abandoned_cart", item()), block("recommended", item()), block("editorial", item(price=None)))
    parsed = Parsed(render_html(sample, locale="de-AT"))
    assert {"Zurück zum Warenkorb", "Ansehen", "Weiterlesen"} <= set(parsed.texts)
    assert parsed.all_of("table")[0]["lang"] == "de-AT"


@pytest.mark.parametrize("kind", ["recommended", "abandoned_cart", "editorial"])
def test_languages_that_run_from_right_to_left_are_drawn_so(kind: str) -> None:
    sample = answer(block(kind, *[item()] * 3))
    for locale, runs, start in (("ar", "rtl", "right"), ("he-IL", "rtl", "right"), ("en", None, "left")):
        parsed = Parsed(render_html(sample, locale=locale))
        assert parsed.all_of("table")[0].get("dir") == runs
        assert {cell["align"] for cell in parsed.all_of("td") if "align" in cell} <= {start, "center"}
        assert start in {cell.get("align") for cell in parsed.all_of("td")}


def test_a_long_text_is_folded_and_still_what_it_was() -> None:
    for words in ("備前焼の花瓶" * 80, "naïve glaze " * 40, "&<>é" * 120):
        html = render_html(answer(block("message", item(reason=words))))
        drawn = "".join(Parsed(html).texts).replace("\u200b\n", "").replace("\n", " ")
        assert words[:479].strip() in drawn
        assert max(map(len, html.splitlines())) <= 998


def test_a_hostile_locale_stays_in_its_attribute() -> None:
    hostile = Parsed(render_html(SAMPLES["one item"], locale='en"><script>alert(1)</script>'))
    assert [tag for tag, _ in hostile.elements] == [tag for tag, _ in Parsed(render_html(SAMPLES["one item"])).elements]


@pytest.mark.parametrize(("accent", "ink"), [("#1f6f5c", "#ffffff"), ("#f2c14e", "#1c1b19"), ("#FFFFFF", "#1c1b19")])
def test_the_words_on_a_button_stay_legible_on_any_accent(accent: str, ink: str) -> None:
    html = render_html(answer(block("abandoned_cart", item())), accent=accent)
    assert f'bgcolor="{accent}"' in html
    assert f"display:block;color:{ink}" in html


@pytest.mark.parametrize("accent", ["red", "#fff", "#1f6f5c;x:y", '"><b>'])
def test_an_accent_that_is_no_colour_is_refused_in_words(accent: str) -> None:
    with pytest.raises(ValueError, match="must be written as #rrggbb"):
        render_html(SAMPLES["one item"], accent=accent)


def test_json_has_every_key_and_null_where_nothing_is_known() -> None:
    sample = answer(
        block("recommended", item(), item(url=None, image_url=None, price=None, currency=None, reason=None))
    )
    told = msgspec.json.decode(render_json(sample))
    assert list(told) == ["layout", "user_id", "send_id", "generated_at", "features_as_of", "blocks"]
    assert list(told["blocks"][0]) == ["block", "title", "source", "items"]
    keys = ["item_id", "title", "url", "image_url", "price", "list_price", "currency", "position", "reason"]
    assert [list(one) for one in told["blocks"][0]["items"]] == [keys, keys]
    assert told["send_id"] is None
    assert told["blocks"][0]["items"][1]["price"] is None
    assert msgspec.json.decode(render_json(sample), type=Answer) == sample
