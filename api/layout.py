"""Layouts: which blocks a mail has, in which order, with which titles; YAML files, checked when they are loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import msgspec
import yaml
from msgspec import Meta, Struct

from api.blocks import KINDS

SHIPPED: Final = Path(__file__).parent / "layouts"


class LayoutError(ValueError):
    """A layout file that cannot be used; the message names the file and what to write."""


class BlockPlan(Struct, frozen=True, forbid_unknown_fields=True):
    """One block of a layout: its kind, its title, the title when the answer is not personal, and how many items."""

    block: str
    title: str
    fallback_title: str | None = None
    count: Annotated[int, Meta(ge=1, le=30)] = 4


class Layout(Struct, frozen=True, forbid_unknown_fields=True):
    """The blocks of one kind of mail, from top to bottom."""

    name: str
    blocks: Annotated[tuple[BlockPlan, ...], Meta(min_length=1, max_length=10)]


def load_layouts(folder: Path = SHIPPED) -> dict[str, Layout]:
    """Every layout of a folder by name, which is also the name of its file.

    Raises:
        LayoutError: a file that is no layout, or names a block that does not exist.
    """
    layouts = {path.stem: _load(path) for path in sorted(folder.glob("*.yaml"))}
    if not layouts:
        raise LayoutError(f"{folder} holds no layout; put <name>.yaml files there, or unset INLAY_LAYOUTS")
    return layouts


def _load(path: Path) -> Layout:
    try:
        layout = msgspec.convert(yaml.safe_load(path.read_text("utf-8")), Layout)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise LayoutError(f"{path}: {error}") from None
    except msgspec.ValidationError as error:
        raise LayoutError(f"{path}: {error}") from None
    if layout.name != path.stem:
        raise LayoutError(f"{path}: its name is {layout.name!r}; write name: {path.stem}")
    for plan in layout.blocks:
        if plan.block not in KINDS:
            raise LayoutError(f"{path}: there is no block {plan.block!r}; write one of {', '.join(KINDS)}")
    return layout
