"""Small searches on a simulated processor."""

from __future__ import annotations

import pytest
from search_world import World

from atb.search.constraints.candidates import Candidates
from atb.search.constraints.latency import LatencyLimit


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def candidates(world: World) -> Candidates:
    """A few hundred architectures."""
    return world.candidates(LatencyLimit(0.0021))
