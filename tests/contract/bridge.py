"""A bridge without its engine, in this process."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from dataflows.avro_wire import AvroWire
from dataflows.bridge import Crossing, Letters, RedisPositions, clock
from dataflows.connectors import open_inlet, open_stream
from dataflows.connectors.letters import open_letters
from dataflows.lease import Lease
from dataflows.mapping import load_mapping
from dataflows.stopping import StopSignal
from dataflows.translate import Translate
from dataflows.validate import Validate
from tests.contract.inlet_peers import Peer
from tests.contract.redis_server import RedisServer

SECONDS: Final = 120.0
PARTITIONS: Final = 2


class Bridge:
    """What is read is translated and published at once; the source and the stream are real."""

    def __init__(
        self,
        peer: Peer,
        server: RedisServer,
        *,
        refused_run: int = 1000,
        mapping: Path | None = None,
        most: int = 100,
        seconds: float = SECONDS,
    ) -> None:
        self._exits = ExitStack()
        self.server, self._seconds = server, seconds
        with pytest.MonkeyPatch.context() as environment:
            for name, value in peer.environment.items():
                environment.setenv(name, value)
            inlet = open_inlet(peer.url, RedisPositions(server.client, peer.url))
        stream = open_stream(f"{server.url}?stream=events&partitions={PARTITIONS}")
        letters = Letters(server.client, open_letters(f"{server.url}?stream=dead_letters", 1000)[1], clock)
        lease = Lease(server.client, f"bridge {peer.url}", () if inlet.shared else (0,), 10)
        lease.acquire()
        self.stop = StopSignal()
        self.crossing = Crossing(inlet, stream, letters, self.stop, lease, most=most, patience=seconds, clock=clock)
        self.translate = Translate(
            load_mapping(mapping) if mapping else None,
            Validate(clock, 300_000_000, refused_run),
            AvroWire(),
            PARTITIONS,
        )
        self._exits.callback(self.crossing.close)

    def __enter__(self) -> Bridge:
        return self

    def __exit__(self, *error: object) -> None:
        self._exits.close()

    def until(self, happened: Callable[[], bool]) -> None:
        """Carry over until something happened."""
        give_up_at = time.monotonic() + self._seconds
        while not happened():
            assert time.monotonic() < give_up_at
            for delivered in self.crossing.read():
                self.crossing.publish(self.translate(delivered))
