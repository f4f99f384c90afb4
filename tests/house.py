"""The package as a graph: which file imports which, with names that rooms hand on followed."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

STAGES = (
    "models",
    "data",
    "devices",
    "profiler",
    "predictor",
    "training",
    "search",
    "deploy",
    "report",
)
#: Modules of the face that import nothing of ours but each other, and that all may import.
GROUND_FLOOR = frozenset(
    ("errors", "files", "messages", "plain", "plugins", "text", "text_files", "units")
)


@dataclass(frozen=True, slots=True)
class Import:
    """One name that a file takes from the package.

    Attributes:
        module: From where, as written: `atb.devices`.
        name: Which name; empty where the module itself is imported.
        line: Of the file, from 1.
    """

    module: str
    name: str
    line: int


@dataclass(frozen=True)
class House:
    """The package below a folder.

    Attributes:
        root: The repository.
        stages: Folders of the stages.
    """

    root: Path
    stages: tuple[str, ...] = STAGES
    _trees: dict[Path, ast.Module] = field(default_factory=dict)

    @cached_property
    def files(self) -> dict[str, Path]:
        """Every Python file by its module: rooms end with `.__init__`."""
        found = {}
        for stage in (*self.stages, "atb"):
            for path in sorted((self.root / stage).rglob("*.py")):
                parts = path.relative_to(self.root).with_suffix("").parts
                if stage == "atb" and len(parts) > 2 and parts[1] in self.stages:
                    continue  # the links to the stages
                found[".".join(parts if stage == "atb" else ("atb", *parts))] = path
        return found

    @cached_property
    def modules(self) -> dict[str, Path]:
        """Every module that is no room."""
        return {n: path for n, path in self.files.items() if not n.endswith(".__init__")}

    @cached_property
    def rooms(self) -> dict[str, Path]:
        """The folder of every room, by its package."""
        return {
            name.removesuffix(".__init__"): path.parent
            for name, path in self.files.items()
            if name.endswith(".__init__")
        }

    def tree(self, path: Path) -> ast.Module:
        """A file, parsed once."""
        if path not in self._trees:
            self._trees[path] = ast.parse(path.read_text("utf-8"))
        return self._trees[path]

    @cached_property
    def handed_on(self) -> dict[str, dict[str, str]]:
        """Of each room the names that others may use, with the modules that define them."""
        found: dict[str, dict[str, str]] = {room: {} for room in self.rooms}
        for room, folder in self.rooms.items():
            stub = folder / "__init__.pyi"
            for node in self.tree(stub).body if stub.is_file() else ():
                if isinstance(node, ast.ImportFrom):
                    for alias in node.names:
                        module = f"{room}.{node.module or alias.name}"
                        found[room][alias.name] = module
        return found

    def imports(self, module: str) -> Iterator[Import]:
        """What a file takes from the package, for types alone too."""
        for node in ast.walk(self.tree(self.files[module])):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name.partition(".")[0] in ("atb", *self.stages):
                        yield Import(alias.name, "", node.lineno)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{module}: relative import"
                if (node.module or "").partition(".")[0] in ("atb", *self.stages):
                    for alias in node.names:
                        yield Import(node.module or "", alias.name, node.lineno)

    def defining(self, taken: Import) -> str | None:
        """The module that a name comes from; None for a room as a whole."""
        if taken.module in self.modules:
            return taken.module
        inside = f"{taken.module}.{taken.name}"
        return self.handed_on.get(taken.module, {}).get(taken.name) or (
            inside if inside in self.modules else None
        )

    @cached_property
    def graph(self) -> dict[str, set[str]]:
        """Which module needs which."""
        return {
            module: {
                d for i in self.imports(module) if (d := self.defining(i)) not in (None, module)
            }
            for module in self.modules
        }

    def room_of(self, module: str) -> str:
        """The room of a module; one at the root of a stage is a room of its own.

        The root of a stage holds both what its rooms share and what ties them together.
        """
        room = module.rpartition(".")[0]
        return module if room.count(".") <= 1 else room

    @cached_property
    def graph_of_rooms(self) -> dict[str, set[str]]:
        """Which room needs which."""
        found: dict[str, set[str]] = {}
        for module, needed in self.graph.items():
            room = self.room_of(module)
            found.setdefault(room, set()).update({self.room_of(m) for m in needed} - {room})
        return found


def circles(graph: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Groups of nodes that need each other (Tarjan's strongly connected components)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(node: str) -> None:
        order[node] = lowest[node] = len(order)
        stack.append(node)
        for needed in graph.get(node, ()):
            if needed not in order:
                visit(needed)
                lowest[node] = min(lowest[node], lowest[needed])
            elif needed in stack:
                lowest[node] = min(lowest[node], order[needed])
        if lowest[node] == order[node]:
            place = stack.index(node)
            group, stack[place:] = stack[place:], []
            if len(group) > 1:
                found.append(sorted(group))

    for node in graph:
        if node not in order:
            visit(node)
    return found
