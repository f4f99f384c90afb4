"""Files that are sent to a board run alone there, on Python 3.9."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import atb.devices
from atb.devices.runtimes.registry import all_runtimes
from atb.devices.testing import sent_imports

FOLDER = Path(atb.devices.__file__).resolve().parent
SENT = {
    "agent": FOLDER / "remote" / "agent.py",
    "clusters": FOLDER / "host" / "clusters.py",
    "platform_facts": FOLDER / "host" / "platform_facts.py",
    "state": FOLDER / "host" / "state.py",
    **{f"core/{path.stem}": path for path in sorted((FOLDER / "worker" / "core").glob("[!_]*.py"))},
    **{f"runner of {name}": runtime.runner for name, runtime in all_runtimes().items()},
}
#: What is started by itself; the core and the runners need numpy.
PROGRAMS = ("agent", "clusters", "platform_facts", "state")
#: What parses on Python 3.9 and fails when it runs there.
LATER = ("zip(strict=)", "dataclass(slots=)", "dataclass(kw_only=)", "file_digest", "X | Y")


def later_features(tree: ast.AST) -> set[str]:
    """What of `LATER` a program does, annotations left out, which nobody evaluates."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func).rpartition(".")[2]
            found |= {f"{name}({keyword.arg}=)" for keyword in node.keywords}
            found.add(name)
            if name in ("isinstance", "cast") and any(
                isinstance(part, ast.BinOp) and isinstance(part.op, ast.BitOr)
                for argument in node.args
                for part in ast.walk(argument)
            ):
                found.add("X | Y")
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.BinOp):
            names = (node.value.left, node.value.right)
            if isinstance(node.value.op, ast.BitOr) and any(
                ast.unparse(name) in ("int", "str", "float", "None", "bytes") for name in names
            ):
                found.add("X | Y")
    return found & set(LATER)


@pytest.mark.parametrize("name", SENT)
def test_they_are_python_3_9(name: str) -> None:
    tree = ast.parse(SENT[name].read_text("utf-8"), feature_version=(3, 9))
    assert later_features(tree) == set()


@pytest.mark.parametrize(
    "later",
    [
        "zip(a, b, strict=True)",
        "@dataclass(slots=True)\nclass C: ...",
        "hashlib.file_digest(f)",
        "isinstance(a, int | str)",
        "Kind = int | str",
    ],
)
def test_later_python_is_found(later: str) -> None:
    assert later_features(ast.parse(later))


@pytest.mark.parametrize("name", SENT)
def test_they_import_nothing_of_atb(name: str) -> None:
    modules = sent_imports(SENT[name].read_text("utf-8"))
    if name.startswith("core/"):  # whose files are sent together
        modules = {m for m in modules if not m.startswith("atb.devices.worker.core.")}
    packages = {module.partition(".")[0] for module in modules}
    assert "atb" not in packages
    if name in PROGRAMS:
        assert packages <= set(sys.stdlib_module_names)


def test_an_import_of_atb_is_found_unless_it_is_for_types_alone() -> None:
    assert sent_imports("def f():\n    from atb.devices import Device") == {"atb.devices"}
    for_types = "if TYPE_CHECKING:\n    from atb.devices import Device"
    assert sent_imports(for_types) == set()


def find_python_3_9() -> str | None:
    """One in the path, or of pyenv, whose own program may stand for another one."""
    own = Path("~/.pyenv/versions").expanduser().glob("3.9.*/bin/python3.9")
    for python in (shutil.which("python3.9"), *map(str, own)):
        if python is not None:
            told = subprocess.run([python, "-V"], capture_output=True, text=True, check=False)
            if told.stdout.startswith("Python 3.9."):
                return python
    return None


@pytest.mark.parametrize("name", PROGRAMS)
def test_they_run_on_python_3_9(name: str, tmp_path: Path) -> None:
    python = find_python_3_9()
    if python is None:
        pytest.skip("there is no Python 3.9 here")
    calls = {
        "agent": "main()",
        "clusters": "print(m['cpu_clusters']())",
        "platform_facts": "print(m['read_platform']())",
        "state": "print(m['read_state']())",
    }
    run = "__main__" if name == "agent" else name
    script = f"import runpy; m = runpy.run_path({str(SENT[name])!r}, run_name={run!r})\n" + (
        "" if name == "agent" else calls[name]
    )
    done = subprocess.run(
        [python, "-c", script],
        input=b"",
        capture_output=True,
        cwd=tmp_path,
        env={"TMPDIR": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("requests", "code", "words"),
    [
        (b"", 0, b""),  # whoever asked is gone
        (b"no request\n", 1, b"JSONDecodeError"),
        (b"[]\n", 1, b"pop"),
    ],
)
def test_an_agent_that_fails_by_a_fault_of_its_own_says_which(
    tmp_path: Path, requests: bytes, code: int, words: bytes
) -> None:
    done = subprocess.run(
        [sys.executable, SENT["agent"]],
        input=requests,
        capture_output=True,
        env={"TMPDIR": str(tmp_path)},
        check=False,
    )
    assert done.returncode == code
    assert words in done.stderr
    assert bool(done.stderr) == bool(words)
    assert list(tmp_path.iterdir()) == []
