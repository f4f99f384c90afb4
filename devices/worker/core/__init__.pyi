from .inputs import make_inputs as make_inputs
from .interface import (
    Arrays as Arrays,
    Input as Input,
    Model as Model,
    ModelClass as ModelClass,
    ModelFile as ModelFile,
    Operator as Operator,
    WorkerError as WorkerError,
)
