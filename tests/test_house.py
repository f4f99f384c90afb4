"""The shape of the house: which folder may import which, what is installed, what is public."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from house import GROUND_FLOOR, House, circles

ROOT = Path(__file__).resolve().parent.parent
#: What each stage may import beside itself and the ground floor; the arrows of ARCHITECTURE.md.
ARROWS = {
    "models": set(),
    "data": set(),
    "devices": {"models"},
    "profiler": {"models", "devices"},
    "predictor": {"models", "devices", "profiler"},
    "training": {"models", "data"},
    "search": {"models", "data", "devices", "profiler", "predictor", "training"},
    "deploy": {"models", "data", "devices", "profiler", "predictor", "training", "search"},
    "report": {"models", "data", "devices", "profiler", "predictor", "training", "search"},
}
#: Python files in a room, its `__init__` included.
MOST_FILES = 15


@pytest.fixture(scope="module")
def house() -> House:
    return House(ROOT)


def violations(house: House) -> list[str]:
    """Imports that go against the arrows."""
    found = []
    for module in house.files:
        stage = module.split(".")[1]
        for taken in house.imports(module):
            first, _, rest = taken.module.partition(".")
            target = rest.split(".")[0] or taken.name
            if first != "atb":
                found.append(f"{module} imports the bare folder {taken.module}")
            elif (
                stage in ARROWS and target and target not in ARROWS[stage] | GROUND_FLOOR | {stage}
            ):
                found.append(f"{module} imports {taken.module}")
    return found


def trespasses(house: House) -> list[str]:
    """Names that are taken from a file of another room in place of what the room hands on."""
    found = []
    for module in house.modules:
        room = module.rpartition(".")[0]
        for taken in house.imports(module):
            if taken.module in house.modules:
                allowed = taken.module.rpartition(".")[0] in (room, "atb")
            elif taken.module in ("atb", room):
                allowed = True
            else:
                allowed = taken.name in house.handed_on.get(taken.module, {})
            if not allowed and f"{taken.module}.{taken.name}" not in house.rooms:
                found.append(f"{module}:{taken.line} takes {taken.name} of {taken.module}")
    return found


def test_data_flows_one_way(house: House) -> None:
    assert violations(house) == []


def test_rooms_are_used_through_what_they_hand_on(house: House) -> None:
    assert trespasses(house) == []


def test_what_a_room_hands_on_is_there_and_is_no_file_of_it(house: House) -> None:
    """A file of the same name would take its place as soon as it is imported."""
    for room, names in house.handed_on.items():
        package = importlib.import_module(room)
        assert set(names) <= set(dir(package))
        for name, module in names.items():
            assert hasattr(package, name), f"{room} hands on {name}"
            if module != f"{room}.{name}":
                assert f"{room}.{name}" not in house.modules


def test_no_files_and_no_rooms_need_each_other(house: House) -> None:
    assert circles(house.graph) == []
    assert circles(house.graph_of_rooms) == []


def test_a_room_is_no_crowd() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    sizes = Counter(Path(path).parent.as_posix() for path in tracked)
    assert {room: size for room, size in sizes.items() if size > MOST_FILES} == {}


@pytest.mark.parametrize(
    ("stage", "line", "finder"),
    [
        ("models", "from atb.devices.contract import Device", violations),
        ("data", "from atb.models.space import SPACES", violations),
        ("profiler", "import atb.predictor", violations),
        ("training", "from atb.search import run", violations),
        ("search", "from atb.report.page import write", violations),
        ("predictor", "from atb.cli import main", violations),
        ("devices", "from atb import search", violations),
        ("search", "import devices", violations),
        ("search", "from atb.models.shapes import square", trespasses),
        ("search", "from atb.models import square", trespasses),
        ("search", "import atb.models.shapes", trespasses),
    ],
)
def test_a_planted_violation_is_found(
    tmp_path: Path, stage: str, line: str, finder: Callable[[House], list[str]]
) -> None:
    for name in {stage, "models"}:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    (tmp_path / "models" / "shapes.py").write_text("square = 4\n")
    (tmp_path / stage / "planted.py").write_text(f"def later():\n    {line}\n")
    assert len(finder(House(tmp_path))) == 1


def test_a_planted_circle_is_found(tmp_path: Path) -> None:
    """By way of a room that hands on, and for types alone."""
    for room in ("models", "models/inner"):
        (tmp_path / room).mkdir()
        (tmp_path / room / "__init__.py").touch()
    (tmp_path / "models" / "inner" / "__init__.pyi").write_text("from .a import A as A\n")
    (tmp_path / "models" / "inner" / "a.py").write_text("from atb.models.b import B\nA = 1\n")
    (tmp_path / "models" / "b.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"
        "    from atb.models.inner import A\nB = 1\n"
    )
    planted = House(tmp_path)
    assert circles(planted.graph) == [["atb.models.b", "atb.models.inner.a"]]
    assert circles(planted.graph_of_rooms) == [["atb.models.b", "atb.models.inner"]]


def test_the_ground_floor_imports_nothing_of_the_package(house: House) -> None:
    for name in GROUND_FLOOR:
        for taken in house.imports(f"atb.{name}"):
            assert taken.module.split(".")[1] in GROUND_FLOOR


def test_the_package_list_is_the_tree() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    tracked = subprocess.run(
        ["git", "ls-files", "atb/api", "atb/commands", *ARROWS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    folders = {Path(path).parent.as_posix().removeprefix("atb/") for path in tracked}
    on_disk = {"atb." + folder.replace("/", ".") for folder in folders}
    assert set(setuptools["packages"]) == {"atb"} | on_disk
    assert setuptools["package-dir"] == {"atb": "atb"} | {f"atb.{stage}": stage for stage in ARROWS}
    with_data = set(setuptools["package-data"]) - {"atb"}
    for package in sorted(on_disk):
        # a folder of data has no code, and says which files it ships
        place = package.removeprefix("atb.").replace(".", "/")
        folder = ROOT / ("atb" if place.startswith(("api", "commands")) else "") / place
        assert (folder / "__init__.py").is_file() == (package not in with_data), package


def test_each_folder_is_linked_into_the_import_name() -> None:
    for folder in ARROWS:
        link = ROOT / "atb" / folder
        assert link.is_symlink()
        assert link.readlink() == Path("..") / folder


def test_the_public_face_is_sorted_and_exists() -> None:
    import atb

    assert atb.__all__ == sorted(atb.__all__)
    for name in atb.__all__:
        assert getattr(atb, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        _ = atb.nonsense


#: What takes a moment to import; `asyncssh` and the like are extras besides.
HEAVY = [
    "torch",
    "transformers",
    "numpy",
    "onnxruntime",
    "onnx",
    "pandas",
    "sklearn",
    "scipy",
    "matplotlib",
    "sqlalchemy",
    "safetensors",
    "openvino",
    "ai_edge_litert",
    "flatbuffers",
    "ncnn",
    "executorch",
    "torchao",
    "asyncssh",
]


@pytest.mark.parametrize("words", ["--help", "devices list", "devices list --json"])
def test_help_and_the_list_of_devices_import_nothing_heavy(words: str) -> None:
    program = (
        "import sys\n"
        "from atb.cli import main\n"
        f"sys.argv = ['atb', *{words.split()}]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code in (0, None), end.code\n"
        f"print('HEAVY', sorted(set({HEAVY}) & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "HEAVY []"


def test_files_are_short_enough_to_read() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    long = {p: n for p in tracked if (n := len((ROOT / p).read_text("utf-8").splitlines())) > 400}
    long.pop(
        "models/superplm/modeling_tinybert.py", None
    )  # one file, since it travels with every model
    long.pop("devices/remote/agent.py", None)  # one file, since it is what is sent to a board
    assert long == {}


#: Lines of a function, signature included; of those in atb/api the docstring, which is the
#: reference of the Python face, does not count.
MOST_LINES = 60


def long_functions(root: Path, paths: Iterable[str]) -> dict[str, int]:
    """Functions above the limit, with their lines."""
    found = {}
    for path in paths:
        for node in ast.walk(ast.parse((root / path).read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if path.startswith("atb/api/"):
                    lines -= len((ast.get_docstring(node, clean=False) or "").splitlines())
                if lines > MOST_LINES:
                    found[f"{path}: {node.name}"] = lines
    return found


def test_functions_are_short_enough_to_read() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert long_functions(ROOT, [path for path in tracked if not path.startswith("tests/")]) == {}


def test_a_planted_long_function_is_found(tmp_path: Path) -> None:
    (tmp_path / "short.py").write_text("def f():\n" + "    a = 1\n" * 59)
    (tmp_path / "long.py").write_text("def f():\n" + "    a = 1\n" * 60)
    assert long_functions(tmp_path, ["short.py", "long.py"]) == {"long.py: f": 61}


def test_only_one_file_writes_to_the_terminal() -> None:
    """What is printed is made printable there; see atb/commands/output/console.py."""
    ways = re.compile(r"typer\.s?echo\(|\bprint\(|std(?:out|err)\.write\(")
    found = [
        str(path.relative_to(ROOT))
        for path in [*(ROOT / "atb").glob("*.py"), *(ROOT / "atb" / "commands").rglob("*.py")]
        if path.name != "console.py" and ways.search(path.read_text("utf-8"))
    ]
    assert found == []
