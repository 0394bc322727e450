"""Fetching photos: nothing of ours is ever called, whatever a catalogue says."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from api import photos
from api.photos import Refused, fetch_photo, public_address

OURS = (
    "127.0.0.1", "localhost", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1",
    "017700000001", "127.000.000.001", "0", "0.0.0", "127.127.127.127", "127.0.0.1.", "localhost.", "LOCALHOST",
    "①②⑦.0.0.1", "127。0。0。1", "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
    "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b::127.0.0.1]", "[2002:7f00:1::]", "[::ffff:0:127.0.0.1]",
    "[0000::1]", "[::1%25lo]", "[fe80::1]", "[fc00::1]", "[fd00:ec2::254]", "[2001:0:7f00:1::]", "[ff02::1]",
    "10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "192.0.0.1", "198.18.0.1", "224.0.0.1",
    "255.255.255.255", "240.0.0.1",
)  # fmt: skip
FORMS = (
    "https://{host}:{port}/a.png", "https://user@{host}:{port}/a.png", "https://shop.example@{host}:{port}/",
    "http://{host}:{port}/a.png", "https://{host}:{port}\\@shop.example/",
)  # fmt: skip
CORPUS = [form.replace("{host}", host) for host in OURS for form in FORMS]


class Canaries:
    """What listens where nobody may come: on both loopback addresses, on one port."""

    def __init__(self) -> None:
        self.hits = 0
        self._sockets = [socket.create_server(("127.0.0.1", 0))]
        self.port = self._sockets[0].getsockname()[1]
        with contextlib.suppress(OSError):  # a machine without it
            self._sockets.append(socket.create_server(("::1", self.port), family=socket.AF_INET6))
        for each in self._sockets:
            threading.Thread(target=self._count, args=(each,), daemon=True).start()

    def _count(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):  # it was closed
            while True:
                came, _ = listening.accept()
                self.hits += 1
                came.close()

    def close(self) -> None:
        for each in self._sockets:
            each.close()


@pytest.fixture(scope="module")
def canaries() -> Iterator[Canaries]:
    with closing(Canaries()) as each:
        yield each


@pytest.fixture(autouse=True)
def _every_host_is_on_the_list(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "canaries" in request.fixturenames:
        monkeypatch.setattr(photos, "is_allowed", lambda *_: True)


def look_up(host: str) -> list[str]:
    """As the machine's own, which reads addresses in all spellings; a name leads to us, as one made for it would."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return ["127.0.0.1", "::1"]
    return [str(address[0]) for *_, address in found]


def test_nothing_of_ours_is_called(canaries: Canaries) -> None:
    assert len(CORPUS) >= 200
    for url in CORPUS:
        with pytest.raises(Refused):
            fetch_photo(url.replace("{port}", str(canaries.port)), (), look_up=look_up, port=canaries.port)
    assert canaries.hits == 0


def test_without_the_look_at_addresses_the_canaries_are_hit(
    canaries: Canaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the corpus is known to test something."""
    monkeypatch.setattr(photos, "_is_public", lambda _: True)
    before = canaries.hits
    with pytest.raises(OSError, match=r"."):
        fetch_photo(f"https://127.0.0.1:{canaries.port}/a.png", (), look_up=look_up, port=canaries.port)
    assert canaries.hits == before + 1


@pytest.mark.parametrize(
    "url",
    [
        "https://other.example/a.png", "https://shop.example:8443/a.png", "https://u@shop.example/a.png", "https://",
        "http://shop.example/a.png", "ftp://shop.example/a.png", "file:///etc/passwd",
        "https://shop.example.evil.example/",
        "https://shop.example\r\nX: y/", "//shop.example/a.png", "https://[shop.example/", "https://shop.example:x/",
    ],
)  # fmt: skip
def test_what_is_not_on_the_list_is_not_even_looked_up(url: str) -> None:
    with pytest.raises(Refused):
        fetch_photo(url, ("shop.example",), look_up=lambda _: pytest.fail("looked up"))


@pytest.mark.parametrize("found", [[], ["93.184.216.34", "127.0.0.1"], ["::1"], ["93.184.216.34", "fe80::1%eth0"]])
def test_a_name_with_one_address_of_ours_is_refused(found: list[str]) -> None:
    with pytest.raises(Refused):
        public_address(found)
    assert public_address(["93.184.216.34", "2606:2800:220:1::1"]) == "93.184.216.34"


def test_a_name_is_looked_up_once_and_that_address_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it leads to the next time."""
    answers = iter([["93.184.216.34"], ["127.0.0.1"]])
    called: list[object] = []

    def connect(address: object, *_: object) -> socket.socket:
        called.append(address)
        raise OSError("far enough")

    monkeypatch.setattr(photos.socket, "create_connection", connect)
    with pytest.raises(OSError, match="far enough"):
        fetch_photo("https://shop.example/a.png", ("shop.example",), look_up=lambda _: next(answers))
    assert called == [("93.184.216.34", 443)]
