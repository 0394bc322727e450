"""`make demo`: an embedded Redis, the features, the flows, the API and the sample shop, until Ctrl-C.

Where it is to be found is a setting, INLAY_PORT (8000), and where it keeps its state another one, INLAY_VAR (var/).
"""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
import redis

from api.demo.catalogue import item_events
from api.demo.embedded import DemoError, Processes, check_port, free_port, lock_folder, redis_command, wait_until
from api.demo.shoppers import history
from dataflows.connectors import Stream, open_stream
from dataflows.events import partition_of
from dataflows.settings import SettingError, read_settings

ROOT: Final = Path(__file__).parents[2]
LOADED_KEY: Final = "inlay:demo:loaded"
BIN: Final = Path(sys.executable).parent
REPORT_AFTER: Final = 180.0
"""Seconds after which the quality report is written, once: the start is busy enough without it."""

Stopped: TypeAlias = Callable[[], bool]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; returns when it was told to stop."""
    argparse.ArgumentParser(prog="python -m api.demo", description=__doc__).parse_args(arguments)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    var = Path(os.environ.get("INLAY_VAR") or ROOT / "var")
    var.mkdir(parents=True, exist_ok=True)
    keys = os.environ.get("INLAY_API_KEYS") or _secret(var / "api_key", "demo_")
    lake = os.environ.get("INLAY_LAKE_URL") or str(var / "lake")
    environ = {**os.environ, "INLAY_DEMO": "1", "INLAY_API_KEYS": keys, "INLAY_LAKE_URL": lake}
    environ.setdefault("INLAY_SNAPSHOT", str(var / "snapshot"))
    environ.setdefault("INLAY_REPORT", str(var / "quality"))
    embedded = not environ.get("INLAY_REDIS_URL")
    if embedded:
        environ["INLAY_REDIS_URL"] = f"redis://127.0.0.1:{free_port()}/0"
    processes = None
    try:
        settings = read_settings(environ)
        _let_links_lead(environ, settings, var)
        check_port(settings["host"], settings["port"])
        lock = lock_folder(var)
        processes = Processes(var / "log", environ)
        _start(processes, settings, var / "redis" if embedded else None, stop.is_set)
        _start_flow(processes, "lake")  # last, since nobody waits for it
        _greet(settings)
        _watch(processes, stop)
    except (DemoError, SettingError) as error:
        if not stop.is_set():
            print(f"demo: {error}", file=sys.stderr)  # noqa: T201  # a command speaks on its terminal
            return 1
    finally:
        if processes is not None:
            _say("stopping")
            processes.stop()
            lock.close()
    return 0


def _start(processes: Processes, settings: dict[str, Any], redis_folder: Path | None, stopped: Stopped) -> None:
    """Start everything, load the sample shop once, and wait until the API and the flows have caught up.

    Args:
        processes: what is started is in their care.
        settings: of the whole product.
        redis_folder: where the embedded Redis keeps its file; none if Redis runs elsewhere.
        stopped: whether to give up.
    """

    def check() -> None:
        if stopped():
            raise DemoError("told to stop")
        processes.check()

    url = settings["redis_url"]
    client = redis.Redis.from_url(url, socket_connect_timeout=1)
    if redis_folder is not None:
        _say("starting Redis")
        port = client.connection_pool.connection_kwargs["port"]
        processes.start("redis", redis_command(redis_folder, port))
    wait_until(f"an answer of Redis at {url}", lambda: _answers(client), 60, check)
    stream = open_stream(settings["stream_url"])
    _say("starting the flows and the API")
    for flow in ("people", "items"):
        _start_flow(processes, flow)
    processes.start("api", [sys.executable, "-m", "api"], ROOT)
    if not client.exists(LOADED_KEY):
        _say("loading the sample shop: its products, and a history of simulated shoppers")
        now = datetime.now(timezone.utc)
        _publish(stream, item_events(now, _public_url(settings)))
        _publish(stream, history(now))
        client.set(LOADED_KEY, now.isoformat())
    if _registry_is_old():
        _say("registering the features (feast apply)")
        processes.start("feast", [str(BIN / "feast"), "apply"], ROOT / "feature_repo")
        processes.wait("feast", 120)
    wait_until("the API being ready", lambda: _is_ready(settings), 120, check)
    wait_until("the flows owning their partitions", lambda: _own(client, processes), 120, check)
    wait_until("the flows catching up", lambda: _caught_up(client, stream), 120, check)


def _start_flow(processes: Processes, flow: str) -> None:
    processes.start(flow, [sys.executable, "-m", "bytewax.run", f"dataflows.{flow}"], ROOT)


def _watch(processes: Processes, stop: threading.Event) -> None:
    """Look after everything until told to stop; after a while a report is written, once."""
    report_at = time.monotonic() + REPORT_AFTER
    while not stop.wait(0.5):
        processes.check()
        if report_at <= time.monotonic():
            report_at = float("inf")
            processes.start_once("report", [sys.executable, "-m", "expectations.report"], ROOT)


def _publish(stream: Stream, events: Iterable[dict[str, Any]]) -> None:
    stream.publish(
        [
            (partition_of(event.get("user_id") or event["item_id"], stream.partitions), msgspec.json.encode(event))
            for event in events
        ]
    )


def _own(client: redis.Redis, processes: Processes) -> bool:
    """Whether the flows that we started hold their leases: the offsets of an earlier start say nothing of them."""
    leases = {flow: client.get(f"inlay:lease:{flow}:0") or b"" for flow in ("people", "items")}
    return all(f'"pid":{processes.pid(flow)},'.encode() in lease for flow, lease in leases.items())


def _caught_up(client: redis.Redis, stream: Stream) -> bool:
    for flow in ("people", "items"):
        committed = client.hgetall(f"inlay:offsets:{flow}")
        for partition in range(stream.partitions):
            if stream.bounds(partition).last > int(committed.get(str(partition).encode(), -1)):
                return False
    return True


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False  # not listening yet, or still reading its file


def _is_ready(settings: dict[str, Any]) -> bool:
    try:
        with urllib.request.urlopen(f"{_public_url(settings)}/health/ready", timeout=1) as answer:  # noqa: S310  # our own
            return bool(answer.status == 200)
    except OSError:
        return False  # not listening yet


def _registry_is_old() -> bool:
    registry = ROOT / "var" / "registry.db"  # as feature_store.yaml says
    declared = ROOT / "feature_repo" / "features.py"
    return not registry.exists() or registry.stat().st_mtime < declared.stat().st_mtime


def _let_links_lead(environ: dict[str, str], settings: dict[str, Any], var: Path) -> None:
    """Let mails have pictures and links: with a key of the demo's own, to where the demo is, unless it is said."""
    url = _public_url(settings)
    own = {
        "INLAY_LINK_KEYS": f"demo={_secret(var / 'link_key', '')}", "INLAY_PUBLIC_URL": url,
        "INLAY_HOME_URL": f"{url}/demo",
    }  # fmt: skip
    for name, value in own.items():
        environ[name] = environ.get(name) or value


def _secret(path: Path, prefix: str) -> str:
    """A secret of the demo's own, made once and kept."""
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(f"{prefix}{secrets.token_urlsafe(24)}\n")
    return path.read_text().strip()


def _public_url(settings: dict[str, Any]) -> str:
    return f"http://{settings['host']}:{settings['port']}"


def _greet(settings: dict[str, Any]) -> None:
    url = _public_url(settings)
    _say(
        f"""
Inlay is running. The shoppers in it are simulated.

  see it work   {url}/demo
  the API       {url}/docs
  metrics       {url}/metrics
  its quality   {url}/quality/  after {REPORT_AFTER / 60:.0f} minutes

API key: {settings["api_keys"][0]}

Ctrl-C stops everything; what was stored is kept."""
    )


def _say(text: str) -> None:
    stamp = "" if text.startswith("\n") else time.strftime("%H:%M:%S ")
    print(f"{stamp}{text}", flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
