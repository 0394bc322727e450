"""Pathway's sliding window on a file of events, run by the Python that has Pathway: `EVENTS WINDOWS KINDS [timing]`.

The timed run counts and writes nowhere; a second one, untimed, hands the windows over to be compared.
"""

import json
import sys
import time
from pathlib import Path

import pandas as pd
import pathway as pw
from pathway.internals.parse_graph import G

DAY = 86_400
HOUR = 3600


def windows(rows: list[list], kinds: int) -> pw.Table:
    """The table of windows: user, end in seconds, and how many events of each kind."""
    frame = pd.DataFrame(rows, columns=["user", "at", "kind"])
    for kind in range(kinds):
        frame[f"k{kind}"] = (frame["kind"] == kind).astype(int)
    used = [f"k{kind}" for kind in range(kinds) if frame[f"k{kind}"].any()]
    events = pw.debug.table_from_pandas(frame[["user", "at", *used]])
    by_window = events.windowby(
        events.at, window=pw.temporal.sliding(hop=HOUR, duration=DAY, origin=0), instance=events.user
    )
    return by_window.reduce(
        user=pw.this._pw_instance,
        end=pw.this._pw_window_end,
        **{name: pw.reducers.sum(pw.this[name]) for name in used},
    )


def main(source: str, target: str, kinds: int, compare: bool) -> None:
    rows = json.loads(Path(source).read_text())
    pw.io.null.write(windows(rows, kinds))
    started = time.perf_counter()
    pw.run(monitoring_level=pw.MonitoringLevel.NONE)
    seconds = time.perf_counter() - started
    G.clear()
    found: list = []

    def keep(key, row, time, is_addition) -> None:  # Pathway passes these names
        counts = [row.get(f"k{kind}", 0) for kind in range(kinds)]
        found.append((row["user"], row["end"], counts))

    if compare:
        pw.io.subscribe(windows(rows, kinds), keep)
        pw.run(monitoring_level=pw.MonitoringLevel.NONE)
    Path(target).write_text(json.dumps({"seconds": seconds, "windows": found}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), compare=len(sys.argv) == 4)
