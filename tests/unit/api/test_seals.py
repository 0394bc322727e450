"""Tokens of links: only what was sealed opens, whole, in time, and it says nothing to who cannot open it."""

from __future__ import annotations

import random
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.envelope import MOST_CHARACTERS
from api.seals import Pass, Seals, read_link_keys

SECRETS = {"k2": "b" * 40, "k1": "a" * 40}
SEALS = Seals(SECRETS)
TODAY = 20_000
PASS = Pass("weekly", "anna@shop.example", "may-2026", TODAY)
TOKEN = SEALS.seal(PASS)
TEXT = st.text(max_size=60)
ALPHABET = string.ascii_letters + string.digits + "-_.=+/%~ \\\r\n\x00é"


@settings(max_examples=50)
@given(layout=TEXT, user_id=TEXT, send_id=TEXT, until=st.integers(TODAY, 2**40))
def test_what_is_sealed_opens(layout: str, user_id: str, send_id: str, until: int) -> None:
    what = Pass(layout, user_id, send_id, until)
    token = SEALS.seal(what)
    assert SEALS.open(token, TODAY) == what
    assert SEALS.seal(what) == token
    assert not set(token) - set(string.ascii_letters + string.digits + "-_.")


def test_every_flipped_bit_of_every_byte_is_found_out() -> None:
    raw = TOKEN.encode()
    for place in range(len(raw)):
        for bit in range(8):
            changed = bytes([*raw[:place], raw[place] ^ (1 << bit), *raw[place + 1 :]]).decode("latin-1")
            assert SEALS.open(changed, TODAY) is None, changed


def test_whatever_is_changed_is_no_token() -> None:
    """Ten thousand changes: something cut out, something put in."""
    chance = random.Random(29)
    for _ in range(10_000):
        place, cut = chance.randrange(len(TOKEN) + 1), chance.randrange(4)
        changed = TOKEN[:place] + "".join(chance.choices(ALPHABET, k=chance.randrange(4))) + TOKEN[place + cut :]
        assert SEALS.open(changed, TODAY) == (PASS if changed == TOKEN else None), changed


@pytest.mark.parametrize(
    "token", ["", ".", "k1", "k1.", ".AAAA", "k9." + TOKEN[3:], "k1." + TOKEN[3:], "k2." + "A" * MOST_CHARACTERS]
)
def test_what_is_no_token(token: str) -> None:
    assert SEALS.open(token, TODAY) is None


def test_keys_are_rotated() -> None:
    old = Seals({"k1": SECRETS["k1"]}).seal(PASS)
    assert SEALS.open(old, TODAY) == PASS
    assert TOKEN.startswith("k2.")
    assert Seals({"k1": SECRETS["k1"]}).open(TOKEN, TODAY) is None
    assert Seals({"k2": "c" * 40}).open(TOKEN, TODAY) is None


def test_a_token_is_good_to_the_end_of_its_day() -> None:
    assert SEALS.open(TOKEN, TODAY - 9) == SEALS.open(TOKEN, TODAY) == PASS
    assert SEALS.open(TOKEN, TODAY + 1) is None


def test_a_token_tells_nothing() -> None:
    assert not any(part in TOKEN.lower() for part in ("anna", "shop", "weekly", "may"))
    assert SEALS.seal(PASS._replace(user_id="bert@shop.example"))[:12] != TOKEN[:12]


def test_without_keys_there_are_no_tokens() -> None:
    none = Seals({})
    assert not none
    assert none.open(TOKEN, TODAY) is None


@pytest.mark.parametrize(
    "words", [("k1",), ("=" + "a" * 40,), ("k 1=" + "a" * 40,), ("k1=short",), ("k=" + "a" * 32,) * 2]
)
def test_keys_that_cannot_be_used_are_refused_in_words_without_the_secret(words: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"write name=secret|make it of random ones") as caught:
        read_link_keys(words)
    assert "short" not in str(caught.value)
    assert "aaaa" not in str(caught.value)


def test_keys_are_read_in_order() -> None:
    assert list(read_link_keys(("b=" + "x" * 32, "a=" + "=" * 32)).items()) == [("b", "x" * 32), ("a", "=" * 32)]
