from .evaluation import (
    Evaluation as Evaluation,
    evaluate as evaluate,
    evaluate_rows as evaluate_rows,
)
from .unseen import (
    Unseen as Unseen,
    can_be_held_out as can_be_held_out,
    learnt_from as learnt_from,
    predict_unseen as predict_unseen,
)
