"""Feast's Value as bytes: by hand for the kinds of which rows are full, by protobuf for the rest.

A row has some fifty features, most of them small counts, times and numbers; a call of protobuf for each of them is the
dearest part of storing a row. A contract test holds every encoder equal to protobuf, byte for byte.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from struct import Struct
from sys import byteorder
from typing import Any, Final, TypeAlias

from feature_repo.wire import Value

Encode: TypeAlias = Callable[[Any], bytes]

_VARINT, _FIXED64, _DELIMITED = 0, 1, 2
"""Wire types of protobuf."""
_SHORT: Final = tuple(bytes((length,)) for length in range(128))
FEW: Final = 4
"""Longer lists are left to protobuf, which is quicker there."""
_double: Final = Struct("<Bd").pack


def read_text(raw: bytes) -> str | None:
    """The text in the bytes of a value, where it is a short one and nothing else; protobuf reads all others."""
    if raw[0] != _TEXT or len(raw) < 2 or raw[1] != len(raw) - 2 or raw[1] > 127:
        return None
    try:
        return raw[2:].decode()
    except UnicodeDecodeError:
        return None


def read_bytes(raw: bytes) -> bytes | None:
    """As `read_text`, of bytes that are more than a few and less than 16 KB, as states are."""
    if raw[0] != _BYTES or len(raw) < 131 or raw[1] < 128 or raw[2] > 127:
        return None
    return raw[3:] if raw[1] - 128 + (raw[2] << 7) == len(raw) - 3 else None


def by_protobuf(kind: str) -> Encode:
    """What encodes a field of Value as protobuf does it."""
    if kind.endswith("_list_val"):
        return lambda value: bytes(Value(**{kind: {"val": value}}).SerializeToString())
    return lambda value: bytes(Value(**{kind: value}).SerializeToString())


def encoder(kind: str) -> Encode:
    """What encodes a value, not None, of a field of Value."""
    exactly = by_protobuf(kind)
    if kind == "unix_timestamp_val":
        return _times(_tag(kind, _VARINT), exactly)
    if kind == "double_val":
        tag = _tag(kind, _FIXED64)[0]
        return lambda value: _double(tag, value)
    if kind == "string_val":
        return _texts(_tag(kind, _DELIMITED), exactly)
    if kind == "string_list_val":
        return _lists(_tag(kind, _DELIMITED), exactly)
    if kind == "double_list_val":
        return _doubles(_tag(kind, _DELIMITED), exactly)
    if kind == "unix_timestamp_list_val":
        return _many_times(_tag(kind, _DELIMITED), exactly)
    if kind == "bytes_val":
        tag_of_bytes = _tag(kind, _DELIMITED)
        return lambda value: tag_of_bytes + _length(len(value)) + value
    if kind.endswith("_list_val"):
        empty = exactly([])
        return lambda value: exactly(value) if value else empty
    return exactly


def _tag(kind: str, wire: int) -> bytes:
    """What a field of Value begins with."""
    return _length(Value.DESCRIPTOR.fields_by_name[kind].number << 3 | wire)


def _length(length: int) -> bytes:
    """A length, or a tag, as protobuf writes it: seven bits a byte, the lowest first."""
    if length < 128:
        return _SHORT[length]
    return bytes((length & 0x7F | 0x80,)) + _length(length >> 7)


def _times(tag: bytes, exactly: Encode) -> Encode:
    """Epoch seconds of 1978 to 3058 take five bytes of seven bits each, the lowest first."""
    (first,) = tag

    def encode(at: int) -> bytes:
        if not 1 << 28 <= at < 1 << 35:
            return exactly(at)
        low, high = at & 0x7F | 0x80, at >> 28
        return bytes((first, low, at >> 7 & 0x7F | 0x80, at >> 14 & 0x7F | 0x80, at >> 21 & 0x7F | 0x80, high))

    return encode


def _many_times(tag: bytes, exactly: Encode) -> Encode:
    """Times are packed: one tag and one length for all of them."""
    empty = exactly([])
    one = _times(b"\x0a", lambda at: b"")

    def encode(times: list[int]) -> bytes:
        if not times:
            return empty
        if len(times) > FEW:
            return exactly(times)
        raws = [one(at)[1:] for at in times]
        if not all(raws):
            return exactly(times)
        inner = b"\x0a" + _length(5 * len(times)) + b"".join(raws)
        return tag + _length(len(inner)) + inner

    return encode


def _doubles(tag: bytes, exactly: Encode) -> Encode:
    """Numbers are packed: one tag and one length for all of them."""
    empty = exactly([])

    def encode(numbers: list[float]) -> bytes:
        if not numbers:
            return empty
        packed = array("d", numbers)
        if byteorder == "big":
            packed.byteswap()
        inner = b"\x0a" + _length(8 * len(numbers)) + packed.tobytes()
        return tag + _length(len(inner)) + inner

    return encode


def _texts(tag: bytes, exactly: Encode) -> Encode:
    """Texts of up to 127 bytes have one byte of length."""
    heads = [tag + length for length in _SHORT]

    def encode(text: str) -> bytes:
        raw = text.encode()
        return heads[len(raw)] + raw if len(raw) < 128 else exactly(text)

    return encode


def _lists(tag: bytes, exactly: Encode) -> Encode:
    """Lists of texts: each with its tag and its length, and before them the length of all."""
    heads = [b"\x0a" + length for length in _SHORT]
    empty = exactly([])

    def encode(texts: list[str]) -> bytes:
        if not texts:
            return empty
        if len(texts) > FEW:
            return exactly(texts)
        parts: list[bytes] = []
        for text in texts:
            raw = text.encode()
            if len(raw) > 127:
                return exactly(texts)
            parts += (heads[len(raw)], raw)
        inner = b"".join(parts)
        return tag + _length(len(inner)) + inner

    return encode


_TEXT: Final = _tag("string_val", _DELIMITED)[0]
_BYTES: Final = _tag("bytes_val", _DELIMITED)[0]
