"""Small searches on a simulated processor, whose winners are exported."""

from __future__ import annotations

import pytest
from search_world import World


@pytest.fixture
def world() -> World:
    return World()
