"""Where clicks may lead: to hosts that are allowed and nowhere else, whatever a catalogue or an address says."""

from __future__ import annotations

import random
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.answer import Answer, Block, Item
from api.links import block_names, is_allowed, pick, slots_of, snippet, target
from api.plans import BlockPlan, Content, Layout, Utm

HOSTS = ("shop.example", "*.shop.example")
UTM = Utm(source="news letter", medium="email", campaign="spring&sale")
TRICKS = (
    "//evil.example", "\\\\evil.example", "/\\evil.example", "https:evil.example", "https:/evil.example",
    "https://evil.example", "https://shop.example@evil.example", "https://shop.example:x@evil.example/",
    "https://evil.example/https://shop.example", "https://evil.example#shop.example", "https://evil.example?shop.example",
    "https://shop.example.evil.example", "https://evilshop.example", "https://shop.example\\@evil.example",
    "https://shop.example\\.evil.example", "https://shop.example%2eevil.example", "https://evil.example\t.shop.example",
    "https://shop.example\r\nLocation: https://evil.example", "https://shop.example/\r\n\r\n<script>",
    "javascript:alert(1)", "data:text/html,x", "ftp://shop.example/", "https://[::1]/", "https://[shop.example]/", "https://",
    "https:///evil.example", "https://ｅvil.example", "https://shop。example.evil.example", "https://evil。example",
    "https://shop.example:99999999/", "https://sh\u200bop.example/", "https://\u202eelpmaxe.live", "",
)  # fmt: skip
PARTS = (
    "https://", "http://", "//", "\\\\", "shop.example", "evil.example", "@", ":", "/", "?", "#", "\r\n", "%0d%0a", ".",
    "[", "]", "é", " ", "\t", "%2f", "a=b", "\\", "www.shop.example", "443",
)  # fmt: skip


def test_nothing_leads_to_a_host_that_is_not_allowed() -> None:
    """Ten thousand addresses, put together of the parts of good and bad ones."""
    chance = random.Random(29)
    for _ in range(10_000):
        only_ours("https://" * chance.randrange(2) + "".join(chance.choices(PARTS, k=chance.randrange(9))))


@pytest.mark.parametrize("trick", TRICKS)
def test_no_trick_does(trick: str) -> None:
    only_ours(trick)
    only_ours(f"https://shop.example{trick}")


def only_ours(url: str) -> None:
    link = target(url, HOSTS, UTM)
    if link is None:
        return
    assert link.isascii()
    assert link.isprintable()
    assert "\\" not in link
    assert " " not in link
    parts = urlsplit(link)
    assert parts.scheme in ("http", "https")
    assert parts.netloc.partition(":")[0] == parts.hostname
    assert parts.hostname == "shop.example" or str(parts.hostname).endswith(".shop.example")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://shop.example", "https://shop.example?{}"),
        ("https://shop.example/a?b=c#d", "https://shop.example/a?b=c&{}#d"),
        ("https://shop.example/a?UTM_Source=x&utm%5fmedium=y", "https://shop.example/a?UTM_Source=x&utm%5fmedium=y&utm_campaign=spring%26sale"),
        ("https://www.shop.example:8443/ä?q=ö", "https://www.shop.example:8443/%C3%A4?q=%C3%B6&{}"),
        ("https://shop.example/a%20b?c=%2F+d", "https://shop.example/a%20b?c=%2F+d&{}"),
    ],
)  # fmt: skip
def test_utm_parameters_are_added_and_nothing_else_changes(url: str, expected: str) -> None:
    added = "utm_source=news%20letter&utm_medium=email&utm_campaign=spring%26sale"
    assert target(url, HOSTS, UTM) == expected.format(added)


@settings(max_examples=50)
@given(query=st.text("abc=&%+;ü", max_size=20), has=st.booleans())
def test_no_parameter_that_is_there_is_overwritten(query: str, has: bool) -> None:
    url = f"https://shop.example/?{query}{'&utm_source=mine' if has else ''}"
    link = target(url, (), UTM)
    assert link is not None
    found = [value for name, value in parse_qsl(urlsplit(link).query, keep_blank_values=True) if name == "utm_source"]
    assert found == (["mine"] if has else ["news letter"])


def test_without_a_list_any_host_of_the_catalogue_is_good() -> None:
    assert target("https://bücher.example/x", (), None) == "https://xn--bcher-kva.example/x"
    assert target("https://bücher.example/x", HOSTS, None) is None


@pytest.mark.parametrize(
    ("host", "good"),
    [
        ("shop.example", True),
        ("A.SHOP.example", True),
        ("shop.example.", True),
        ("xshop.example", False),
        ("example", False),
    ],
)
def test_hosts(host: str, good: bool) -> None:
    assert is_allowed(host, HOSTS) is good


def answer() -> Answer:
    items = tuple(Item(f"p{n}", "", None, None, None, None, None, n, None) for n in (1, 2))
    blocks = (
        Block("trending", "", "static", items),
        Block("trending", "", "static", items[:1]),
        Block("message", "", "static", ()),
    )
    return Answer("weekly", "u1", "s1", "now", None, blocks)


@pytest.mark.parametrize(
    ("block", "slot", "expected"),
    [
        ("trending", "1", "p1"), ("trending", "2", "p2"), ("trending", "3", None), ("trending-2", "1", "p1"),
        ("trending-2", "2", None), ("trending-3", "1", None), ("message", "1", None), ("no", "1", None),
        ("trending", "0", None), ("trending", "-1", None), ("trending", "1.0", None), ("trending", "٢", None),
        ("trending", "²", None), ("trending", "1" * 5000, None), ("", "", None),
    ],
)  # fmt: skip
def test_what_is_in_a_slot(block: str, slot: str, expected: str | None) -> None:
    item = pick(answer(), block, slot)
    assert (item and item.item_id) == expected


def test_the_slots_of_a_layout_and_what_is_pasted() -> None:
    story = Content("s", "A", "B", "https://shop.example")
    layout = Layout(
        "weekly",
        (
            BlockPlan("trending", "", count=2),
            BlockPlan("trending", "", count=1),
            BlockPlan("editorial", "", content=(story,)),
        ),
    )
    slots = slots_of(layout, "https://mail.shop.example", "k1.abc")
    assert block_names([plan.block for plan in layout.blocks]) == ["trending", "trending-2", "editorial"]
    assert [(slot.block, slot.slot) for slot in slots] == [
        ("trending", 1),
        ("trending", 2),
        ("trending-2", 1),
        ("editorial", 1),
    ]
    assert slots[2].open_url == "https://mail.shop.example/v1/open/k1.abc/trending-2/1.png"
    assert slots[2].click_url == "https://mail.shop.example/v1/click/k1.abc/trending-2/1"
    html = snippet(slots, 265, 390, 'View "it"')
    assert html.count("<a href=") == html.count("<img src=") == 4
    assert html.count("<tr>") == 2
    assert html.count(' alt="View &#34;it&#34;"') == 4
