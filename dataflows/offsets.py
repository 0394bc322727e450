"""Where the flows are in the stream: shown, and, on purpose, reset. `python -m dataflows.offsets show|reset`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from dataflows.connectors import open_stream
from dataflows.connectors.redis_streams import connect
from dataflows.receive import FLOWS, committed_offsets
from dataflows.settings import SettingError, flow_settings
from dataflows.store import OFFSETS_KEY


def main(arguments: Sequence[str] | None = None) -> int:
    """`show` prints offset and lag by flow and partition; `reset FLOW --to first|last` moves a stopped flow."""
    parser = argparse.ArgumentParser(prog="python -m dataflows.offsets", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("show", help="offset and lag of every flow and partition")
    reset = verbs.add_parser("reset", help="move a flow; stop it first")
    reset.add_argument("flow", choices=FLOWS)
    reset.add_argument("--to", choices=("first", "last"), required=True, help="all that is left, or only what comes")
    chosen = parser.parse_args(arguments)
    try:
        settings = flow_settings(os.environ)
    except SettingError as error:
        print(error, file=sys.stderr)  # noqa: T201  # a command speaks on its terminal
        return 2
    client, stream = connect(settings.redis_url), open_stream(settings.stream_url)
    partitions = range(stream.partitions)
    if chosen.verb == "show":
        for flow in FLOWS:
            committed = committed_offsets(client, flow, partitions)
            for partition, lag in stream.lag(committed).items():
                print(f"{flow:<7}{partition:>4}  offset {committed[partition]:>20}  lag {lag:>8}")  # noqa: T201
        return 0
    key = OFFSETS_KEY.format(chosen.flow)
    if any(client.exists(f"inlay:lease:{chosen.flow}:{partition}") for partition in partitions):
        print(f"{chosen.flow} is running; stop it first", file=sys.stderr)  # noqa: T201
        return 1
    for partition in partitions:
        bounds = stream.bounds(partition)
        client.hset(key, str(partition), str(bounds.removed if chosen.to == "first" else bounds.last))
    print(f"{chosen.flow} goes on from the {chosen.to} event")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
