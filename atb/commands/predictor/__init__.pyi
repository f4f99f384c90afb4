from . import compare as compare, evaluate as evaluate, train as train, transfer as transfer
from .on_tables import predict_table as predict_table
