"""A key changes with everything that the bytes of an artefact may depend on."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from atb.devices.fake.device import FakeRuntime
from atb.devices.runtimes import artefacts as module
from atb.devices.runtimes.artefacts import LIBRARIES, artefact_key
from atb.devices.settings import RunSettings
from atb.models.architecture import Architecture

ROOT = Path(__file__).resolve().parents[3]
SHAPE = Architecture(1, 20, 2, 12, 28)
#: What builds no artefact: running, transporting, checking and testing.
_ELSEWHERE = {
    "asyncssh",
    "huggingface_hub",
    "lazy_loader",
    "msgspec",
    "pytest",
    "scipy",
    "threadpoolctl",
    "tokenizers",
    "transformers",
}


@pytest.fixture(autouse=True)
def nothing_remembered() -> Iterator[None]:
    """What is computed once for each process is computed once for each test."""
    remembered = (module._library_versions, module._code_fingerprint, module._build_platform)
    for function in remembered:
        function.cache_clear()
    yield
    for function in remembered:
        function.cache_clear()


def key(runtime: FakeRuntime | None = None) -> str:
    return artefact_key(runtime or FakeRuntime(), SHAPE, RunSettings())


class OtherName(FakeRuntime):
    name = "other"


class OtherVersion(FakeRuntime):
    version = "2"


def test_it_is_the_same_for_the_same() -> None:
    assert key() == key()
    assert len(key()) == 32


def test_it_tells_runtimes_and_their_versions_apart() -> None:
    assert len({key(), key(OtherName()), key(OtherVersion())}) == 3


def test_another_library_is_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key()
    module._library_versions.cache_clear()
    version = module.version
    monkeypatch.setattr(module, "version", lambda name: "99" if name == "onnx" else version(name))
    assert key() != before


def test_another_processor_is_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key()
    module._build_platform.cache_clear()
    elsewhere = {**module.read_platform(), "instruction_sets": "avx2"}
    monkeypatch.setattr(module, "read_platform", lambda: elsewhere)
    assert key() != before


def test_code_that_changes_is_another_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    keys = {key()}
    sources = module._sources
    planted = tmp_path / "builder.py"
    monkeypatch.setattr(module, "_sources", lambda folder: [*sources(folder), planted])
    for text in ("weights = 1", "weights = 2"):
        planted.write_text(text)
        module._code_fingerprint.cache_clear()
        keys.add(key())
    assert len(keys) == 3


def test_code_of_devices_and_models_counts() -> None:
    sources = [*module._sources(module.devices), *module._sources(module.models)]
    names = {path.name for path in sources}
    assert {"cpu.py", "builder.py", "runner.py", "inputs.py", "contract.py"} <= names
    assert {"onnx_builder.py", "slicing.py"} <= names


def test_the_module_of_a_runtime_of_somebody_else_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whose runtime lies in a file of its own."""
    foreign = tmp_path / "their_runtime.py"
    foreign.write_text("from atb.devices.fake.device import FakeRuntime as Foreign\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import their_runtime as installed

    kind = type("Foreign", (installed.Foreign,), {"__module__": "their_runtime"})
    before = key(kind())
    foreign.write_text("# another one\n")
    module._code_fingerprint.cache_clear()
    assert key(kind()) != before
    monkeypatch.delitem(sys.modules, "their_runtime")


def test_every_library_that_may_build_is_known() -> None:
    """What devices/ and models/ import, but for what only runs and checks."""
    imported = set()
    for path in (*(ROOT / "devices").rglob("*.py"), *(ROOT / "models").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.partition(".")[0])
    foreign = imported - set(sys.stdlib_module_names) - {"atb"} - _ELSEWHERE
    assert {"numpy", "onnx", "torch"} <= foreign
    distributions = packages_distributions()
    for name in foreign:
        assert set(distributions.get(name, [name])) & set(LIBRARIES), name
