"""Searching the best architecture under a latency limit, and what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from atb.api.amounts import Amount, duration_words, list_words
from atb.api.fitting import load_predictor
from atb.api.measured import DEFAULT_DATABASE
from atb.api.predicting import DEFAULT_PREDICTOR, Predictor
from atb.errors import InputError
from atb.messages import quiet_libraries

if TYPE_CHECKING:
    import pandas as pd

    from atb.commands.arguments import TargetOptions
    from atb.models import Architecture, SearchSpace
    from atb.profiler import Conditions
    from atb.search import Candidate, SearchResult
    from atb.search.scoring import ProxyName

DEFAULT_SEARCH = Path("atb-runs/search")


@dataclass(frozen=True, repr=False)
class Winner:
    """The best architecture that meets the limit, measured and ready to deploy.

    Attributes:
        candidate: What was predicted, scored and measured of it.
        limit_seconds: The limit of its latency.
        folder: Where its model lies: a transformers folder with `model.onnx`, `model.int8.onnx`.
    """

    candidate: Candidate
    limit_seconds: float
    folder: Path = field(compare=False)

    @property
    def architecture(self) -> Architecture:
        """Its shape."""
        return self.candidate.architecture

    @property
    def latency_seconds(self) -> float:
        """Its measured latency."""
        return self.candidate.latency_seconds

    @property
    def interval_seconds(self) -> tuple[float, float]:
        """Confidence interval of its measured latency."""
        return self.candidate.interval_seconds or (self.latency_seconds,) * 2

    @property
    def score(self) -> float | None:
        """What the proxy says of it; higher is better."""
        return self.candidate.proxy

    @property
    def verdict(self) -> str | None:
        """Whether its whole interval meets its limits: `met`, `uncertain` or `missed`."""
        return self.candidate.verdict(self.limit_seconds)

    def __repr__(self) -> str:
        from atb.units import format_duration

        low, high = map(format_duration, self.interval_seconds)
        return (
            f"<Winner: {self.architecture}, {format_duration(self.latency_seconds)} "
            f"({low} to {high}), limit {format_duration(self.limit_seconds)} {self.verdict}>"
        )

    def save(self, folder: str | Path) -> None:
        """Copy its model into a folder: weights, tokenizer, ONNX graphs, model card.

        Args:
            folder: Where to; made if it is missing, and files of the same names are replaced.

        Raises:
            InputError: The model is not there any more, or the folder cannot be written.
        """
        import shutil

        from atb.files import atomic_folder

        if not self.folder.is_dir():
            raise InputError(f"There is no model in {self.folder}: search again.")
        with atomic_folder(Path(folder)) as written:
            shutil.copytree(self.folder, written, dirs_exist_ok=True)


@dataclass(frozen=True, repr=False)
class SearchOutcome:
    """What a search found.

    Attributes:
        result: Everything that was scored and measured, and how.
        folder: Where it lies: `result.json` and the winner's `model`.
    """

    result: SearchResult
    folder: Path = field(compare=False)

    @property
    def winner(self) -> Winner:
        """The best that meets the limit."""
        found = self.result
        return Winner(found.winner, found.constraint_seconds, self.folder / "model")

    def __repr__(self) -> str:
        found = self.result
        return (
            f"<SearchOutcome: {found.evaluations} of {found.feasible:,} scored by {found.proxy}, "
            f"{len(found.finalists)} measured; {self.winner!r}>"
        )

    def _repr_html_(self) -> str:
        from atb.api.showing import as_html
        from atb.report.pictures import search as pictures

        return as_html(repr(self)[1:-1], pictures.search(self.result), self.to_frame())

    def to_frame(self) -> pd.DataFrame:
        """A row for each candidate, the best first: score, seconds predicted and measured."""
        import pandas as pd

        rows = []
        for candidate in self.result.candidates:
            low, high = candidate.interval_seconds or (None, None)
            rows.append(
                {
                    "architecture": str(candidate.architecture),
                    "score": candidate.proxy,
                    "predicted_seconds": candidate.predicted_seconds,
                    "measured_seconds": candidate.measured_seconds,
                    "measured_low_seconds": low,
                    "measured_high_seconds": high,
                    "generation": candidate.generation,
                    "flagged": "; ".join(candidate.flagged),
                }
            )
        return pd.DataFrame(rows)

    def save(self, folder: str | Path) -> None:
        """Copy the result and the winner's model into another folder, which `load` reads.

        Raises:
            InputError: The model is not there any more, or the folder cannot be written.
        """
        from atb.search import write_result

        self.winner.save(Path(folder) / "model")
        write_result(self.result, Path(folder) / "result.json")

    @classmethod
    def load(cls, folder: str | Path = DEFAULT_SEARCH) -> SearchOutcome:
        """Read the folder of a search.

        Raises:
            BadFile: There is no result in it, or it is damaged.
        """
        from atb.search import read_result

        return cls(read_result(Path(folder) / "result.json"), Path(folder))


def search(
    predictor: Predictor | str | Path = DEFAULT_PREDICTOR, *,
    latency: Amount | None = None, speedup: float | None = None,
    reference: str | Architecture = "bert-base",
    limits: Sequence[str] | Mapping[str, str] = (), alternatives: Sequence[str | Path] = (),
    method: str = "surrogate-evolution", space: str | SearchSpace = "mini", grid: str | None = None,
    window: tuple[float, float] | str | None = None,
    format: Literal["tinybert", "bert"] = "tinybert",  # noqa: A002
    superplm: str | Path = "mini", proxy: ProxyName | None = None,
    elastic: Sequence[str | Path] = (), held_out: str | Path | None = None,
    teacher: str | None = None, task: str | None = None, data: str | None = None,
    pairs: str | Path | None = None, bf16: bool = False, db: str | Path | None = None,
    out: str | Path = DEFAULT_SEARCH,
    generation_size: int = 25, generations: int = 4, finalists: int = 5, prune: bool = True,
    workers: int | str | None = None, budget: Amount | None = None, cache: str = "2GB",
    improve: Amount | None = None, sentences: str | Path | None = None,
    seed: int = 0,
) -> SearchOutcome:  # fmt: skip
    """Search the best architecture whose measured latency meets a limit.

    Finalists are measured where the predictor holds. The same call resumes an interrupted search.

    Args:
        predictor: One of latencies, or its file; its conditions are those of the search.
        latency: The limit, a duration, or text such as `30%` of the space.
        speedup: In place of a latency, how many times as fast as the reference.
        reference: Architecture by name or text form.
        limits: Further ones, such as `size=20MB`, or `pi4.json=40ms` by a predictor elsewhere.
        alternatives: Files of predictors of other settings; each is searched, the best wins.
        method: `random`, `fast`, `evolution`, `surrogate-evolution` or `pareto`.
        space: Name of a search space, a TOML file of one, or a `SearchSpace`.
        grid: Steps of its sizes: `search` or `paper`.
        window: Predicted latencies of candidates, as fractions of the limit.
        format: As what the winner can be exported: `tinybert` or `bert`.
        superplm: Folder of the SuperPLM, or `mini`, the bundled one.
        proxy: What scores; by default the loss that the SuperPLM allows.
        elastic: Of `task`, folders of the SuperPLM after `atb superplm finetune`.
        held_out: Of `distillation` and `mlm`, token shards on which they score.
        teacher: Of `agreement` and `distillation`, folder or name of the teacher.
        task: Of `finetune`, name of the task.
        data: Of `finetune`, folder of the task's files, or a dataset.
        pairs: Of `agreement`, a table with the columns first and second.
        bf16: Of `task` and `finetune`, matrix products in bfloat16.
        db: File or URL of the database; by default that which the predictor was fitted on.
        out: Folder for `result.json` and the winner's model.
        generation_size: Architectures in a generation.
        generations: How many generations.
        finalists: Architectures that are measured at a time.
        prune: Whether scoring stops early for what cannot become a finalist.
        workers: Processes that score, or a Ray cluster.
        budget: Duration after which no finalist is measured.
        cache: Size up to which built models are kept for the next time.
        improve: Duration for which the winner learns on before it is handed over.
        sentences: Text that it learns from then; by default the bundled English sample.
        seed: Of the search.

    Raises:
        InputError: Something given is unknown, impossible or does not go together.
        RunError: No architecture meets the limit, or the device failed.
    """
    from atb.commands import search as command
    from atb.commands.arguments import ImprovementOptions, ScoringOptions, SearchLimitOptions

    quiet_libraries()
    found = predictor if isinstance(predictor, Predictor) else load_predictor(predictor)
    wanted = SearchLimitOptions(
        latency=duration_words(latency),
        speedup=speedup,
        reference=str(reference),
        limits=_limit_words(limits),
        alternatives=list(map(str, alternatives)),
        window=None if window is None else list_words(window),
    )
    members = {"space": space} if isinstance(space, str) else {"members": space}
    candidates = command.CandidateOptions(grid=grid, layout=format, **members)
    how = command.MethodOptions(
        method=method, generation_size=generation_size, generations=generations,
        finalists=finalists, prune=prune, budget=duration_words(budget), seed=seed,
    )  # fmt: skip
    scoring = ScoringOptions(
        superplm=str(superplm),
        proxy=proxy,
        elastic=list(map(Path, elastic)),
        held_out=None if held_out is None else Path(held_out),
        teacher=teacher, task=task, data=data, bf16=bf16,
        pairs=None if pairs is None else Path(pairs),
        workers=None if workers is None else str(workers),
    )  # fmt: skip
    files = command.FileOptions(
        predictor=found.path or DEFAULT_PREDICTOR,
        db=str(db or found.db or DEFAULT_DATABASE),
        out=Path(out),
    )
    fitted = found.of_one_setting()
    options = _place_of(fitted.conditions, cache)
    text = None if sentences is None else Path(sentences)
    more = ImprovementOptions(improve=duration_words(improve), sentences=text)
    result = command.find_winner(
        wanted, candidates, how, scoring, options, files, more, fitted=fitted
    )
    return SearchOutcome(result, Path(out))


def _limit_words(limits: Sequence[str] | Mapping[str, str]) -> list[str]:
    if isinstance(limits, Mapping):
        return [f"{name}={amount}" for name, amount in limits.items()]
    return list(limits)


def _place_of(conditions: Conditions, cache: str) -> TargetOptions:
    """Where measurements under these conditions are made, in words."""
    from atb.commands.arguments import TargetOptions

    settings = conditions.settings
    return TargetOptions(
        device=conditions.device,
        runtime=conditions.runtime,
        precision=settings.precision,
        threads=settings.threads,
        batch=settings.batch,
        sequence_length=settings.sequence_length,
        affinity=None if settings.affinity is None else list_words(settings.affinity),
        cache=cache,
    )
