"""Which files a model is: a graph, and the weights that it keeps in files beside its own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from atb.errors import BadFile

if TYPE_CHECKING:
    import onnx

#: Formats that are not ONNX; OpenVINO's own keeps its weights in a second file of the same name.
_OPENVINO, _OPENVINO_WEIGHTS = ".xml", ".bin"
_NOT_ONNX = (".ort", ".pte", ".tflite", _OPENVINO)
#: Operators that compute with integers, or round what others compute with to them. One that only
#: reads integers, as of weights that are small in the file, computes with floats.
_QUANTISED = re.compile(r"^QLinear|^QGemm$|^QAttention$|^(Dynamic)?Quantize|^(MatMul|Conv)Integer")
_SHOWN_CHARACTERS = 80  # of a location in a message


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file of weights outside of the graph's own.

    Attributes:
        location: Where the graph looks for it: a path below its folder, with slashes.
        path: Where the file lies.
    """

    location: str
    path: Path


@dataclass(frozen=True, slots=True)
class ExternalTensor:
    """What a graph says of a tensor that lies in another file.

    Attributes:
        location: Path of the file below the graph's folder, with slashes.
        offset_bytes: First byte of the tensor in it.
        length_bytes: Bytes of the tensor; None for all that follow.
    """

    location: str
    offset_bytes: int
    length_bytes: int | None

    @classmethod
    def of(cls, tensor: onnx.TensorProto) -> ExternalTensor:
        """Read the entries of a tensor.

        Raises:
            ValueError: The location leaves the graph's folder, or a size is not one.
        """
        entries = {_text(entry.key): _text(entry.value) for entry in tensor.external_data}
        location = entries.get("location", "")
        place = PurePosixPath(location)
        inside = location.isprintable() and "\\" not in location and ".." not in place.parts
        if not place.parts or place.is_absolute() or not inside:
            raise ValueError(
                f"{location[:_SHOWN_CHARACTERS]!r} as the place of weights, which is not below "
                "its own folder"
            )
        offset, length = entries.get("offset", "0"), entries.get("length", "")
        if not offset.isdecimal() or not (length.isdecimal() or not length):
            raise ValueError(f"weights from byte {offset[:20]!r}, {length[:20]!r} bytes long")
        return cls(str(place), int(offset), int(length) if length else None)


def read_graph(path: Path) -> onnx.ModelProto | None:
    """The graph of an ONNX file, without the weights that lie in other files.

    Returns:
        None of a file that is not readable as ONNX: its runtime says what is wrong with it.
    """
    import onnx
    from google.protobuf.message import DecodeError

    if path.suffix.lower() in _NOT_ONNX:
        return None
    try:
        return onnx.load_model_from_string(path.read_bytes())
    except (DecodeError, OSError, ValueError):
        return None


def precision_of(path: Path) -> str:
    """In which precision a model computes its products, by its operators: `fp32` or `int8`.

    A file of another format than ONNX counts as `fp32`.
    """
    import onnx

    graph = read_graph(path)
    nodes = () if graph is None else _parts(graph, onnx.NodeProto)
    return "int8" if any(_QUANTISED.search(_text(node.op_type)) for node in nodes) else "fp32"


def external_tensors(graph: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """The tensors of a graph that lie in other files, wherever in the graph they are used."""
    import onnx

    found = _parts(graph, onnx.TensorProto)
    return (tensor for tensor in found if tensor.data_location == tensor.EXTERNAL)


def _text(value: str | bytes) -> str:
    """A text of a graph, which is handed out as bytes where it is not UTF-8."""
    return value if isinstance(value, str) else value.decode("utf-8", "replace")


def _parts(message: Any, kind: type) -> Iterator[Any]:
    """All messages of a kind within one, those of sub-graphs and functions included."""
    if isinstance(message, kind):
        yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in [value] if hasattr(value, "ListFields") else value:
                yield from _parts(part, kind)


def data_files(path: Path) -> tuple[DataFile, ...]:
    """The files in which a model keeps weights outside of its own, by location.

    Args:
        path: The graph. It may be a link, as in the cache of Hugging Face: what belongs to it is
            looked for beside the link first, and then beside what the link leads to.

    Raises:
        BadFile: One of them is missing, too short, or outside of the graph's folder; or the file is
            what Git LFS leaves in place of one that was not fetched.
    """
    if _is_pointer(path):
        raise BadFile(
            f"{path} is not the model but what Git LFS keeps in its place: run `git lfs pull` "
            "there first."
        )
    if path.suffix.lower() == _OPENVINO:
        location = path.with_suffix(_OPENVINO_WEIGHTS).name
        return (DataFile(location, _find(path, location, 0)),)
    graph = read_graph(path)
    ends: dict[str, int] = {}  # how long each file must be, in bytes
    for tensor in () if graph is None else external_tensors(graph):
        try:
            told = ExternalTensor.of(tensor)
        except ValueError as error:
            raise BadFile(
                f"{path} names {error}: export the model again, with its weights beside it."
            ) from error
        end = told.offset_bytes + (told.length_bytes or 0)
        ends[told.location] = max(ends.get(told.location, 0), end)
    return tuple(DataFile(name, _find(path, name, end)) for name, end in sorted(ends.items()))


def _is_pointer(path: Path) -> bool:
    """Whether a file only names a large one of Git LFS."""
    with path.open("rb") as file:
        head = file.read(100)
    return head.startswith(b"version ") and b"git-lfs" in head


def _find(path: Path, location: str, least_bytes: int) -> Path:
    """Where a file of weights lies."""
    for folder in _folders(path):
        found = folder / location
        if found.is_file():
            size = found.stat().st_size
            if size < least_bytes:
                raise BadFile(
                    f"{found} holds {size} bytes, and {path.name} wants {least_bytes} bytes of "
                    "weights there: copy it again, whole."
                )
            return found
    raise BadFile(
        f"{path.name} keeps weights in {location}, which does not lie in {path.parent}: "
        "copy it there too, under that name."
    )


def _folders(path: Path) -> Iterator[Path]:
    """The folder of a file, and of each that a link leads to."""
    yield path.parent
    while path.is_symlink():
        path = path.parent / path.readlink()
        yield path.parent


def relocated(path: Path, locations: Mapping[str, str]) -> bytes:
    """The content of a graph that looks for its weights elsewhere; nothing else is changed.

    Args:
        path: File of an ONNX graph.
        locations: New place of a file of weights by its old one.

    Raises:
        BadFile: It is no ONNX graph.
    """
    graph = read_graph(path)
    if graph is None:
        raise BadFile(f"{path.name} is no ONNX graph: a model in several files must be one.")
    for tensor in external_tensors(graph):
        new = locations[ExternalTensor.of(tensor).location]
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = new
    content: bytes = graph.SerializeToString()
    return content
