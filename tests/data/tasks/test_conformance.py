"""Tasks of each kind keep to their contract."""

from __future__ import annotations

from pathlib import Path

import pytest
from task_files import write_glue, write_squad

from atb.data.tasks.glue import GLUE
from atb.data.tasks.squad import SQUAD
from atb.data.tasks.tasks import Task
from atb.data.testing import TaskConformance


class TestClassesOfASentence(TaskConformance):
    name = "sst2"

    def make_task(self) -> Task:
        return GLUE[self.name]

    @pytest.fixture
    def source(self, tmp_path: Path) -> str:
        return str(write_glue(tmp_path / "data", self.name))


class TestClassesOfAPair(TestClassesOfASentence):
    name = "mnli"


class TestNumbers(TestClassesOfASentence):
    name = "stsb"


class TestAnswers(TaskConformance):
    name, version = "squad1", "1.1"

    def make_task(self) -> Task:
        return SQUAD[self.name]

    @pytest.fixture
    def source(self, tmp_path: Path) -> str:
        return str(write_squad(tmp_path / "data", version=self.version))


class TestAnswersThatMayBeMissing(TestAnswers):
    name, version = "squad2", "2.0"
