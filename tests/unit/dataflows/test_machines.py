"""Machines: who opened or clicked, by what is known of it and by what else happened to the same mail."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import strategies as st

from dataflows.events import SECOND, Event
from dataflows.machines import MACHINE_MADE, NETWORKS, USER_AGENTS, Watch, is_machine, reasons_of
from tests.given import NOW, an_event
from tests.unit.dataflows.proofs import fails, for_all, holds

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/125.0.0.0 Safari/537.36"
)


@pytest.mark.parametrize(
    ("user_agent", "ip", "reasons"),
    [
        (CHROME, "203.0.113.7", []),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)", "", []),
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/125.0.0.0 Safari/537.36 Edg/125.0.0.0", "", []),
        ("Mozilla/4.0 (compatible; ms-office; MSOffice 16)", "", []),
        ("", "", []),
        ("", "not an address", []),
        (" Mozilla/5.0 ", "", ["apple_mpp"]),
        (CHROME, "17.58.101.9", ["apple_mpp"]),
        (
            "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
            "",
            ["image_proxy"],
        ),
        (CHROME, "66.249.84.33", ["image_proxy"]),
        ("YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html", "", ["image_proxy"]),
        (f"{CHROME[:-20]} Chrome/42.0.2311.135 Safari/537.36 Edge/12.246 Mozilla/5.0", "", ["image_prefetch"]),
        ("Mozilla/4.0 (compatible; Microsoft Office Existence Discovery)", "", ["security_scanner"]),
        ("BarracudaCentral", "209.222.82.1", ["security_scanner"]),
        ("python-requests/2.32", "2001:db8::1", ["automation"]),
    ],
)
def test_what_is_known_of_it(user_agent: str, ip: str, reasons: list[str]) -> None:
    assert reasons_of(user_agent, ip) == reasons


def test_every_row_of_the_tables_can_be_a_reason() -> None:
    assert all(reasons_of(f"x {part.upper()} y", "") for part, _ in USER_AGENTS)
    assert all(reasons_of("", network.partition("/")[0]) == [reason] for network, reason in NETWORKS)


def a_mail(kind: str, at: int, url: str = "", **fields: Any) -> dict[str, Any]:
    return {"type": kind, "occurred_at": NOW + at, "user_id": "u1", "send_id": "s1", "url": url, **fields}


def verdicts(events: list[dict[str, Any]], watch: Watch | None = None) -> list[list[str]]:
    judged = (watch or Watch()).judge(events)
    found = [event.get("properties", {}) for event in judged]
    assert all(each.get("machine", False) is bool(each.get("machine_reasons")) for each in found)
    return [each.get("machine_reasons", []) for each in found]


HAPPENED = st.lists(
    st.tuples(
        st.sampled_from(["email_delivered", "email_open", "email_click", "email_click"]),
        st.integers(-2, 8).map(lambda halves: halves * SECOND // 2),
        st.sampled_from("abcd"),
        st.sampled_from(["m1", "m2"]),
    ),
    max_size=10,
)


@for_all(happened=HAPPENED, cuts=st.sets(st.integers(0, 9)))
def a_delivery_judges_by_all_that_came_so_far(
    watch: type[Watch], happened: list[tuple[Any, ...]], cuts: set[int]
) -> None:
    """The oracle looks at everything again for every event; deliveries are cut anywhere."""
    watcher, told, expected = watch(), list[list[str]](), list[list[str]]()
    events = [a_mail(kind, at, url, send_id=mail) for kind, at, url, mail in happened]
    bounds = [0, *sorted(cut for cut in cuts if 0 < cut < len(events)), len(events)]
    for first, end in pairwise(bounds):
        told += verdicts(events[first:end], watcher)
        for kind, at, _, mail in happened[first:end]:
            so_far = [each for each in happened[:end] if each[3] == mail]
            delivered = [each[1] for each in so_far if each[0] == "email_delivered"]
            links = {each[2] for each in so_far if each[0] == "email_click" and abs(each[1] - at) <= SECOND}
            fast = kind != "email_delivered" and bool(delivered) and 0 <= at - delivered[-1] < 3 * SECOND
            many = kind == "email_click" and len(links) >= 3
            expected.append(["too_fast"] * fast + ["many_links_at_once"] * many)
    assert told == expected


class OneMailForAll(Watch):
    def judge(self, events: Any) -> Any:
        return super().judge([{**event, "send_id": "s"} for event in events])


class ForgetsDeliveries(Watch):
    def judge(self, events: Any) -> Any:
        return super().judge(
            [event if event["type"] != "email_delivered" else {**event, "type": "x"} for event in events]
        )


class CountsClicksNotLinks(Watch):
    def judge(self, events: Any) -> Any:
        return super().judge([{**event, "url": str(place)} for place, event in enumerate(events)])


class OneByOne(Watch):
    def judge(self, events: Any) -> Any:
        return [judged for event in events for judged in super(OneByOne, self).judge([event])]


def test_a_delivery_is_judged_by_all_that_came_so_far() -> None:
    holds(a_delivery_judges_by_all_that_came_so_far, Watch)


@pytest.mark.parametrize("mutant", [OneMailForAll, ForgetsDeliveries, CountsClicksNotLinks, OneByOne])
def test_judging_by_something_else_is_caught(mutant: type[Watch]) -> None:
    assert fails(a_delivery_judges_by_all_that_came_so_far, mutant)


def test_somebody_elses_mail_says_nothing() -> None:
    events = [a_mail("email_delivered", 0, user_id="u2"), a_mail("email_open", SECOND)]
    assert verdicts(events) == [[], []]


def test_the_word_of_the_platform_is_a_reason_and_does_not_go_on_as_such() -> None:
    (judged,) = Watch().judge([a_mail("email_open", 0, properties={"platform_says_machine": True, "ip": "1.2.3.4"})])
    assert judged["properties"] == {"ip": "1.2.3.4", "machine": True, "machine_reasons": ["platform"]}


def test_what_is_remembered_is_bounded_to_the_newest_mails() -> None:
    watch = Watch(most=2)
    watch.judge([a_mail("email_delivered", 0, send_id=f"s{number}") for number in range(3)])
    late = [verdicts([a_mail("email_open", SECOND, send_id=f"s{number}")], watch) for number in range(3)]
    assert late == [[[]], [["too_fast"]], [["too_fast"]]]


def test_what_is_remembered_of_a_reader_can_be_forgotten() -> None:
    watch = Watch()
    delivered = [
        a_mail("email_delivered", 0, send_id=send, user_id=user) for send in ("s1", "s2") for user in ("u1", "u2")
    ]
    watch.judge(delivered)
    assert watch.readers == {"u1", "u2"}
    assert (watch.forget({"u1", "nobody"}), watch.forget({"u1"}), watch.readers) == (2, 0, {"u2"})
    opens = [a_mail("email_open", SECOND, send_id="s1", user_id=user) for user in ("u1", "u2")]
    assert verdicts(opens, watch) == [[], ["too_fast"]]


def test_events_that_make_no_sense_go_on_as_they_are() -> None:
    odd: list[dict[str, Any]] = [
        {}, {"type": ["email_open"]}, {"type": "email_open", "properties": [1]}, {"type": "email_click", "url": []},
        {"type": "email_click", "occurred_at": "now", "send_id": {}}, {"type": "email_delivered", "occurred_at": 1.5},
    ]  # fmt: skip
    assert Watch().judge(odd) == odd


@pytest.mark.parametrize("kind", ["view", "purchase", "consent", "email_delivered", "email_open", "email_click"])
def test_only_opens_and_clicks_are_a_machines(kind: str) -> None:
    event: Event = an_event(type=kind, properties={"machine": True})
    assert is_machine(event) is (kind in MACHINE_MADE) is kind.endswith(("open", "click"))
    assert not is_machine(an_event(type=kind, properties={"machine": "yes"}))


@pytest.mark.parametrize(
    ("properties", "machine"),
    [
        ({}, False),
        ({"user_agent": CHROME, "ip": "203.0.113.7"}, False),
        ({"user_agent": "YahooMailProxy"}, True),
        ({"userAgent": "YahooMailProxy", "user_agent": None}, True),
        ({"ip": "66.249.84.33"}, True),
        ({"context": {"user_agent": "GoogleImageProxy"}}, True),
        ({"context": {"userAgent": "python-requests/2", "ip": 7}}, True),
        ({"context": {"userAgent": CHROME, "ip": "17.1.1.1"}}, True),
        ({"context": "GoogleImageProxy", "user_agent": ["YahooMailProxy"]}, False),
        ({"user_agent": "YahooMailProxy", "machine": False}, False),
        ({"user_agent": CHROME, "machine": True}, True),
    ],
)
def test_what_no_webhook_judged_is_judged_by_what_is_known_of_it(properties: dict[str, Any], machine: bool) -> None:
    assert is_machine(an_event(type="email_open", properties=properties)) is machine
    assert not is_machine(an_event(type="view", properties=properties))
