"""A glance tells only of what a parser reads as one request, on a connection that goes on after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.glance import MOST_HEAD, body_to_come, path_of

LINES = (b"GET /v1/blocks/weekly?user_id=u1", b"POST /v1/events", b"POST /v1/events?a=%20b")
VERSIONS = (b" HTTP/1.1", b" HTTP/1.0", b" HTTP/1.1\nX: HTTP/1.1", b" HTTP/1.1\nContent-Length: 5\nX: HTTP/1.1", b"")
HEADERS = (
    b"Host: x", b"X-Api-Key: k", b"Content-Length: 5", b"content-length: 0", b"CONTENT-LENGTH: 12",
    b"Content-Length:5", b"Content-Length: 5, 5", b"Content-Length: +5", b"Content-Length : 5", b"Content-Length: 5 ",
    b"Connection: keep-alive", b"Connection: close", b"connection:close", b"Connection: keep-alive, upgrade",
    b"Transfer-Encoding: chunked", b"transfer-encoding:chunked", b"Transfer-Encoding : chunked", b" folded",
    b"\tContent-Length: 5", b"Expect: 100-continue", b"Upgrade: websocket", b"X: y\nContent-Length: 5",
    b"X: y\rContent-Length: 5", b"X: \x00", b"",
)  # fmt: skip
BODIES = (b"", b"12345", b"123", b"GET / HTTP/1.1\r\n\r\n", b"5\r\n12345\r\n0\r\n\r\n", b"x" * 12)

requests = st.builds(
    lambda line, version, headers, body: line + version + b"\r\n" + b"".join(each + b"\r\n" for each in headers) + body,
    st.sampled_from(LINES),
    st.sampled_from(VERSIONS + VERSIONS[:1] * 8),
    st.lists(st.sampled_from(HEADERS + HEADERS[:3] * 6), max_size=4),
    st.builds(bytes.__add__, st.sampled_from((b"\r\n",) * 5 + (b"",)), st.sampled_from(BODIES)),
)


class Reading:
    """What a parser makes of some bytes."""

    def __init__(self, *parts: bytes) -> None:
        self.heads = self.ends = 0
        self.kept, self.path = [True], b""
        self._parser = httptools.HttpRequestParser(self)
        for part in parts:
            self._parser.feed_data(part)

    def on_url(self, url: bytes) -> None:
        self.path = httptools.parse_url(url).path

    def on_headers_complete(self) -> None:
        self.heads += 1
        self.kept.append(self._parser.should_keep_alive() and not self._parser.should_upgrade())

    def on_message_complete(self) -> None:
        self.ends += 1


def holds(look: Callable[[bytes], int | None], data: bytes) -> bool:
    """Whether what a glance tells is what a parser finds, for what the parser takes for requests at all."""
    left = look(data)
    if left is None:
        return True
    try:
        alone = Reading(data)
    except httptools.HttpParserError:
        return not _smuggles(data)
    try:
        filled = Reading(data, b"x" * left)
        both = Reading(data, b"x" * left, b"GET /next HTTP/1.1\r\n\r\n")
    except httptools.HttpParserError:
        return False  # it does not go on there, or not so
    return (
        all(alone.kept)
        and (alone.heads, alone.ends, alone.path) == (1, int(not left), path_of(data))
        and (filled.heads, filled.ends, both.heads, both.ends, both.path) == (1, 1, 2, 2, b"/next")
    )


def _smuggles(data: bytes) -> bool:
    """Whether somebody less strict could find a body of another length in what a parser refuses."""
    head = data.partition(b"\r\n\r\n")[0].lower()
    return (
        b"transfer-encoding" in head
        or head.count(b"content-length") > 1
        or b"\ncontent-length" in head.replace(b"\r\ncontent-length: ", b"")
    )


@given(requests)
def test_what_a_glance_tells_is_what_a_parser_finds(data: bytes) -> None:
    assert holds(body_to_come, data)


def _by_the_count_alone(data: bytes) -> int | None:
    head, _, body = data.partition(b"\r\n\r\n")
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    left = int(length or 0) - len(body) if length.isdigit() or not length else None
    return None if left is None or left < 0 else left


@pytest.mark.parametrize(
    "data",
    [
        b"POST /v1/events HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /v1/events HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"POST /v1/events HTTP/1.1\r\nContent-Length:5\r\n\r\n",
        b"GET /v1/blocks/weekly HTTP/1.1\r\nX: y",
        b"POST /v1/events HTTP/1.0\r\nContent-Length: 5\r\n\r\n",
    ],
)
def test_one_that_looks_less_closely_is_found_out(data: bytes) -> None:
    """So that the test before this one is known to test something."""
    assert not holds(_by_the_count_alone, data)
    assert holds(body_to_come, data)


@pytest.mark.parametrize(
    ("data", "left"),
    [
        (b"GET /v1/blocks/w?user_id=u HTTP/1.1\r\nHost: x\r\n\r\n", 0),
        (b"GET /v1/blocks/w?user_id=u HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n", 0),
        (b"POST /v1/events HTTP/1.1\r\nContent-Length: 5\r\nX-Api-Key: k\r\n\r\n12", 3),
        (b"POST /v1/events HTTP/1.1\r\nCONTENT-LENGTH: 5\r\n\r\n12345", 0),
        (b"POST /v1/events HTTP/1.1\r\nContent-Length: 5\r\n\r\n123456", None),
        (b"GET /v1/blocks/w HTTP/1.1\r\n\r\nGET /v1/blocks/w HTTP/1.1\r\n\r\n", None),
        (b"GET /v1/blocks/w HTTP/1.1\r\nX: %s\r\n\r\n" % (b"y" * MOST_HEAD), None),
        (b"\r\n\r\n", None),
        (b"", None),
    ],
)  # fmt: skip
def test_the_plainest_form_is_told(data: bytes, left: int | None) -> None:
    assert body_to_come(data) == left


@given(st.binary(max_size=60))
def test_any_bytes_can_be_glanced_at(data: bytes) -> None:
    told: Any = body_to_come(data), path_of(data)
    assert isinstance(told[1], bytes)
    assert told[0] is None or told[0] >= 0
