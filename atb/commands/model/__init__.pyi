from . import model as model
from .finetune import TaskData as TaskData, TaskName as TaskName, note_remark as note_remark
