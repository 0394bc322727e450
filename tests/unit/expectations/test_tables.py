"""Rules about tables: what numpy finds and what Great Expectations finds is the same, and every suite says why."""

from __future__ import annotations

import random
from typing import Any

import pytest

from dataflows.aggregates.items import Item
from dataflows.aggregates.people import User
from dataflows.aggregates.popularity import Scope
from expectations import tables
from expectations.compiled import CompiledSuite
from expectations.tables import (
    FROM_ROWS,
    LOOKED_AT_ONCE,
    NoTableRule,
    broken_rules,
    is_table_rule,
    some_of,
    table_rules,
)
from expectations.verdict import SUITES, SuiteVerdict, TableRefused, TableVerdict, load_suite, load_verdict
from feature_repo.layout import LAYOUTS
from tests.given import NOW

NAMES = sorted(path.stem for path in SUITES.glob("*.json"))
NAN = float("nan")


def some_values(rule: tables.TableRule, chance: random.Random) -> list[Any]:
    """Values around what the rule allows, some missing; in any case as many as it asks for."""
    number = rule.from_rows + chance.randint(0, 300)
    if "unique" in rule.expectation["type"]:
        different = max(1, round(number * chance.choice((0.0, rule.low * 0.9, rule.low * 1.2, 1.0))))
        values: list[Any] = [f"v{n % different}" for n in range(number)]
    else:
        scale = chance.choice((rule.low, rule.high)) * chance.choice((0.8, 0.99, 1.0, 1.01, 1.3))
        values = [scale * chance.uniform(0.98, 1.02) for _ in range(number)]
    values += [chance.choice((None, None, NAN if isinstance(values[0], float) else None)) for _ in range(50)]
    chance.shuffle(values)
    return values


@pytest.mark.parametrize("name", NAMES)
def test_a_table_that_numpy_finds_broken_great_expectations_does_too_and_no_other(name: str) -> None:
    suite, chance = load_suite(name), random.Random(3)
    verdict = TableVerdict(suite)
    rules = table_rules(suite)
    found = []
    for rule in rules:
        for _ in range(12):
            columns = {rule.column: some_values(rule, chance)}
            mine = bool(broken_rules([rule], columns))
            figure = tables.Broken(rule, 0.0, 0)
            assert verdict.judged(figure, columns) == mine, (rule.name, columns)
            found.append(mine)
    assert not rules or 0 < sum(found) < len(found)


@pytest.mark.parametrize("name", NAMES)
def test_few_values_and_missing_ones_break_no_rule_of_tables(name: str) -> None:
    for rule in table_rules(load_suite(name)):
        worst: list[Any] = ["x" if "unique" in rule.expectation["type"] else 1e9] * (rule.from_rows - 1)
        assert broken_rules([rule], {rule.column: [*worst, *[None] * 5000]}) == []
        assert broken_rules([rule], {rule.column: [*worst, worst[0]]})
        assert broken_rules([rule], {}), "a column that is missing"


def test_a_long_table_is_looked_at_in_part() -> None:
    for number in (0, 1, LOOKED_AT_ONCE, LOOKED_AT_ONCE + 1, 40_000, 123_457):
        looked_at = len(range(number)[some_of(number)])
        assert min(number, LOOKED_AT_ONCE // 2) <= looked_at <= LOOKED_AT_ONCE


def test_a_rule_that_is_not_known_is_refused_by_name() -> None:
    suite = {
        "name": "x",
        "expectations": [{"type": "expect_the_sun", "kwargs": {"column": "a"}, "meta": {FROM_ROWS: 1}}],
    }
    with pytest.raises(NoTableRule, match="expect_the_sun"):
        table_rules(suite)


def test_a_table_of_titles_that_are_all_the_same_is_held_in_words() -> None:
    verdict = load_verdict("item")
    row = dict.fromkeys(LAYOUTS["item"].columns.keys() - {"state"})
    rows = [{"key": f"i{n}", **row, "title": "{{ product.title }}"} for n in range(300)]
    why = verdict.table(rows)
    assert why.startswith("expect_column_proportion_of_unique_values_to_be_between(title): 0.00333333 of 300 values is")
    assert why.endswith("a template was sent and not what it stands for.")
    assert verdict.table([{**each, "title": f"Thing {n}"} for n, each in enumerate(rows)]) == ""


@pytest.mark.parametrize("name", NAMES)
def test_every_expectation_says_why_it_is_there(name: str) -> None:
    for expectation in load_suite(name)["expectations"]:
        why = expectation["meta"]["why"]
        assert len(why) > 20
        assert why.endswith(".")


@pytest.mark.parametrize("entity", sorted(LAYOUTS))
def test_the_fields_of_the_row_of_the_view_and_of_the_suite_are_the_same(entity: str) -> None:
    suite = load_suite(entity)
    (columns,) = [each["kwargs"]["column_set"] for each in suite["expectations"] if "column_set" in each["kwargs"]]
    assert set(columns) == {"key", *LAYOUTS[entity].columns.keys() - {"state"}}
    named = {each["kwargs"].get("column", "key") for each in suite["expectations"]}
    named.update(*(each["kwargs"].get("column_list", ()) for each in suite["expectations"]))
    assert named <= set(columns)


# The traps of the library: three tables that pass where nobody says otherwise.


@pytest.mark.parametrize("entity", sorted(LAYOUTS))
def test_an_empty_table_an_all_null_column_and_a_missing_column_fail(entity: str) -> None:
    verdict = load_verdict(entity)
    good = _row(entity)
    assert verdict.judged([good]) == {}
    with pytest.raises(TableRefused):
        verdict.judged([])
    nulls = [{**good, "key": None}] * 3
    assert verdict.judged(nulls).keys() == verdict.broken(nulls).keys() == {0, 1, 2}
    for name in good:
        with pytest.raises(TableRefused):
            verdict.judged([{field: value for field, value in good.items() if field != name}])


def must_be_there(entity: str) -> list[str]:
    """The columns of which a suite says that they are never null."""
    rules = [each["kwargs"] for each in load_suite(entity)["expectations"]]
    return [name for each in rules if each.get("ignore_row_if") == "never" for name in each["column_list"]]


@pytest.mark.parametrize("entity", sorted(LAYOUTS))
def test_a_column_that_must_be_there_and_is_all_null_fails(entity: str) -> None:
    """The library passes over nulls, and a column of nothing else is fine to it."""
    verdict, good, suite = load_verdict(entity), _row(entity), load_suite(entity)
    rules = [each for each in suite["expectations"] if not is_table_rule(each)]
    quick = CompiledSuite({**suite, "expectations": rules})
    names = must_be_there(entity)
    if entity == "user":
        assert {"views_1h", "email_clicks_30d", "orders_90d", "segment", "lifecycle"} <= {*names}
    for name in names:
        assert quick.suspects([{**good, name: None}] * 3) == [0, 1, 2], name
    for name in names[:1]:
        assert verdict.judged([{**good, name: None}] * 3).keys() == {0, 1, 2}
    if names:
        one_each = [{**good, name: None} for name in names]
        assert verdict.judged(one_each).keys() == {*range(len(names))}


@pytest.mark.parametrize("entity", sorted(LAYOUTS))
def test_the_rows_that_the_flows_make_have_those_columns(entity: str) -> None:
    segment = dict.fromkeys(name for name, each in LAYOUTS["user"].columns.items() if each.view == "user_segment")
    made = {
        "user": lambda: {**User().row(NOW)[0], **segment},
        "item": lambda: Item().row(NOW, {})[0],
        "scope": lambda: Scope().row(NOW),
    }
    assert {"key", *made[entity]()} == {"key", *LAYOUTS[entity].columns.keys() - {"state"}}


def test_a_suite_without_its_precautions_lets_all_three_pass() -> None:
    suite = load_suite("scope")
    kept = [each for each in suite["expectations"] if "values_to_match" in each["type"] or "lengths" in each["type"]]
    careless = SuiteVerdict({**suite, "expectations": kept})
    assert careless.judged([{"key": None, "items": []}] * 3) == {}


def _row(entity: str) -> dict[str, Any]:
    suite = load_suite(entity)
    row: dict[str, Any] = {"key": "all", **dict.fromkeys(LAYOUTS[entity].columns.keys() - {"state"})}
    for each in suite["expectations"]:
        if each["kwargs"].get("ignore_row_if") == "never":
            sets = each["kwargs"].get("value_sets")
            row |= {name: sets[place][0] if sets else 0 for place, name in enumerate(each["kwargs"]["column_list"])}
    return row
