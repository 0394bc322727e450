"""The page of privacy names every place in Redis that the code writes, and every setting that says how long."""

from __future__ import annotations

import re
from pathlib import Path

from dataflows.settings import SETTINGS

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/privacy.md").read_text()
NOBODYS = {
    "audit", "lease", "fence", "offsets", "outcomes", "stream", "caught_up", "bridge", "keys", "oauth", "demo",
    "processes",
}  # fmt: skip
"""Places that hold nothing of anybody: positions, leases, accounts, keys."""


def places() -> set[str]:
    """The first word of each key of ours."""
    found = set()
    for package in ("dataflows", "api"):
        for path in (ROOT / package).rglob("*.py"):
            found |= set(re.findall(r"""["']inlay:([a-z_]+)""", path.read_text()))
    return found


def test_every_place_is_in_the_table_or_nobodys() -> None:
    told = set(re.findall(r"`inlay:([a-z_]+)", PAGE))
    assert len(told) > 8
    assert places() - NOBODYS == told


def test_every_setting_it_names_exists_and_has_the_days_it_says() -> None:
    defaults = {setting.name: setting.default for setting in SETTINGS}
    named = set(re.findall(r"INLAY_[A-Z_]*[A-Z]", PAGE))
    assert named <= defaults.keys()
    assert {name for name in defaults if name.endswith(("_AGE", "_TTL"))} <= named
    for name, days in re.findall(r"`(INLAY_[A-Z_]+)`[^|(]*\((\d+) days\)", PAGE):
        value = float(defaults[name])
        assert value in (int(days), int(days) * 86_400), name


def test_every_place_that_an_erasure_looks_at_is_in_its_source() -> None:
    """What holds something of users by key is erased, or looked at, by a line in `api.erasing`."""
    source = (ROOT / "api/erasing.py").read_text() + (ROOT / "api/erasure_places.py").read_text()
    for name in ("visits", "served", "dead letters", "quarantine", "derived events", "lake", "spool", "due times"):
        assert f'"{name}"' in source
