"""A Python of its own for Pathway, which shares no dependency with us; made once, under `var/bench`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

WAIT_SECONDS = 900


def pathway_python(folder: Path) -> Path | None:
    """The Python that has Pathway; None, with the reason on the terminal, if it cannot be installed."""
    venv = folder / "pathway-venv"
    python = venv / "bin" / "python"
    if _has_pathway(python):
        return python
    print(f"windows: installing pathway into {venv}, once", flush=True)
    try:
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True, capture_output=True, timeout=WAIT_SECONDS)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "pathway"]
        subprocess.run(install, check=True, capture_output=True, timeout=WAIT_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or b""
        print(f"windows: without Pathway, it could not be installed: {error} {said.decode(errors='replace')[-300:]}")
        return None
    return python if _has_pathway(python) else None


def _has_pathway(python: Path) -> bool:
    if not python.exists():
        return False
    return subprocess.run([str(python), "-c", "import pathway"], capture_output=True, timeout=120).returncode == 0
