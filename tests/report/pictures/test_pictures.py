from __future__ import annotations

import dataclasses
import re
import xml.etree.ElementTree as ET

import matplotlib as mpl
import numpy as np
import pytest

from atb.models.architecture import Architecture
from atb.models.published import PUBLISHED
from atb.profiler.measurements import read_measurements
from atb.report.baselines import Baseline
from atb.report.held_out import UnseenPredictions
from atb.report.pictures import pictures, search as search_pictures
from atb.report.pictures.baselines import baseline_latencies
from atb.report.pictures.drawing import in_both_widths, robust_range
from atb.report.pictures.search import shapes
from atb.report.pictures.style import COLOURS, DARK
from atb.report.pictures.svg import Picture
from atb.search.result import SearchResult
from tests.report.conftest import Run


def fit_of(predicted: list[float]) -> UnseenPredictions:
    shapes = tuple(PUBLISHED.values())[: len(predicted)]
    return UnseenPredictions(
        shapes, tuple(np.linspace(1e-3, 2e-3, len(predicted))), tuple(predicted), "held out"
    )


@pytest.fixture(scope="module")
def every(run: Run) -> list[Picture]:
    measured = read_measurements(run.database)
    fits = [fit_of([1e-3, 1.6e-3, 2e-3]), fit_of([1.1e-3, 2e-3])]
    rows = [Baseline(("a",), PUBLISHED["s4"], 5e-3, (4e-3, 6e-3), "predicted")]
    found = [
        pictures.latencies(measured),
        pictures.sentinel(measured),
        pictures.predictions(fits),
        pictures.work({"projections": 2e-3, "learned residual": -1e-4}),
        search_pictures.search(run.result),
        search_pictures.progress(run.result),
        shapes(run.result),
        baseline_latencies(rows, None, None),
    ]
    return [picture for picture in found if picture is not None]


@pytest.fixture(scope="module")
def drawings(every: list[Picture]) -> dict[str, str]:
    """Each picture's SVG by its name."""
    return {picture.name: picture.svg() for picture in every}


def test_every_picture_is_a_titled_drawing_with_labelled_axes(
    every: list[Picture], drawings: dict[str, str]
) -> None:
    assert len(every) == 8
    for picture in every:
        root = ET.fromstring(drawings[picture.name])
        assert root.tag == "svg"
        assert root.get("role") == "img"
        assert root.get("aria-label") == picture.description
        for axes in picture.figure.axes:
            assert axes.get_xlabel()


def test_every_time_axis_names_its_unit(every: list[Picture]) -> None:
    labels = [
        label
        for picture in every
        for axes in picture.figure.axes
        for label in (axes.get_xlabel(), axes.get_ylabel())
        if "atency" in label and "%" not in label
    ]
    assert len(labels) >= 5
    assert all(label.endswith("(ms)") for label in labels)


def test_ids_are_unique_over_the_pictures_and_all_references_resolve(
    drawings: dict[str, str],
) -> None:
    ids: list[str] = []
    assert len(drawings) == 8
    for svg in drawings.values():
        own = re.findall(r' id="([^"]+)"', svg)
        used = re.findall(r'href="#([^"]+)"', svg) + re.findall(r"url\(#([^)]+)\)", svg)
        assert set(used) == set(own)
        ids += own
    assert len(ids) == len(set(ids))


def test_colours_follow_the_page_in_light_and_dark(drawings: dict[str, str]) -> None:
    assert set(COLOURS) == set(DARK)
    assert len(set(COLOURS.values())) == len(COLOURS)
    for name, svg in drawings.items():
        colours = set(re.findall(r"(?<!, )#[0-9a-f]{6}\b", svg))
        assert colours == set(), f"{name} has fixed colours"


def test_nothing_global_is_left_changed(run: Run) -> None:
    before = dict(mpl.rcParams)
    picture = search_pictures.search(run.result)
    picture.svg()
    assert dict(mpl.rcParams) == before


def test_measured_latencies_lie_inside_the_axes_in_milliseconds(run: Run) -> None:
    measured = read_measurements(run.database)
    axes = pictures.latencies(measured).figure.axes[0]
    milliseconds = [1e3 * m.latency_seconds for m in measured]
    low, high = axes.get_ylim()
    assert low < min(milliseconds)
    assert max(milliseconds) < high
    drawn = np.concatenate([line.get_ydata() for line in axes.lines])
    assert sorted(drawn) == pytest.approx(sorted(milliseconds))
    assert {line.get_gid() for line in axes.lines} == {"latency-measured", "latency-flagged"}


def test_every_point_tells_which_architecture_it_is(run: Run) -> None:
    measured = read_measurements(run.database)
    svg = pictures.latencies(measured).svg()
    titles = re.findall(r"<title>([^<]+)</title>", svg)
    assert len(titles) == len(measured)
    assert all(any(t.startswith(f"{m.architecture}: ") for t in titles) for m in measured)


def test_predictions_and_identity_share_one_square_range() -> None:
    axes = pictures.predictions([fit_of([1e-3, 1.5e-3, 2.4e-3])]).figure.axes[0]
    assert axes.get_xlim() == axes.get_ylim()
    assert axes.get_xlim()[0] < 1.0
    assert axes.get_xlim()[1] > 2.4


def test_the_error_histogram_counts_every_prediction() -> None:
    fit = fit_of([1.2e-3, 1.5e-3, 1.7e-3])
    axes = pictures.predictions([fit]).figure.axes[1]
    assert sum(bar.get_height() for bar in axes.patches if bar.get_height() >= 1) >= len(fit)
    assert axes.get_xlim()[1] >= 100 * fit.errors.max()


def test_a_fit_knows_its_errors() -> None:
    fit = fit_of([1.02e-3, 1.5e-3, 1.8e-3])
    assert fit.errors == pytest.approx([0.02, 0.0, -0.1])
    assert fit.evaluation.mape == pytest.approx(0.04)
    assert fit.evaluation.within_5 == pytest.approx(2 / 3)
    assert fit.evaluation.spearman == pytest.approx(1.0)
    assert np.isnan(fit_of([1e-3]).evaluation.spearman)


def test_the_search_shows_window_limit_and_winner(run: Run) -> None:
    axes = search_pictures.search(run.result).figure.axes[0]
    labels = [text.get_text() for text in axes.figure.legends[0].get_texts()]
    assert "window of the search" in labels
    assert "winner" in labels
    assert "limit 6.00\N{NO-BREAK SPACE}ms" in labels
    star = next(line for line in axes.lines if line.get_marker() == "*")
    winner = run.result.winner
    assert star.get_xdata() == pytest.approx([1e3 * winner.latency_seconds])
    assert star.get_ydata() == pytest.approx([winner.proxy])


def test_the_best_so_far_never_falls_and_ends_at_the_best_score(run: Run) -> None:
    picture = search_pictures.progress(run.result)
    assert picture is not None
    line = next(line for line in picture.figure.axes[0].lines if line.get_label()[:4] == "best")
    best = np.asarray(line.get_ydata())
    assert (np.diff(best) >= 0).all()
    assert best[-1] == pytest.approx(max(c.proxy or -np.inf for c in run.result.candidates))
    assert line.get_xdata()[-1] == len(run.result.candidates)


def test_a_search_of_one_generation_has_no_progress_to_show(run: Run) -> None:
    one = tuple(dataclasses.replace(c, generation=1) for c in run.result.candidates)
    assert search_pictures.progress(dataclasses.replace(run.result, candidates=one)) is None


def test_a_search_of_one_unmeasured_candidate_can_be_drawn(run: Run) -> None:
    only = dataclasses.replace(run.result.winner, measured_seconds=None, interval_seconds=None)
    lonely = dataclasses.replace(run.result, candidates=(only,), winner=only)
    assert search_pictures.search(lonely).svg().startswith("<svg")


def test_a_single_measurement_can_be_drawn(run: Run) -> None:
    assert pictures.latencies(read_measurements(run.database)[:1]).svg().startswith("<svg")


def test_baselines_are_ranked_and_say_how_they_are_known() -> None:
    rows = [
        Baseline((name,), Architecture(2, 128, 2, 128, 512), seconds, None, basis)
        for name, seconds, basis in (
            ("slow", 9e-3, "extrapolated"),
            ("fast", 1e-3, "measured"),
            ("middle", 3e-3, "predicted"),
        )
    ]
    winner = Baseline(("winner",), PUBLISHED["s4"], 2e-3, (1.9e-3, 2.1e-3), "measured")
    axes = baseline_latencies(rows, winner, 4e-3).figure.axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["fast", "winner", "middle", "slow"]
    hollow = {
        int(line.get_ydata()[0]): line.get_markerfacecolor() == COLOURS["paper"]
        for line in axes.lines
        if line.get_marker() == "o"
    }
    assert hollow == {0: False, 1: False, 2: True, 3: True}


def test_negligible_parts_of_a_prediction_are_drawn_as_one() -> None:
    parts = {"projections": 2e-3, "feed-forward": 1e-3, "pooler": 1e-9, "fixed": -2e-9}
    axes = pictures.work(parts).figure.axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["projections", "feed-forward", "2 others"]
    widths = [bar.get_width() for bar in axes.patches]
    assert sum(widths) == pytest.approx(1e3 * sum(parts.values()))


def test_shapes_have_a_line_for_each_candidate_and_the_winner_on_top(run: Run) -> None:
    picture = shapes(run.result)
    assert picture is not None
    lines = [line for line in picture.figure.axes[0].lines if len(line.get_xdata()) > 2]
    scored = [c for c in run.result.candidates if c.proxy is not None]
    assert len(lines) == len(scored) + 1
    assert lines[-1].get_linewidth() > lines[0].get_linewidth()
    assert shapes(dataclasses.replace(run.result, candidates=(run.result.winner,))) is None


def with_scores(result: SearchResult, *, far: float) -> SearchResult:
    """A result of fifteen candidates, one of which was scored far from the others."""
    scored = [c for c in result.candidates if c.proxy is not None and c.measured_seconds is None]
    last = dataclasses.replace(scored[-1], proxy=far)
    kept = [c for c in result.candidates if c is not scored[-1]]
    return dataclasses.replace(result, candidates=(*kept, last))


def test_one_candidate_far_out_does_not_squeeze_the_others_and_is_named(run: Run) -> None:
    result = with_scores(run.result, far=-1e4)
    others = [c.proxy for c in result.candidates[:-1] if c.proxy is not None]
    for draw in (search_pictures.search, search_pictures.progress):
        picture = draw(result)
        assert picture is not None
        (axes,) = picture.figure.axes
        low, high = axes.get_ylim()
        assert min(others) - low < max(others) - min(others)
        assert low < min(others) < max(others) < high
        svg = picture.svg()
        assert f"{result.candidates[-1].architecture}: " in "".join(
            text.get_text() for text in axes.texts
        )
        assert len(re.findall(r"<title>", svg)) == len(result.candidates)
    drawn = shapes(result)
    assert drawn is not None
    assert any(text.get_text().startswith("≤ ") for text in drawn.figure.axes[0].texts)


def test_a_finalist_that_took_thirty_times_as_long_does_not_squeeze_the_latencies(
    run: Run,
) -> None:
    slow = next(c for c in run.result.finalists if c != run.result.winner)
    candidates = tuple(
        dataclasses.replace(c, measured_seconds=0.18, interval_seconds=(0.17, 0.19))
        if c is slow
        else c
        for c in run.result.candidates
    )
    picture = search_pictures.search(dataclasses.replace(run.result, candidates=candidates))
    (axes,) = picture.figure.axes
    assert axes.get_xlim()[1] < 8
    assert f"{slow.architecture}: 180\u00a0ms" in [text.get_text() for text in axes.texts]


@pytest.mark.parametrize(
    ("values", "keep", "expected"),
    [
        ([1, 2, 3, 4, 5, 900], (), (1, 5)),
        ([1, 2, 3, 4, 5, 900], (700,), (1, 900)),  # nothing is gained
        ([-900, 1, 2, 3, 4, 5, 900], (6,), (1, 6)),
        ([1, 2, 3, 4, 5, 9], (), (1, 9)),
        ([1, 1, 1, 1, 2], (), (1, 2)),
        ([1, 900], (), (1, 900)),
        ([3], (), (3, 3)),
    ],
)
def test_an_axis_leaves_out_only_what_would_squeeze_it(
    values: list[float], keep: tuple[float, ...], expected: tuple[float, float]
) -> None:
    assert robust_range(values, keep) == expected


def contrast(first: str, second: str) -> float:
    """The contrast of two colours by WCAG 2."""

    def luminance(colour: str) -> float:
        parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colours", [COLOURS, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("ground", ["paper", "panel"])
def test_text_and_what_is_drawn_stand_out(colours: dict[str, str], ground: str) -> None:
    for role in ("ink", "muted", "blue", "green", "warning"):
        assert contrast(colours[role], colours[ground]) >= 4.5, role
    for role in ("orange", "grey"):
        assert contrast(colours[role], colours[ground]) >= 3, role


def test_the_narrow_drawing_has_a_name_of_its_own_and_stacks_its_panels(run: Run) -> None:
    measured = read_measurements(run.database)
    wide, narrow = in_both_widths(pictures.latencies, measured)
    assert (wide.name, narrow.name) == ("latencies", "latencies-narrow")
    assert wide.figure.get_figwidth() > 1.8 * narrow.figure.get_figwidth()
    ids = [set(re.findall(r' id="([^"]+)"', picture.svg())) for picture in (wide, narrow)]
    assert ids[0].isdisjoint(ids[1])
    for picture, rows in ((wide, 1), (narrow, 2)):
        grids = [axes.get_subplotspec().get_gridspec() for axes in picture.figure.axes]
        assert [grid.nrows for grid in grids] == [rows, rows]
    assert in_both_widths(lambda width_inches: None) == ()
