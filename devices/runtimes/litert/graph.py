"""Collect a TFLite graph and write it, without any converter.

The tables of the file are those of TFLite's public schema, through the bindings that the runtime
itself brings (`ai_edge_litert.schema_py_generated`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

#: Of the schema.
_SCHEMA_VERSION = 3
_IDENTIFIER = b"TFL3"
#: XNNPACK reads whole vectors of constants where they lie, also in a file mapped into memory.
_ALIGNMENT = 16
#: Room for all tables beside the constants, by operator and once; a builder that must grow copies.
_BYTES_AN_OPERATOR = 512
_BYTES_OF_TABLES = 1 << 16
_BYTES_A_SCALE = 4 + 8  # with its zero
#: Codes of later operators do not fit into the byte that codes once had.
_LARGEST_BYTE_CODE = 127

#: The operators that are used, with the table of their options; some have none.
_OPTIONS = {
    "ADD": "AddOptions",
    "BATCH_MATMUL": "BatchMatMulOptions",
    "CAST": "CastOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "GATHER": "GatherOptions",
    "GELU": "GeluOptions",
    "MEAN": "ReducerOptions",
    "MUL": "MulOptions",
    "RESHAPE": "ReshapeOptions",
    "RSQRT": None,
    "SLICE": "SliceOptions",
    "SOFTMAX": "SoftmaxOptions",
    "SQUARE": "SquareOptions",
    "SUB": "SubOptions",
    "TANH": None,
    "TRANSPOSE": "TransposeOptions",
}
_TYPES = {"float32": "FLOAT32", "int8": "INT8", "int32": "INT32", "int64": "INT64"}


class Value(NamedTuple):
    """A tensor of a graph: its place among all, and its shape."""

    place: int
    shape: tuple[int, ...]


class TfliteGraph:
    """Collects constants and operators in the order in which they run; all shapes are fixed."""

    def __init__(self) -> None:
        from ai_edge_litert import schema_py_generated

        self._schema = schema_py_generated
        self._tensors: list[Any] = []
        self._operators: list[Any] = []
        self._codes: dict[tuple[str, int], int] = {}
        # the first one is empty by convention: that of all tensors that are computed
        self._contents: list[npt.NDArray[np.generic] | None] = [None]
        self._constants: dict[str, Value] = {}
        self._inputs: list[Value] = []

    def input(self, name: str, shape: tuple[int, ...], dtype: type[np.generic]) -> Value:
        """A tensor that comes from outside."""
        value = self._tensor(name, shape, dtype)
        self._inputs.append(value)
        return value

    def constant(
        self,
        name: str,
        array: npt.NDArray[np.generic],
        *,
        scales: npt.NDArray[np.float32] | None = None,
    ) -> Value:
        """A tensor with a content; the same one where its name was given before.

        Args:
            name: What tells it from others.
            array: The values of the tensor.
            scales: What a step of an int8 matrix is worth, for each of its rows; zero is zero.
        """
        if name not in self._constants:
            value = self._tensor(name, array.shape, array.dtype.type)
            tensor = self._tensors[value.place]
            tensor.buffer = len(self._contents)
            if scales is not None:
                tensor.quantization = self._schema.QuantizationParametersT(
                    scale=scales, zeroPoint=np.zeros(scales.shape, np.int64), quantizedDimension=0
                )
            self._contents.append(array)
            self._constants[name] = value
        return self._constants[name]

    def integers(self, *values: int) -> Value:
        """A constant list of integers, as shapes and axes are given."""
        name = "integers_" + "_".join(str(value) for value in values)
        return self.constant(name, np.asarray(values, np.int32))

    def scalar(self, value: float) -> Value:
        """A float constant without dimensions."""
        return self.constant(f"scalar_{value:.9g}", np.asarray(value, np.float32))

    def add(
        self,
        operator: str,
        *inputs: Value,
        shape: tuple[int, ...] | None = None,
        name: str | None = None,
        version: int = 1,
        **options: Any,
    ) -> Value:
        """Add an operator; its output, of float32.

        Args:
            operator: One of the built-in ones.
            inputs: In the order that it wants.
            shape: Of the output; None where it is what the inputs broadcast to.
            name: The name of the output.
            version: Of the operator, that its inputs and options need.
            options: Fields of the operator's table of options.
        """
        if shape is None:
            shape = np.broadcast_shapes(*(value.shape for value in inputs))
        output = self._tensor(name or f"{operator}_{len(self._operators)}", shape, np.float32)
        code = self._codes.setdefault((operator, version), len(self._codes))
        node = self._schema.OperatorT(
            opcodeIndex=code,
            inputs=np.asarray([value.place for value in inputs], np.int32),
            outputs=np.asarray([output.place], np.int32),
        )
        table = _OPTIONS[operator]
        if table is not None:
            node.builtinOptionsType = getattr(self._schema.BuiltinOptions, table)
            node.builtinOptions = getattr(self._schema, f"{table}T")(**options)
        self._operators.append(node)
        return output

    def finish(self, outputs: Mapping[str, Value], metadata: Mapping[str, str]) -> bytes:
        """The file.

        Args:
            outputs: What is handed out, by name; in this order.
            metadata: What the file says of itself.
        """
        import flatbuffers

        schema = self._schema
        entries = []
        for name, text in metadata.items():
            entries.append(schema.MetadataT(name=name, buffer=len(self._contents)))
            self._contents.append(np.frombuffer(text.encode(), np.uint8))
        inputs = {self._tensors[value.place].name: value for value in self._inputs}
        model = schema.ModelT(
            version=_SCHEMA_VERSION,
            operatorCodes=[self._code(*key) for key in self._codes],
            subgraphs=[
                schema.SubGraphT(
                    tensors=self._tensors,
                    inputs=_indices(inputs),
                    outputs=_indices(outputs),
                    operators=self._operators,
                    name="main",
                )
            ],
            description="autotinybert",
            buffers=[_Buffer(schema, content) for content in self._contents],
            metadata=entries,
            signatureDefs=[
                schema.SignatureDefT(
                    inputs=self._named(inputs),
                    outputs=self._named(outputs),
                    signatureKey="serving_default",
                )
            ],
        )
        builder = flatbuffers.Builder(self._size())
        builder.Finish(model.Pack(builder), file_identifier=_IDENTIFIER)
        return bytes(memoryview(builder.Bytes)[builder.Head() :])

    def _size(self) -> int:
        """Bytes that suffice for the file."""
        constants = sum(c.nbytes + _ALIGNMENT for c in self._contents if c is not None)
        scales = [t.quantization.scale for t in self._tensors if t.quantization is not None]
        quantisation = sum(map(len, scales)) * _BYTES_A_SCALE
        tables = _BYTES_OF_TABLES + _BYTES_AN_OPERATOR * len(self._operators)
        return constants + quantisation + tables

    def _tensor(self, name: str, shape: tuple[int, ...], dtype: type[np.generic]) -> Value:
        value = Value(len(self._tensors), shape)
        kind = getattr(self._schema.TensorType, _TYPES[np.dtype(dtype).name])
        shape_list = np.asarray(shape, np.int32)
        self._tensors.append(
            self._schema.TensorT(name=name, shape=shape_list, type=kind, hasRank=True)
        )
        return value

    def _code(self, operator: str, version: int) -> Any:
        code = getattr(self._schema.BuiltinOperator, operator)
        return self._schema.OperatorCodeT(
            deprecatedBuiltinCode=min(code, _LARGEST_BYTE_CODE), builtinCode=code, version=version
        )

    def _named(self, values: Mapping[str, Value]) -> list[Any]:
        return [
            self._schema.TensorMapT(name=name, tensorIndex=value.place)
            for name, value in values.items()
        ]


def _indices(values: Mapping[str, Value]) -> npt.NDArray[np.int32]:
    return np.asarray([value.place for value in values.values()], np.int32)


class _Buffer:
    """A content that is written aligned, which the bindings' own class does not do."""

    def __init__(self, schema: Any, content: npt.NDArray[np.generic] | None) -> None:
        self._schema = schema
        self._content = content

    def Pack(self, builder: Any) -> int:  # noqa: N802 - what the bindings call
        """Write it; where it lies."""
        vector = None
        if self._content is not None:
            content = self._content
            builder.StartVector(1, content.nbytes, _ALIGNMENT)
            builder.head -= content.nbytes
            # copied once, in the order of its rows; the file is little-endian on every machine
            little = content.dtype.newbyteorder("<")
            written = np.frombuffer(builder.Bytes, little, content.size, builder.head)
            written.reshape(content.shape)[...] = content
            vector = builder.EndVector()
        self._schema.BufferStart(builder)
        if vector is not None:
            self._schema.BufferAddData(builder, vector)
        offset: int = self._schema.BufferEnd(builder)
        return offset
