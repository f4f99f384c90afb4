from collections.abc import Callable
from pathlib import Path

import pytest

from atb.devices.contract import Block
from atb.devices.fake.device import FakeDevice
from atb.devices.settings import RunSettings
from atb.models.architecture import Architecture
from atb.profiler.record import BlockRecord, Conditions


@pytest.fixture
def architecture() -> Architecture:
    return Architecture(2, 128, 4, 128, 256)


@pytest.fixture
def conditions() -> Conditions:
    device = FakeDevice()
    return Conditions.of(device, device.runtimes["fake"], RunSettings())


@pytest.fixture
def location(tmp_path: Path) -> Path:
    return tmp_path / "profile.db"


@pytest.fixture(params=["file", "server"])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place for a database: a file, and a database of a PostgreSQL server."""
    if request.param == "file":
        return str(tmp_path / "profile.db")
    url: str = request.getfixturevalue("postgresql")
    return url


@pytest.fixture
def make_block() -> Callable[..., Block]:
    def make(
        wall: tuple[float, ...],
        cpu: tuple[float, ...] | None = None,
        *,
        involuntary: tuple[int, ...] | None = None,
        voluntary: tuple[int, ...] | None = None,
    ) -> Block:
        zeros = (0,) * len(wall)
        return Block(1.0, wall, cpu or wall, voluntary or zeros, involuntary or zeros)

    return make


@pytest.fixture
def make_record(
    architecture: Architecture, make_block: Callable[..., Block]
) -> Callable[..., BlockRecord]:
    def make(launch: int, block: int, seconds: float, sentinel: float | None = None) -> BlockRecord:
        around = None if sentinel is None else make_block((sentinel,) * 5)
        return BlockRecord(architecture, launch, block, make_block((seconds,) * 5), around, around)

    return make
