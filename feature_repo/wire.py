"""Feast's Value as protobuf knows it, declared here, since Feast's own module brings the whole of Feast along.

A contract test holds every field equal to Feast's: its name, its number and its type.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

KINDS: Final[Mapping[str, tuple[int, Any]]] = {
    "bytes_val": (1, FieldDescriptorProto.TYPE_BYTES),
    "string_val": (2, FieldDescriptorProto.TYPE_STRING),
    "int32_val": (3, FieldDescriptorProto.TYPE_INT32),
    "int64_val": (4, FieldDescriptorProto.TYPE_INT64),
    "double_val": (5, FieldDescriptorProto.TYPE_DOUBLE),
    "float_val": (6, FieldDescriptorProto.TYPE_FLOAT),
    "bool_val": (7, FieldDescriptorProto.TYPE_BOOL),
    "unix_timestamp_val": (8, FieldDescriptorProto.TYPE_INT64),
    "bytes_list_val": (11, FieldDescriptorProto.TYPE_BYTES),
    "string_list_val": (12, FieldDescriptorProto.TYPE_STRING),
    "int32_list_val": (13, FieldDescriptorProto.TYPE_INT32),
    "int64_list_val": (14, FieldDescriptorProto.TYPE_INT64),
    "double_list_val": (15, FieldDescriptorProto.TYPE_DOUBLE),
    "float_list_val": (16, FieldDescriptorProto.TYPE_FLOAT),
    "bool_list_val": (17, FieldDescriptorProto.TYPE_BOOL),
    "unix_timestamp_list_val": (18, FieldDescriptorProto.TYPE_INT64),
    "null_val": (19, FieldDescriptorProto.TYPE_INT32),
}
"""By name of a field, its number and the type of its value, or of the values in its list."""

STRING: Final = 2
"""What Feast calls a text in the key of an entity."""
_ONE: Final = FieldDescriptorProto.LABEL_OPTIONAL
_MANY: Final = FieldDescriptorProto.LABEL_REPEATED


def _value() -> Any:
    """The class of the message."""
    file = FileDescriptorProto(name="inlay/value.proto", package="inlay", syntax="proto3")
    value = DescriptorProto(name="Value")
    value.oneof_decl.add(name="val")
    for name, (number, kind) in KINDS.items():
        field = value.field.add(name=name, number=number, type=kind, label=_ONE, oneof_index=0)
        if name.endswith("_list_val"):
            inner = file.message_type.add(name=name)
            inner.field.add(name="val", number=1, type=kind, label=_MANY)
            field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".inlay.{name}"
    file.message_type.append(value)
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return GetMessageClass(pool.FindMessageTypeByName("inlay.Value"))


Value: Final = _value()
