"""`atb predict`: latencies of architectures that were not measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
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
        bool,
        typer.Option(
            "--explain",
            help="Show where the predicted time goes, and what a smaller dimension would save.",
        ),
    ] = False,
    picture: Annotated[
        Path | None,
        typer.Option("--picture", metavar="FILE", help="Draw --explain of one, PNG or SVG."),
    ] = None,
    json: Json = False,
) -> None:
    """Predict latencies, each with its interval."""
    from atb.models.known import resolve
    from atb.predictor.explain import explain as split
    from atb.predictor.explain import shrink
    from atb.predictor.file import load

    shapes = [resolve(text) for text in architectures]
    _check_picture(picture, explain=explain, count=len(shapes))
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
    if picture is not None:
        _draw(split(fitted, shapes[0]), picture)
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
                entry["shrinking"] = [asdict(found) for found in shrink(fitted, shape)]
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
                ("part", "us"), [(name, f"{1e6 * part:.1f}") for name, part in parts.items()]
            )
            print_table(
                ("smaller", "from", "to", "saves us", "saves %"),
                [
                    (
                        s.dimension,
                        str(s.before),
                        str(s.after),
                        f"{1e6 * s.saved_seconds:.1f}",
                        f"{100 * s.saved_seconds / sum(parts.values()):.1f}",
                    )
                    for s in shrink(fitted, shape)
                ],
            )
    note(f"{fitted.conditions}; {fitted.coverage:.0%} of measurements lie within the interval")


def _check_picture(picture: Path | None, *, explain: bool, count: int) -> None:
    from atb.files import prepare_output

    if picture is None:
        return
    if not explain or count != 1:
        raise InputError("--picture draws --explain of one architecture: give both, and just one.")
    if picture.suffix not in (".png", ".svg"):
        raise InputError(f"--picture is {picture}: give a .png or a .svg file.")
    prepare_output(picture)


def _draw(parts: Mapping[str, float], path: Path) -> None:
    from atb.files import atomic_path
    from atb.report.pictures import work

    with atomic_path(path) as temporary:
        work(parts).save(temporary)
