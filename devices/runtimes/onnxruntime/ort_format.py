"""The order of what lies in an `.ort` file, which is a FlatBuffers message.

onnxruntime writes all of a model in the order of its graph, except the table that says which
inputs and outputs decide the kernels of each operator: that comes out of a hash table, whose order
is another in each run. Here the table is written anew in the order of names.

The schema is onnxruntime/core/flatbuffers/schema/ort.fbs. onnxruntime ships classes for it, but in
a package that imports PyTorch; the seven fields that matter are read by number instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flatbuffers import Builder
    from flatbuffers.table import Table

#: By operator and by the name of a type: whether an output decides it, and which input or output.
_Deciders = dict[bytes, dict[bytes, list[tuple[int, int]]]]

_IDENTIFIER = b"ORTM"
_ALIGNMENT_BYTES = 16
# fields of InferenceSession, of which number 2 is no longer written
_VERSION, _MODEL, _OLD_STATE, _RESOLVER = range(4)
_FIELDS = 4


def in_order(content: bytes) -> bytes:
    """The same model as the same bytes, in whatever order they were written.

    Args:
        content: Of an `.ort` file. One with fields that are not known here is left as it is.
    """
    from flatbuffers import Builder
    from flatbuffers.table import Table

    session = Table(content, int.from_bytes(content[:4], "little"))
    if content[4:8] != _IDENTIFIER or any(map(session.Offset, (_slot(_OLD_STATE), _slot(_FIELDS)))):
        return content
    model = _child(session, _MODEL)
    # parts lie before what they are parts of, seen from the end: the model is all from here on
    kept = memoryview(content)[min(model.Pos, model.Pos - _vtable_distance(model)) :]
    builder = Builder(len(kept) + (1 << 16))
    builder.minalign = _ALIGNMENT_BYTES
    builder.head -= len(kept)
    builder.Bytes[builder.head :] = kept

    version = builder.CreateString(_text(session, _VERSION))
    resolver = _write_deciders(builder, _read_deciders(_child(session, _RESOLVER)))
    builder.StartObject(_FIELDS)
    builder.PrependUOffsetTRelativeSlot(_VERSION, version, 0)
    builder.PrependUOffsetTRelativeSlot(_MODEL, len(content) - model.Pos, 0)
    builder.PrependUOffsetTRelativeSlot(_RESOLVER, resolver, 0)
    builder.Finish(builder.EndObject(), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())


def _read_deciders(resolver: Table) -> _Deciders:
    return {
        _text(operator, 0): {
            _text(kind, 0): [
                (_number(place, 0, "Int8Flags"), _number(place, 1, "Uint32Flags"))
                for place in _children(kind, 1)
            ]
            for kind in _children(operator, 1)
        }
        for operator in _children(resolver, 0)
    }


def _write_deciders(builder: Builder, deciders: _Deciders) -> int:
    operators = []
    for operator, kinds in sorted(deciders.items()):
        entries = []
        for kind, places in sorted(kinds.items()):
            name = builder.CreateString(kind)
            vector = _write_vector(builder, [_write_place(builder, *place) for place in places])
            entries.append(_write_pair(builder, name, vector))
        name = builder.CreateString(operator)
        operators.append(_write_pair(builder, name, _write_vector(builder, entries)))
    vector = _write_vector(builder, operators)
    builder.StartObject(1)
    builder.PrependUOffsetTRelativeSlot(0, vector, 0)
    return int(builder.EndObject())


def _write_place(builder: Builder, output: int, index: int) -> int:
    builder.StartObject(2)
    builder.PrependInt8Slot(0, output, 0)
    builder.PrependUint32Slot(1, index, 0)
    return int(builder.EndObject())


def _write_pair(builder: Builder, name: int, vector: int) -> int:
    builder.StartObject(2)
    builder.PrependUOffsetTRelativeSlot(0, name, 0)
    builder.PrependUOffsetTRelativeSlot(1, vector, 0)
    return int(builder.EndObject())


def _write_vector(builder: Builder, places: list[int]) -> int:
    builder.StartVector(4, len(places), 4)
    for place in reversed(places):
        builder.PrependUOffsetTRelative(place)
    return int(builder.EndVector())


def _slot(field: int) -> int:
    """Where the place of a field stands in a table of places."""
    return 4 + 2 * field


def _vtable_distance(table: Table) -> int:
    """How far before a table its table of places lies."""
    return int.from_bytes(table.Bytes[table.Pos : table.Pos + 4], "little", signed=True)


def _place(table: Table, field: int) -> int:
    return int(table.Pos + table.Offset(_slot(field)))


def _child(table: Table, field: int) -> Table:
    return type(table)(table.Bytes, table.Indirect(_place(table, field)))


def _children(table: Table, field: int) -> list[Table]:
    if not table.Offset(_slot(field)):
        return []
    offset = table.Offset(_slot(field))
    start, count = table.Vector(offset), table.VectorLen(offset)
    return [type(table)(table.Bytes, table.Indirect(start + 4 * i)) for i in range(count)]


def _text(table: Table, field: int) -> bytes:
    return bytes(table.String(_place(table, field)))


def _number(table: Table, field: int, flags: str) -> int:
    from flatbuffers import number_types

    value: Any = table.GetSlot(_slot(field), 0, getattr(number_types, flags))
    return int(value)
