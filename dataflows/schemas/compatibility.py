"""Whether a new schema still takes what an old one took: what breaks, in words; nothing if all is well.

For Avro by its rules of schema resolution: the new schema reads what was written with the old one. For JSON Schema:
nothing is required that was not, and no value is refused that was taken. A property that is new may be of any type.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

WIDER: Final[Mapping[str, frozenset[str]]] = {
    "int": frozenset({"long", "float", "double"}),
    "long": frozenset({"float", "double"}),
    "float": frozenset({"double"}),
    "string": frozenset({"bytes"}),
    "bytes": frozenset({"string"}),
}
"""What each type of Avro may be read as."""
LOWER: Final = ("minLength", "minimum", "exclusiveMinimum", "minItems", "minProperties")
UPPER: Final = ("maxLength", "maximum", "exclusiveMaximum", "maxItems", "maxProperties")
WHOLE: Final = ("pattern", "format", "not", "const", "if", "then", "else", "multipleOf", "uniqueItems")
"""Keywords that are only compared as they stand."""


def avro_breaks(old: Any, new: Any) -> list[str]:
    """What the new schema cannot read of what the old one wrote."""
    return _avro(old, new, "event")


def json_breaks(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What the new schema refuses of what the old one took."""
    return _Json(old, new).breaks(old, new, "event")


def _avro(old: Any, new: Any, path: str) -> list[str]:
    if isinstance(old, list):
        return [each for branch in old for each in _avro(branch, new, path)]
    if isinstance(new, list):
        found = [_avro(old, branch, path) for branch in new]
        return [] if [] in found else [f"{path}: {_kind(old)} is in none of the types any more"]
    kind, reads = _kind(old), _kind(new)
    if kind != reads:
        return [] if reads in WIDER.get(kind, ()) else [f"{path}: was {kind}, is {reads}"]
    if kind in ("record", "enum", "fixed") and old["name"] != new["name"]:
        return [f"{path}: {old['name']} is called {new['name']}"]
    if kind == "record":
        return _avro_record(old, new, path)
    if kind == "enum":
        gone = [] if "default" in new else sorted(set(old["symbols"]) - set(new["symbols"]))
        return [f"{path}: {symbol} is gone" for symbol in gone]
    if kind == "fixed" and old["size"] != new["size"]:
        return [f"{path}: has another size"]
    if kind in ("array", "map"):
        inside = "items" if kind == "array" else "values"
        return _avro(old[inside], new[inside], f"{path}[]")
    if _logical(old) != _logical(new):
        return [f"{path}: means {_logical(new)}, and meant {_logical(old)}"]
    return []


def _avro_record(old: Mapping[str, Any], new: Mapping[str, Any], path: str) -> list[str]:
    written = {field["name"]: field for field in old["fields"]}
    found = []
    for field in new["fields"]:
        name = next((name for name in (field["name"], *field.get("aliases", ())) if name in written), None)
        if name is not None:
            found += _avro(written.pop(name)["type"], field["type"], f"{path}.{field['name']}")
        elif "default" not in field:
            found.append(f"{path}.{field['name']}: is new and has no default")
    # What is written and read no more would be lost without a word, though Avro allows it.
    return found + [f"{path}.{name}: is gone" for name in written]


def _kind(schema: Any) -> str:
    return str(schema["type"] if isinstance(schema, dict) else schema)


def _logical(schema: Any) -> Any:
    return schema.get("logicalType") if isinstance(schema, dict) else None


class _Json:
    """Two documents and the references in them."""

    def __init__(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        self._old, self._new = old, new

    def breaks(self, old: Any, new: Any, path: str) -> list[str]:
        """What `new` refuses of what `old` takes."""
        old, new = _resolved(old, self._old), _resolved(new, self._new)
        found: list[str] = []
        for branch in old.get("anyOf", [{}]):
            tried = [self._one(branch, each, path) for each in new.get("anyOf", [{}])]
            if [] not in tried:
                nearest = min(tried, key=len)
                found += nearest
        return found + self._one(_outside(old), _outside(new), path)

    def _one(self, old: Mapping[str, Any], new: Mapping[str, Any], path: str) -> list[str]:
        found = []
        kinds, took = _kinds(new), _kinds(old)
        if kinds and (not took or not took <= kinds | ({"integer"} if "number" in kinds else set())):
            found.append(f"{path}: was {_said(took)}, is {_said(kinds)}")
        if "enum" in new and ("enum" not in old or not set(old["enum"]) <= set(new["enum"])):
            gone = sorted(set(old.get("enum", ())) - set(new["enum"]), key=str)
            found.append(f"{path}: takes no {gone[0] if gone else 'other values'} any more")
        found += [f"{path}: {each} is higher" for each in LOWER if each in new and not old.get(each, _LOW) >= new[each]]
        found += [f"{path}: {each} is lower" for each in UPPER if each in new and not old.get(each, _HIGH) <= new[each]]
        found += [f"{path}: {each} is another" for each in WHOLE if each in new and old.get(each) != new[each]]
        needed = set(new.get("required", ())) - set(old.get("required", ()))
        found += [f"{path}.{name}: is required" for name in sorted(needed)]
        if new.get("additionalProperties", True) is False and old.get("additionalProperties", True) is not False:
            found.append(f"{path}: takes no other properties any more")
        for name, schema in new.get("properties", {}).items():
            if name in old.get("properties", {}):
                found += self.breaks(old["properties"][name], schema, f"{path}.{name}")
        if "items" in new:
            found += self.breaks(old.get("items", {}), new["items"], f"{path}[]")
        return found


_LOW, _HIGH = float("-inf"), float("inf")


def _resolved(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    name = str(schema.get("$ref", "")).removeprefix("#/$defs/")
    found: Mapping[str, Any] = document["$defs"][name] if name else schema
    return found


def _outside(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in schema.items() if name != "anyOf"}


def _kinds(schema: Mapping[str, Any]) -> set[str]:
    found = schema.get("type", [])
    return {found} if isinstance(found, str) else set(found)


def _said(kinds: set[str]) -> str:
    return " or ".join(sorted(kinds)) or "anything"
