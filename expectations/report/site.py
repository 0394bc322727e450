"""The site in its folder: profiles and alarms that are kept, and the pages that are written anew each time."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from expectations.history import DAY, History, Lake, bring_up_to_date, write_whole
from expectations.profiles import to_profiles
from expectations.report.alarms import AlarmBook, as_json, judge, on_call
from expectations.report.data_docs import MOST_ROWS, Validated, build
from expectations.report.offenders import Offenders
from expectations.report.overview import Findings, Kept, audited, page

Entities = Mapping[str, tuple[str, Mapping[str, Sequence[str]]]]
"""By entity its key, and the columns of each view."""
STAMP: Final = "event_timestamp"
RECENT_DAYS: Final = 8
LOOKED_BACK_DAYS: Final = 63
"""Days of a lake that the first report profiles: as many as later ones are compared with."""
NO_LAKE: Final = (
    "There is no lake to look into: set INLAY_LAKE_URL for all processes, and run "
    "`python -m bytewax.run dataflows.lake`."
)
EMPTY_LAKE: Final = "The lake is empty so far: is `python -m bytewax.run dataflows.lake` running?"
TOO_SHORT: Final = (
    "Nothing is compared yet: an hour needs the same hour of five days, or of three weeks, before it. Rates by source "
    "and type are judged after four weeks."
)

_log = logging.getLogger(__name__)


class Site:
    """A folder with the report in it.

    Args:
        folder: made if it is not there.
        entities: of the features.
        keep_days: how long profiles, alarms and reports of before are kept.
    """

    def __init__(self, folder: Path, entities: Entities, keep_days: float) -> None:
        self._folder, self._entities, self._keep = folder, entities, round(max(keep_days, 1) * DAY)
        self._history = History(folder / "profiles")
        self._pages = folder / "site"

    def write(self, lake: Lake | None, offenders: Offenders | None, now: int) -> tuple[str, bool]:
        """Bring everything up to date; the line for who is on call, and whether all is well.

        Args:
            lake: None: there is none.
            offenders: None: they are not known.
            now: epoch seconds.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        if lake is not None:
            self._profile(lake, now)
        book = AlarmBook(self._folder / "alarms.json")
        found, judged = judge(self._history, now, book.judged)
        for alarm in book.add(found):
            _log.warning("quality alarm: %s", alarm.sentence, extra={"alarm": alarm.name})
        book.keep(judged[-1] if judged else book.judged, now - self._keep)
        self._history.prune(now - self._keep)
        validated = self._validated(lake, now) if lake is not None else []
        findings = self._findings(lake, book, offenders, validated, now)
        self._put(findings)
        return findings.line, not findings.alarms and not any(each.broken for each in validated)

    def _profile(self, lake: Lake, now: int) -> None:
        since = now - min(LOOKED_BACK_DAYS * DAY, self._keep)
        started = datetime.now(timezone.utc)
        done = bring_up_to_date(self._history, lake, self._entities, since, lambda day: _log.info("profiled %s", day))
        if done:
            _log.info("%d hours in %.1f s", len(done), (datetime.now(timezone.utc) - started).total_seconds())

    def _findings(
        self,
        lake: Lake | None,
        book: AlarmBook,
        offenders: Offenders | None,
        validated: Sequence[Validated],
        now: int,
    ) -> Findings:
        hours = self._history.hours()
        recent = to_profiles(self._history.read(hour for hour in hours if hour > now - RECENT_DAYS * DAY))
        alarms = book.open()
        broken = [f"the newest rows of {each.entity} break {each.broken[0]}" for each in validated if each.broken]
        line = on_call(alarms) if alarms or not broken else f"{'; '.join(broken)}."
        notes = [NO_LAKE] if lake is None else [] if hours else [EMPTY_LAKE]
        if hours and hours[0] > now - 5 * DAY:
            notes.append(TOO_SHORT)
        if notes and not alarms and not broken:
            line = notes[0] if not hours else "Nothing is wrong as far as can be said yet."
        audit = self._folder / "audits.json"
        return Findings(
            now, len(hours), hours[-1] if hours else 0, book.judged, recent, f"{line[0].upper()}{line[1:]}", alarms,
            [each for each in book.alarms if each not in alarms], offenders, validated,
            audited(audit.read_text()) if audit.exists() else [], self._reports(now), notes,
        )  # fmt: skip

    def _reports(self, now: int) -> list[Kept]:
        """Those of before that are young enough, the newest first; the others go."""
        kept = []
        for path in sorted((self._pages / "history").glob("*.html"), reverse=True):
            if datetime.strptime(f"{path.stem}+0000", "%Y-%m-%dT%H%M%z").timestamp() < now - self._keep:
                path.unlink()
            else:
                kept.append(Kept(path.stem.replace("T", " ") + " UTC", f"history/{path.name}"))
        return kept

    def _put(self, found: Findings) -> None:
        text = page(found, str(self._folder / "audits.json"))
        name = f"{datetime.fromtimestamp(found.now, timezone.utc):%Y-%m-%dT%H%M}.html"
        # A page of before lies a folder deeper, and its Data Docs are those of now.
        deeper = text.replace('href="docs/', 'href="../docs/').replace('href="history/', 'href="')
        write_whole(self._pages / "history" / name, deeper.encode())
        write_whole(self._pages / "on-call.txt", f"{found.line}\n".encode())
        status = {
            "written_at": found.now, "judged": found.judged, "hours": found.hours, "line": found.line,
            "alarms": as_json(found.alarms),
            "broken": {each.entity: list(each.broken) for each in found.validated if each.broken},
        }  # fmt: skip
        write_whole(self._pages / "status.json", json.dumps(status, indent=1).encode())
        write_whole(self._pages / "index.html", text.encode())

    def _validated(self, lake: Lake, now: int) -> list[Validated]:
        tables = {}
        for entity, (key, views) in self._entities.items():
            rows = newest_rows(lake, f"features/entity={entity}", key)
            if rows is not None and len(rows):
                tables[entity] = _as_judged(rows, key, [name for names in views.values() for name in names])
        if not tables:
            return []
        return build(tables, self._pages / "docs", now * 1_000_000)


def newest_rows(lake: Lake, folder: str, key: str) -> pa.Table | None:
    """The newest row of some keys of a folder: of those that were stored last.

    Of the newest day the row groups are asked for that were written last, of each first the keys and times alone, until
    what is left is older than what was found.
    """
    days: dict[str, list[str]] = {}
    for file in lake.files(folder):
        days.setdefault(file.path.rpartition("/")[0], []).append(file.path)
    if not days:
        return None
    rows = ds.dataset(days[max(days)], filesystem=lake.storage.filesystem, format="parquet")
    groups = [group for file in rows.get_fragments() for group in file.split_by_row_group()]
    groups.sort(key=_newest_in, reverse=True)
    found: dict[Any, tuple[datetime, int, int]] = {}  # by key: when, the group, and which row of it
    for number, group in enumerate(groups):
        if len(found) >= MOST_ROWS and _newest_in(group) < min(found.values())[0]:
            break
        table = group.to_table(columns=[key, STAMP])
        for place, (name, at) in enumerate(zip(table[key].to_pylist(), table[STAMP].to_pylist(), strict=True)):
            if name not in found or at > found[name][0]:
                found[name] = (at, number, place)
        found = dict(sorted(found.items(), key=lambda each: each[1], reverse=True)[:MOST_ROWS])
    wanted: dict[int, list[int]] = {}
    for _, number, place in found.values():
        wanted.setdefault(number, []).append(place)
    parts = [groups[number].to_table().take(pa.array(places, pa.int64())) for number, places in wanted.items()]
    return pa.concat_tables(parts or [rows.schema.empty_table()]).sort_by([(STAMP, "descending")])


def _newest_in(group: Any) -> datetime:
    """When the newest row of a row group was stored, by its statistics."""
    known = group.row_groups[0].statistics.get(STAMP)
    return known["max"] if known else datetime.max.replace(tzinfo=timezone.utc)


def _as_judged(table: pa.Table, key: str, names: Sequence[str]) -> pd.DataFrame:
    """Rows of the lake as the gate saw them: the key is `key`, and times are whole seconds."""
    columns: dict[str, Any] = {"key": table[key].to_pylist()}
    for name in names:
        if name not in table.column_names:
            continue
        column = table[name]
        if pa.types.is_timestamp(column.type):
            column = pc.divide(pc.cast(column, pa.int64()), 1_000_000)
        columns[name] = (
            column.to_pylist()
        )  # None where a value is missing, as there; pandas would make it something else
    return pd.DataFrame(columns)
