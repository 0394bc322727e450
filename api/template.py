"""The packaged templates, compiled once."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import jinja2
import jinja2.ext

from api.dress import for_html


def template(name: str) -> jinja2.Template:
    """A template by its file's name; in all but plain text everything is escaped. `mail` dresses a text for HTML."""
    return _environment().get_template(name)


class _Unindented(jinja2.ext.Extension):
    """Takes the indentation out of a template as it is read: a mail is clipped by its size, and text is not touched."""

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        """The source without indentation; line ends stay, because mail servers break lines above 998 characters."""
        return re.sub(r"\n\s+", "\n", source) if name and name.endswith(".html.j2") else source


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=jinja2.select_autoescape(disabled_extensions=("txt.j2",), default=True),
        extensions=[_Unindented],
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters["mail"] = for_html
    return environment
