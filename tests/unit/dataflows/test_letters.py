"""Which dead letters are meant, how they are mended, and what would become of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflows.connectors.letters import MOST_ATTEMPTS, Attempt, DeadLetter, longer
from dataflows.events import MINUTE, Event, parse, to_rfc3339
from dataflows.letter_choice import ChoiceError, parse_where
from dataflows.letter_patch import PatchError, load_patch
from dataflows.letter_replay import Judge
from tests.given import NOW, events, raw, raw_events

HOUR_AGO = NOW - 60 * MINUTE


def a_letter(original: bytes = b"{}", letter_id: str = "1-0", **fields: Any) -> DeadLetter:
    said = {
        "flow": "people", "stage": "validate", "kind": "schema", "reason": "price: must not be negative",
        "field": "price", "refused_at": to_rfc3339(HOUR_AGO), "place": "0/1", **fields,
    }  # fmt: skip
    return DeadLetter(letter_id, original=original, **said)


@pytest.mark.parametrize(
    ("where", "chosen"),
    [
        ((), True),
        (("kind=schema",), True),
        (("kind=time,schema", "field=price"), True),
        (("kind=schema", "field=currency"), False),
        (("stage=collect",), False),
        (("flow=people,api",), True),
        (("id=1-0",), True),
        (("type=view",), True),
        (("type=purchase",), False),
        (("key=u1",), True),
        (("key=u2,u1",), True),
        (("key=d1",), False),
        (("reason=negative",), True),
        (("reason=positive",), False),
        (("since=2h",), True),
        (("since=59m",), False),
        (("until=59m",), True),
        (("since=2026-05-17T10:30:00+02:00",), True),
        (("until=2026-05-17T08:29:59Z",), False),
        (("since=1d", "until=3600s"), True),
    ],
)
def test_a_letter_is_meant_when_all_conditions_hold(where: tuple[str, ...], chosen: bool) -> None:
    assert parse_where(where, NOW)(a_letter(raw(anonymous_id="d1"))) is chosen


@given(original=st.one_of(raw_events(), st.binary()))
def test_any_letter_can_be_asked_for_whose_event_it_is(original: bytes) -> None:
    content = _with_json(original)
    found = content if isinstance(content, dict) else {}
    key = next((str(found[name]) for name in ("user_id", "anonymous_id", "item_id") if found.get(name)), "")
    if "," not in key:
        assert parse_where((f"key={key}",), NOW)(a_letter(original))
    assert not parse_where((f"key=not {key}",), NOW)(a_letter(original))


@pytest.mark.parametrize("where", ["kind", "kind=odd", "since=yesterday", "since=2026-05-17", "colour=red", "=x"])
def test_a_condition_that_cannot_be_read_says_what_to_write(where: str) -> None:
    with pytest.raises(ChoiceError, match=r"write|there are"):
        parse_where((where,), NOW)


@given(event=events())
def test_a_patch_that_changes_nothing_leaves_the_event_that_it_was(event: dict[str, Any]) -> None:
    original = msgspec.json.encode(event)
    test = json.dumps([{"op": "test", "path": "/type", "value": event["type"]}])
    for patch in (load_patch("[]"), load_patch(test)):
        assert parse(patch(original, "1-0"), NOW + 10 * MINUTE) == parse(original, NOW + 10 * MINUTE)


def test_patches_are_files_too(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('[{"op": "move", "from": "/cost", "path": "/price"}]')
    (tmp_path / "p.yaml").write_text("price: cost\ntraits.size: {value: XL}\n")
    for name in ("p.json", "p.yaml"):
        mended = json.loads(load_patch(str(tmp_path / name))(b'{"cost": 3, "traits": {"a": 1}}', "1-0"))
        assert mended["price"] == 3
    assert mended["traits"] == {"a": 1, "size": "XL"}


@pytest.mark.parametrize(
    ("patch", "original"),
    [
        ('[{"op": "remove", "path": "/missing"}]', b"{}"),
        ('[{"op": "add", "path": "/a/b", "value": 1}]', b'{"a": 7}'),
        ('[{"op": "replace", "path": "/price", "value": 1}]', b"\xff"),
        ('[{"op": "replace", "path": "/price", "value": 1}]', b"[" * 5000),
        ("mend.yaml", b"[]"),
        ("mend.yaml", b"{}"),
    ],
)
def test_a_patch_that_does_not_fit_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patch: str, original: bytes
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mend.yaml").write_text("price: cost\n")
    with pytest.raises(PatchError):
        load_patch(patch)(original, "1-0")


@pytest.mark.parametrize("text", ["[", "[1]", '[{"op": "no", "path": "/a"}]', '[{"op": "add", "path": "a"}]', "x.csv"])
def test_what_is_no_patch_is_said_before_anything_is_sent(text: str) -> None:
    with pytest.raises(PatchError):
        load_patch(text)


def test_a_file_that_is_no_mapping_is_said(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text("no_such_field: x\n")
    with pytest.raises(PatchError, match="an event has no field 'no_such_field'"):
        load_patch(str(tmp_path / "m.yaml"))


@given(originals=st.lists(st.one_of(raw_events(), st.just(raw()), st.just(b"{}")), max_size=5))
def test_an_array_comes_to_what_its_events_come_to_one_by_one(originals: list[bytes]) -> None:
    whole = [each for each in originals if _is_json(each)]
    judge = Judge(NOW, 5 * MINUTE)
    found = judge(a_letter(b"[" + b",".join(whole) + b"]"))
    judged = [parse(each.strip(), NOW, stage="replay") for each in whole]
    if whole:
        expected = [(each.key, raw.strip()) for each, raw in zip(judged, whole, strict=True) if isinstance(each, Event)]
        assert found.events == expected
        assert found.refused == [each for each in judged if not isinstance(each, Event)]
        assert found.leaves == bool(expected)
    else:
        assert not found.leaves


def test_what_is_refused_after_a_patch_is_kept_as_it_came() -> None:
    worse = load_patch('[{"op": "add", "path": "/price", "value": -1}]')
    for original in (raw(), b"[" + raw() + b"]"):
        (refused,) = Judge(NOW, 0, worse)(a_letter(original)).refused
        assert (refused.field, refused.original) == ("price", raw())


def test_a_history_keeps_its_first_attempt_and_the_latest_ones() -> None:
    attempts: tuple[Attempt, ...] = ()
    for number in range(100):
        attempts = longer(attempts, Attempt(f"{number}", "schema", "price", "no"))
    assert [each.at for each in attempts] == ["0", *(str(number) for number in range(101 - MOST_ATTEMPTS, 100))]


def _with_json(original: bytes) -> Any:
    """What Python's own parser reads, as strictly as ours: no NaN, no half of a surrogate pair."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        content = json.loads(original.decode(), parse_constant=refuse)
        json.dumps(content, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return content


def _is_json(original: bytes) -> bool:
    """Whether it can stand in an array: one value of JSON, none of them an array of its own."""
    try:
        msgspec.json.decode(original)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
