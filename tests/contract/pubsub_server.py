"""A Pub/Sub of a test's own: Google's fake, over its real protocol; it can hang and go on.

Go builds it from `pubsub_fake/`, once; the program is kept in `~/.cache/inlay`.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).parent / "pubsub_fake"
BUILD_SECONDS: Final = 900.0


class PubSubServer:
    """The fake in a process.

    Args:
        program: what to run.
    """

    def __init__(self, program: Path) -> None:
        self._process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().strip()

    def pause(self) -> None:
        """Let it hang: connections stay open, and nothing is answered."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End it, with everything in it."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def pubsub_server() -> Iterator[PubSubServer]:
    """A running fake, and its end."""
    server = PubSubServer(build())
    try:
        yield server
    finally:
        server.close()


def find_go() -> str | None:
    """Where Go is, if it is there."""
    return shutil.which("go", path=f"{os.environ.get('PATH', '')}:/usr/local/go/bin")


def build() -> Path:
    """The program, built if it was not before or if its source changed."""
    source = b"".join(path.read_bytes() for path in sorted(SOURCE.iterdir()))
    program = Path.home() / ".cache" / "inlay" / f"pubsub-fake-{blake2b(source, digest_size=8).hexdigest()}"
    if not program.exists():
        program.parent.mkdir(parents=True, exist_ok=True)
        unfinished = program.with_suffix(f".{os.getpid()}")
        command = [str(find_go()), "build", "-o", str(unfinished), "."]
        subprocess.run(command, cwd=SOURCE, check=True, timeout=BUILD_SECONDS)
        unfinished.rename(program)
    return program
