"""The page of privacy names every place in Redis that the code writes, and every setting that says how long."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from pathlib import Path

from dataflows.connectors.lake_files import ERASED, EVENTS, FEATURES, HELD
from dataflows.settings import SETTINGS
from feature_repo.layout import LAYOUTS, PROJECT, USER

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/privacy.md").read_text()
NOBODYS = {
    "audit", "lease", "fence", "offsets", "outcomes", "stream", "caught_up", "bridge", "keys", "oauth", "demo",
    "processes",
}  # fmt: skip
"""Places that hold nothing of anybody: positions, leases, accounts, keys."""


WRITERS = {
    "api/spool.py": "`INLAY_SPOOL`",
    "api/remembered.py": "`INLAY_SNAPSHOT`",
    "dataflows/connectors/lake_storage.py": "`INLAY_LAKE_URL`",
    "dataflows/connectors/lake_files.py": "`INLAY_LAKE_URL`",
    "dataflows/connectors/files.py": "`done/`",
    "expectations/history.py": "`INLAY_REPORT`",
    "expectations/report/site.py": "`INLAY_REPORT`",
    "expectations/report/data_docs.py": "`INLAY_REPORT`",
}
"""Every module that writes files while the product runs, and what the page calls the place."""
ONCE = {"api/lint.py", "dataflows/schemas/__main__.py", "expectations/audits/__main__.py"}
"""Commands that write what they are told to, where they are told to. The sample shop's own start is no service."""
WRITE = {"write_bytes", "write_text", "mkdir", "rename", "write_table", "open_output_stream", "mkstemp", "mkdtemp"}


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


def writers() -> set[str]:
    """The modules in which something writes, makes or moves a file."""
    found = set()
    for package in ("dataflows", "api", "expectations", "feature_repo"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and (_name(node) in WRITE or _opens(node)):
                    found.add(str(path.relative_to(ROOT)))
    return {each for each in found if not each.startswith("api/demo/")}


def _name(call: ast.Call) -> str:
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def _opens(call: ast.Call) -> bool:
    """Whether it opens a file for writing."""
    words = [
        each.value for each in (*call.args, *(word.value for word in call.keywords)) if isinstance(each, ast.Constant)
    ]
    flags = {each.attr for each in ast.walk(call) if isinstance(each, ast.Attribute)}
    modes = {"w", "wb", "a", "ab", "x", "xb", "r+b", "w+b"}
    return _name(call) == "open" and (not modes.isdisjoint(map(str, words)) or "O_CREAT" in flags or "O_RDWR" in flags)


def test_every_module_that_writes_files_is_known_and_its_place_is_in_the_page() -> None:
    assert writers() == WRITERS.keys() | ONCE
    for place in WRITERS.values():
        assert place in PAGE, place


def test_every_folder_of_the_lake_is_in_the_table() -> None:
    told = set(re.findall(r"`([a-z]+)/`", "".join(row for row in PAGE.splitlines() if row.startswith("|"))))
    assert told == {name.partition("/")[0] for name in (EVENTS, FEATURES, HELD, ERASED)}


def patterns() -> list[re.Pattern[str]]:
    """What the names of keys in the table mean; a name alone is a key, and so is what counts it."""
    rows = [row.split("|")[2] for row in PAGE.splitlines() if row.startswith("| ")]
    names = [name for row in rows for name in re.findall(r"`([a-z_:/]+…?)`", row) if not name.endswith("/")]
    named = [f"inlay:{name}(:.*)?" for name in NOBODYS] + [rf"{re.escape(name.rstrip('…'))}.*" for name in names]
    heads = (layout.key("").removesuffix(PROJECT.encode())[:-4].decode() for layout in LAYOUTS.values())
    hashes = [f"{re.escape(head)}.*{PROJECT}" for head in heads]
    return [re.compile(each, re.DOTALL) for each in named + hashes]


def untold(keys: Iterable[bytes]) -> list[bytes]:
    """Keys of Redis that the table does not tell of."""
    told = patterns()
    return [key for key in keys if not any(each.fullmatch(key.decode("latin-1")) for each in told)]


def test_a_key_that_nobody_wrote_down_is_found() -> None:
    known = [
        b"inlay:visit:anna",
        b"events:7",
        b"dead_letters:counts",
        b"inlay:keys:used",
        USER.key("anna"),
        b"derived:0",
    ]
    assert untold([*known, b"inlay:moods:anna", b"moods", b"inlay:visits"]) == [
        b"inlay:moods:anna", b"moods", b"inlay:visits"
    ]  # fmt: skip


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
