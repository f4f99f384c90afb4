"""Options that stand in several commands, each declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from atb.commands.arguments import completion
from atb.text import given_text

DEFAULT_CACHE = "2GB"
DEFAULT_DATABASE = "atb-runs/profile.db"
DEFAULT_PREDICTOR = Path("atb-runs/predictor.json")
DEFAULT_SEARCH = Path("atb-runs/search")
#: Headings of the help that single options stand under.
DISTILLATION, OUTPUT, TARGET, TRAINING = "Distillation", "Output", "Target", "Training"


def _as_text(name: str | None) -> str | None:
    return None if name is None else given_text(name)


Json = Annotated[
    bool,
    Option(
        "--json",
        help="Print the result as one JSON document instead of tables.",
        rich_help_panel=OUTPUT,
    ),
]
Seed = Annotated[
    int,
    Option(
        min=0, metavar="N", help="Draw random numbers from this seed; the same seed draws the same."
    ),
]
Force = Annotated[
    bool, Option("--force", help="Accept latencies of an emulated processor, which mean little.")
]
Database = Annotated[
    str,
    Option(
        "--db",
        metavar="FILE|URL",
        help="Use this profile database: a file, or the URL of a PostgreSQL database.",
    ),
]
CampaignName = Annotated[
    str,
    Option(
        "--campaign",
        metavar="NAME",
        help="Keep the measurements under this name of a campaign.",
        callback=given_text,
    ),
]
OneCampaign = Annotated[
    str | None,
    Option(
        metavar="NAME",
        help="Use only the measurements of this campaign; by default those of all.",
        callback=_as_text,
    ),
]
OneDevice = Annotated[
    str | None,
    Option(
        metavar="NAME",
        help="Choose conditions on this device; by default on any device.",
        autocompletion=completion.devices_and_known,
    ),
]
PredictorFile = Annotated[
    Path, Option("--predictor", metavar="FILE", help="Use the latency predictor in this file.")
]
PredictorOutput = Annotated[
    Path,
    Option(
        "--out",
        metavar="FILE",
        help="Write the predictor to this file, as JSON.",
        rich_help_panel=OUTPUT,
    ),
]
Coverage = Annotated[
    str, Option(help="Make intervals that hold this share of new measurements, in percent.")
]
SpaceName = Annotated[
    str,
    Option(
        metavar="NAME",
        help="Take architectures of this space: a name of `atb space list`, or a TOML file.",
        autocompletion=completion.spaces,
    ),
]
SuperPLMFolder = Annotated[
    str,
    Option(
        "--superplm",
        metavar="DIR",
        help="Cut models out of the SuperPLM in this folder; `mini` is bundled.",
    ),
]
SuperPLMArgument = Annotated[
    str, Argument(metavar="SUPERPLM", help="The folder of a SuperPLM; `mini` is bundled.")
]
SuperPLMOutput = Annotated[
    Path,
    Option(
        "--out", metavar="DIR", help="Write the SuperPLM to this folder.", rich_help_panel=OUTPUT
    ),
]
ArchitectureArgument = Annotated[
    str,
    Argument(
        metavar="ARCH",
        help="A name of `atb space list`, or a shape such as L4-H312-A12-Q312-F1200.",
        autocompletion=completion.architectures,
    ),
]
ModelFolder = Annotated[
    Path,
    Option("--out", metavar="DIR", help="Write the model to this folder.", rich_help_panel=OUTPUT),
]

# Where and how inference runs.
DeviceName = Annotated[
    str,
    Option(
        "--device",
        metavar="NAME",
        help="Run on this device, a name of `atb devices list`.",
        autocompletion=completion.devices,
        rich_help_panel=TARGET,
    ),
]
RuntimeName = Annotated[
    str | None,
    Option(
        "--runtime",
        metavar="NAME",
        help="Run with this runtime; by default the first one that the device has.",
        autocompletion=completion.runtimes,
        rich_help_panel=TARGET,
    ),
]
Precision = Annotated[
    str,
    Option(
        metavar="fp32|int8",
        help="Compute in this numeric precision.",
        autocompletion=completion.precisions,
        rich_help_panel=TARGET,
    ),
]
Threads = Annotated[
    int, Option(help="Compute one inference with this many threads.", rich_help_panel=TARGET)
]
CacheSize = Annotated[
    str,
    Option(
        "--cache",
        metavar="SIZE",
        help="Keep built models up to this size for the next run; 0 keeps none. The folder is "
        "~/.cache/autotinybert/artefacts, or the one in ATB_CACHE.",
        rich_help_panel=TARGET,
    ),
]

# Token shards and tasks.
HeldOutShards = Annotated[
    Path | None,
    Option(
        "--held-out",
        metavar="SHARDS",
        help="Score `distillation` and `mlm` on these token shards, made with the SuperPLM's "
        "vocabulary; by default on the bundled English sample.",
    ),
]
ScoringTeacher = Annotated[
    str | None,
    Option(
        "--teacher",
        metavar="DIR|NAME",
        help="Score `agreement` and `distillation` against this teacher; by default the one that "
        "the SuperPLM's card names, or the whole SuperPLM if that one is missing.",
    ),
]
SentencePairsFile = Annotated[
    Path | None,
    Option(
        "--pairs",
        metavar="FILE",
        help="Tell agreement with the teacher on these sentence pairs, a CSV or TSV file with the "
        "columns first, second and maybe score; by default on the bundled English pairs.",
    ),
]
TaskName = Annotated[
    str,
    Option("--task", metavar="TASK", help="Learn this task: one of GLUE (cola, ...) or of SQuAD "
           "(squad1, squad2)."),
]  # fmt: skip
TaskRows = Annotated[
    str,
    Option(
        "--data",
        metavar="DIR|hf:NAME",
        help="Read the task's rows here: a folder of its published files, or a dataset such as "
        "hf:nyu-mll/glue.",
    ),
]
SequenceLengthOfTask = Annotated[
    int | None,
    Option(
        "--sequence-length", help="Cut rows to this many tokens; by default the task's own number."
    ),
]
VocabularyPath = Annotated[
    Path | None,
    Option(
        "--vocabulary",
        metavar="PATH",
        help="Split words by this WordPiece vocabulary: a vocab.txt, a tokenizer.json, or the "
        "folder of a model or tokenizer; by default BERT's English one.",
    ),
]
Cased = Annotated[
    bool, Option("--cased", help="Keep upper case and accents, for a cased vocabulary.")
]
TorchThreads = Annotated[
    int | None,
    Option("--threads", min=1, help="Compute with this many threads; by default PyTorch chooses."),
]
Bfloat16 = Annotated[
    bool,
    Option(
        "--bf16", help="Compute matrix products in bfloat16, which is faster on new processors."
    ),
]

# A table of any measurements in place of a database.
TableFile = Annotated[
    Path | None,
    Option(
        metavar="FILE",
        help="Read this table of measurements, delimited text or Parquet; by default none.",
        rich_help_panel="Table",
    ),
]
Order = Annotated[
    str | None,
    Option(
        metavar="rows|COLUMN",
        help="Take the time of each row's measurement from the order of `rows` or from a column, "
        "to separate drift of the device; by default drift is not looked for.",
        rich_help_panel="Table",
    ),
]
MeasuringBudget = Annotated[
    str | None,
    Option(
        "--budget",
        metavar="10min",
        help="Measure finalists for at most this time, and decide by what is known then; "
        "without it there is no limit.",
    ),
]
