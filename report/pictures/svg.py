"""From a matplotlib figure to a drawing in the page, which follows its light or dark colours."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from atb.report.pictures.style import COLOURS, picture_style
from atb.text import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SVG = "http://www.w3.org/2000/svg"
_XLINK = "http://www.w3.org/1999/xlink"
_REFERENCE = re.compile(r"(?:url\()?#([\w-]+)\)?")
#: What may stand in a name, and in no document of XML.
_NOT_OF_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_SHAPES = ("use", "path")


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure with the words that belong to it.

    Attributes:
        name: Short and unique on a page; it begins the ids inside the drawing.
        figure: Figure drawn by matplotlib.
        description: Text for screen readers.
        tips: Group id of an artist (`set_gid`) -> a text for each of its points, shown by the
            browser when the pointer rests there.
    """

    name: str
    figure: Figure
    description: str
    tips: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def svg(self) -> str:
        """The drawing as an SVG element to be put into an HTML page."""
        buffer = io.StringIO()
        with picture_style():
            self.figure.savefig(buffer, format="svg")
        drawn = _NOT_OF_XML.sub("\ufffd", buffer.getvalue())
        root = ET.fromstring(drawn)  # noqa: S314  (our own drawing, just made)
        _drop(root, "metadata", "style")
        for group, tips in self.tips.items():
            _add_tips(root, group, tips)
        for element in root.iter():
            element.text = element.text and printable(element.text)
        _tidy_ids(root, self.name)
        for size in ("width", "height"):
            root.attrib.pop(size, None)
        root.set("role", "img")
        root.set("aria-label", printable(self.description))
        return _themed(_serialised(root))

    def save(self, path: Path) -> None:
        """Write the drawing as a file of its own, on white, in the form that its name says."""
        with picture_style():
            self.figure.savefig(path, dpi=160, facecolor=COLOURS["paper"])


def _local(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _drop(root: ET.Element, *names: str) -> None:
    for parent in list(root.iter()):
        for child in list(parent):
            if _local(child) in names:
                parent.remove(child)


def _add_tips(root: ET.Element, group: str, tips: Sequence[str]) -> None:
    """Give each point of a group of markers its text."""
    found = root.find(f".//*[@id='{group}']")
    if found is None:
        return
    hidden = {shape for defs in found.iter(f"{{{_SVG}}}defs") for shape in defs.iter()}
    shapes = [e for e in found.iter() if _local(e) in _SHAPES and e not in hidden]
    if len(shapes) != len(tips):  # matplotlib leaves out what lies beyond the figure
        return
    for shape, text in zip(shapes, tips, strict=True):
        ET.SubElement(shape, f"{{{_SVG}}}title").text = text


def _tidy_ids(root: ET.Element, name: str) -> None:
    """Keep only ids that are referred to, made unique on the page."""
    href = f"{{{_XLINK}}}href"
    used = {
        match[1]
        for element in root.iter()
        for key, value in element.attrib.items()
        if key in (href, "clip-path") and (match := _REFERENCE.fullmatch(value))
    }
    for element in root.iter():
        own = element.attrib.pop("id", None)
        if own in used:
            element.set("id", f"{name}-{own}")
        if href in element.attrib:
            element.set("href", element.attrib.pop(href).replace("#", f"#{name}-"))
        if "clip-path" in element.attrib:
            element.set("clip-path", element.attrib["clip-path"].replace("#", f"#{name}-"))


def _serialised(root: ET.Element) -> str:
    """As the HTML parser wants it: no prefixes, no declaration."""
    for element in root.iter():
        element.tag = _local(element)
    return ET.tostring(root, encoding="unicode")


def _themed(svg: str) -> str:
    """Let the page's style decide on the colours; without it the drawing is a light one."""
    for name, colour in COLOURS.items():
        svg = svg.replace(colour, f"var(--{name}, {colour})")
    return svg
