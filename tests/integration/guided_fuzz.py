"""Bytes that look for a way to break what reads: the fuzzer sees which code they reach, and goes on from what is new.

    pip install atheris
    python -m tests.integration.guided_fuzz decoder -max_total_time=600

It ends with an error where something is raised that nobody expects, or where a promise is broken: the bytes that did it
lie in the current folder then.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Final

NAMES: Final = ("decoder", "tokens", "templates")


def main() -> None:
    """Fuzz the target that is named first."""
    parser = argparse.ArgumentParser(
        "python -m tests.integration.guided_fuzz", description=(__doc__ or "").split("\n", 1)[0]
    )
    parser.add_argument("target", choices=NAMES, help="what reads the bytes")
    parser.add_argument("options", nargs=argparse.REMAINDER, help="options of libFuzzer")
    told = parser.parse_args()
    try:
        import atheris  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        parser.error("this needs the fuzzer: pip install atheris")
    with atheris.instrument_imports(include=["api", "dataflows", "feature_repo"]):
        from tests.integration.fuzz_targets import SEEDS, TARGETS  # behind what watches its imports
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(SEEDS[told.target]):
            (Path(corpus) / str(number)).write_bytes(seed)
        atheris.Setup([sys.argv[0], corpus, *told.options], TARGETS[told.target])
        atheris.Fuzz()


if __name__ == "__main__":
    main()
