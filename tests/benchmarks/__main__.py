"""`make bench`: every benchmark, a table on the terminal, and `var/bench.json`. Names as arguments choose some.

Machines differ and are shared, so each figure stands beside that of a peer measured in the same run.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tests.benchmarks import (
    anomalies,
    batch,
    block_latency,
    bytes_a_user,
    collector,
    cost_per_event,
    drift,
    enriching,
    failing_store,
    flow_rate,
    gate,
    lake,
    million_users,
    overload,
    reading,
    restarts,
    storm,
    tail,
    two_processes,
    windows,
)
from tests.benchmarks.figures import Figure

BENCHMARKS: dict[str, Callable[[], Iterable[Figure]]] = {
    "windows": windows.measure,
    "anomalies": anomalies.measure,
    "drift": drift.measure,
    "flow_rate": flow_rate.measure,
    "two_processes": two_processes.measure,
    "cost_per_event": cost_per_event.measure,
    "enriching": enriching.measure,
    "gate": gate.measure,
    "lake": lake.measure,
    "million_users": million_users.measure,
    "storm": storm.measure,
    "batch": batch.measure,
    "block_latency": block_latency.measure,
    "bytes_a_user": bytes_a_user.measure,
    "collector": collector.measure,
    "reading": reading.measure,
    "failing_store": failing_store.measure,
    "overload": overload.measure,
    "tail": tail.measure,
    "restarts": restarts.measure,
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(BENCHMARKS)}; none: all of them")
    names: list[str] = parser.parse_args(arguments).names
    if unknown := set(names) - set(BENCHMARKS):
        print(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    results: dict[str, dict[str, object]] = {}
    for name in names or BENCHMARKS:
        for figure in BENCHMARKS[name]():
            ratios = "  ".join(f"{ratio:.2f} × {peer}" for peer, ratio in figure.ratio_to.items())
            print(f"{figure.name:<48}{figure.value:>12,.3f} {figure.unit:<10} {ratios}", flush=True)
            results[figure.name] = {"value": figure.value, "unit": figure.unit, "ratio_to": figure.ratio_to}
    path = Path("var/bench.json")
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(results, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
