from . import predictor as predictor
from .tables import predict_table as predict_table
