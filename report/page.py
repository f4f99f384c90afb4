"""The page of a device, a predictor and a search: one HTML file with everything inside."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

import atb
from atb.errors import AtbError, BadFile, InputError
from atb.files import atomic_path
from atb.predictor import LatencyPredictor, WorkPredictor, require_conditions
from atb.profiler import Conditions, read_measurements
from atb.profiler.database import ProfileDatabase
from atb.report.baselines import baselines_of
from atb.report.held_out import unseen
from atb.report.pictures import COLOURS, DARK, Picture, numbers
from atb.report.provenance import files_of, versions
from atb.report.sections import (
    baseline_section,
    device_section,
    latency_section,
    predictor_section,
    search_section,
    winner_section,
)
from atb.search import SearchResult
from atb.text import printable_lines

_SECTIONS = (
    ("winner", "The winner"),
    ("device", "The device"),
    ("latencies", "Measured latencies"),
    ("predictor", "Predicted against measured"),
    ("search", "The search"),
    ("baselines", "Published architectures"),
    ("provenance", "Provenance"),
)


def write_page(
    out: Path,
    *,
    database: ProfileDatabase | None = None,
    conditions: Conditions | None = None,
    predictor: LatencyPredictor | None = None,
    result: SearchResult | Mapping[str, Any] | None = None,
    model: Path | None = None,
    files: Mapping[str, Path] | None = None,
    commands: Sequence[str] = (),
    title: str | None = None,
) -> Path:
    """Write the page and return its path; a section without data names what fills it.

    Args:
        out: The HTML file; replaced whole or not at all.
        database: Database of measurements and failures.
        conditions: Which of the database's; None takes the predictor's, else the most measured.
        predictor: Evaluated on what it has not seen.
        result: Result of a search, or its document.
        model: Folder of the winner: transformers files and ONNX graphs.
        files: Paths of other files by what they are called; their hashes are listed.
        commands: Commands that were run.
        title: Title of the page; None names the device.

    Raises:
        BadFile: The result's document is damaged.
        InputError: Predictor, result and conditions do not belong together.
    """
    found = _found(result)
    conditions = conditions or _choose_conditions(database, predictor, found)
    _require_one_subject(conditions, predictor, found)
    measured = read_measurements(database, conditions=conditions) if database else []
    failures = database.failures(conditions=conditions) if database else []
    held_out = () if predictor is None else unseen(predictor, measured)
    winner = found.winner if found else None
    known = baselines_of(measured, predictor, winner.latency_seconds if winner else None)
    context = {
        "title": title or _title(conditions),
        "conditions": conditions,
        "winner": winner_section(found, known, model, out.parent) if found else None,
        "device": device_section(conditions, measured, database.conditions() if database else ()),
        "measured": latency_section(measured, failures),
        "predicted": predictor_section(
            predictor, held_out, winner.architecture if winner else None
        ),
        "search": search_section(found) if found else None,
        "baselines": baseline_section(known, found),
        "provenance": {
            "commands": commands,
            "facts": _seeds(database, conditions, predictor, found),
            "versions": versions(),
            "files": files_of(_all_files(files or {}, database, model), out.parent),
        },
    }
    with atomic_path(out) as temporary:
        temporary.write_text(_render(context), "utf-8")
    return out


def _title(conditions: Conditions | None) -> str:
    if conditions is None:
        return "Small BERTs"
    processor = dict(conditions.platform).get("processor")
    return f"Small BERTs on {conditions.device}" + (f" ({processor})" if processor else "")


def _all_files(
    files: Mapping[str, Path], database: ProfileDatabase | None, model: Path | None
) -> dict[str, Path]:
    """The given ones, and those of the database, if it is a file, and of the model."""
    found = dict(files)
    if database is not None and Path(database.location).is_file():
        found["database"] = Path(database.location)
    if model is not None:
        found["model"] = model
    return found


def _found(result: SearchResult | Mapping[str, Any] | None) -> SearchResult | None:
    if result is None or isinstance(result, SearchResult):
        return result
    try:
        return SearchResult.from_json(result)
    except (AtbError, KeyError, TypeError, ValueError, IndexError) as error:
        raise BadFile(
            f"The search result is damaged ({error!r}): make it again with `atb search`."
        ) from error


def _choose_conditions(
    database: ProfileDatabase | None,
    predictor: LatencyPredictor | None,
    result: SearchResult | None,
) -> Conditions | None:
    """The result's, else the predictor's, else those of the most measurements."""
    if result is not None:
        return result.conditions
    if predictor is not None:
        return predictor.conditions
    if database is None:
        return None
    counts = Counter(m.conditions.key for m in read_measurements(database))
    return max(database.conditions(), key=lambda each: counts[each.key], default=None)


def _require_one_subject(
    conditions: Conditions | None, predictor: LatencyPredictor | None, result: SearchResult | None
) -> None:
    """Make sure that everything on the page holds under the same conditions."""
    if conditions is None:
        return
    if predictor is not None:
        require_conditions(predictor, conditions)
    if result is not None and result.conditions != conditions:
        differences = "; ".join(result.conditions.differences(conditions))
        raise InputError(
            f"The search was made under other conditions than the page is about ({differences}): "
            "write a page for each."
        )


def _seeds(
    database: ProfileDatabase | None,
    conditions: Conditions | None,
    predictor: LatencyPredictor | None,
    result: SearchResult | None,
) -> list[tuple[str, str]]:
    """Campaigns and seeds, in words."""
    facts = []
    for campaign in [] if database is None else database.campaigns():
        if campaign.conditions == conditions:
            space = f"space {campaign.space}, " if campaign.space else ""
            words = f"{space}seed {campaign.seed}, {campaign.launches} launches"
            facts.append((f"campaign {campaign.label}", words))
    if isinstance(predictor, WorkPredictor):
        facts.append(("predictor fitted on", ", ".join(predictor.summary.campaigns)))
    if result is not None:
        facts.append(("search", f"{result.method}, space {result.space}, seed {result.seed}"))
        facts.append(("finalists measured in", ", ".join(result.campaigns)))
        facts.append(("search ended by", result.ended_by))
    if conditions is not None:
        facts.append(("conditions", conditions.key))
    return facts


def _render(context: Mapping[str, Any]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        finalize=_printable,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "ms": numbers.milliseconds,
        "bare_ms": functools.partial(numbers.milliseconds, unit=False),
        "count": numbers.count,
        "size": numbers.size,
        "score": functools.partial(numbers.digits, significant=4),
        "svg": _drawn,
    }
    length = context["conditions"].settings.sequence_length if context["conditions"] else 128
    return environment.get_template("page.html").render(
        **context,
        sections=_SECTIONS,
        sequence_length=length,
        written_at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=atb.__version__,
        light=COLOURS,
        dark=DARK,
    )


def _printable(value: Any) -> Any:
    """Text of others without what turns writing around or is no character of a page."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return printable_lines(value)


def _drawn(picture: Picture) -> Markup:
    # ElementTree has escaped every text in it
    return Markup(picture.svg())  # noqa: S704
