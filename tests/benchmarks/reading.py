"""How many mails one API process answers, beside `feast serve` reading the same users' features; needs `wrk`.

Three blocks of four items each, of the features that the flows made of the sample. Feast's server reads the service
`blocks_user` alone, of one user a request: no items, no catalogue, no blocks. Both run with one worker, and `wrk` holds
sixteen connections open to each in turn.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

from api.demo.embedded import free_port
from api.features import CAUGHT_UP_KEY
from feature_repo.layout import ITEM
from tests.benchmarks import sample, tail
from tests.benchmarks.figures import Figure
from tests.given import written
from tests.integration.stand import ROOT, Stand

KEY: Final = "benchmark"
CONNECTIONS: Final = 16
SECONDS: Final = 8
ROUNDS: Final = 3
USERS: Final = 2000
CATALOGUE: Final = 100_000
PEER: Final = "feast serve --max-requests 0"
LAYOUT: Final = """
name: bench
blocks:
  - {block: recently_viewed, title: Yours, count: 4}
  - {block: recommended, title: Yours, count: 4}
  - {block: trending, title: Yours, count: 4}
"""
SCRIPT: Final = """
local paths, place = {}, 0
for line in io.lines("%(users)s") do paths[#paths + 1] = line end
function request()
  place = place %% #paths + 1
  return %(request)s
end
function done(summary, latency)
  io.write(string.format('RESULT {"requests": %%d, "micros": %%d, "failed": %%d, "p50": %%f, "p99": %%f}\\n',
    summary.requests, summary.duration, summary.errors.status + summary.errors.timeout + summary.errors.connect,
    latency:percentile(50), latency:percentile(99)))
end
"""
GET: Final = 'wrk.format("GET", "{path}" .. paths[place] .. "{more}", {{["X-Api-Key"] = "{key}"}})'
POST: Final = """wrk.format("POST", "/get-online-features", {["Content-Type"] = "application/json"},
    '{"feature_service": "blocks_user", "entities": {"user_id": ["' .. paths[place] .. '"]}}')"""


def measure() -> Iterator[Figure]:
    if shutil.which("wrk") is None:
        raise SystemExit("this benchmark makes its load with wrk: apt-get install wrk")
    with tempfile.TemporaryDirectory() as folder:
        layouts = Path(folder)
        (layouts / "bench.yaml").write_text(LAYOUT)
        with Stand({"INLAY_API_KEYS": KEY, "INLAY_LAYOUTS": folder}) as stand:
            users = _features(stand)
            names = layouts / "users.txt"
            names.write_text("\n".join(users))
            url = stand.start_api()
            _hold_to_three_blocks(url, users)
            with _feast_serve(stand) as feast:
                yield from _against_feast(url, feast, names)
            yield from _batch(url, users)
            yield from tail.of(stand, [f"/v1/blocks/bench?user_id={user}" for user in users], KEY)
            yield from _memory(stand, url, users)


def _features(stand: Stand) -> list[str]:
    """Let the flows make features of the sample; users who have some."""
    for flow in ("people", "items"):
        stand.start(flow, wait=False)
    for flow in ("people", "items"):
        stand.wait_until_owner(flow)
    if sample.is_present():
        stand.replay(sample.SAMPLE / "ga360_items.csv.gz", "--map", sample.MAPS / "ga360_items.yaml")
        stand.wait_until_drained()
        _give_pictures(stand)
        stand.replay(sample.SAMPLE / "ga360_events.parquet", "--map", sample.MAPS / "ga360_events.yaml", "--end-at-now")
    else:
        _publish_made_up(stand)
    stand.wait_until_drained(300)
    for flow in ("people", "items"):
        stand.stop(flow)
    # Flows that are known to stand still would have their features taken for stale.
    stand.client.delete(CAUGHT_UP_KEY.format("people"))
    events = sample.shop_events()
    named = {event["user_id"] for event in events if event["type"] == "view"}
    return sorted(named)[:USERS]


def _give_pictures(stand: Stand) -> None:
    """The sample's catalogue has neither pictures nor addresses, and what has none stands in no mail."""
    items = sample.shop_facts()
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        for item in items:
            said = {"event_id": f"p-{item}", "type": "item", "item_id": item, "occurred_at": time.time(),
                    "url": f"https://shop.example/{item}", "image_url": f"https://shop.example/{item}.png",
                    "currency": "USD", "title": f"Thing {item}"}  # fmt: skip
            file.write(json.dumps(said) + "\n")
        file.flush()
        stand.replay(Path(file.name))
    stand.wait_until_drained()


def _publish_made_up(stand: Stand) -> None:
    events = sample.shop_events()
    ahead = time.time_ns() // 1000 - events[-1]["occurred_at"]
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        for event in events:
            file.write(json.dumps({**event, "occurred_at": event["occurred_at"] + ahead}) + "\n")
        file.flush()
        stand.replay(Path(file.name))
    stand.wait_until_drained(300)
    _give_pictures(stand)


def _hold_to_three_blocks(url: str, users: list[str]) -> None:
    """Before any figure: what is asked for is what is answered."""
    with httpx.Client(base_url=url, headers={"X-Api-Key": KEY}) as api:
        personal = 0
        for user in users[:50]:
            blocks = api.get("/v1/blocks/bench", params={"user_id": user}).json()["blocks"]
            if [len(block["items"]) for block in blocks[1:]] != [4, 4] or len(blocks) != 3:
                raise RuntimeError(f"the mail of {user} does not have three blocks of four items: {blocks}")
            personal += blocks[0]["source"] == "personal"
        if personal < 40:
            raise RuntimeError(f"only {personal} of 50 mails are personal")


def _against_feast(url: str, feast: str, users: Path) -> list[Figure]:
    """The rate at full load; the slowest hundredth at the load that Feast can bear, and at full load."""
    rounds: dict[str, list[dict[str, float]]] = {"json": [], "html": [], "feast": []}
    for _ in range(ROUNDS):
        rounds["json"].append(_wrk(url, _get(), users))
        rounds["html"].append(_wrk(url, _get("&format=html"), users))
        rounds["feast"].append(_wrk(feast, POST, users))
    _hold_to_personal(url)
    best = {name: max(several, key=_rate) for name, several in rounds.items()}
    p99 = {name: min(each["p99"] for each in several) / 1e6 for name, several in rounds.items()}
    return [
        Figure("blocks as JSON", _rate(best["json"]), "mails/s", {PEER: _rate(best["json"]) / _rate(best["feast"])}),
        Figure("blocks as JSON, p99 at full load", p99["json"], "s", {PEER: p99["json"] / p99["feast"]}),
        Figure("blocks as HTML", _rate(best["html"]), "mails/s", {"JSON": _rate(best["html"]) / _rate(best["json"])}),
    ]


def _hold_to_personal(url: str) -> None:
    """A mail that was made with less than there is would be a cheap one."""
    told = httpx.get(f"{url}/metrics").text
    less = sum(float(line.split()[-1]) for line in told.splitlines() if line.startswith("inlay_degraded_answers_total"))
    made = sum(float(line.split()[-1]) for line in told.splitlines() if line.startswith("inlay_blocks_total")) / 3
    if less > made / 100:
        raise RuntimeError(
            f"{less:,.0f} of {made:,.0f} mails were made with less than there is: the machine is too busy"
        )


def _batch(url: str, users: list[str]) -> list[Figure]:
    """All users four times over in one request."""
    body = {"user_ids": users * 4}
    rates = []
    with httpx.Client(base_url=url, headers={"X-Api-Key": KEY}, timeout=120) as api:
        for _ in range(ROUNDS):
            started = time.monotonic()
            lines = api.post("/v1/blocks/bench/batch", json=body).content.count(b"\n")
            if lines != len(users) * 4:
                raise RuntimeError(f"{lines} lines for {len(users) * 4} users")
            rates.append(lines / (time.monotonic() - started))
    _hold_to_personal(url)
    return [Figure("blocks of a batch, as JSON", max(rates), "users/s")]


def _memory(stand: Stand, url: str, users: list[str]) -> list[Figure]:
    """What a worker takes once the shop has a large catalogue, and mails have shown much of it."""
    now = time.time_ns() // 1000
    pipeline = stand.client.pipeline(transaction=False)
    for number in range(CATALOGUE):
        row = {
            "title": f"A thing of some kind, number {number}", "url": f"https://shop.example/things/{number}",
            "image_url": f"https://shop.example/pictures/{number}.png", "price": number / 7, "currency": "EUR",
            "category": f"Things/Kind {number % 50}", "brand": f"Brand {number % 90}", "in_stock": True,
        }  # fmt: skip
        key, fields = written(ITEM.hset(f"thing-{number}", row, now))
        pipeline.hset(key, mapping=fields)
        if number % 1000 == 999:
            pipeline.execute()
    pid = stand._processes["api"].pid
    with httpx.Client(base_url=url, headers={"X-Api-Key": KEY}) as api:
        for user in users[:500]:
            api.get("/v1/blocks/bench", params={"user_id": user})
    time.sleep(35)  # until what is refreshed in the background has been, the wide way too
    return [Figure(f"memory of a worker, a catalogue of {CATALOGUE:,}", _resident(pid) / 1e6, "MB")]


def _get(more: str = "") -> str:
    return GET.format(path="/v1/blocks/bench?user_id=", more=more, key=KEY)


def _rate(result: Mapping[str, float]) -> float:
    return result["requests"] / result["micros"] * 1e6


def _wrk(url: str, request: str, users: Path) -> dict[str, float]:
    """Load for some seconds, as much as there is."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(SCRIPT % {"users": users, "request": request})
        script.flush()
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--timeout", "10s", "-s", script.name, url]
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    result: dict[str, float] = json.loads(said.partition("RESULT ")[2])
    if result["failed"]:
        raise RuntimeError(f"{result['failed']:.0f} requests failed:\n{said}")
    return result


@contextmanager
def _feast_serve(stand: Stand) -> Iterator[str]:
    """Feast's own server on the same Redis and the same definitions, one worker."""
    stand.feature_store()  # writes the registry
    repo = stand.folder / "repo"
    shutil.copytree(ROOT / "feature_repo", repo / "feature_repo", ignore=shutil.ignore_patterns("__pycache__"))
    definition = (repo / "feature_repo" / "feature_store.yaml").read_text()
    (repo / "feature_repo" / "feature_store.yaml").write_text(
        definition.replace("path: ../var/registry.db", f"path: {stand.folder / 'registry.db'}")
    )
    port = free_port()
    process = subprocess.Popen(
        [str(ROOT / ".venv/bin/feast"), "-c", str(repo / "feature_repo"), "serve", "--host", "127.0.0.1", "--port",
         str(port), "--no-access-log", "--max-requests", "0", "--workers", "1"],
        cwd=repo, env=stand.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{url}/health", process)
        yield url
    finally:
        process.terminate()
        process.wait()


def _wait_for(url: str, process: subprocess.Popen[Any]) -> None:
    while process.poll() is None:
        try:
            httpx.get(url).raise_for_status()
        except (httpx.TransportError, httpx.HTTPStatusError):
            time.sleep(0.2)
        else:
            return
    raise RuntimeError("feast serve ended before it was ready")


def _resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
