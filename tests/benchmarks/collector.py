"""How many events one API process takes, each acknowledged by the stream, under the load of `wrk` on loopback.

The peer is an app on the same server and framework that answers 202 and does nothing, so that nothing could be faster.
How long a request takes is measured at half of what must be taken, at a fixed rate.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
from fastapi import FastAPI, Request, Response

from api.demo.embedded import free_port
from tests.benchmarks.figures import Figure
from tests.benchmarks.open_loop import OpenLoop, posting
from tests.benchmarks.turns import best_rates
from tests.integration.stand import ROOT, Stand

KEY = "benchmark"
SECONDS = 5
ROUNDS = 2
BATCH = 100
CONNECTIONS = 64
HALF = 2500
"""Events a second, half of what must be taken one by one; ten times as many in batches."""
PEER = "an app that answers 202 and does nothing"

SCRIPT = """
wrk.method, wrk.body = "POST", [==[%(body)s]==]
wrk.headers["Content-Type"], wrk.headers["X-Api-Key"] = "application/json", "%(key)s"
function done(summary, latency)
  io.write(string.format('RESULT {"requests": %%d, "micros": %%d, "failed": %%d}\\n',
    summary.requests, summary.duration, summary.errors.status + summary.errors.timeout + summary.errors.connect))
end
"""


def idle() -> FastAPI:
    """The peer."""
    app = FastAPI()

    @app.post("/v1/events", status_code=202)
    async def events(request: Request) -> Response:
        await request.body()
        return Response(b'{"accepted":1,"refused":[]}', 202, media_type="application/json")

    return app


def measure() -> list[Figure]:
    if shutil.which("wrk") is None:
        raise SystemExit("this benchmark makes its load with wrk: apt-get install wrk")
    events = [_event(number) for number in range(BATCH)]
    one, many = msgspec.json.encode(events[0]).decode(), msgspec.json.encode(events).decode()
    with Stand({"INLAY_API_KEYS": KEY}) as stand, _idle_app() as peer:
        url = stand.start_api()
        pid = stand._processes["api"].pid

        costs: dict[str, list[float]] = {one: [], many: []}

        def ours(body: str, connections: int) -> float:
            stand.client.delete(*(f"events:{part}" for part in range(8)))
            before = _processor_seconds(pid)
            result = _wrk(url, body, connections)
            costs[body].append((_processor_seconds(pid) - before) / result["requests"])
            return _rate(result)

        contestants = {
            "peer": lambda: _rate(_wrk(peer, one)), "singles": lambda: ours(one, CONNECTIONS),
            "batches": lambda: ours(many, 16) * BATCH,
        }  # fmt: skip
        rates = best_rates(contestants, ROUNDS)
        ours_p99 = min(_p99(url, one, HALF) for _ in range(ROUNDS))
        batches_p99 = min(_p99(url, many, HALF * 10 / BATCH) for _ in range(ROUNDS))
        idle_p99 = min(_p99(peer, one, HALF) for _ in range(ROUNDS))
    ratio = {PEER: rates["singles"] / rates["peer"]}
    return [
        Figure("collector, single events", rates["singles"], "events/s", ratio),
        Figure("collector, single events, per processor second", 1 / min(costs[one]), "events/s"),
        Figure(f"collector, batches of {BATCH}", rates["batches"], "events/s"),
        Figure(f"collector, batches of {BATCH}, per processor second", BATCH / min(costs[many]), "events/s"),
        Figure(f"collector, {HALF:,} single events/s, p99", ours_p99 * 1000, "ms", {PEER: ours_p99 / idle_p99}),
        Figure(f"collector, {HALF * 10:,} events/s in batches of {BATCH}, p99", batches_p99 * 1000, "ms"),
    ]  # fmt: skip


def _event(number: int) -> dict[str, Any]:
    return {
        "event_id": f"e{number}", "type": "view", "occurred_at": time.time(), "user_id": f"u{number}", "item_id": "p1",
        "url": "https://shop.example/p1",
    }  # fmt: skip


def _rate(result: dict[str, float]) -> float:
    return result["requests"] / result["micros"] * 1e6


def _p99(url: str, body: str, rate: float) -> float:
    """Seconds that 99 of 100 requests do not exceed at so many a second."""
    load = OpenLoop(url, [posting(f"{url}/v1/events", body.encode(), {"X-Api-Key": KEY})], rate)
    load.run(SECONDS, CONNECTIONS)
    return load.p(0.99)


def _wrk(url: str, body: str, connections: int = CONNECTIONS) -> dict[str, float]:
    """Load for some seconds, as much as there is."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(SCRIPT % {"body": body, "key": KEY})
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "-s", script.name, f"{url}/v1/events"]
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    result: dict[str, float] = json.loads(said.partition("RESULT ")[2])
    if result["failed"]:
        raise RuntimeError(f"{result['failed']:.0f} requests failed:\n{said}")
    return result


@contextmanager
def _idle_app() -> Iterator[str]:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "--factory", f"{__name__}:idle", "--port", str(port), "--log-level", "error",
         "--no-access-log"],
        cwd=ROOT,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        while process.poll() is None:
            try:
                httpx.get(url)
                break
            except httpx.TransportError:
                time.sleep(0.1)
        yield url
    finally:
        process.kill()
        process.wait()


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
