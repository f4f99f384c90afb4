from .elastic import (
    ElasticSettings as ElasticSettings,
    TaskScorer as TaskScorer,
    elastic_scorer as elastic_scorer,
    finetune_elastic as finetune_elastic,
    task_of as task_of,
)
from .finetuning import REPORT as REPORT, fine_tune as fine_tune, read_report as read_report
from .full_finetuning import FullFineTuning as FullFineTuning
from .settings import FineTuning as FineTuning, with_changes as with_changes
from .task_learning import (
    TaskLearning as TaskLearning,
    TaskRows as TaskRows,
)
from .task_model import TaskModel as TaskModel
from .task_names import find_task as find_task
