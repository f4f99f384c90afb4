"""What there is to measure on, and measuring there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from atb.api.amounts import Amount, duration_words, list_words, share_words
from atb.api.measured import DEFAULT_DATABASE, Measurements
from atb.errors import InputError, RunError

if TYPE_CHECKING:
    import pandas as pd

    from atb.models import Architecture, SearchSpace


def list_devices() -> pd.DataFrame:
    """Devices and their runtimes, a row for each pair.

    Returns:
        Columns `device`, `runtime`, `version`, `precisions`, `available` and `note`, which says
        what to install for a runtime that is absent.
    """
    import pandas as pd

    from atb.devices import list_devices as list_all

    return pd.DataFrame(
        {
            "device": entry.device,
            "runtime": entry.runtime,
            "version": entry.version,
            "precisions": " ".join(entry.precisions),
            "available": entry.available,
            "note": entry.note,
        }
        for entry in list_all()
    )


def profile(
    device: str = "local", *,
    space: str | SearchSpace = "mini", samples: int | None = None,
    architectures: Sequence[str | Architecture] = (), models: Sequence[str | Path] = (),
    db: str | Path = DEFAULT_DATABASE, runtime: str | None = None,
    precision: str | Sequence[str] = "fp32", threads: int | str | Sequence[int] = 1,
    batch: int | str | Sequence[int] = 1, sequence_length: int | str | Sequence[int] = 128,
    affinity: str | None = None, scenario: str = "hot-loop", interval: Amount | None = None,
    streams: int | str | Sequence[int] = 1, duration: Amount | None = None,
    within: Amount | None = None, budget: Amount | None = None, wait: Amount | None = None,
    until_error: Amount | None = None, name: str = "profile", cache: str = "2GB",
    new_campaign: bool = False, seed: int = 0,
) -> Measurements:  # fmt: skip
    """Measure samples of a space, given architectures or models of yours on a device.

    The same call resumes a campaign, more samples extend it. Every block is kept at once. Several
    values of a setting measure every combination of them.

    Args:
        device: Name of a device; see `atb.list_devices`.
        space: Name of a search space, a TOML file of one, or a `SearchSpace`.
        samples: Architectures of the space; 200 by default, at most 100 with `until_error`.
        architectures: What to measure in place of samples: names, text forms or as such.
        models: ONNX files of yours, or `.tflite` files for the runtime `litert`.
        db: File or URL of the database in which everything is kept.
        runtime: Name of a runtime; the device's first one by default.
        precision: `fp32`, `int8`, or both.
        threads: Threads that compute one inference; one number or several, like the next two.
        batch: Sequences in one inference.
        sequence_length: Tokens in one sequence.
        affinity: CPUs to which the worker is pinned: `0,1`, `0/1` or `clusters`.
        scenario: How inferences follow each other, such as `hot-loop` or `cold-start`.
        interval: Duration from shot to shot of `fixed-rate` and `single-shot`.
        streams: Concurrent ones of `throughput`, one number or several.
        duration: How long `sustained` lasts.
        within: Half width of the intervals at which measuring stops, a share.
        budget: Duration after which nothing is begun.
        wait: Duration for which disturbances are waited for, at most.
        until_error: Choose what to measure until predictions err by this share.
        name: Of the campaign.
        cache: Size up to which built models are kept for the next time.
        new_campaign: Whether to begin another campaign in place of going on.
        seed: Of the samples.

    Raises:
        InputError: Something given is unknown, impossible or does not go together.
        RunError: The device failed; what was measured stays.
    """
    from atb.commands import profile as command
    from atb.commands.arguments import SweepOptions

    if isinstance(architectures, str) or isinstance(models, str | Path):
        raise InputError("One architecture or model was given by itself: put it into a list.")
    subjects = command.SubjectOptions(
        samples=samples,
        arch=list(map(str, architectures)),
        model=list(map(Path, models)),
        until_error=share_words(until_error),
        **({"space": space} if isinstance(space, str) else {"members": space}),
    )
    sweep = SweepOptions(
        device=device,
        runtime=runtime,
        precision=list_words(precision),
        threads=list_words(threads),
        batch=list_words(batch),
        sequence_length=list_words(sequence_length),
        affinity=affinity,
        cache=cache,
        scenario=scenario,
        interval=duration_words(interval),
        streams=list_words(streams),
        duration=duration_words(duration),
    )
    effort = command.EffortOptions(
        within=share_words(within),
        budget=duration_words(budget),
        wait=duration_words(wait),
    )
    campaign = command.CampaignOptions(db=str(db), name=name, new_campaign=new_campaign)
    results, _ = command.measure(device, subjects, sweep, effort, campaign, seed=seed)
    found = tuple(m for result in results for m in result.measurements)
    failures = tuple(f for result in results for f in result.failures)
    if not found and failures:
        last = failures[-1]
        raise RunError(
            f"Nothing was measured, since all models failed: {last.name}: {last.cause}: "
            f"{last.detail}."
        )
    return Measurements(found, failures, str(db), tuple(results))
