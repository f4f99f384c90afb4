from .basis import (
    Basis as Basis,
    Columns as Columns,
    FloatArray as FloatArray,
    IntArray as IntArray,
    Observations as Observations,
    Quantity as Quantity,
    Rows as Rows,
    Term as Term,
)
from .drift import Drift as Drift
from .features import (
    PADDING as PADDING,
    QUANTITIES as QUANTITIES,
    WORK_TERMS as WORK_TERMS,
    ArchitectureColumns as ArchitectureColumns,
    WorkTerm as WorkTerm,
    architecture_at as architecture_at,
    architecture_basis as architecture_basis,
    bases_of as bases_of,
    columns_of as columns_of,
    rows_of as rows_of,
)
from .fitting import (
    DEFAULT_COVERAGE as DEFAULT_COVERAGE,
    FittedModel as FittedModel,
    fit_model as fit_model,
    predict_held_out as predict_held_out,
)
from .intervals import Support as Support, interval_factor as interval_factor
from .least_squares import relative_spreads as relative_spreads, robust_scale as robust_scale
from .model import Estimates as Estimates, WorkModel as WorkModel
from .residual import (
    Residual as Residual,
    ResidualCurve as ResidualCurve,
    curve_correlation as curve_correlation,
)
