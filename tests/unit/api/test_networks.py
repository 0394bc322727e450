"""Where a request comes from: nobody is believed but proxies of ours, and each only for the hop it saw."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.networks import Proxies, lies_in, network_of, read_networks

OURS = read_networks(["10.0.0.0/8", "2001:db8::/32", "127.0.0.1"])


def settled(peer: str, *headers: tuple[str, str]) -> dict[str, Any]:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    scope: dict[str, Any] = {"client": (peer, 1), "scheme": "http", "headers": raw}
    Proxies(OURS).settle(scope)
    return scope


@pytest.mark.parametrize(
    ("peer", "hops", "caller"),
    [
        ("10.0.0.1", ["1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", ["6.6.6.6, 1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", ["6.6.6.6, 1.2.3.4, 10.9.9.9"], "1.2.3.4"),
        ("10.0.0.1", ["6.6.6.6", "1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", ["1.2.3.4:5678"], "1.2.3.4"),
        ("10.0.0.1", ["[2a00::1]:5678"], "2a00::1"),
        ("::ffff:10.0.0.1", ["::ffff:1.2.3.4"], "1.2.3.4"),
        ("2001:db8::1", ["2a00::1"], "2a00::1"),
        ("10.0.0.1", ["10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["1.2.3.4, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["1.2.3.4, "], "10.0.0.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("6.6.6.6", ["1.2.3.4"], "6.6.6.6"),
        ("6.6.6.6", ["10.0.0.1"], "6.6.6.6"),
        ("11.0.0.1", ["10.0.0.1, 127.0.0.1"], "11.0.0.1"),
    ],
)
def test_the_caller_is_who_our_outermost_proxy_saw(peer: str, hops: list[str], caller: str) -> None:
    assert settled(peer, *(("x-forwarded-for", hop) for hop in hops))["client"][0] == caller


def test_the_scheme_is_believed_likewise() -> None:
    said = ("x-forwarded-proto", "https")
    assert settled("10.0.0.1", said)["scheme"] == "https"
    assert settled("6.6.6.6", said)["scheme"] == "http"
    assert settled("10.0.0.1", ("x-forwarded-proto", "gopher"))["scheme"] == "http"


@given(lies=st.lists(st.sampled_from(["10.0.0.1", "127.0.0.1", "2001:db8::1", "9.9.9.9", "x", ""]), max_size=5))
def test_nothing_that_a_caller_writes_moves_it(lies: list[str]) -> None:
    """The last proxy puts the address it sees behind whatever is there."""
    said = ("x-forwarded-for", ", ".join([*lies, "6.6.6.6"]))
    assert settled("10.0.0.1", said)["client"][0] == "6.6.6.6"
    assert settled("6.6.6.6", said)["client"][0] == "6.6.6.6"


def test_no_proxy_means_that_nobody_is_believed() -> None:
    scope: dict[str, Any] = {"client": ("127.0.0.1", 1), "headers": [(b"x-forwarded-for", b"1.2.3.4")]}
    Proxies().settle(scope)
    assert scope["client"] == ("127.0.0.1", 1)


@pytest.mark.parametrize("text", ["", "10.0.0", "10.0.0.1.5", "10.0.0.0/8", "0x0a000001", "testclient"])
def test_what_is_no_address_lies_nowhere(text: str) -> None:
    assert not lies_in(text, read_networks(["0.0.0.0/0", "::/0"]))


@pytest.mark.parametrize("word", ["10.0.0.1/8", "all", "", "10.0.0.0/33"])
def test_what_is_no_network_is_refused_by_name(word: str) -> None:
    with pytest.raises(ValueError, match="is no network"):
        read_networks([word])


def test_neighbours_share_a_network() -> None:
    assert network_of("1.2.3.4") == network_of("1.2.3.200") == "1.2.3.0/24"
    assert network_of("2a00:1:2:3:4::1") == network_of("2a00:1:2:3:9::1") == "2a00:1:2:3::/64"
    assert network_of("") == ""
