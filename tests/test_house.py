"""The shape of the house: which folder may import which, what is installed, what is public."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
#: What each folder may import beside itself and the ground floor; the arrows of ARCHITECTURE.md.
ARROWS = {
    "models": set(),
    "data": set(),
    "devices": {"models"},
    "profiler": {"models", "devices"},
    "predictor": {"models", "devices", "profiler"},
    "training": {"models", "data"},
    "search": {"models", "data", "devices", "profiler", "predictor", "training"},
    "report": {"models", "data", "devices", "profiler", "predictor", "training", "search"},
}
GROUND_FLOOR = {"errors", "files", "text", "text_files", "units"}


def imported_modules(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""
            if node.module == "atb":
                yield from (f"atb.{alias.name}" for alias in node.names)


def violations(root: Path) -> list[str]:
    """Imports that go against the arrows in the folders below `root`."""
    found = []
    for folder, allowed in ARROWS.items():
        for path in sorted((root / folder).rglob("*.py")):
            for module in imported_modules(path):
                first, _, rest = module.partition(".")
                target = rest.split(".")[0]
                if first in ARROWS:
                    found.append(f"{path.relative_to(root)} imports the bare folder {module}")
                elif first == "atb" and target and target not in allowed | GROUND_FLOOR | {folder}:
                    found.append(f"{path.relative_to(root)} imports {module}")
    return found


def test_data_flows_one_way() -> None:
    assert violations(ROOT) == []


@pytest.mark.parametrize(
    ("folder", "line"),
    [
        ("models", "from atb.devices.contract import Device"),
        ("data", "from atb.models.space import SPACES"),
        ("profiler", "import atb.predictor"),
        ("training", "from atb.search import run"),
        ("search", "from atb.report.page import write"),
        ("predictor", "from atb.cli import main"),
        ("devices", "from atb import search"),
        ("search", "import devices"),
    ],
)
def test_a_planted_violation_is_found(tmp_path: Path, folder: str, line: str) -> None:
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "planted.py").write_text(f"def later():\n    {line}\n")
    assert len(violations(tmp_path)) == 1


def test_the_ground_floor_imports_nothing_of_the_package() -> None:
    for name in GROUND_FLOOR:
        for module in imported_modules(ROOT / "atb" / f"{name}.py"):
            assert not module.startswith("atb") or module.split(".")[1] in GROUND_FLOOR


def test_the_package_list_is_the_tree() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    tracked = subprocess.run(
        ["git", "ls-files", *ARROWS], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    folders = {Path(path).parent for path in tracked}
    on_disk = {"atb." + folder.as_posix().replace("/", ".") for folder in folders}
    assert set(setuptools["packages"]) == {"atb", "atb.commands"} | on_disk
    assert set(setuptools["package-dir"]) == set(setuptools["packages"])
    code = {"atb", "atb.commands"} | {f"atb.{folder}" for folder in ARROWS}
    for package, folder in setuptools["package-dir"].items():
        # a folder of data has no code, and says which files it ships
        assert (ROOT / folder / "__init__.py").is_file() == (package in code), package
        assert (package in setuptools["package-data"]) == (package not in code or package == "atb")


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
    long.pop("models/modeling_tinybert.py", None)  # one file, since it travels with every model
    long.pop("devices/worker.py", None)  # one file, since it is what is sent to a board
    long.pop("devices/agent.py", None)  # likewise
    assert long == {}


def test_only_one_file_writes_to_the_terminal() -> None:
    """What is printed is made printable there; see atb/console.py."""
    ways = re.compile(r"typer\.s?echo\(|\bprint\(|std(?:out|err)\.write\(")
    found = [
        str(path.relative_to(ROOT))
        for path in [*(ROOT / "atb").glob("*.py"), *(ROOT / "atb" / "commands").rglob("*.py")]
        if path.name != "console.py" and ways.search(path.read_text("utf-8"))
    ]
    assert found == []
