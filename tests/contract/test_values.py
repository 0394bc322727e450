"""Values encoded by hand, held equal to what Feast's own message writes, byte for byte."""

from __future__ import annotations

from typing import Any

import pytest
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Array, Bool, Bytes, Float64, Int64, String, UnixTimestamp
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.features import TYPES
from feature_repo.layout import Column, UnreadableValue
from feature_repo.values import by_protobuf, encoder

KINDS = {dtype: kind for kind, dtype in TYPES.items()}
INTS = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-5, 1100))
TIMES = st.one_of(INTS, *(st.integers(2**power - 3, 2**power + 3) for power in (21, 28, 35, 42)))
FLOATS = st.floats(allow_nan=False)
TEXTS = st.one_of(
    st.text(max_size=10), st.text(min_size=120, max_size=135), st.sampled_from("xé🛍").map(lambda x: x * 64)
)
DRAWN: dict[Any, st.SearchStrategy[Any]] = {
    Int64: INTS,
    Float64: FLOATS,
    String: TEXTS,
    Bool: st.booleans(),
    Bytes: st.binary(max_size=20_000),
    UnixTimestamp: TIMES,
    Array(String): st.lists(TEXTS, max_size=30),
    Array(Float64): st.lists(FLOATS, max_size=30),
    Array(Int64): st.lists(INTS, max_size=5),
    Array(UnixTimestamp): st.lists(TIMES, max_size=30),
}


def test_every_kind_is_looked_at() -> None:
    assert DRAWN.keys() == KINDS.keys()


@pytest.mark.parametrize("dtype", DRAWN, ids=KINDS.values())
def test_the_bytes_are_those_of_protobuf(dtype: Any) -> None:
    kind = KINDS[dtype]
    ours, theirs = encoder(kind), by_protobuf(kind)

    @given(DRAWN[dtype])
    def check(value: Any) -> None:
        raw = ours(value)
        whole = {"val": value} if kind.endswith("_list_val") else value
        assert raw == theirs(value) == Value(**{kind: whole}).SerializeToString()
        found = getattr(Value.FromString(raw), kind)
        assert (list(found.val) if kind.endswith("_list_val") else found) == value

    check()


@given(st.one_of(st.binary(max_size=300), st.integers(120, 20_000).map(bytes)), st.binary(max_size=3))
def test_bytes_are_read_as_protobuf_reads_them(value: bytes, more: bytes) -> None:
    column = Column("state", "", b"", "bytes_val", bytes)
    raw = encoder("bytes_val")(value)
    assert column.read(raw) == value
    try:
        found = Value.FromString(raw + more)
    except DecodeError:
        with pytest.raises(UnreadableValue):
            column.read(raw + more)
    else:
        if found.HasField("bytes_val"):
            assert column.read(raw + more) == found.bytes_val
