from .deployment import TaskData as TaskData, deploy as deploy
from .export import export_model as export_model, export_winner as export_winner
