"""The fixed words of the command line, each written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from atb.commands.arguments import completion
from atb.text import given_text

DEFAULT_DATABASE = "atb-runs/profile.db"
DEFAULT_PREDICTOR = Path("atb-runs/predictor.json")
DEFAULT_SEARCH = Path("atb-runs/search")


def _as_text(name: str | None) -> str | None:
    return None if name is None else given_text(name)


Database = Annotated[str, typer.Option("--db", metavar="FILE|URL", help="The profile database.")]
PredictorFile = Annotated[
    Path, typer.Option("--predictor", metavar="FILE", help="A fitted predictor.")
]
PredictorChoice = Annotated[
    Path | None,
    typer.Option(
        "--predictor",
        metavar="FILE",
        help="A fitted predictor.",
        show_default=f"{DEFAULT_PREDICTOR}, or that of the known --device",
    ),
]
SuperPLMFolder = Annotated[
    str,
    typer.Option(
        "--superplm", metavar="DIR", help="A SuperPLM folder, or `mini`: the bundled one."
    ),
]
HeldOutShards = Annotated[
    Path | None,
    typer.Option(
        "--held-out",
        metavar="SHARDS",
        help="Token shards on which distillation and mlm score, made with the SuperPLM's "
        "vocabulary; by default the shipped English sample.",
    ),
]
TeacherFolder = Annotated[
    str | None,
    typer.Option(
        "--teacher",
        metavar="DIR|NAME",
        help="The teacher against which distillation scores; by default the one that the "
        "SuperPLM's card names, or the SuperPLM's own whole where that is not to be had.",
    ),
]
DeviceName = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="NAME",
        help="See `atb devices list`.",
        autocompletion=completion.devices,
    ),
]
RuntimeName = Annotated[
    str | None,
    typer.Option(
        "--runtime",
        metavar="NAME",
        help="The device's first one by default.",
        autocompletion=completion.runtimes,
    ),
]
Precision = Annotated[
    str, typer.Option("--precision", metavar="fp32|int8", autocompletion=completion.precisions)
]
Threads = Annotated[int, typer.Option("--threads", help="Threads that compute one inference.")]
Batch = Annotated[int, typer.Option("--batch", help="Sequences in one inference.")]
SequenceLength = Annotated[int, typer.Option("--sequence-length", help="Tokens in one sequence.")]
Affinity = Annotated[
    str | None,
    typer.Option("--affinity", metavar="CPUS", help="Pin the worker to CPUs, such as 0,1."),
]
DEFAULT_CACHE = "2GB"
CacheSize = Annotated[
    str,
    typer.Option(
        "--cache",
        metavar="SIZE",
        help="Keep what took long to build for the next time, up to so much; 0 keeps nothing. It "
        "lies in ~/.cache/autotinybert/artefacts, or where ATB_CACHE says.",
    ),
]
# The same words where every value of a list is measured.
Precisions = Annotated[
    str, typer.Option("--precision", metavar="fp32,int8", autocompletion=completion.precisions)
]
ThreadCounts = Annotated[
    str, typer.Option("--threads", metavar="1,2", help="Threads that compute one inference.")
]
Batches = Annotated[str, typer.Option("--batch", metavar="1,8", help="Sequences in one inference.")]
SequenceLengths = Annotated[
    str, typer.Option("--sequence-length", metavar="32,128", help="Tokens in one sequence.")
]
Affinities = Annotated[
    str | None,
    typer.Option(
        "--affinity",
        metavar="CPUS",
        help="CPUs of the device that the worker is pinned to: 0,1 together, 0/1 one after the "
        "other, `clusters` one group of equally fast CPUs after the other; none by default.",
    ),
]
SpaceName = Annotated[
    str,
    typer.Option(
        "--space",
        metavar="NAME",
        help="See `atb space list`, or a TOML file.",
        autocompletion=completion.spaces,
    ),
]
Seed = Annotated[int, typer.Option("--seed", min=0)]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]

# The same words where they choose among what a file holds: nothing is chosen by default.
OneDevice = Annotated[
    str | None,
    typer.Option("--device", metavar="NAME", autocompletion=completion.devices_and_known),
]
OneRuntime = Annotated[
    str | None, typer.Option("--runtime", metavar="NAME", autocompletion=completion.runtimes)
]
OnePrecision = Annotated[
    str | None,
    typer.Option("--precision", metavar="fp32|int8", autocompletion=completion.precisions),
]
OneThreads = Annotated[int | None, typer.Option("--threads")]
OneBatch = Annotated[int | None, typer.Option("--batch")]
OneSequenceLength = Annotated[int | None, typer.Option("--sequence-length")]
OneCampaign = Annotated[
    str | None,
    typer.Option(
        "--campaign", metavar="NAME", help="Only the measurements of one.", callback=_as_text
    ),
]
CampaignName = Annotated[
    str, typer.Option("--campaign", help="Name of the campaign.", callback=_as_text)
]
Force = Annotated[
    bool, typer.Option("--force", help="Take latencies of an emulated processor all the same.")
]

# A table of anybody's numbers in place of a database.
TableFile = Annotated[
    Path | None,
    typer.Option(
        "--table",
        metavar="FILE",
        help="A table of measurements, delimited text or Parquet, that takes the place of --db.",
    ),
]
TargetColumn = Annotated[
    str | None, typer.Option("--target", metavar="COLUMN", help="The column of --table to predict.")
]
Features = Annotated[
    str | None,
    typer.Option(
        "--features",
        metavar="a,b,c",
        help="The columns to predict from; every other column of numbers by default.",
    ),
]
Order = Annotated[
    str | None,
    typer.Option(
        "--order",
        metavar="rows|COLUMN",
        help="When each row was measured, so that a drifting device is told from its work.",
    ),
]
Latency = Annotated[
    str | None,
    typer.Option(
        "--latency",
        metavar="10ms",
        help="The limit as a time, or as what a share of the space keeps: 30%.",
    ),
]
Speedup = Annotated[
    float | None,
    typer.Option("--speedup", metavar="7", help="The limit as a speed-up over --reference."),
]
Reference = Annotated[
    str,
    typer.Option(
        "--reference",
        metavar="ARCH",
        help="Measured first, on the same device.",
        autocompletion=completion.architectures,
    ),
]
MeasuringBudget = Annotated[
    str | None,
    typer.Option(
        "--budget",
        metavar="10min",
        help="Time for measuring finalists; where it is spent, what is known by then decides.",
    ),
]
