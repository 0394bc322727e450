"""Who arrives from a mail is known by what the click carried: for so long, on the shop's hosts, and by nothing else."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.app import create
from api.arrivals import FIELD, NONE, PARAMETER, Arrivals
from api.envelope import Envelope
from api.seals import Pass, Seals
from api.settings import api_settings
from dataflows.settings import SettingError
from tests.unit.api.shop import counted

SECRETS = {"k2": "b" * 40, "k1": "a" * 40}
HOSTS = ("shop.example", "*.shop.example")
LINK = "https://shop.example/p05?utm_source=mail#sizes"


class Clock:
    def __init__(self) -> None:
        self.at = 1_000_000.5

    def __call__(self) -> float:
        return self.at


def arrivals(clock: Clock, **more: Any) -> Arrivals:
    return Arrivals(**{"secrets": SECRETS, "seconds": 600, "hosts": HOSTS, "now": clock} | more)


def token_of(link: str) -> str:
    (found,) = parse_qs(urlsplit(link).query)[PARAMETER]
    return found


def who(known: Arrivals, token: Any, **more: Any) -> Any:
    call = {"type": "identify", "anonymousId": "d1", FIELD: token, **more}
    known.settle(call)
    assert FIELD not in call
    return call.get("userId")


@settings(max_examples=50)
@given(st.text(min_size=1, max_size=60))
def test_what_a_click_carries_is_known_again_for_its_time(user_id: str) -> None:
    clock = Clock()
    known = arrivals(clock)
    token = token_of(known.carried(LINK, user_id))
    assert who(known, token) == user_id
    clock.at += 600
    assert who(known, token) is None
    clock.at -= 1
    assert who(known, token) == user_id


@pytest.mark.parametrize(
    ("link", "before", "after"),
    [
        ("https://shop.example/p", "https://shop.example/p?", ""),
        ("https://www.shop.example/p?a=1&b=%20x", "https://www.shop.example/p?a=1&b=%20x&", ""),
        ("http://shop.example:8080/p#x?y", "http://shop.example:8080/p?", "#x?y"),
        ("https://SHOP.example./?#", "https://SHOP.example./?&", "#"),
    ],
)
def test_the_rest_of_the_address_stays(link: str, before: str, after: str) -> None:
    carried = arrivals(Clock()).carried(link, "u1")
    assert carried.startswith(f"{before}{PARAMETER}=k2.")
    assert carried.endswith(after)
    assert who(arrivals(Clock()), token_of(carried)) == "u1"


@pytest.mark.parametrize(
    "link", ["https://other.example/p", "https://shop.example.evil/", "https://evilshop.example/", "/p", ""]
)
def test_other_hosts_are_handed_nothing(link: str) -> None:
    assert arrivals(Clock()).carried(link, "u1") == link


def test_nobody_is_handed_anything_where_it_is_not_wanted() -> None:
    for none in (NONE, arrivals(Clock(), seconds=0), arrivals(Clock(), secrets={}), arrivals(Clock(), hosts=())):
        assert none.carried(LINK, "u1") == LINK
    token = token_of(arrivals(Clock()).carried(LINK, "u1"))
    assert who(NONE, token) is None
    assert who(arrivals(Clock(), seconds=0), token) is None


def test_whatever_is_changed_is_nobody() -> None:
    known = arrivals(Clock())
    token = token_of(known.carried(LINK, "u1"))
    for place in range(len(token)):
        for bit in range(8):
            raw = token.encode()
            assert (
                who(known, bytes([*raw[:place], raw[place] ^ (1 << bit), *raw[place + 1 :]]).decode("latin-1")) is None
            )
    for other in ("", "k1", "k1.", None, 7, [token], {"token": token}, "x" * 5000):
        assert who(known, other) is None


def test_the_token_of_a_link_is_none_of_an_arrival_and_the_other_way_round() -> None:
    known, seals = arrivals(Clock()), Seals(SECRETS)
    assert who(known, seals.seal(Pass("weekly", "u1", "s1", 2**40))) is None
    assert seals.open(token_of(known.carried(LINK, "u1")), 0) is None


def test_sealed_by_us_and_still_no_arrival() -> None:
    envelope = Envelope(SECRETS, b"inlay arrivals 1")
    assert who(arrivals(Clock()), envelope.seal(b"\x93\x01\x02\x03")) is None
    assert who(arrivals(Clock()), envelope.seal(b"")) is None


def test_keys_are_rotated() -> None:
    before = arrivals(Clock(), secrets={"k1": SECRETS["k1"]})
    assert who(arrivals(Clock()), token_of(before.carried(LINK, "u1"))) == "u1"
    assert who(before, token_of(arrivals(Clock()).carried(LINK, "u1"))) is None


def test_who_said_who_they_are_is_believed() -> None:
    known = arrivals(Clock())
    assert who(known, token_of(known.carried(LINK, "u1")), userId="u2") == "u2"


def test_it_is_counted_whether_they_were_known() -> None:
    known = arrivals(Clock())
    before = [counted("inlay_arrivals_total", who=word) for word in ("known", "unknown")]
    who(known, token_of(known.carried(LINK, "u1")))
    who(known, "k1.nothing")
    who(known, None)
    assert [counted("inlay_arrivals_total", who=word) for word in ("known", "unknown")] == [n + 1 for n in before]


KEYS = {"INLAY_API_KEYS": "k", "INLAY_LINK_KEYS": f"k1={'s' * 40}", "INLAY_HOME_URL": "https://shop.example"}


@pytest.mark.parametrize(
    ("environ", "say"),
    [
        ({"INLAY_ARRIVAL_SECONDS": "-1"}, "INLAY_ARRIVAL_SECONDS"),
        ({"INLAY_ARRIVAL_SECONDS": "100000"}, "set it to at most 86,400"),
        ({"INLAY_ARRIVAL_SECONDS": "600"}, "INLAY_LINK_KEYS"),
        ({"INLAY_ARRIVAL_SECONDS": "600", "INLAY_PUBLIC_URL": "https://mail.example", **KEYS}, "INLAY_LINK_HOSTS"),
    ],
)
def test_a_setting_that_cannot_be_used_is_told_at_the_start(environ: dict[str, str], say: str) -> None:
    with pytest.raises(SettingError, match=say):
        create(api_settings(environ))
