from .checksum import (
    LATENCY_PREDICTOR as LATENCY_PREDICTOR,
    PREDICTOR_FORMAT as PREDICTOR_FORMAT,
    read_checksummed as read_checksummed,
)
from .evaluation import (
    Evaluation as Evaluation,
    Unseen as Unseen,
    can_be_held_out as can_be_held_out,
    evaluate as evaluate,
    evaluate_rows as evaluate_rows,
    learnt_from as learnt_from,
    predict_unseen as predict_unseen,
)
from .explanation import explain as explain, savings as savings
from .family import FamilyPredictor as FamilyPredictor, fit_family as fit_family
from .file import (
    document_of as document_of,
    kind_of as kind_of,
    load as load,
    load_family as load_family,
    load_table_predictor as load_table_predictor,
    predictor_of as predictor_of,
    save as save,
)
from .latency_fit import fit as fit, fit_judged as fit_judged, held_out_seconds as held_out_seconds
from .predictor import (
    ExactPredictor as ExactPredictor,
    LatencyPredictor as LatencyPredictor,
    Prediction as Prediction,
    WorkPredictor as WorkPredictor,
    require_conditions as require_conditions,
)
from .summary import TrainingSummary as TrainingSummary
from .training_set import (
    LEAST_ROWS as LEAST_ROWS,
    TrainingSet as TrainingSet,
    refuse_emulated as refuse_emulated,
)
from .transfer import LEAST_SAMPLES as LEAST_SAMPLES, transfer_predictor as transfer_predictor
