"""Known devices as a person uses them: made of measurements, listed, predicted, begun from."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from atb.devices.fake.device import FakeDevice
from atb.devices.known_folder import own_file
from atb.devices.settings import RunSettings
from atb.models.published import PUBLISHED
from atb.models.space import SPACES
from atb.profiler.campaign.campaign import run_campaign
from atb.profiler.campaign.plan import Plan
from atb.profiler.database.writer import ProfileDatabase

ROOT = Path(__file__).resolve().parents[3]
SHORT = RunSettings(sequence_length=16)


@pytest.fixture(scope="module")
def profiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of a device called board: with one and two threads, too little in int8."""
    device = FakeDevice("board")
    runtime = device.runtimes["fake"]
    sample = sorted(
        SPACES["mini"].sample(np.random.default_rng(0), 60), key=lambda a: a.parameters()
    )
    path = tmp_path_factory.mktemp("profiled") / "p.db"
    with ProfileDatabase(path, create=True) as database:
        for settings, count in (
            (SHORT, 14),
            (replace(SHORT, threads=2), 14),
            (replace(SHORT, precision="int8"), 4),
        ):
            plan = Plan(tuple(sample[:count]), launches=3)
            run_campaign(device, runtime, settings, plan, database)
    return path


@pytest.fixture
def database(profiled: Path, tmp_path: Path) -> Path:
    """The same in the folder where commands run."""
    return Path(shutil.copy(profiled, tmp_path / "p.db"))


@pytest.fixture(scope="module")
def bundled() -> list[bytes]:
    """The file of the known device board, once it was made."""
    return []


@pytest.fixture
def known(atb_here, database: Path, bundled: list[bytes]) -> Path:
    """The known device board among the user's own."""
    path = own_file("board")
    if not bundled:
        done = atb_here("devices", "bundle", "board", "--db", database.name)
        assert done.returncode == 0, done.stderr
        bundled.append(path.read_bytes())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bundled[0])
    return path


@pytest.mark.usefixtures("database")
def test_a_bundle_tells_what_is_in_it_and_what_is_not(atb_here) -> None:
    done = atb_here("devices", "bundle", "board", "--db", "p.db")
    assert done.returncode == 0, done.stderr
    first, header, *rows = done.stdout.splitlines()
    assert first == f"{own_file('board')}: board, simulated"
    assert header.split()[-2:] == ["measured", "on"]
    assert [row.split("  ")[0] for row in rows] == [
        "fake 1 fp32, 1 thread, batch 1, length 16",
        "fake 1 fp32, 2 threads, batch 1, length 16",
    ]
    assert "left out: board, fake 1 int8" in done.stderr
    assert "4 architectures have a usable measurement" in done.stderr

    again = atb_here("devices", "bundle", "board", "--db", "p.db")
    assert again.returncode == 2
    assert "is there already: replace it with --force" in again.stderr
    before = own_file("board").read_bytes()
    forced = atb_here("devices", "bundle", "board", "--db", "p.db", "--force", "--json")
    assert forced.returncode == 0, forced.stderr
    assert own_file("board").read_bytes() == before
    told = json.loads(forced.stdout)
    assert told["known_device"] == str(own_file("board"))
    assert [entry["rows"] for entry in told["conditions"]] == [14, 14]
    (left_out,) = told["left_out"]
    assert left_out["conditions"]["precision"] == "int8"


@pytest.mark.usefixtures("database")
def test_a_bundle_may_be_written_elsewhere_and_called_otherwise(atb_here, tmp_path: Path) -> None:
    words = ("devices", "bundle", "pi4", "--db", "p.db", "--device", "board", "--seed", "1")
    done = atb_here(*words, "--out", "shared/pi4.json")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "shared/pi4.json").read_text())["name"] == "pi4"
    assert not own_file("pi4").exists()


def test_a_known_device_is_listed_and_shown(atb_here, known: Path) -> None:
    listed = atb_here("devices", "list").stdout
    assert listed.split("\n\n")[-1].splitlines() == [
        "known device  processor  conditions  runtimes",
        "board         simulated           2  fake",
    ]
    (entry,) = json.loads(atb_here("devices", "list", "--json").stdout)["known_devices"]
    assert (entry["name"], entry["path"]) == ("board", str(known))
    assert [found["threads"] for found in entry["conditions"]] == [1, 2]

    shown = atb_here("devices", "show", "board")
    assert shown.returncode == 0, shown.stderr
    assert "simulated" in shown.stdout
    assert "fake 1 fp32, 2 threads, batch 1, length 16    14" in shown.stdout
    told = json.loads(atb_here("devices", "show", "board", "--json").stdout)["known_device"]
    assert told["conditions"] == entry["conditions"]


def test_a_bad_one_is_listed_with_what_is_wrong(atb_here, known: Path) -> None:
    known.with_name("torn.json").write_text(known.read_text()[:500])
    listed = atb_here("devices", "list")
    assert listed.returncode == 0, listed.stderr
    assert "torn.json is not a readable known-device file" in listed.stdout
    assert "board         simulated" in listed.stdout
    entries = json.loads(atb_here("devices", "list", "--json").stdout)["known_devices"]
    assert "truncated" in entries[1]["problem"]
    for words in (
        ("devices", "show", "torn"),
        ("predict", "tinybert-4", "--device", "torn"),
        ("predictor", "transfer", "--device", "fake"),
    ):
        refused = atb_here(*words)
        assert refused.returncode == 2
        assert "torn.json" in refused.stderr
        assert refused.stderr.count("\n") == 1


def test_without_a_known_device_the_list_ends_as_ever(atb_here) -> None:
    listed = atb_here("devices", "list")
    assert "known" not in listed.stdout
    assert json.loads(atb_here("devices", "list", "--json").stdout)["known_devices"] == []


@pytest.mark.usefixtures("known")
def test_listing_imports_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from atb.cli import main\n"
        "sys.argv = ['atb', 'devices', 'list', '--json']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code == 0, end.code\n"
        "heavy = {'torch', 'transformers', 'onnxruntime', 'onnx', 'numpy', 'pandas', 'sklearn',"
        " 'scipy', 'matplotlib', 'sqlalchemy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "board" in [known["name"] for known in json.loads(done.stdout)["known_devices"]]


def test_what_comes_with_the_package_predicts_without_anything_measured(atb) -> None:
    listed = json.loads(atb("devices", "list", "--json").stdout)["known_devices"]
    assert listed
    for known in listed:
        one = known["conditions"][0]
        told = ("--device", known["name"], "--runtime", one["runtime"])
        done = atb("predict", "bert-base", "tinybert-4", *told, "--precision", one["precision"])
        assert done.returncode == 0, done.stderr
        assert str(PUBLISHED["bert-base"]) in done.stdout


@pytest.mark.usefixtures("known")
def test_it_predicts_as_the_predictor_that_was_fitted_alone(atb_here) -> None:
    names = ("tinybert-4", "kd-s1", "kd-s2")
    for threads in ("1", "2"):
        words = ("predictor", "train", "--db", "p.db", "--threads", threads, "--precision", "fp32")
        assert atb_here(*words, "--out", "alone.json").returncode == 0
        alone = atb_here("predict", *names, "--predictor", "alone.json", "--explain", "--json")
        done = atb_here(
            "predict", *names, "--device", "board", "--threads", threads, "--explain", "--json"
        )
        assert done.returncode == 0, done.stderr
        first, second = (json.loads(one.stdout) for one in (alone, done))
        assert first["predictions"] == second["predictions"]
        assert first["conditions"] == second["conditions"]


@pytest.mark.usefixtures("known")
def test_the_usual_settings_are_predicted_where_nothing_is_said(atb_here) -> None:
    done = atb_here("predict", "kd-s1", "--device", "board")
    assert done.returncode == 0, done.stderr
    assert "board, fake 1 fp32, 1 thread" in done.stderr


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--device", "board", "--threads", "4"), "not measured with threads 4: choose among fake"),
        (("--device", "board", "--precision", "int8"), "precision int8"),
        (("--device", "board", "--runtime", "torch"), "runtime torch"),
        (("--device", "board", "--sequence-length", "128"), "sequence_length 128"),
        (("--device", "board", "--force"), "--force says nothing about the known device board"),
        (("--device", "pi4"), "no known device 'pi4'"),
        (("--device", "../board"), "no known device '../board'"),
        (("--device", "board", "--predictor", "none.json"), "no file none.json"),
    ],
)
def test_what_was_not_measured_is_not_predicted(atb_here, words, told: str) -> None:
    refused = atb_here("predict", "kd-s1", *words)
    assert refused.returncode == 2
    assert told in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert refused.stdout == ""


@pytest.mark.usefixtures("known")
def test_a_predictor_that_is_named_goes_before_a_known_device(atb_here) -> None:
    train = ("predictor", "train", "--db", "p.db", "--threads", "2", "--out", "p.json")
    assert atb_here(*train).returncode == 0
    done = atb_here("predict", "kd-s1", "--device", "board", "--predictor", "p.json", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["conditions"]["threads"] == 2


@pytest.mark.slow
@pytest.mark.usefixtures("known")
def test_another_device_is_begun_from_a_known_one(atb_here) -> None:
    words = ("predictor", "transfer", "--device", "fake", "--threads", "2", "--samples", "5")
    there = (*words, "--sequence-length", "16", "--db", "p.db", "--out", "new.json")
    told = [
        json.loads(atb_here(*there, *further, "--json").stdout)
        for further in ((), ("--known", "board"), ("--known", "board", "--known", "board"))
    ]
    assert told[0]["sources"] == told[1]["sources"] == told[2]["sources"]
    assert list(told[0]["sources"]) == [
        "board, fake 1 fp32, 1 thread, batch 1, length 16",
        "board, fake 1 fp32, 2 threads, batch 1, length 16",
        "all together",
    ]
    assert told[0]["left_out_mape"] < 0.05
    assert atb_here("predictor", "train", "--db", "p.db", "--device", "board", "--threads", "1",
                    "--precision", "fp32", "--out", "p.json").returncode == 0  # fmt: skip
    both = atb_here(*there, "--known", "board", "--predictor", "p.json")
    assert both.returncode == 0, both.stderr
    assert "known of" in both.stdout
    alone = json.loads(atb_here(*there, "--predictor", "p.json", "--json").stdout)
    assert list(alone["sources"]) == ["p.json"]

    # the database now holds two devices, of which a name may tell one
    assert atb_here("devices", "bundle", "board", "--db", "p.db", "--force").returncode == 0
    refused = atb_here("devices", "bundle", "pi4", "--db", "p.db")
    assert refused.returncode == 2
    assert "several devices (board, fake)" in refused.stderr


def test_there_is_nothing_to_begin_from(atb_here) -> None:
    for words, told in (
        ((), "no known device to begin from: name predictors"),
        (("--known", "board"), "no known device 'board': make one"),
    ):
        refused = atb_here("predictor", "transfer", "--device", "fake", *words)
        assert refused.returncode == 2
        assert told in refused.stderr
        assert refused.stderr.count("\n") == 1


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("name", ["../x", "a/b", 'a"b', "a b", "a;b", "$(a)", "", "A", "local"])
def test_a_name_that_is_none_is_refused(
    atb_here, tmp_path: Path, devices_of_nobody: Path, name: str
) -> None:
    refused = atb_here("devices", "bundle", name, "--db", "p.db")
    assert refused.returncode == 2
    assert "cannot be called" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert not devices_of_nobody.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["p.db"]


@pytest.mark.usefixtures("database")
def test_nothing_is_left_behind_where_there_is_nothing_to_bundle(
    atb_here, devices_of_nobody: Path
) -> None:
    for words, told in (
        (("--db", "none.db"), "none.db"),
        (("--db", "p.db", "--device", "pi4"), "no measurements for device pi4"),
        (("--db", "p.db", "--campaign", "profile-3"), "nothing to bundle (board, fake 1 int8"),
        (("--db", "p.db", "--campaign", "none"), "no campaign none"),
    ):
        refused = atb_here("devices", "bundle", "board", *words)
        assert refused.returncode == 2
        assert told in refused.stderr
        assert refused.stderr.count("\n") == 1
    assert not devices_of_nobody.exists()
