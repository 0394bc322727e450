"""Kinds of bad data, planted: none reaches a mail, each is accounted for, and the page says what became of it."""

from __future__ import annotations

import pytest

from dataflows.stages import Aggregated
from tests.contract.planted import BEGIN, END, PAGE, Shop, faults, table, without_times
from tests.contract.redis_server import RedisServer


@pytest.fixture(scope="module")
def shop(running_redis: RedisServer) -> Shop:
    return Shop(running_redis)


def test_none_reaches_a_mail_and_the_page_says_what_became_of_each(shop: Shop) -> None:
    outcomes = {fault.name: shop.plant(fault) for fault in faults()}
    assert len(outcomes) >= 30
    assert {name: outcome.shown for name, outcome in outcomes.items() if outcome.shown} == {}
    assert [name for name, outcome in outcomes.items() if not outcome.accounted] == []
    for outcome in outcomes.values():
        assert bool(outcome.alarms) == ("whole batch" in outcome.went_to or "all rows" in outcome.went_to)
    told = PAGE.read_text().partition(BEGIN)[2].partition(END)[0]
    assert without_times(told) == without_times(table(outcomes)), "make it anew: python -m tests.contract.planted"


@pytest.mark.parametrize("name", ["a feed in cents", "HTML in a title", "one price of 0", "half of a feed at price 0"])
def test_without_the_gate_it_would_have_been_shown(shop: Shop, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def let_pass(batches: list[Aggregated]) -> list[Aggregated]:
        return batches

    monkeypatch.setattr(shop, "_gates", {"people": let_pass, "items": let_pass})
    monkeypatch.setattr(shop, "_event_gates", dict.fromkeys(("people", "items"), lambda batches, facts: batches))
    (fault,) = (each for each in faults() if each.name == name)
    assert shop.plant(fault).shown
