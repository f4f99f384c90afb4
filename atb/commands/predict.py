"""`atb predict`: latencies of architectures that were not measured."""

from __future__ import annotations

from typing import Annotated

import typer

from atb.console import note, print_json, print_table
from atb.errors import InputError
from atb.options import (
    DEFAULT_PREDICTOR,
    Json,
    OneBatch,
    OneDevice,
    OnePrecision,
    OneRuntime,
    OneSequenceLength,
    OneThreads,
    PredictorFile,
)


def predict(
    architectures: Annotated[
        list[str], typer.Argument(metavar="ARCH...", help="Names or L4-H312-A12-Q312-F1200.")
    ],
    predictor: PredictorFile = DEFAULT_PREDICTOR,
    device: OneDevice = None,
    runtime: OneRuntime = None,
    precision: OnePrecision = None,
    threads: OneThreads = None,
    batch: OneBatch = None,
    sequence_length: OneSequenceLength = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show where the predicted time goes.")
    ] = False,
    json: Json = False,
) -> None:
    """Predict latencies, each with its interval."""
    from atb.models.known import resolve
    from atb.predictor.explain import explain as split
    from atb.predictor.file import load

    shapes = [resolve(text) for text in architectures]
    fitted = load(predictor)
    held = fitted.conditions.to_json()
    asked = {
        "device": device,
        "runtime": runtime,
        "precision": precision,
        "threads": threads,
        "batch": batch,
        "sequence_length": sequence_length,
    }
    for name, value in asked.items():
        if value is not None and value != held[name]:
            raise InputError(
                f"The predictor {predictor} holds for {name} {held[name]}, not {value}: "
                "fit another one with `atb profile` and `atb predictor train`."
            )
    predicted = fitted.predict_architectures(shapes)
    rows = list(
        zip(
            shapes,
            predicted.latency_seconds.tolist(),
            predicted.lower_seconds.tolist(),
            predicted.upper_seconds.tolist(),
            predicted.supported.tolist(),
            strict=True,
        )
    )
    if json:
        entries = []
        for shape, seconds, low, high, supported in rows:
            entry = {
                "architecture": str(shape),
                "latency_seconds": seconds,
                "interval_seconds": [low, high],
                "supported": supported,
            }
            if explain:
                entry["parts_seconds"] = split(fitted, shape)
            entries.append(entry)
        print_json({"conditions": held, "predictions": entries})
        return
    print_table(
        ("architecture", "latency ms", "from", "to", ""),
        [
            (
                str(shape),
                *(f"{1e3 * number:.3g}" for number in (seconds, low, high)),
                "" if supported else "outside the measured range",
            )
            for shape, seconds, low, high, supported in rows
        ],
        left=(0, 4),
    )
    if explain:
        for shape in shapes:
            typer.echo(f"\n{shape}")
            parts = split(fitted, shape)
            print_table(
                ("part", "ms"), [(name, f"{1e3 * part:.4g}") for name, part in parts.items()]
            )
    note(f"{fitted.conditions}; {fitted.coverage:.0%} of measurements lie within the interval")
