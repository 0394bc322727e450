"""A test stand: a Redis of its own and the flows as real processes, to be started, stopped and killed.

    with Stand() as stand:
        stand.start("people")
        stand.start("items")
        stand.replay(file, "--map", mapping, "--end-at-now")
        stand.wait_until_drained()
        stand.read("user", ["u1"])

Nothing outlives the `with`, whatever happens in it: no process, no file.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import httpx
import redis

from api.demo.embedded import free_port, redis_command
from dataflows.connectors import Stream, open_stream
from dataflows.settings import with_query
from feature_repo.layout import LAYOUTS

ROOT: Final = Path(__file__).parents[2]
FLOWS: Final = ("people", "items")
PARTITIONS: Final = 8
CHUNK: Final = 5000
START_SECONDS: Final = 120.0
STOP_SECONDS: Final = 20.0


class StandError(AssertionError):
    """A process failed, or something did not happen in time; the message ends with the tails of the logs."""


class Stand:
    """Redis, the flows, and what they made of the stream, which lies in that Redis unless INLAY_STREAM_URL says where.

    Args:
        settings: `INLAY_*` names beside that of Redis, for every process of the stand.
        forked: fork flows from a server that has imported them, which saves most of a start for those who start many.
        synced: Redis has on the disk whatever it acknowledges; else it may lose some of it where it is killed.
    """

    def __init__(
        self, settings: Mapping[str, str] | None = None, *, forked: bool = False, synced: bool = False
    ) -> None:
        self._settings = dict(settings or {})
        self._forked, self._synced = forked, synced
        self._exits = ExitStack()
        self._processes: dict[str, subprocess.Popen[bytes] | ForkedFlow] = {}
        self._logs: dict[str, Path] = {}

    def __enter__(self) -> Stand:
        with ExitStack() as exits:  # undoes what was done so far if one of the steps fails
            self.folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="inlay-stand-")))
            exits.callback(self._kill_all)
            self._port = free_port()
            self.url = f"redis://127.0.0.1:{self._port}/0"
            self._start_redis()
            self.client = exits.enter_context(closing(redis.Redis.from_url(self.url, protocol=2)))
            self._wait("Redis to answer", START_SECONDS, self._answers)
            self._exits = exits.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._exits.close()

    @cached_property
    def events(self) -> Stream:
        """The stream that the flows read."""
        url = self._settings.get("INLAY_STREAM_URL") or with_query(
            self.url, stream="events", partitions=str(PARTITIONS)
        )
        stream = open_stream(url)
        self._exits.callback(stream.close)
        return stream

    @property
    def environment(self) -> dict[str, str]:
        """What the processes of the stand find in their environment."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("INLAY_")}
        return kept | {"INLAY_REDIS_URL": self.url} | self._settings

    def start(self, flow: str, *, wait: bool = True, more: Mapping[str, str] | None = None) -> None:
        """Start a flow, with `more` settings of its own; waits until it owns its partitions, if told to."""
        if self._forked:
            log = self._new(flow)
            self._processes[flow] = ForkedFlow(flow, self.environment | dict(more or {}), log)
        else:
            self._spawn(flow, sys.executable, "-m", "bytewax.run", f"dataflows.{flow}", more=more)
        if wait:
            self.wait_until_owner(flow)

    def start_part(self, flow: str, partitions: str) -> str:
        """Start a process of a flow that owns some partitions only; hands back the name it goes by."""
        name = f"{flow} {partitions}"
        command = (sys.executable, "-m", "bytewax.run", f"dataflows.{flow}")
        self._spawn(name, *command, more={"INLAY_PARTITIONS": partitions})
        return name

    def start_api(self, *more: object, through: Sequence[str] = ()) -> str:
        """Start the API, wait until it is ready, and hand back its address. INLAY_API_KEYS is among the settings.

        Args:
            more: arguments of its command.
            through: a command that starts it, such as `taskset`.
        """
        url = f"http://127.0.0.1:{(port := free_port())}"
        self._spawn("api", *through, sys.executable, "-m", "api", "--port", port, *more)
        self._wait("the API to be ready", START_SECONDS, lambda: _is_ready(url))
        return url

    def release(self, flow: str) -> subprocess.Popen[bytes]:
        """Hand over a running process: the caller looks after it from here on, and another may be started."""
        process = self._processes.pop(flow)
        assert isinstance(process, subprocess.Popen)
        return process

    def stop(self, flow: str) -> None:
        """Tell a flow to stop, as an operator would.

        Raises:
            StandError: it did not, or not with exit code 0.
        """
        process = self._processes[flow]
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise self._error(f"{flow} did not stop within {STOP_SECONDS:.0f} s of SIGTERM") from None
        if code:
            raise self._error(f"{flow} stopped with exit code {code}")
        del self._processes[flow]

    def kill(self, flow: str) -> None:
        """Kill a flow where it stands."""
        process = self._processes.pop(flow)
        if (code := process.poll()) is not None:
            raise self._error(f"{flow} was dead before it was killed: exit code {code}")
        process.kill()
        process.wait()

    def keep(self, flow: str) -> None:
        """Start a flow again that ended by itself, as whatever runs it does."""
        if self._processes[flow].poll() is not None:
            del self._processes[flow]
            self.start(flow, wait=False)

    def kill_redis(self) -> None:
        """Kill Redis where it stands, with everything that is in it."""
        self.kill("redis")

    def start_redis(self) -> None:
        """Start a killed Redis again; returns when it answers."""
        self._start_redis()
        give_up_at = time.monotonic() + START_SECONDS
        while not self._answers():
            if time.monotonic() > give_up_at:
                raise self._error("Redis did not start again")
            time.sleep(0.02)

    def replay(self, file: Path, *arguments: str | Path, wait: bool = True) -> None:
        """Publish a file of events by the product's own command; waits until it has, if told to."""
        self._spawn("replay", sys.executable, "-m", "dataflows.replay", file, *arguments)
        if wait:
            self.wait_until_replayed()

    def wait_until_replayed(self, seconds: float = 300) -> None:
        """Wait until the running replay is through.

        Raises:
            StandError: not in time, or it failed.
        """
        replay = self._processes["replay"]
        self._wait("the replay to end", seconds, lambda: replay.poll() is not None)
        del self._processes["replay"]

    def wait_until_owner(self, flow: str) -> None:
        """Wait until a started flow holds the lease of its last partition.

        Raises:
            StandError: not in time, or a process failed.
        """
        pid = f'"pid":{self._processes[flow].pid},'.encode()
        key = f"inlay:lease:{flow}:{PARTITIONS - 1}"
        self._wait(f"{flow} to start", START_SECONDS, lambda: pid in (self.client.get(key) or b""))

    def wait_until_drained(self, seconds: float = 120, flows: Sequence[str] = FLOWS) -> None:
        """Wait until the flows have committed everything that is in the stream.

        Raises:
            StandError: not in time, or a process failed.
        """
        self._wait("the flows to commit the whole stream", seconds, lambda: all(map(self.is_drained, flows)))

    def wait_until_received(self, events: int, seconds: float = 60, flows: Sequence[str] = FLOWS) -> None:
        """Wait until the flows have received that many events, ever.

        Raises:
            StandError: not in time, or a process failed.
        """
        what = f"the flows to receive {events:,} events"
        self._wait(what, seconds, lambda: all(self.outcomes(flow)["received"] >= events for flow in flows))

    def wait_until_settled(self, now: int, seconds: float = 60) -> None:
        """Wait until no row is due to change by itself at `now` (microseconds).

        Raises:
            StandError: not in time, or a process failed.
        """
        keys = [f"inlay:due:{part}" for part in (*range(PARTITIONS), "items")]
        self._wait("due rows to be written", seconds, lambda: not any(self.client.zcount(key, 0, now) for key in keys))

    def is_drained(self, flow: str) -> bool:
        """Whether the flow has committed everything that is in the stream."""
        committed = self.offsets(flow)
        return all(committed[partition] >= self.events.bounds(partition).last for partition in committed)

    def offsets(self, flow: str) -> dict[int, int]:
        """What the flow has committed, by partition; -1 for nothing."""
        found = self.client.hgetall(f"inlay:offsets:{flow}")
        return {partition: int(found.get(str(partition).encode(), -1)) for partition in range(PARTITIONS)}

    def outcomes(self, flow: str) -> dict[str, int]:
        """How many events the flow received, and what became of them; what never happened is 0."""
        found = self.client.hgetall(f"inlay:outcomes:{flow}")
        names = ("received", "applied", "duplicate", "late", "refused")
        return {name: int(found.get(name.encode(), 0)) for name in names}

    def stream(self, partition: int) -> Iterator[bytes]:
        """The events in one partition of the stream, in order."""
        after, last = -1, self.events.bounds(partition).last
        while after < last:
            for records in self.events.read({partition: after}, CHUNK, 0.2):
                yield from records.values
                after = records.offsets[-1]

    def publish(self, partition: int, events: Iterable[bytes]) -> None:
        """Append events to one partition of the stream, as they are."""
        self.events.publish([(partition, event) for event in events])

    def read(self, entity: str, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Every feature of some entities, read as the API does: by the layout of Feast's hashes."""
        layout = LAYOUTS[entity]
        pipeline = self.client.pipeline(transaction=False)
        for key in keys:
            pipeline.hgetall(layout.key(key))
        return {key: layout.decode(found)[0] for key, found in zip(keys, pipeline.execute(), strict=True)}

    def read_with_feast(self, entity: str, keys: Sequence[str], *views: str) -> dict[str, dict[str, Any]]:
        """The features of `views` for some entities, read by Feast itself; times as whole seconds since 1970."""
        layout = LAYOUTS[entity]
        wanted = [f"{each.view}:{each.name}" for each in layout.columns.values() if each.view in views]
        answer = self.feature_store().get_online_features(
            features=wanted, entity_rows=[{layout.join_key: key} for key in keys]
        )
        columns = {name: [_plain(value) for value in values] for name, values in answer.to_dict().items()}
        found = columns.pop(layout.join_key)
        return {key: {name: values[row] for name, values in columns.items()} for row, key in enumerate(found)}

    def feature_store(self) -> Any:
        """Feast on the project's own configuration and declarations, with a registry of the stand's own."""
        from feast import FeatureStore
        from feast.repo_config import load_repo_config

        from feature_repo import features

        repo = ROOT / "feature_repo"
        config = load_repo_config(repo, repo / "feature_store.yaml")
        config.registry_config = {"path": str(self.folder / "registry.db"), "cache_ttl_seconds": 0}
        config.online_config = {**config.online_config, "connection_string": self.url}
        store = FeatureStore(config=config)
        store.apply([each for each in vars(features).values() if type(each).__module__.startswith("feast.")])
        return store

    def _start_redis(self) -> None:
        more = ("--appendfsync", "always") if self._synced else ()
        self._spawn("redis", *redis_command(self.folder, self._port), *more)

    def _spawn(self, name: str, *command: object, more: Mapping[str, str] | None = None) -> None:
        with self._new(name).open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [str(part) for part in command], cwd=ROOT, env=self.environment | dict(more or {}),
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def _new(self, name: str) -> Path:
        """The log of a process that may be started."""
        if name in self._processes:
            raise StandError(f"{name} is running already")
        self._logs[name] = self.folder / f"{name}.log"
        self._logs[name].touch()
        return self._logs[name]

    def _kill_all(self) -> None:
        """Redis last, so that nobody complains of its absence."""
        for process in reversed(self._processes.values()):
            process.kill()
            process.wait()
        self._processes.clear()

    def _wait(self, what: str, seconds: float, happened: Callable[[], bool]) -> None:
        give_up_at = time.monotonic() + seconds
        while not happened():
            for name, process in self._processes.items():
                if code := process.poll():  # 0 is how a replay ends
                    raise self._error(f"{name} ended with exit code {code} while waiting for {what}")
            if time.monotonic() > give_up_at:
                raise self._error(f"waited {seconds:.0f} s for {what}")
            time.sleep(0.05)

    def _error(self, what: str) -> StandError:
        tails = (f"--- {name}\n{_tail(log)}" for name, log in self._logs.items())
        return StandError("\n".join((what, *tails)))

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.ConnectionError:
            return False


class ForkedFlow:
    """A flow in a process of its own, forked from a server that has imported it; handled as a `Popen` is.

    The server ends with the process that uses the stand.
    """

    def __init__(self, flow: str, environment: Mapping[str, str], log: Path) -> None:
        server = multiprocessing.get_context("forkserver")
        server.set_forkserver_preload(["bytewax.run", *(f"dataflows.{each}" for each in FLOWS)])
        self._process = server.Process(target=run_flow, args=(flow, dict(environment), log))
        self._process.start()
        self.pid: int = self._process.pid or 0

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()


def run_flow(flow: str, environment: dict[str, str], log: Path) -> None:
    """Be `python -m bytewax.run dataflows.<flow>` from here on."""
    file = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environment)
    multiprocessing.set_start_method(None, force=True)  # as in a process that was not forked
    sys.argv = ["bytewax.run", f"dataflows.{flow}"]
    del sys.modules["bytewax.run"]  # imported for what it imports; runpy warns of a module that it runs a second time
    runpy.run_module("bytewax.run", run_name="__main__", alter_sys=True)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/ready").status_code == 200
    except httpx.TransportError:
        return False  # not listening yet


def _tail(log: Path, size: int = 3000) -> str:
    return log.read_bytes()[-size:].decode(errors="replace")


def _plain(value: Any) -> Any:
    """A value of Feast's answer with its times as whole seconds."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return int(value.timestamp()) if isinstance(value, datetime) else value
