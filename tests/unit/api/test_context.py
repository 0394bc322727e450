"""What a request tells of the person behind it: only a browser's does, and no address goes further."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from fastapi import FastAPI, Request
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from api.collect import Collector
from api.context import Context, KeepScope, Person
from api.geoip import LOOK_SECONDS, Countries
from dataflows.connectors.letters import DeadLetters
from dataflows.enrichments.device import device_of
from dataflows.events import MAX_EVENT_BYTES, MINUTE, Event, parse
from dataflows.settings import SettingError
from tests.countries import write_database
from tests.given import NOW, events, raw

BROWSER = {"origin": "https://shop.example"}
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"
NETWORKS = {
    "2.0.0.0/8": {"country": {"iso_code": "FR"}},
    "2a01:e00::/26": {"country": {"iso_code": "FR"}},
    "5.1.0.0/16": {"registered_country": {"iso_code": "DE"}},
    "6.0.0.0/8": {"continent": {"code": "EU"}},
    "7.0.0.0/8": {"country": {"iso_code": "<script>"}},
}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_database(tmp_path_factory.mktemp("geoip") / "countries.mmdb", NETWORKS)


@pytest.mark.parametrize(
    ("address", "country"),
    [
        ("2.3.4.5", "FR"), ("2a01:e00::1", "FR"), ("::ffff:2.3.4.5", "FR"), ("5.1.2.3", "DE"), ("6.1.1.1", None),
        ("9.9.9.9", None), ("127.0.0.1", None), ("", None), ("no address", None), ("1.2.3.4:80", None),
    ],
)  # fmt: skip
def test_the_country_of_an_address(database: Path, address: str, country: str | None) -> None:
    assert Countries(database)(address) == country


def test_a_database_that_is_replaced_is_opened_anew_and_one_that_is_damaged_is_not(tmp_path: Path) -> None:
    now = 0.0
    path = write_database(tmp_path / "c.mmdb", {"2.0.0.0/8": {"country": {"iso_code": "FR"}}})
    countries = Countries(path, lambda: now)
    write_database(path, {"2.0.0.0/8": {"country": {"iso_code": "BE"}}})
    assert countries("2.0.0.1") == "FR"
    now += LOOK_SECONDS
    assert countries("2.0.0.1") == "BE"
    path.with_suffix(".bad").write_bytes(b"nonsense")
    path.with_suffix(".bad").replace(path)
    now += LOOK_SECONDS
    assert countries("2.0.0.1") == "BE"
    with pytest.raises(SettingError, match=r"INLAY_GEOIP=.* cannot be used"):
        Countries(path)
    with pytest.raises(SettingError, match=r"name a \.mmdb file"):
        Countries(tmp_path / "missing.mmdb")


@pytest.mark.parametrize(
    ("headers", "address", "person"),
    [
        ({**BROWSER, "user-agent": PHONE, "cf-ipcountry": "be"}, "2.3.4.5", Person("BE", "mobile")),
        ({"sec-fetch-site": "cross-site", "cf-ipcountry": "XX"}, "2.3.4.5", Person("FR")),
        ({**BROWSER, "cf-ipcountry": "T1"}, "", Person()),
        ({**BROWSER, "cf-ipcountry": "FRA"}, "9.9.9.9", Person()),
        ({**BROWSER}, "7.0.0.1", Person()),
        ({"user-agent": PHONE, "cf-ipcountry": "BE"}, "2.3.4.5", Person()),
    ],
)
def test_a_browser_tells_and_a_server_does_not(
    database: Path, headers: dict[str, str], address: str, person: Person
) -> None:
    assert Context("CF-IPCountry", Countries(database), device_of).person(headers, address) == person


def test_nothing_is_told_where_nothing_is_configured() -> None:
    assert Context().person({**BROWSER, "user-agent": PHONE, "": "FR", "cf-ipcountry": "FR"}, "2.3.4.5") == Person()


def test_a_look_up_that_fails_is_counted_and_stops_nothing() -> None:
    def broken(text: str) -> str:
        raise RuntimeError(text)

    before = REGISTRY.get_sample_value("inlay_context_failed_total", {"field": "country"}) or 0
    assert Context("", broken, broken).person({**BROWSER, "user-agent": "x"}, "2.3.4.5") == Person()
    assert REGISTRY.get_sample_value("inlay_context_failed_total", {"field": "country"}) == before + 1


class Told(Context):
    """A context whose requests all come from one person."""

    def __init__(self, person: Person, **more: Any) -> None:
        super().__init__(**more)
        self._told = person

    def _sender(self) -> Person:
        return self._told


def read(raw: bytes) -> Event:
    found = parse(raw, NOW + 10 * MINUTE)
    assert isinstance(found, Event)
    return found


@given(event=events(), person=st.sampled_from((Person(), Person("FR"), Person(None, "tv"), Person("BE", "bot"))))
def test_an_event_keeps_all_it_says_and_gains_what_it_does_not(event: dict[str, Any], person: Person) -> None:
    bytes_ = msgspec.json.encode(event) + b" \n"
    before = read(bytes_)
    after = read(Told(person).complete(bytes_, before))
    expected = {name: getattr(before, name) for name in Event.__struct_fields__}
    expected |= {"country": before.country or person.country, "device": before.device or person.device}
    if before.country == "" and person.country is None:
        expected["country"] = ""
    if before.device == "" and person.device is None:
        expected["device"] = ""
    assert {name: getattr(after, name) for name in Event.__struct_fields__} == expected


@pytest.mark.parametrize(
    ("fields", "properties", "country"),
    [
        ({"properties": {"ip": "2.3.4.5", "a": 1}}, {"a": 1}, "FR"),
        ({"properties": {"context": {"ip": "5.1.0.1", "locale": "de"}}}, {"context": {"locale": "de"}}, "DE"),
        ({"ip": "2.3.4.5", "context": {"ip": "5.1.0.1"}}, {"context": {}}, "DE"),
        ({"properties": {"ip": 7}}, {}, None),
        ({"properties": {"ip": "2.3.4.5"}, "country": "BE"}, {}, "BE"),
        (
            {"properties": {"tags": ["ip"], "deep": {"ip": "2.3.4.5"}}},
            {"tags": ["ip"], "deep": {"ip": "2.3.4.5"}},
            None,
        ),
    ],
)
def test_an_address_in_an_event_becomes_a_country_and_is_taken_out(
    database: Path, fields: dict[str, Any], properties: dict[str, Any], country: str | None
) -> None:
    sent = raw(**fields)
    found = read(Context("", Countries(database)).complete(sent, read(sent)))
    assert (found.properties, found.country) == (properties, country)


def test_an_event_never_grows_over_the_limit() -> None:
    sent = raw(properties={"x": ""})
    sent = raw(properties={"x": "x" * (MAX_EVENT_BYTES - len(sent))})
    assert len(sent) == MAX_EVENT_BYTES
    assert Told(Person("FR", "mobile")).complete(sent, read(sent)) == sent


class Stream:
    partitions = 1

    def __init__(self) -> None:
        self.values: list[bytes] = []

    async def publish(self, records: Sequence[tuple[int, bytes]]) -> None:
        self.values += [value for _, value in records]

    async def close(self) -> None:
        pass


def test_each_request_tells_of_its_own_person(database: Path) -> None:
    stream, app = Stream(), FastAPI()
    context = Context("", Countries(database), device_of)
    letters: Any = DeadLetters("letters", 1)
    none: Any = None
    collector = Collector(stream, letters, none, MINUTE, lambda: NOW, context.complete)

    @app.post("/events", status_code=202)
    async def take(request: Request) -> None:
        await collector.collect((await request.body()).splitlines())

    app.add_middleware(KeepScope)

    async def post(number: int, address: str, headers: dict[str, str]) -> None:
        transport = httpx.ASGITransport(app, client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            body = raw(event_id=f"{number}") + b"\n" + raw(event_id=f"{number}b")
            assert (await client.post("/events", content=body, headers=headers)).status_code == 202

    async def all_at_once() -> None:
        phone = {"Origin": "https://shop.example", "User-Agent": PHONE}
        people = [("2.0.0.1", phone), ("5.1.0.1", BROWSER), ("2.0.0.1", {"User-Agent": PHONE}), ("9.9.9.9", phone)]
        await asyncio.gather(*(post(number, *each) for number, each in enumerate(people)))

    asyncio.run(all_at_once())
    found = {event.event_id: (event.country, event.device) for event in map(read, stream.values)}
    expected = [("FR", "mobile"), ("DE", None), (None, None), (None, "mobile")]
    assert found == {f"{number}{end}": each for number, each in enumerate(expected) for end in ("", "b")}
