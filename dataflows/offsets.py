"""Where the flows are in the stream: shown, and, on purpose, reset. `python -m dataflows.offsets show|reset`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence

import redis

from dataflows.connectors import Stream, StreamError, open_stream
from dataflows.connectors.redis_streams import connect
from dataflows.numbering import moved, read_place, write_place
from dataflows.owning import LAKE, readers
from dataflows.receive import FLOWS
from dataflows.settings import SettingError, flow_settings


def main(arguments: Sequence[str] | None = None) -> int:
    """`show` prints offset and lag by flow and partition; `reset FLOW --to first|last` moves a stopped flow."""
    parser = argparse.ArgumentParser(prog="python -m dataflows.offsets", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("show", help="offset and lag of every flow and partition")
    reset = verbs.add_parser("reset", help="move a flow; stop it first")
    reset.add_argument("flow", choices=(*FLOWS, LAKE))
    reset.add_argument("--to", choices=("first", "last"), required=True, help="all that is left, or only what comes")
    chosen = parser.parse_args(arguments)
    try:
        settings = flow_settings(os.environ)
    except SettingError as error:
        print(error, file=sys.stderr)  # noqa: T201  # a command speaks on its terminal
        return 2
    client = connect(settings.redis_url)
    try:
        stream = open_stream(settings.stream_url)
        return (
            _show(client, stream, readers(settings))
            if chosen.verb == "show"
            else _reset(client, stream, chosen.flow, chosen.to)
        )
    except StreamError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2


def _show(client: redis.Redis, stream: Stream, flows: Iterable[str]) -> int:
    for flow in flows:
        place = read_place(client, flow, range(stream.partitions))
        if place.identity not in ("", stream.identity):
            print(f"{flow:<7}is in another stream: {place.identity}")  # noqa: T201
            continue
        offsets = place.in_stream()
        for partition, lag in stream.lag(offsets).items():
            print(f"{flow:<7}{partition:>4}  offset {offsets[partition]:>20}  lag {lag:>8}")  # noqa: T201
    return 0


def _reset(client: redis.Redis, stream: Stream, flow: str, to: str) -> int:
    partitions = range(stream.partitions)
    if any(client.exists(f"inlay:lease:{flow}:{partition}") for partition in partitions):
        print(f"{flow} is running; stop it first", file=sys.stderr)  # noqa: T201
        return 1
    write_place(client, flow, moved(stream, read_place(client, flow, partitions), to))
    print(f"{flow} goes on from the {to} event")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
