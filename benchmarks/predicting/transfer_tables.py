"""A new device from ten measurements: on HAT's published files, each from the three others.

Twenty random draws of ten rows for each file; judged by 200 rows held out of all. Beside it what a
fit on 1,600 rows of the new device itself reaches, and a rescale of the nearest known device by two
factors, one for what hangs on the encoder alone and one for the rest. Every file is a device of its
own: labels of held-out rows are used for judging only.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from atb.predictor.evaluation import Evaluation
from atb.predictor.fitting.basis import Basis, FloatArray, Observations
from atb.predictor.fitting.fitting import fit_model
from atb.predictor.fitting.model import Estimates, WorkModel
from atb.predictor.tables.table import Feature, table_basis
from atb.predictor.transfer import transfer_model
from benchmarks.predicting.errors import mean_of
from benchmarks.predicting.public_tables import hat_table
from benchmarks.shared.record import machine, write_result

DRAWS, FULL_DRAWS, SAMPLES, TESTED = 20, 5, 10, 200


def two_factors(
    source: WorkModel, basis: Basis, few: Observations, unseen: Observations
) -> tuple[FloatArray, float]:
    """Seconds of unseen rows, and the error on the few by which the nearest source is chosen."""
    from scipy.optimize import nnls

    encoder = np.array(["decoder" not in term.name for term in basis.terms])

    def parts(rows: Any) -> FloatArray:
        amounts = basis.amounts(rows) * source.coefficients
        return np.stack([amounts[:, encoder].sum(1), amounts[:, ~encoder].sum(1)], axis=1)

    factors, _ = nnls(parts(few.rows) / few.values[:, None], np.ones(len(few)))
    error = float(np.mean(np.abs(parts(few.rows) @ factors / few.values - 1)))
    return np.asarray(parts(unseen.rows) @ factors), error


def plain(observed: Observations, index: Any) -> Observations:
    """Some rows without their order."""
    found = observed.take(index)
    return Observations(found.rows, found.values, found.half_widths)


def judge(
    target: str,
    observed: dict[str, Observations],
    models: dict[str, WorkModel],
    basis: Basis,
) -> dict[str, Any]:
    """All figures of one new device; its own model is not looked at."""
    known = [model for name, model in models.items() if name != target]
    ours, factors, full, covered = [], [], [], []
    for draw in range(DRAWS):
        order = np.random.default_rng(draw).permutation(len(observed[target]))
        unseen = plain(observed[target], order[:TESTED])
        few = plain(observed[target], order[TESTED : TESTED + SAMPLES])
        found = transfer_model(known, basis, few, coverage=0.9).model.estimate(unseen.rows)
        ours.append(Evaluation.of(found, unseen.values))
        covered.append(ours[-1].interval_coverage)
        rescaled = min(
            (two_factors(source, basis, few, unseen) for source in known), key=lambda r: r[1]
        )[0]
        everywhere = np.ones(len(rescaled), dtype=np.bool_)
        factors.append(
            Evaluation.of(Estimates(rescaled, rescaled, rescaled, everywhere), unseen.values)
        )
        if draw < FULL_DRAWS:
            rest = plain(observed[target], order[TESTED : TESTED + 1600])
            model = fit_model([basis], rest, np.random.default_rng(draw)).model
            full.append(Evaluation.of(model.estimate(unseen.rows), unseen.values))
    transferred, fitted = mean_of(ours), mean_of(full)
    return {
        "transferred": {**transferred, "interval_coverage": round(float(np.mean(covered)), 3)},
        "two_factors": mean_of(factors),
        "fitted_on_1600": fitted,
        "mape_over_fitted": round(transferred["mape"] / fitted["mape"], 3),
    }


def main() -> None:
    """Each file from the others."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--latencies", type=Path, required=True, help="Folder that holds hat/.")
    folder: Path = parser.parse_args().latencies
    started = machine()
    tables = {p.stem.removesuffix("_all"): hat_table(p) for p in sorted((folder / "hat").glob("*"))
              if p.suffix == ".csv"}  # fmt: skip
    features = next(iter(tables.values())).features
    basis = table_basis([Feature(name) for name in features], 2)
    observed = {name: table.observed for name, table in tables.items()}
    models = {
        name: fit_model([basis], o, np.random.default_rng(0)).model for name, o in observed.items()
    }
    figures: dict[str, Any] = {}
    for name in observed:
        figures[name] = judge(name, observed, models, basis)
        print(name, figures[name], flush=True)
    print(f"written: {write_result('transfer_tables', {'files': figures}, started)}")


if __name__ == "__main__":
    main()
