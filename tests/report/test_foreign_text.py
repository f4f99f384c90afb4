"""Names of others on the page and in pictures: shown as they are, and nothing else."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from atb.devices.contract import OperatorTime
from atb.devices.fake.device import FakeDevice
from atb.devices.settings import RunSettings
from atb.models.space import SPACES
from atb.profiler.campaign.campaign import run_campaign
from atb.profiler.campaign.details import BreakDown
from atb.profiler.campaign.plan import Plan
from atb.profiler.database.writer import ProfileDatabase
from atb.profiler.record import Conditions, ModelFile
from atb.report.page import write_page
from atb.report.pictures.charts import operators
from atb.report.pictures.svg import Picture
from atb.text import printable

NAMES = [
    "$\\frac{$", "a_b^c", "_under", "100 % & more # of $it$", "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>', "\x1b[2J\x9b31m", "turned \u202egnp", "\x00\x0b\ufffe",
    "two\nlines", "{{ 7 * 7 }}", "{% raw %}", "größer ± 中",
]  # fmt: skip


def break_down(name: str) -> BreakDown:
    device = FakeDevice()
    conditions = Conditions.of(device, device.runtimes["fake"], RunSettings())
    return BreakDown(
        ModelFile(name, "0123456789ab"),
        conditions,
        (OperatorTime(name, "a", 3e-4, 1, 0.3), OperatorTime("Softmax", "s", 7e-4, 1, 0.7)),
    )


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.slow
def test_a_picture_shows_any_name(name: str, tmp_path: Path) -> None:
    import matplotlib as mpl

    with mpl.rc_context({"text.usetex": True, "text.parse_math": True}):  # a user's own settings
        picture: Picture = operators([break_down(name)])
        drawn = picture.svg()
        picture.save(tmp_path / "operators.png")
    root = ET.fromstring(drawn)
    texts = [text for element in root.iter() for text in element.itertext()]
    assert all(printable(line) == line for text in texts for line in text.split("\n"))
    assert any("@0123456789ab" in text for text in texts)  # in the legend
    assert not [e for e in root.iter() if e.tag.rpartition("}")[2] in ("script", "img")]
    plain = name if name.isprintable() else None
    assert plain is None or any(plain in text for text in texts)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Glyph")
def test_the_page_shows_any_name(tmp_path: Path) -> None:
    device = FakeDevice()
    with ProfileDatabase(tmp_path / "night.db", create=True) as database:
        for seed, name in enumerate(NAMES):
            if "\x00" in name:
                continue
            plan = Plan.sample(SPACES["mini"], 2, seed=seed, name=name, launches=3)
            device.failures[str(plan.subjects[-1])] = "crash"
            run_campaign(device, device.runtimes["fake"], RunSettings(), plan, database)
        page = write_page(tmp_path / "page.html", database=database, title=NAMES[4]).read_text()
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", page)
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "{{ 7 * 7 }}" in page
    assert "$\\frac{$" in page
    assert r"\x1b[2J" in page
