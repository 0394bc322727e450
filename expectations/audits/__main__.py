"""`python -m expectations.audits`: is what is online what the events say?

Recomputes the features of a sample of users and items from the lake, with DuckDB, and compares them with what Feast
reads from the online store, field by field; with `--orders`, also the orders of a source system's export, day by day.
Ends with 0 if all is well, 1 if something is not, 2 if it could not be found out.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pyarrow.dataset
import redis

from dataflows.connectors.lake_files import EVENTS, HELD, LakeError, open_lake
from dataflows.settings import SettingError, flow_settings
from expectations.audits.auditing import Audit, audit
from expectations.audits.exports import Columns, Difference, ExportError, differences, read_export
from expectations.audits.online import NotApplied, open_online
from expectations.audits.outcome import as_json, as_text, keep
from expectations.audits.recompute import Recompute


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code."""
    given = _parser().parse_args(arguments)
    try:
        settings = flow_settings(os.environ)
        if not settings.lake_url:
            return _say("there is no lake to audit by: set INLAY_LAKE_URL, and run `dataflows.lake`")
        columns = Columns(*given.order_columns.split(","))
        client = redis.Redis.from_url(settings.redis_url)
        found = _audit(settings.lake_url, settings.redis_url, given)
        days = _orders(settings.lake_url, given.orders, columns, given.order_share) if given.orders else None
    except TypeError:
        return _say("--order-columns names three columns: the order's id, when it was made, what it came to")
    except (ExportError, LakeError, NotApplied, SettingError) as error:
        return _say(str(error))
    except redis.RedisError as error:
        return _say(f"the online store does not answer: {error}")
    keep(client, found, days)
    if given.json:
        given.json.write_text(as_json(found, days))
    print(as_text(found, days))  # noqa: T201  # a command speaks on its terminal
    if not sum(found.compared.values()):
        return 2
    return 1 if found.findings or days else 0


def _audit(lake_url: str, redis_url: str, given: argparse.Namespace) -> Audit:
    return audit(
        partial(read_lake, lake_url),
        open_online(redis_url),
        users=given.users,
        items=given.items,
        chance=random.Random(given.seed),  # noqa: S311  # a sample, no secret
        clock=lambda: time.time_ns() // 1000,
        pause=partial(time.sleep, given.patience),
    )


def _orders(lake_url: str, export: Path, columns: Columns, share: float) -> list[Difference]:
    return differences(read_export(export, columns), read_lake(lake_url).orders_by_day(), share)


def read_lake(url: str) -> Recompute:
    """The events of the lake as it is now.

    Raises:
        LakeError: it cannot be used, or holds no events yet.
    """
    lake = open_lake(url)
    paths = [file.path for file in lake.files(EVENTS)]
    if not paths:
        raise LakeError(f"the lake {url} holds no events yet: run `python -m bytewax.run dataflows.lake`")
    held = [file.path for file in lake.files(HELD)]
    events, places = (
        pyarrow.dataset.dataset(some, filesystem=lake.storage.filesystem, format="parquet") if some else None
        for some in (paths, held)
    )
    return Recompute(events, places)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m expectations.audits", description=__doc__)
    parser.add_argument("--users", type=int, default=1000, help="most users to compare (1000)")
    parser.add_argument("--items", type=int, default=100_000, help="most items to compare (100000)")
    parser.add_argument("--seed", type=int, default=None, help="draws the same sample again")
    parser.add_argument("--patience", type=float, default=15.0, help="seconds before what differs is looked at again")
    parser.add_argument("--orders", type=Path, help="export of the orders of a source system: CSV, Parquet or JSON")
    parser.add_argument("--order-columns", default=",".join(Columns()), help="its columns: id, time, total")
    parser.add_argument("--order-share", type=float, default=0.0, help="share of a day's money that may differ (0)")
    parser.add_argument("--json", type=Path, help="write what was found into this file")
    return parser


def _say(text: str) -> int:
    print(f"audits: {text}", file=sys.stderr)  # noqa: T201
    return 2


if __name__ == "__main__":
    sys.exit(main())
