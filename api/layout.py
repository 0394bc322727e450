"""Layout files: YAML, checked when they are loaded. What cannot be used is refused by file and line, in words.

What a file may say stands in `api.plans`; here it is checked that every block, template, name and link exists.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import msgspec
import msgspec.inspect

from api.blocks import KINDS
from api.blocks.ladder import Kind
from api.dress import web_link
from api.plans import BlockPlan, Filters, Layout, Plan, Rules, Text
from api.render import TEMPLATES
from api.resolve import STATIC
from api.wording import NAMES, TITLE_NAMES
from api.words import is_country, is_known
from api.yaml_lines import Document, NotYaml, Where, read

SHIPPED: Final = Path(__file__).parent / "layouts"
RULES: Final = "rules"
"""The file, beside the layouts, of what holds for all of them."""

P = TypeVar("P", bound=Plan)


class LayoutError(ValueError):
    """A layout file that cannot be used; the message names the file, the line and what to write."""


class Complaint(NamedTuple):
    """What is wrong, where in the file."""

    where: Where
    what: str


def chosen_layouts(folder: str) -> dict[str, Layout]:
    """The layouts in the folder that a setting names; those that ship where it names none. Raises as `load_layouts`."""
    return load_layouts(Path(folder) if folder else SHIPPED)


def load_layouts(folder: Path = SHIPPED) -> dict[str, Layout]:
    """Every layout of a folder by name, which is also the name of its file, with the rules of the folder.

    Raises:
        LayoutError: a file that is no layout, or names something that does not exist.
    """
    paths = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    rules = _load_rules(paths.pop(RULES)) if RULES in paths else Rules()
    layouts = {name: _load(path, rules) for name, path in paths.items()}
    if not layouts:
        raise LayoutError(f"{folder} holds no layout; put <name>.yaml files there, or unset INLAY_LAYOUTS")
    return layouts


def _load_rules(path: Path) -> Rules:
    rules, document = _parse(path, Rules)
    _refuse(path, document, _of_rules(rules))
    return rules


def _load(path: Path, rules: Rules) -> Layout:
    layout, document = _parse(path, Layout)
    _refuse(path, document, _complaints(layout, path.stem))
    return msgspec.structs.replace(layout, rules=rules.joined(layout.rules))


def _refuse(path: Path, document: Document, complaints: Iterable[Complaint]) -> None:
    for where, what in complaints:
        raise LayoutError(f"{path}:{document.line(where)}: {what}")


def _parse(path: Path, form: type[P]) -> tuple[P, Document]:
    """A file as a value of `form`, and where everything in it stands."""
    try:
        document = read(path.read_text("utf-8"))
    except UnicodeDecodeError as error:
        raise LayoutError(f"{path}: {error}; save it as UTF-8") from None
    except NotYaml as error:
        raise LayoutError(f"{path}:{error.line}: {error}") from None
    try:
        return msgspec.convert(document.content, form), document
    except msgspec.ValidationError as error:
        line, what = document.explained(str(error))
        raise LayoutError(f"{path}:{line}: {what}{_meant(str(error), form)}") from None


def _meant(error: str, form: type[Plan]) -> str:
    """What to write in place of a field that does not exist."""
    if not (found := re.search("unknown field `(.+?)`(?: - at `(.+)`)?", error)):
        return ""
    fields = fields_at(form, re.findall(r"\w+", found[2] or ""))
    return f"; write {one_of(found[1], fields)}" if fields else "; leave it out"


def fields_at(form: type[Plan], path: Sequence[str]) -> list[str]:
    """The fields that may stand at a place of a file of some form."""
    types = [msgspec.inspect.type_info(form)]
    for step in (*path, ""):
        types = [each for kind in types for each in _plain(kind)]
        if not step:
            break
        fields = [field for kind in types if isinstance(kind, msgspec.inspect.StructType) for field in kind.fields]
        types = [field.type for field in fields if field.name == step] or types
    structs = [kind for kind in types if isinstance(kind, msgspec.inspect.StructType)]
    return [field.name for kind in structs for field in kind.fields]


def _plain(kind: msgspec.inspect.Type) -> Iterator[msgspec.inspect.Type]:
    """A type without what is around it: remarks, alternatives, lists."""
    if isinstance(kind, msgspec.inspect.Metadata):
        yield from _plain(kind.type)
    elif isinstance(kind, msgspec.inspect.UnionType):
        for each in kind.types:
            yield from _plain(each)
    elif isinstance(kind, msgspec.inspect.VarTupleType):
        yield from _plain(kind.item_type)
    else:
        yield kind


def _complaints(layout: Layout, stem: str) -> Iterator[Complaint]:
    """What is wrong with a layout beyond its form."""
    if layout.name != stem:
        yield Complaint(("name",), f"its name is {layout.name!r}; write name: {stem}")
    if not is_known(layout.locale):
        yield Complaint(("locale",), f"there is no language {layout.locale!r}; write a tag such as en or pt-BR")
    if layout.home_url is not None and (
        web_link(layout.home_url) is None or not layout.home_url.startswith("https://")
    ):
        yield Complaint(("home_url",), f"{layout.home_url!r} is no link for a mail; write an absolute https:// one")
    for where, what in _of_rules(layout.rules):
        yield Complaint(("rules", *where), what)
    seen: set[str] = set()
    for number, plan in enumerate(layout.blocks):
        for where, what in _of_block(plan):
            yield Complaint(("blocks", number, *where), what)
        for each, piece in enumerate(plan.content):
            if piece.id in seen:
                yield Complaint(
                    ("blocks", number, "content", each, "id"), f"{piece.id!r} is there twice; write another"
                )
            seen.add(piece.id)


def _of_rules(rules: Rules) -> Iterator[Complaint]:
    for number, only in enumerate(rules.only_for):
        if not (only.category or only.brand or only.item):
            yield Complaint(("only_for", number), "it concerns everything; write a category, brand or item")
        for where, what in _of_countries(only.countries):
            yield Complaint(("only_for", number, "countries", *where), what)


def _of_countries(countries: Sequence[str]) -> Iterator[Complaint]:
    for number, country in enumerate(countries):
        if not is_country(country):
            yield Complaint((number,), f"there is no country {country!r}; write two capital letters such as FR")


def _of_block(plan: BlockPlan) -> Iterator[Complaint]:
    kind = KINDS.get(plan.block)
    if kind is None:
        yield Complaint(("block",), f"there is no block {plan.block!r}; write {one_of(plan.block, tuple(KINDS))}")
        return
    for number, name in enumerate(plan.fallback or ()):
        if name != STATIC and (name not in KINDS or KINDS[name].content):
            able = [*(each for each in KINDS if not KINDS[each].content), STATIC]
            yield Complaint(("fallback", number), f"there is no fallback {name!r}; write {one_of(name, able)}")
    if plan.fallback and STATIC in plan.fallback[:-1]:
        yield Complaint(("fallback",), f"nothing comes after {STATIC}; write it last")
    if plan.template is not None and plan.template not in TEMPLATES:
        yield Complaint(
            ("template",), f"there is no template {plan.template!r}; write {one_of(plan.template, TEMPLATES)}"
        )
    yield from _of_words(plan)
    yield from _of_content(plan, kind.content)
    yield from _of_nothing(plan, kind)
    for number, boost in enumerate(plan.boosts):
        if not (boost.category or boost.brand or boost.item or boost.discounted):
            yield Complaint(
                ("boosts", number), "it boosts everything; write a category, brand, item or discounted: true"
            )
    for where, what in _of_countries(plan.filters.countries if plan.filters else ()):
        yield Complaint(("filters", "countries", *where), what)
    price = plan.filters.price if plan.filters else None
    if price and price.max is not None and price.max < price.min:
        yield Complaint(("filters", "price"), f"no price is from {price.min} to {price.max}; write min below max")


def _of_nothing(plan: BlockPlan, kind: Kind) -> Iterator[Complaint]:
    """Options that would change nothing: who writes one believes that it does."""
    if kind.content:
        say = f"{plan.block} shows its content as it stands"
        for name in ("pins", "boosts", "diversity", "fallback", "within_days"):
            if getattr(plan, name):
                yield Complaint((name,), f"{say}; leave {name} out")
        for name in Filters.__struct_fields__ if plan.filters else ():
            if name != "countries" and getattr(plan.filters, name):
                yield Complaint(("filters", name), f"{say}; leave {name} out")
    elif plan.within_days is not None:
        comes_to = (plan.block, *(kind.fallback if plan.fallback is None else plan.fallback))
        about = [name for name, each in KINDS.items() if each.moment]
        if not set(comes_to) & set(about):
            say = f"{plan.block} is about no moment"
            yield Complaint(("within_days",), f"{say}; leave within_days out, or write block: {' or '.join(about)}")


def _of_words(plan: BlockPlan) -> Iterator[Complaint]:
    """Names in titles, which must exist, and be made up for where the reader has none; and languages."""
    for field, text in (("title", plan.title), ("fallback_title", plan.fallback_title)):
        for tag, words in _texts(text):
            where = (field, tag) if tag else (field,)
            if tag and not is_known(tag):
                yield Complaint(where, f"there is no language {tag!r}; write a tag such as en or pt-BR")
            for name in NAMES.findall(words):
                if name not in TITLE_NAMES:
                    yield Complaint(where, f"nothing is known as {{{name}}}; write {one_of(name, TITLE_NAMES)}")
                elif field == "fallback_title" or not plan.fallback_title:
                    yield Complaint(
                        where, f"not every reader has a {name}; write a fallback_title without {{{name}}}"
                    )  # fmt: skip


def _of_content(plan: BlockPlan, wanted: bool) -> Iterator[Complaint]:
    if wanted and not plan.content:
        yield Complaint(("block",), f"nothing says what the {plan.block} shows; write content: with id, title and text")
    if plan.content and not wanted:
        able = [name for name, kind in KINDS.items() if kind.content]
        yield Complaint(("content",), f"{plan.block} shows products; leave it out, or write block: {' or '.join(able)}")
    for number, piece in enumerate(plan.content):
        for field, link in (("url", piece.url), ("image_url", piece.image_url)):
            if link is not None and (web_link(link) is None or not link.startswith("https://")):
                yield Complaint(
                    ("content", number, field), f"{link!r} is no link for a mail; write an absolute https:// one"
                )
        if plan.block == "editorial" and piece.url is None:
            yield Complaint(("content", number), "a story must lead somewhere; write url: https://…")
        for field, text in (("title", piece.title), ("text", piece.text)):
            for tag, _ in _texts(text):
                if tag and not is_known(tag):
                    yield Complaint(
                        ("content", number, field, tag), f"there is no language {tag!r}; write a tag such as en"
                    )


def _texts(text: Text | None) -> Iterable[tuple[str, str]]:
    """The languages of a text, with its words; one for all has no language."""
    if text is None:
        return ()
    return [("", text)] if isinstance(text, str) else text.items()


def one_of(written: str, able: Sequence[str]) -> str:
    """What to write instead: the nearest, then all there are."""
    near = difflib.get_close_matches(written, able, 1)
    return f"{near[0]}, or one of {', '.join(able)}" if near else f"one of {', '.join(able)}"
