"""The page of enrichments names those that there are, with settings and metrics that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dataflows.enrichments import open_sources
from dataflows.events import KNOWN_KEYS
from dataflows.settings import SETTINGS

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/enrichment.md").read_text()
LIMITS = (ROOT / "docs/limits.md").read_text()
DEFAULT = {setting.name: setting.default for setting in SETTINGS}["INLAY_ENRICH"].split(",")


def test_the_page_names_the_sources_that_there_are_and_all_are_on() -> None:
    named = re.findall(r"^\| `([a-z]+)` \|", PAGE, re.MULTILINE)
    assert named == DEFAULT == list(open_sources(DEFAULT))
    files = {path.stem for path in (ROOT / "dataflows/enrichments").glob("[a-z]*.py")}
    assert set(named) == files


def test_the_fields_that_are_filled_in_exist() -> None:
    for row in re.findall(r"^\|(?:[^|]*\|){2}([^|]*)\|", PAGE, re.MULTILINE)[2:]:
        for name in re.findall(r"`([a-z]+_?[a-z]*)`", row.partition("(")[0]):
            assert name in KNOWN_KEYS, name


@pytest.mark.parametrize("page", [PAGE, LIMITS], ids=["enrichment", "limits"])
def test_settings_and_metrics_named_exist(page: str) -> None:
    assert set(re.findall(r"INLAY_[A-Z_]*[A-Z]", page)) <= {setting.name for setting in SETTINGS}
    sources = "".join((ROOT / path).read_text() for path in ("dataflows/metrics.py", "api/metrics.py", "api/health.py"))
    assert set(re.findall(r"`(inlay_[a-z_]+)`", page)) <= set(re.findall(r'"(inlay_[a-z_]+)"', sources))
