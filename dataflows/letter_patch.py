"""What is mended in a refused event before it is sent again: a JSON Patch (RFC 6902), or a mapping as of files.

    --patch '[{"op": "replace", "path": "/currency", "value": "EUR"}]'    also a .json file
    --patch mend.yaml                                                     event_id: {template: "shop-{letter_id}"}

A mapping reads the keys of the event, those inside as `properties.session`, and `letter_id`; what it does not name
stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import jsonpatch
import jsonpointer
import msgspec

from dataflows.mapping import MappingError, RowReader, apply_mapping, load_mapping

Patch: TypeAlias = Callable[[bytes, str], bytes]
"""The bytes of an event and the id of its letter, to the bytes of the mended event."""


class PatchError(ValueError):
    """A patch that cannot be used, or that does not fit an event; the message says why."""


def load_patch(text: str) -> Patch:
    """The patch written as `text`: a JSON Patch itself, or the name of a `.json`, `.yaml` or `.yml` file.

    Raises:
        PatchError: it is none of these.
        OSError: the file cannot be read.
    """
    if text.lstrip().startswith("["):
        return _json_patch(text)
    path = Path(text)
    if path.suffix == ".json":
        return _json_patch(path.read_text())
    if path.suffix in (".yaml", ".yml"):
        try:
            return _mapping_patch(load_mapping(path))
        except MappingError as error:
            raise PatchError(str(error)) from None
    raise PatchError(f"--patch {text}: write a JSON Patch in brackets, or name a .json, .yaml or .yml file")


def _json_patch(text: str) -> Patch:
    try:
        patch = jsonpatch.JsonPatch.from_string(text)
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException, ValueError, TypeError) as error:
        raise PatchError(f"no JSON Patch (RFC 6902): {error}") from None

    def apply(original: bytes, letter_id: str) -> bytes:
        try:
            return msgspec.json.encode(patch.apply(_read(original)))
        except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException, TypeError) as error:
            raise PatchError(f"the patch does not fit: {error}") from None

    return apply


def _mapping_patch(mapping: dict[str, RowReader]) -> Patch:
    def apply(original: bytes, letter_id: str) -> bytes:
        event = _read(original)
        if not isinstance(event, dict):
            raise PatchError("the original is no JSON object, so a mapping cannot mend it")
        inside = {f"{outer}.{key}": each for outer, content in event.items() for key, each in _pairs(content)}
        try:
            mended = apply_mapping(mapping, {**inside, **event, "letter_id": letter_id})
        except MappingError as error:
            raise PatchError(str(error)) from None
        for name in ("properties", "traits"):
            if name in mended:
                mended[name] = {**dict(_pairs(event.get(name))), **mended[name]}
        return msgspec.json.encode(event | mended)

    return apply


def _pairs(content: Any) -> Any:
    return content.items() if isinstance(content, dict) else ()


def _read(original: bytes) -> Any:
    try:
        return msgspec.json.decode(original)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise PatchError("the original is no JSON, so a patch cannot mend it") from None
