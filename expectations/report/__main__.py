"""`python -m expectations.report`: brings the report up to date; once an hour is enough.

Profiles the hours of which the lake has something new, compares those that ended with the same hours of the weeks
before, and writes the site of `INLAY_REPORT`: an overview in one file, Great Expectations' Data Docs of the newest
rows, one line for who is on call. That line is printed as well. Ends with 0 if all is as usual, 1 if there are alarms
or broken expectations, 2 if no report could be written.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import redis

from dataflows.connectors.lake_files import LakeError, open_lake
from dataflows.connectors.letters import open_letters
from dataflows.connectors.quarantine import Quarantine
from dataflows.connectors.redis_streams import connect
from dataflows.settings import SettingError, read_settings
from expectations.report.offenders import Offenders, worst
from expectations.report.site import NO_LAKE, Site
from expectations.usual import DAY
from feature_repo.layout import LAYOUTS

_log = logging.getLogger("expectations.report")


def main(arguments: Sequence[str] | None = None, clock: Callable[[], float] = time.time) -> int:
    """Run the command, at what `clock` says (epoch seconds); the exit code."""
    argparse.ArgumentParser(prog="python -m expectations.report", description=__doc__).parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    now = int(clock())
    try:
        settings = read_settings(os.environ)
        lake = open_lake(settings["lake_url"]) if settings["lake_url"] else None
        site = Site(Path(settings["report"]), entities(), settings["report_age"])
        line, fine = site.write(lake, _offenders(settings, now - DAY), now)
    except (SettingError, LakeError, OSError) as error:
        print(f"report: {error}", file=sys.stderr)  # noqa: T201  # a command speaks on its terminal
        return 2
    if lake is None:
        _log.warning(NO_LAKE)
    print(line)  # noqa: T201
    return 0 if fine else 1


def entities() -> dict[str, tuple[str, dict[str, list[str]]]]:
    """By entity its key, and the columns of each view that people may look at."""
    found: dict[str, tuple[str, dict[str, list[str]]]] = {}
    for name, layout in LAYOUTS.items():
        views: dict[str, list[str]] = {}
        for feature, column in layout.columns.items():
            if feature != "state":
                views.setdefault(column.view, []).append(feature)
        found[name] = (layout.join_key, views)
    return found


def _offenders(settings: dict[str, Any], since: int) -> Offenders | None:
    address, letters = open_letters(settings["dead_letters_url"], settings["dead_letters_keep"])
    try:
        held = Quarantine(settings["quarantine_keep"], settings["quarantine_age"], settings["quarantine_bytes"])
        found = [*letters.letters(connect(address)), *held.rows(connect(settings["redis_url"]))]
        return worst(found, since)
    except redis.RedisError as error:
        _log.warning("what was held back is not known: %s", error)
        return None


if __name__ == "__main__":
    sys.exit(main())
