"""What is said of a campaign beside its table."""

from __future__ import annotations

from pathlib import Path

import pytest

from atb.commands.output.console import prepare_streams
from atb.commands.output.measurements import print_end, print_measured
from atb.devices.fake.device import FakeDevice
from atb.devices.settings import RunSettings
from atb.models.architecture import Architecture
from atb.profiler.campaign.campaign import CampaignResult, run_campaign
from atb.profiler.campaign.plan import Plan
from atb.profiler.database.writer import ProfileDatabase

SHAPES = tuple(Architecture(layers, 128, 2, 128, 512) for layers in (1, 2, 3))


@pytest.fixture
def said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """The lines on stderr for a campaign in which so many of three models fail."""

    def said(failing: int, **how: float) -> list[str]:
        device = FakeDevice(failures={str(shape): "crash" for shape in SHAPES[:failing]})
        plan = Plan(SHAPES, launches=3, **how)
        with ProfileDatabase(tmp_path / f"{failing}.db", create=True) as database:
            result: CampaignResult = run_campaign(
                device, device.runtimes["fake"], RunSettings(), plan, database
            )
        prepare_streams()
        print_end(result)
        print_measured([result], {}, json=False)
        return capsys.readouterr().err.splitlines()

    return said


@pytest.mark.parametrize(
    ("failing", "words"),
    [
        (0, "all that was planned is measured"),
        (1, "all that was planned is measured, but for one model that failed"),
        (2, "all that was planned is measured, but for 2 models that failed"),
        (3, "nothing is measured, since all 3 models failed"),
    ],
)
def test_the_end_of_a_campaign_says_how_many_models_failed(said, failing: int, words: str) -> None:
    assert said(failing)[0] == f"campaign profile: {words}"


def test_each_model_that_failed_has_one_line(said) -> None:
    lines = [line for line in said(2) if line.startswith("failed")]
    for shape in SHAPES[:2]:
        (line,) = [line for line in lines if line.startswith(f"failed 2 times: {shape}: crash: ")]
        assert "was told to fail" in line
    # what happened while several were loaded is no model's fault
    (company,) = [line for line in lines if ": fake: crash: " in line]
    assert "beside" in company
    assert len(lines) == 3


def test_a_budget_that_was_spent_is_said_where_nothing_is_measured(said) -> None:
    assert said(3, budget_seconds=0.05)[0].endswith("the same command goes on")
