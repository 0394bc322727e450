"""The quick look at rows and Great Expectations give one verdict, on 105,000 rows, good and bad."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping
from typing import Any, Final

import pytest

from dataflows.aggregates.people import User
from expectations import compiled
from expectations.compiled import CompiledSuite, NotCompiled
from expectations.tables import is_table_rule
from expectations.verdict import WHOLE_EVERY, SuiteVerdict, TableRefused, load_suite, load_verdict
from tests.given import NOW

TABLE: Final = 35_000
NAN: Final = float("nan")
ODD: Final[tuple[Any, ...]] = (None, NAN, -1, 0, 1, 3, 1_000_000_000, 1_000_000_001, 1e300, float("inf"), -0.0)
TEXTS: Final[tuple[Any, ...]] = (
    None, "", "x", "x" * 200, "x" * 201, "all", "category:", "category:A/B", "country:FR", "country:fr", "EUR", "eur",
    "EURO", "browsers", "champions", "new", "lapsed",
    "null", "undefined", " ", "\n", "<b>Mug</b>", "1 < 2 > 0", "</p>", "https://s.example/a", "http:///",
    "javascript:alert(1)", "//s/a",
)  # fmt: skip


def user_row() -> dict[str, Any]:
    segment = {"rfm_recency": 5, "rfm_frequency": 1, "rfm_monetary": 3, "segment": "promising", "lifecycle": "new"}
    return {"key": "u", **User().row(NOW)[0], **segment}


def row_of(entity: str) -> dict[str, Any]:
    if entity == "user":
        return user_row()
    names = next(e["kwargs"]["column_set"] for e in load_suite(entity)["expectations"] if "column_set" in e["kwargs"])
    row = dict.fromkeys(names)
    numbers = [name for e in load_suite(entity)["expectations"] for name in e["kwargs"].get("column_list", ())]
    return row | dict.fromkeys(numbers, 2) | {"key": "all", "currency": "EUR", "price": 1.5} if "price" in row else (
        row | {"key": "all"}
    )  # fmt: skip


def rows_of(entity: str) -> dict[str, Any]:
    """The suite of an entity, of which a row is looked at by those rules that are about rows."""
    suite = load_suite(entity)
    return {**suite, "expectations": [each for each in suite["expectations"] if not is_table_rule(each)]}


def mixed(entity: str, number: int, chance: random.Random) -> list[dict[str, Any]]:
    """Rows of which half are spoilt in one to three places, some in every number at once."""
    good = row_of(entity)
    looked_at = {
        name
        for e in load_suite(entity)["expectations"]
        if not is_table_rule(e)
        for name in (*e["kwargs"].get("column_list", ()), e["kwargs"].get("column", "key"))
    }
    texts = looked_at & {"key", "currency", "segment", "lifecycle", "title", "url", "image_url"}
    places, numbers = sorted(looked_at), sorted(looked_at - texts)
    rows = []
    for _ in range(number):
        row = dict(good)
        draw = chance.random()
        if draw < 0.02:
            row.update(dict.fromkeys(numbers, chance.choice((None, NAN, 7))))
        elif draw < 0.5:
            for name in chance.sample(places, min(len(places), chance.choice((1, 1, 2, 3)))):
                row[name] = chance.choice(TEXTS if name in texts else ODD)
        rows.append(row)
    return rows


@pytest.mark.parametrize(("entity", "tables"), [("user", 1), ("item", 1), ("scope", 1)])
def test_the_quick_look_and_great_expectations_say_the_same(entity: str, tables: int) -> None:
    verdict, quick, chance = load_verdict(entity), CompiledSuite(rows_of(entity)), random.Random(1)
    for _ in range(tables):
        rows = mixed(entity, TABLE, chance)
        judged = verdict.judged(rows)
        assert 0 < len(judged) < TABLE
        assert quick.suspects(rows) == sorted(judged)


@pytest.mark.parametrize("entity", ["user", "item", "scope"])
def test_good_rows_are_no_suspects(entity: str) -> None:
    rows = [row_of(entity)] * 3
    assert CompiledSuite(rows_of(entity)).suspects(rows) == []
    assert load_verdict(entity).judged(rows) == {}


@pytest.mark.parametrize("kind", sorted(compiled._COMPILERS.keys() - {"expect_table_row_count_to_be_between"}))
def test_a_rule_that_looks_away_is_found(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant of every rule: it lets all pass, and then the two verdicts differ."""
    entity = next(n for n in ("user", "item", "scope") if any(e["type"] == kind for e in load_suite(n)["expectations"]))
    blind: dict[str, Callable[..., Any]] = {**compiled._COMPILERS, kind: lambda **_: lambda rows, table=None: True}
    monkeypatch.setattr(compiled, "_COMPILERS", blind)
    quick, verdict = CompiledSuite(rows_of(entity)), load_verdict(entity)
    if kind == "expect_table_columns_to_match_set":
        rows = [row_of(entity) | {"more": 1}]
        assert quick.suspects(rows) == []
        with pytest.raises(TableRefused):
            verdict.judged(rows)
        return
    rows = mixed(entity, 8000, random.Random(2))
    assert quick.suspects(rows) != sorted(verdict.judged(rows))


@pytest.mark.parametrize("spoilt", [{"views_1h": "many"}, {"views_1h": [1]}, {"key": 7}, {"key": None, "views_1h": {}}])
def test_a_value_of_another_type_goes_to_the_judge(spoilt: Mapping[str, Any]) -> None:
    assert CompiledSuite(rows_of("user")).suspects([user_row(), user_row() | spoilt]) == [0, 1]


def test_a_suite_with_an_unknown_rule_is_refused_by_name() -> None:
    with pytest.raises(NotCompiled, match="expect_the_moon"):
        CompiledSuite({"name": "x", "expectations": [{"type": "expect_the_moon", "kwargs": {}}]})


def test_a_whole_table_is_judged_every_minute_and_what_was_missed_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0
    verdict = SuiteVerdict(load_suite("user"), lambda: now)
    monkeypatch.setattr(CompiledSuite, "suspects", lambda self, rows: [])
    bad = [user_row(), user_row() | {"views_1h": -1}]
    rule = "expect_multicolumn_values_to_be_between"
    assert verdict.broken(bad) == {1: rule}
    assert "missed" in caplog.text
    assert rule in caplog.text
    assert verdict.broken(bad) == {}, "the quick look alone, which this test made blind"
    now = WHOLE_EVERY
    assert verdict.broken(bad) == {1: rule}
    caplog.clear()
    with caplog.at_level(logging.ERROR):
        now = 2 * WHOLE_EVERY
        assert verdict.broken([user_row()]) == {}
    assert not caplog.text


def test_an_empty_table_keeps_no_suite() -> None:
    assert compiled._COMPILERS["expect_table_row_count_to_be_between"](min_value=1)([]) is False


def test_only_suspects_go_to_the_judge_and_keep_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    verdict = SuiteVerdict(load_suite("user"), lambda: now)
    verdict.broken([user_row()])
    seen: list[int] = []
    judged = SuiteVerdict.judged
    monkeypatch.setattr(SuiteVerdict, "judged", lambda self, rows: seen.append(len(rows)) or judged(self, rows))
    rows = [user_row(), user_row() | {"typical_price": -1.0}, user_row(), user_row() | {"key": ""}]
    assert verdict.broken(rows) == {
        1: "expect_column_values_to_be_between(typical_price)",
        3: "expect_column_value_lengths_to_be_between(key)",
    }
    assert verdict.broken([user_row()]) == {}
    assert seen == [2]
