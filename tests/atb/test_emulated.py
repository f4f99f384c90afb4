"""An emulated device through the commands: measured, flagged, and no predictor by accident."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from atb.devices.fake.device import FakeDevice
from atb.devices.settings import RunSettings
from atb.models.space import SPACES
from atb.profiler.campaign.campaign import run_campaign
from atb.profiler.campaign.plan import Plan
from atb.profiler.database.writer import ProfileDatabase

#: Campaigns, fits and a search of several seconds each.
pytestmark = pytest.mark.slow

DATABASE = ("--db", "p.db")
REFUSED = "emulator qemu-aarch64"


@pytest.fixture(scope="module", autouse=True)
def emulated() -> Iterator[None]:
    """The simulated device says that an emulator stands in for its processor."""
    facts = {**FakeDevice().platform, "emulated": "qemu-aarch64"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeDevice, "platform", facts)
        yield


@pytest.fixture(scope="module")
def profiled(emulated: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of a campaign on it."""
    path = tmp_path_factory.mktemp("profiled") / "p.db"
    device, plan = FakeDevice(noise=0.01), Plan.sample(SPACES["mini"], 20, blocks=2)
    with ProfileDatabase(path, create=True) as database:
        run_campaign(device, device.runtimes["fake"], RunSettings(), plan, database)
    return path


@pytest.fixture
def measured(profiled: Path, tmp_path: Path) -> Path:
    """The same in a folder of the test's own."""
    shutil.copy(profiled, tmp_path / "p.db")
    return tmp_path


def is_refused(done: subprocess.CompletedProcess[str]) -> bool:
    return done.returncode == 2 and REFUSED in done.stderr and done.stderr.count("\n") == 1


def test_what_is_measured_on_it_is_flagged(atb_here) -> None:
    found = atb_here("profile", "fake", "--arch", "tinybert-4", *DATABASE)
    assert found.returncode == 0, found.stderr
    assert "says nothing about a real processor" in found.stderr
    assert "emulated by qemu-aarch64" in found.stdout


def test_a_predictor_is_fitted_on_it_only_by_force(atb_here, measured: Path) -> None:
    train = ("predictor", "train", *DATABASE, "--out", "p.json")
    assert is_refused(atb_here(*train))
    assert is_refused(atb_here(*train, "--all-settings"))
    assert not (measured / "p.json").exists()
    forced = atb_here(*train, "--force")
    assert forced.returncode == 0, forced.stderr

    evaluate = ("predictor", "evaluate", *DATABASE, "--predictor", "p.json")
    assert is_refused(atb_here(*evaluate))
    judged = atb_here(*evaluate, "--force", "--json")
    assert json.loads(judged.stdout)["rows"] == 20

    told = atb_here("predict", "minilm-6", "--predictor", "p.json")
    assert told.returncode == 0, told.stderr
    assert "says nothing about a real processor" in told.stderr

    page = atb_here("report", *DATABASE, "--predictor", "p.json", "--out", "r.html")
    assert page.returncode == 0, page.stderr
    assert "emulated by qemu-aarch64" in (measured / "r.html").read_text("utf-8")

    # nor does a device that is not measured yet begin from such a one
    transfer = ("predictor", "transfer", "--predictor", "p.json", "--device", "local", *DATABASE)
    assert is_refused(atb_here(*transfer, "--out", "q.json"))


def test_predictors_are_compared_on_it_only_by_force(atb_here, measured: Path) -> None:
    words = ("predictor", "compare", *DATABASE, "--peers", "ridge", "--splits", "1")
    assert is_refused(atb_here(*words))
    assert atb_here(*words, "--force").returncode == 0


def test_a_search_on_it_says_what_its_measurements_are_worth(atb_here, measured: Path) -> None:
    words = ("--device", "fake", "--predictor", "p.json", *DATABASE, "--latency", "30%")
    trained = atb_here("predictor", "train", *DATABASE, "--out", "p.json", "--force")
    assert trained.returncode == 0, trained.stderr
    found = atb_here(
        "search", *words, "--method", "fast", "--finalists", "2", "--generation-size", "4",
        "--generations", "1", "--proxy", "distillation", "--json",
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert "says nothing about a real processor" in found.stderr
    assert "emulated by qemu-aarch64" in json.loads(found.stdout)["winner"]["flagged"]


def test_a_comparison_on_it_is_flagged(atb_here) -> None:
    found = atb_here("compare", "tinybert-4", "minilm-6", "--device", "fake")
    assert found.returncode == 3, found.stderr
    assert "Flagged: emulated by qemu-aarch64." in found.stdout
    assert "says nothing about a real processor" in found.stderr


def test_what_would_fit_a_predictor_measures_nothing(atb_here, tmp_path: Path) -> None:
    chosen = atb_here("profile", "fake", "--until-error", "5%", *DATABASE)
    assert chosen.returncode == 2
    assert REFUSED in chosen.stderr
    listed = json.loads(atb_here("profile", "--list", *DATABASE, "--json").stdout)
    assert listed["measurements"] == []
    assert is_refused(atb_here("quickstart", "--device", "fake"))
    assert not (tmp_path / "atb-runs" / "quickstart" / "profile.db").exists()
