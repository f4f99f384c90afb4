"""What `atb.` completes to."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import atb

ROOT = Path(__file__).resolve().parents[3]
#: Names that other people's programs may hold on to.
PROMISED = {
    "Architecture",
    "AtbError",
    "Conditions",
    "KNOWN",
    "Measurement",
    "ProfileDatabase",
    "RunSettings",
    "SPACES",
    "SearchSpace",
}


def test_the_package_completes_to_its_public_names_in_order() -> None:
    assert dir(atb) == atb.__all__ == sorted(atb.__all__)
    assert set(dir(atb)) >= PROMISED
    assert {"compare", "fit", "profile", "search"} <= set(dir(atb))
    for name in dir(atb):
        assert getattr(atb, name) is not None


def test_a_stage_that_is_imported_does_not_take_the_place_of_a_function() -> None:
    program = (
        "import atb\nimport atb.search.run\nfrom atb.search import SearchRequest\n"
        "from atb import search\n"
        "assert callable(atb.search) and atb.search is search\n"
        "import atb.profiler\nassert atb.profiler.Conditions is atb.Conditions\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def test_importing_the_package_imports_nothing_else() -> None:
    program = (
        "import sys\nimport atb\ndir(atb)\n"
        "print(sorted({m.partition('.')[0] for m in sys.modules} & "
        "{'numpy', 'pandas', 'torch', 'typer', 'rich', 'msgspec', 'sqlalchemy'}))\n"
        "print([m for m in sys.modules if m.startswith('atb.')])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[:2] == ["[]", "[]"]


def test_every_function_and_method_of_the_face_tells_its_types() -> None:
    for path in sorted((ROOT / "atb" / "api").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef):
                given = [*node.args.args, *node.args.kwonlyargs]
                untyped = [
                    a.arg for a in given if a.annotation is None and a.arg not in ("self", "cls")
                ]
                assert node.returns is not None, (path.name, node.name)
                assert untyped == [], (path.name, node.name)
                if not node.name.startswith("_") and "overload" not in ast.dump(node):
                    assert ast.get_docstring(node), (path.name, node.name)
