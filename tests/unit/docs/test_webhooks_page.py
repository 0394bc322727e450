"""The page about webhooks says what the platforms' tables say."""

import re
from pathlib import Path

import pytest

from api.platforms import NAMES, find_platform
from dataflows.events import EVENT_TYPES
from dataflows.machines import APPLE_MPP, BURST, MOST_MAILS, NETWORKS, TOO_FAST, USER_AGENTS
from dataflows.settings import SETTINGS

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "webhooks.md").read_text()
CHAPTERS = dict(re.findall(r"^### [^\n]*`(\w+)`\n(.*?)(?=^### |\Z)", PAGE, re.MULTILINE | re.DOTALL))


def test_every_platform_has_a_chapter_and_no_other() -> None:
    assert set(CHAPTERS) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_chapter_says_what_the_code_does(name: str) -> None:
    platform, text = find_platform(name), CHAPTERS[name]
    assert f"- **Secret**: {platform.asks_for}.\n" in text
    assert f"- **Proof**: {platform.proof}.\n" in text
    table = dict(re.findall(r"^\| `([^|]+)` \| ([^|]+) \|$", text, re.MULTILINE))
    assert table == {theirs: in_words(ours) for theirs, ours in platform.events.items()}


def in_words(ours: str) -> str:
    if ours in ("the same", "consent+"):
        return {"the same": "the same", "consent+": "`consent`, given"}[ours]
    types = ours.split(", ")
    assert set(types) <= set(EVENT_TYPES)
    return ", ".join(f"`{each}`" for each in types)


def test_every_reason_is_told_and_no_other() -> None:
    reasons = {reason for _, reason in (*USER_AGENTS, *NETWORKS, APPLE_MPP)}
    chapter = PAGE[PAGE.index("## Machines") : PAGE.index("## The platforms")]
    told = set(re.findall(r"^\| `(\w+)` \|", chapter, re.MULTILINE))
    assert told == reasons | {"platform", "too_fast", "many_links_at_once"}
    assert f"less than {TOO_FAST // 1_000_000} seconds" in chapter
    assert f"{BURST} different links" in chapter
    assert f"{MOST_MAILS:,} mails" in chapter


def test_what_the_page_names_exists() -> None:
    assert set(re.findall(r"INLAY_[A-Z_]*[A-Z]", PAGE)) <= {setting.name for setting in SETTINGS}
    for target, _ in re.findall(r"\]\(([^)#]+)(#[^)]*)?\)", PAGE):
        assert (DOCS / target).exists()
    for path in re.findall(r"`((?:api|dataflows)/[\w/.]+)`", PAGE):
        assert (DOCS.parent / path).exists()
