"""Write the schemas of the event: `python -m dataflows.schemas`; `--release`: also as the last release's."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from dataflows.schemas import FILES, FOLDER, RELEASED, as_text, read
from dataflows.schemas.compatibility import avro_breaks, json_breaks


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; it ends with 1 if somebody who sends by the last release would be refused."""
    parser = argparse.ArgumentParser(prog="python -m dataflows.schemas", description=__doc__)
    parser.add_argument("--release", action="store_true", help="these are what later schemas are compared with")
    chosen = parser.parse_args(arguments)
    for name, make in FILES.items():
        for folder in (FOLDER, RELEASED) if chosen.release else (FOLDER,):
            (folder / name).write_text(as_text(make()), encoding="utf-8")
    breaks = json_breaks(read("event.schema.json", RELEASED), read("event.schema.json"))
    breaks += avro_breaks(read("event.avsc", RELEASED), read("event.avsc"))
    for each in breaks:
        print(each, file=sys.stderr)  # noqa: T201  # a command speaks on its terminal
    return 1 if breaks else 0


if __name__ == "__main__":
    sys.exit(main())
