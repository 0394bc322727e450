"""Great Expectations' own pages (Data Docs) of the newest rows, and of the suites they are judged by.

They are built aside and put in place in one rename. As they come they fetch scripts, styles and pictures from half a
dozen other places, which no page of ours does: what is not theirs is taken out, and one style sheet stands in.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from datetime import datetime, timezone
from html import escape
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import great_expectations as gx
import pandas as pd

from expectations.verdict import CUSTOM, load_suite

KNOWN: Final = len(CUSTOM)
"""Expectations of our own, which Great Expectations knows once they are imported."""
STYLE: Final = (Path(__file__).parent / "data_docs.css").read_text
MOST_ROWS: Final = 5000
"""Newest rows of an entity that are judged."""
_FOREIGN: Final = re.compile(
    r"<script\b[^>]*>.*?</script>|<link\b[^>]*>|<img\b[^>]*>|<iframe\b.*?</iframe>", re.DOTALL | re.IGNORECASE
)
_OUTSIDE: Final = re.compile(r'\b(href|src|action)="https?://[^"]*"', re.IGNORECASE)
_INDEX: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Data Docs</title><style>{style}</style></head>
<body><nav class="navbar"><a href="../index.html">Inlay quality</a></nav>
<main class="container-fluid"><h4>Data Docs</h4><div class="ge-section"><ul class="pages">{links}</ul></div></main>
</body></html>
"""
"""The index that comes with them is drawn by scripts of others; the pages themselves are plain tables."""
_HANDLER: Final = re.compile(r"""\son[a-z]+\s*=\s*("[^"]*"|'[^']*')""", re.IGNORECASE)
_PICTURE: Final = re.compile(r"""url\(\s*['"]?https?://[^)]*\)""", re.IGNORECASE)
_HEAD: Final = '<meta name="viewport" content="width=device-width, initial-scale=1"><style>{}</style></head>'


class Validated(NamedTuple):
    """What Great Expectations said of the newest rows of an entity."""

    entity: str
    rows: int
    kept: int
    expectations: int
    broken: tuple[str, ...]


def build(tables: Mapping[str, pd.DataFrame], folder: Path, now: int) -> list[Validated]:
    """Judge tables of rows by the suites of their names, and write the pages; the site is new each time.

    Args:
        tables: by the name of the suite; columns as the suite has them.
        folder: where the pages go.
        now: microseconds since 1970, which names the run.
    """
    aside = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(aside, ignore_errors=True)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    context.add_data_docs_site(
        site_name="quality",
        site_config={
            "class_name": "SiteBuilder", "show_how_to_buttons": False,
            "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(aside.absolute())},
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        },
    )  # fmt: skip
    source = context.data_sources.add_pandas("lake")
    moment = datetime.fromtimestamp(now // 1_000_000, timezone.utc)
    found = [_judged(context, source, name, rows, moment) for name, rows in tables.items()]
    context.build_data_docs(site_names=["quality"])
    _tidy(aside)
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    aside.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
    return found


def _judged(context: Any, source: Any, name: str, rows: pd.DataFrame, moment: datetime) -> Validated:
    suite = load_suite(name)
    batch = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("newest rows")
    definition = context.validation_definitions.add(
        gx.ValidationDefinition(name=name, data=batch, suite=context.suites.add(gx.ExpectationSuite(**suite)))
    )
    checkpoint = context.checkpoints.add(
        gx.Checkpoint(name=name, validation_definitions=[definition], result_format={"result_format": "SUMMARY"})
    )
    run = gx.RunIdentifier(run_name=f"{moment:%Y-%m-%dT%H%M}", run_time=moment)
    outcome = checkpoint.run(batch_parameters={"dataframe": rows}, run_id=run)
    results = [result for each in outcome.run_results.values() for result in each.results]
    broken = tuple(_in_words(result.expectation_config) for result in results if not result.success)
    return Validated(name, len(rows), len(results) - len(broken), len(results), broken)


def _in_words(expectation: Any) -> str:
    column = expectation.kwargs.get("column")
    return f"{expectation.type}({column})" if column else str(expectation.type)


def _tidy(site: Path) -> None:
    """Take out of each page what it would fetch from elsewhere, and what no page uses any more."""
    style = STYLE()
    pages = sorted(path for path in site.rglob("*.html") if path != site / "index.html")
    for page in pages:
        text = _OUTSIDE.sub(r'data-\1-removed=""', _FOREIGN.sub("", page.read_text()))
        text = _HANDLER.sub("", _PICTURE.sub("none", text))
        page.write_text(text.replace("</head>", _HEAD.format(style), 1))
    links = "".join(
        f'<li><a href="{quote(place)}">{escape(_title(place))}</a></li>'
        for place in (page.relative_to(site).as_posix() for page in pages)
    )
    (site / "index.html").write_text(_INDEX.format(style=style, links=links))
    shutil.rmtree(site / "static", ignore_errors=True)


def _title(place: str) -> str:
    """`expectations/user.html` as the suite, `validations/user/…` as what it found."""
    kind, name = place.split("/")[:2]
    return f"{name.removesuffix('.html')}: {'the suite' if kind == 'expectations' else 'the newest rows judged by it'}"
