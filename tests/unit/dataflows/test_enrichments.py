"""What is filled in from an event itself: campaign, referrer, device; and that no failure of it stops a flow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from dataflows.enrich import Complete, enrich
from dataflows.enrichments import EnrichmentError, Source, open_sources
from dataflows.enrichments.device import device_of
from dataflows.enrichments.referrer import site_of
from dataflows.events import MINUTE, Event, Refused, parse
from dataflows.people import make_complete
from dataflows.settings import flow_settings
from dataflows.stages import Received, Validated
from dataflows.validate import Validate
from tests.given import NOW, TEXTS, an_event, raw, raw_events
from tests.unit.dataflows.doubles import Clock

ALL = Complete(open_sources(("campaign", "referrer", "device")))
ANY = open_sources(("campaign", "referrer", "device"))


def completed(event: Event, complete: Complete = ALL) -> Event:
    (found,) = complete(Validated(0, 0, [(0, event)], [])).events
    return found[1]


def validated(*raws: bytes) -> Validated:
    return Validate(Clock(), 5 * MINUTE, 1000)(Received(0, list(range(len(raws))), list(raws)))


@pytest.mark.parametrize(
    ("url", "campaign_id", "properties"),
    [
        ("https://s.example/?utm_source=mail&utm_campaign=May%20Sale", "May Sale",
         {"utm_source": "mail", "utm_campaign": "May Sale"}),
        ("/p?utm_campaign=a&utm_id=77&utm_medium=&other=1", "77", {"utm_campaign": "a", "utm_id": "77"}),
        ("https://s.example/?utm_campaign=%00a%E2%80%8Bb&utm_campaign=second", "ab", {"utm_campaign": "ab"}),
        ("https://s.example/?utm_term=" + "x" * 500, None, {"utm_term": "x" * 200}),
        ("https://s.example/#utm_source=no", None, {}),
        ("http://[utm_source=?utm_source=odd", None, {"utm_source": "odd"}),
        ("?" + "&".join(f"a{n}=1" for n in range(100)) + "&utm_source=no", None, {}),
        ("https://s.example/?utm_x=1", None, {}),
    ],
)  # fmt: skip
def test_the_words_of_a_campaign(url: str, campaign_id: str | None, properties: dict[str, Any]) -> None:
    found = completed(an_event(url=url, properties={"kept": 1}))
    assert (found.campaign_id, found.properties) == (campaign_id, {**properties, "kept": 1})


def test_the_campaign_as_segments_libraries_send_it() -> None:
    context = {"campaign": {"name": "May", "source": "mail", "expid": 7, "term": ["x"]}}
    found = completed(an_event(properties={"context": context}))
    assert found.campaign_id == "May"
    assert found.properties == {"context": context, "utm_campaign": "May", "utm_source": "mail"}


def test_what_an_event_says_itself_stays() -> None:
    url = "https://s.example/?utm_source=mail&utm_campaign=May"
    found = completed(an_event(url=url, campaign_id="mine", properties={"utm_source": "mine"}))
    assert found.campaign_id == "mine"
    assert found.properties == {"utm_source": "mine", "utm_campaign": "May"}


@pytest.mark.parametrize(
    ("host", "site"),
    [
        ("google.de", ("search", "Google")),
        ("news.google.co.uk", ("search", "Google")),
        ("mail.google.com", ("email", "Gmail")),
        ("gemini.google.com", ("chat", "Gemini")),
        ("google.my.shop", ("site", "google.my.shop")),
        ("notgoogle.de", ("site", "notgoogle.de")),
        ("yandex.com.tr", ("search", "Yandex")),
        ("mail.yahoo.com", ("email", "Yahoo Mail")),
        ("fr.search.yahoo.com", ("search", "Yahoo")),
        ("l.facebook.com", ("social", "Facebook")),
        ("t.co", ("social", "X")),
        ("about.co", ("site", "about.co")),
        ("com", ("site", "com")),
    ],
)
def test_where_a_visit_came_from(host: str, site: tuple[str, str]) -> None:
    assert site_of(host) == site


def test_a_referrer_of_the_shop_itself_is_internal_and_www_makes_no_difference() -> None:
    event = an_event(url="https://shop.example/a", properties={"referrer": "https://www.shop.example/b"})
    assert completed(event).properties["referrer_kind"] == "internal"
    page = {"page": {"referrer": "https://www.google.com/", "url": "https://shop.example"}}
    found = completed(an_event(properties={"context": page})).properties
    assert (found["referrer_kind"], found["referrer_name"]) == ("search", "Google")
    for nothing in ("", "http://[", "about:blank", 7, None):
        assert "referrer_kind" not in completed(an_event(properties={"referrer": nothing})).properties


WINDOWS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"
)
AGENTS: Mapping[str, str | None] = {
    WINDOWS: "desktop",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari":
        "desktop",
    "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/125.0.0.0 Safari/537.36":
        "desktop",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148":
        "mobile",
    "Mozilla/5.0 (Linux; Android 14; SM-S918B) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/125.0 Mobile Safari":
        "mobile",
    "Mozilla/5.0 (Linux; Android 13; SM-X700) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/125.0 Safari/537.36":
        "tablet",
    "Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148": "tablet",
    "Mozilla/5.0 (SMART-TV; Linux; Tizen 7.0) AppleWebKit/537.36 (KHTML, like Gecko) Version/7.0 TV Safari/537.36":
        "tv",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)": "bot",
    "python-requests/2.32.3": None,
    "": None,
}  # fmt: skip


@pytest.mark.parametrize(("user_agent", "device"), AGENTS.items())
def test_the_form_of_a_device(user_agent: str, device: str | None) -> None:
    assert device_of(user_agent) == device
    assert completed(an_event(properties={"user_agent": user_agent})).device == device
    assert completed(an_event(properties={"context": {"userAgent": user_agent}})).device == device
    assert completed(an_event(device="mine", properties={"user_agent": user_agent})).device == "mine"


def test_a_batch_with_nothing_to_fill_in_is_handed_on_as_it_is() -> None:
    batch = validated(raw(), raw(event_id="e2", url="https://s.example/a"), raw(properties={"a": 1}), b"{}")
    assert ALL(batch) is batch


def test_a_failure_is_counted_and_the_event_goes_on_with_what_the_others_found() -> None:
    def failing(event: Event) -> None:
        raise ZeroDivisionError("oh")

    before = REGISTRY.get_sample_value("inlay_enrichments_failed_total", {"enrichment": "bad"}) or 0
    sources = {"bad": Source(failing, "utm_"), "campaign": ANY["campaign"]}
    batch = validated(raw(url="/?utm_id=1"))
    assert completed(batch.events[0][1], Complete(sources)).campaign_id == "1"
    assert REGISTRY.get_sample_value("inlay_enrichments_failed_total", {"enrichment": "bad"}) == before + 1

    records = [raw(event_id="e0"), b"{}", raw(event_id="e2", url="/?utm_id=1"), b"[]"]
    strict = Complete(sources, ["bad"])(validated(*records))
    assert [(offset, event.event_id) for offset, event in strict.events] == [(0, "e0")]
    assert [offset for offset, _ in strict.refused] == [1, 2, 3]
    say = "the enrichment bad failed: ZeroDivisionError: oh"
    assert strict.refused[1][1] == Refused("enrich", "enrichment", say, "", records[2])


def test_what_a_source_gives_that_an_event_cannot_hold_is_a_failure_too() -> None:
    event = an_event(properties={"a": 1})
    assert completed(event, Complete({"bad": Source(lambda _: {"no_such_field": 1}, None, frozenset("a"))})) == event


def test_only_what_exists_can_be_asked_for() -> None:
    assert open_sources(("none",)) == {}
    with pytest.raises(EnrichmentError, match="'x' is no enrichment; write none, or some of campaign, referrer"):
        open_sources(("x",))
    with pytest.raises(EnrichmentError, match="names 'device', which is not in INLAY_ENRICH"):
        make_complete(flow_settings({"INLAY_ENRICH": "campaign", "INLAY_ENRICH_STRICT": "device"}))


ADDRESSES = st.one_of(
    TEXTS,
    st.sampled_from(("http://[", "https://www.google.com/?q=1", "https://shop.example/?utm_source=a&utm_id=%FF", "//")),
    st.builds("https://s.example/?utm_source={}&utm_campaign={}".format, TEXTS, TEXTS),
)
CONTEXTS = st.recursive(
    st.one_of(st.none(), st.integers(), ADDRESSES),
    lambda inner: st.dictionaries(st.sampled_from(("campaign", "page", "name", "referrer", "userAgent")), inner),
    max_leaves=5,
)


@given(
    events=st.lists(
        st.builds(
            lambda **fields: an_event(**fields),
            url=st.one_of(st.none(), ADDRESSES),
            properties=st.dictionaries(
                st.sampled_from(("context", "referrer", "utm_id", "other", "url")), st.one_of(ADDRESSES, CONTEXTS)
            ),
            campaign_id=st.sampled_from((None, "c")),
        ),
        max_size=5,
    ),
    noise=st.lists(raw_events(), max_size=3),
)
def test_whatever_an_event_holds_nothing_is_lost_or_changed_and_the_result_can_be_read(
    events: list[Event], noise: list[bytes]
) -> None:
    batch = validated(*map(msgspec.json.encode, events), *noise)
    found = ALL(batch)
    assert [offset for offset, _ in found.events] == [offset for offset, _ in batch.events]
    assert (found.refused, found.offset) == (batch.refused, batch.offset)
    for (_, before), (_, after) in zip(batch.events, found.events, strict=True):
        assert {name: after.properties[name] for name in before.properties} == before.properties
        for name in Event.__struct_fields__:
            said = getattr(before, name)
            assert name == "properties" or said is None or getattr(after, name) == said
        assert parse(msgspec.json.encode(after), NOW + 10 * MINUTE) == after or len(msgspec.json.encode(after)) > 32768


def test_the_step_fills_in_before_it_looks_up() -> None:
    asked = []

    def look_up(item_ids: Any) -> dict[str, Any]:
        asked.append(set(item_ids))
        return {}

    (found,) = enrich([validated(raw(item_id="p1", url="/?utm_id=1"))], look_up, ALL)
    assert asked == [{"p1"}]
    assert found.batch.events[0][1].campaign_id == "1"
