"""Records in Avro with the schemas of a registry that is asked over HTTP."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import fastavro
import pytest

from dataflows.avro_wire import AvroError, open_avro
from dataflows.connectors import StreamDown, StreamError
from dataflows.schemas import avro_schema

RECORD: Final = {"event_id": "e1", "type": "view", "occurred_at": 1_779_010_200_000_000, "user_id": "u1"}


class Registry(ThreadingHTTPServer):
    """Answers as a schema registry does, after some failures if told to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Asked)
        self.asked: list[str] = []
        self.fails = 0
        self.url = f"http://reader:secret@127.0.0.1:{self.server_port}"


class Asked(BaseHTTPRequestHandler):
    server: Registry

    def do_GET(self) -> None:
        registry = self.server
        registry.asked.append(f"{self.path} {self.headers['Authorization']}")
        registry.fails -= 1
        answers: dict[str, Any] = {
            "/schemas/ids/7": {"schema": json.dumps(avro_schema())},
            "/schemas/ids/8": {"schema": "…", "schemaType": "PROTOBUF"},
            "/schemas/ids/9": {"schema": '"string"', "references": [{"name": "other"}]},
        }
        status = 503 if registry.fails >= 0 else 403 if self.path.endswith("/10") else 200
        status = status if status != 200 or self.path in answers else 404
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(answers.get(self.path, {})).encode())

    def log_message(self, *words: Any) -> None:
        """Say nothing."""


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def wire(number: int) -> bytes:
    written = io.BytesIO()
    fastavro.schemaless_writer(written, fastavro.parse_schema(avro_schema()), RECORD)
    return b"\x00" + number.to_bytes(4, "big") + written.getvalue()


def test_a_schema_is_fetched_once_and_again_while_the_registry_fails(registry: Registry) -> None:
    registry.fails = 2
    avro = open_avro(registry.url)
    assert [avro.decode(wire(7))["event_id"] for _ in range(3)] == ["e1"] * 3
    assert registry.asked == ["/schemas/ids/7 Basic cmVhZGVyOnNlY3JldA=="] * 3


@pytest.mark.parametrize(
    ("number", "error", "said"),
    [
        (6, AvroError, "nobody knows its schema 6"),
        (8, AvroError, "is PROTOBUF"),
        (9, AvroError, "refers to others"),
        (10, StreamError, "answers 403"),
    ],
)
def test_what_the_registry_does_not_give_is_said(
    registry: Registry, number: int, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        open_avro(registry.url).decode(wire(number))


def test_a_registry_that_is_gone_is_given_up_after_a_while() -> None:
    with pytest.raises(StreamDown, match="does not answer"):
        open_avro("http://127.0.0.1:9", 0.01).decode(wire(7))


def test_schemas_may_lie_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "7.avsc").write_text(json.dumps(avro_schema()))
    assert open_avro(str(tmp_path)).decode(wire(7))["user_id"] == "u1"
    with pytest.raises(AvroError, match="nobody knows"):
        open_avro(str(tmp_path)).decode(wire(8))
    with pytest.raises(StreamError, match="neither"):
        open_avro(str(tmp_path / "nowhere"))
