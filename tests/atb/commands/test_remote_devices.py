import json
import sys

import pytest
from typer.testing import CliRunner

from atb.cli import app

pytestmark = pytest.mark.slow


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("ATB_DEVICES", str(tmp_path / "devices.json"))
    return lambda *words: CliRunner().invoke(app, ["devices", *words])


def add(run, server, *words):
    options = ("--key", str(server.key), "--known-hosts", str(server.known_hosts))
    return run("add", "pi4", server.url, *options, "--python", sys.executable, *words)


def test_a_remote_device_is_added_listed_checked_and_removed(run, shared_openssh):
    added = add(run, shared_openssh, "--json")
    assert added.exit_code == 0, added.output
    told = json.loads(added.stdout)
    assert (told["format"], told["device"], told["address"]) == (1, "pi4", shared_openssh.url)
    assert any(row["runtime"] == "onnxruntime" and row["available"] for row in told["runtimes"])
    listed = json.loads(run("list", "--json").stdout)["devices"]
    assert any(row["device"] == "pi4" and row["available"] for row in listed)
    checked = json.loads(run("check", "pi4", "--json").stdout)
    assert checked["passed"]
    assert checked["device"] == "pi4"
    assert run("remove", "pi4").exit_code == 0
    assert "pi4" not in run("list").stdout


def test_facts_and_runtimes_are_shown(run, shared_openssh):
    added = add(run, shared_openssh)
    assert added.exit_code == 0
    assert "processor" in added.stdout
    assert "onnxruntime" in added.stdout


def test_a_list_does_not_connect(run, shared_openssh):
    assert add(run, shared_openssh).exit_code == 0
    before = shared_openssh.logins()
    assert before
    assert run("list").exit_code == 0
    assert shared_openssh.logins() == before
