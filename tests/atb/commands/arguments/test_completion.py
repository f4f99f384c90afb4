"""What a shell is offered when Tab is pressed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from atb.commands.arguments import completion
from atb.devices.runtimes.registry import runtime_names
from atb.devices.settings import PRECISIONS
from atb.models.space import SPACES

ROOT = Path(__file__).resolve().parents[4]


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("atb profile lo", {"local"}),
        ("atb profile --device fa", {"fake"}),
        ("atb search --device ", {"local", "fake", "pi4"}),
        ("atb predict --device known", {"known-board"}),
        ("atb devices show pi", {"pi4"}),
        ("atb devices remove pi", {"pi4"}),
        ("atb predictor transfer --known ", {"known-board"}),
        ("atb compare tiny", {"tinybert-4", "tinybert-6"}),
        ("atb compare tinybert-4 bert-bas", {"bert-base"}),
        ("atb predict s1", {"s1", "s1-hand"}),
        ("atb profile --arch minilm-1", {"minilm-12"}),
        ("atb search --reference minilm-1", {"minilm-12"}),
        ("atb profile --space ", set(SPACES)),
        ("atb space show k", {"kd"}),
        ("atb profile --runtime ", set(runtime_names())),
        ("atb compare --precision ", set(PRECISIONS)),
        ("atb profile --scenario cold", {"cold-start"}),
        ("atb superplm fine", {"finetune"}),
    ],
)
def test_names_are_completed(
    atb_here, monkeypatch, devices_of_nobody: Path, typed: str, offered: set[str]
) -> None:
    (devices_of_nobody / "known-devices").mkdir(parents=True)
    (devices_of_nobody / "known-devices" / "known-board.json").write_text("{}")
    monkeypatch.setattr("atb.devices.registry.read_devices", lambda: {"pi4": None})
    words = typed.split(" ")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    monkeypatch.setenv("_ATB_COMPLETE", "complete_bash")
    done = atb_here()
    assert offered <= set(done.stdout.split())
    assert all(name.startswith(words[-1]) for name in done.stdout.split())
    assert done.stderr == ""


def test_a_damaged_file_of_devices_offers_nothing(devices_of_nobody: Path) -> None:
    devices_of_nobody.mkdir(parents=True)
    (devices_of_nobody / "devices.json").write_text("{")
    assert completion.devices("") == []


def test_no_heavy_library_is_imported_for_an_offer() -> None:
    program = (
        "import json, sys\n"
        "from atb.commands.arguments import completion\n"
        "names = [getattr(completion, name)('') for name in ("
        "'architectures', 'devices', 'devices_and_known', 'known_devices', 'precisions', "
        "'runtimes', 'scenarios', 'spaces')]\n"
        "assert all(names[:1] + names[2:]), names\n"
        "heavy = {'torch', 'transformers', 'pandas', 'sklearn', 'onnxruntime', 'onnx'}\n"
        "print(json.dumps(sorted(heavy & set(sys.modules))))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(ROOT), "PATH": "", "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == []


def test_a_shell_gets_its_script(atb_here, monkeypatch) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    done = atb_here("--show-completion", "bash")
    assert done.returncode == 0
    assert "_ATB_COMPLETE=complete_bash" in done.stdout
