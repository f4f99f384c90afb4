from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from atb.devices.settings import RunSettings
from atb.errors import BadFile, InputError
from atb.profiler.database import ProfileDatabase
from atb.report.page import write_page
from atb.search.result import Weighed
from tests.report.conftest import HOSTILE, Run

#: Campaigns and processes of several seconds each.
pytestmark = pytest.mark.slow

SECTIONS = ("winner", "device", "latencies", "predictor", "search", "neighbours", "provenance")
PICTURES = 8


def whole_page(run: Run, folder: Path) -> Path:
    model = folder / "model"
    model.mkdir(exist_ok=True)
    for name in ("config.json", "vocab.txt", "model.onnx", "model.int8.onnx"):
        (model / name).write_text(name)
    return write_page(
        folder / "report.html",
        database=run.database,
        predictor=run.predictor,
        result=run.result,
        model=model,
        commands=("atb profile fake", "atb search --latency 6ms"),
    )


@pytest.fixture(scope="module")
def page(run: Run, tmp_path_factory: pytest.TempPathFactory) -> str:
    return whole_page(run, tmp_path_factory.mktemp("page")).read_text("utf-8")


def words(html: str) -> str:
    """The text of a page, with single ordinary spaces."""
    parts: list[str] = []
    parser = HTMLParser()
    parser.handle_data = parts.append  # type: ignore[method-assign]
    parser.feed(html)
    return " ".join(" ".join(parts).split())


def section(html: str, name: str) -> str:
    found = re.search(rf'<section id="{name}">(.*?)</section>', html, re.DOTALL)
    assert found is not None
    return found[1]


def test_every_section_is_there_and_filled(page: str) -> None:
    assert re.findall(r'<section id="(\w+)">', page) == list(SECTIONS)
    assert "Nothing here yet" not in page
    assert page.count('role="img"') == PICTURES
    for name in SECTIONS:
        assert f'href="#{name}"' in page


def test_the_winner_comes_first_with_latency_limit_and_files(page: str, run: Run) -> None:
    text = words(section(page, "winner"))
    assert str(run.result.winner.architecture) in text
    assert "under the limit of 6.00 ms" in text
    assert "speed-up over bert-base" in text
    assert "model/model.int8.onnx" in text
    assert "AutoModel.from_pretrained('model', trust_remote_code=True)" in text
    assert "InferenceSession('model/model.onnx')" in text


def test_failures_and_flagged_measurements_are_shown_with_their_reasons(page: str) -> None:
    text = words(section(page, "latencies"))
    assert "crash" in text
    assert "was told to fail" in text
    assert "1 of 3 launches measured" in text


def test_the_page_loads_nothing(page: str) -> None:
    assert re.findall(r'(?:src|href)="(?!#)([^"]*)"', page) == []
    assert "@import" not in page
    assert re.findall(r"url\((?!#)", page) == []
    assert "<script" not in page
    assert "<link" not in page


def test_hostile_names_stay_text(page: str) -> None:
    assert HOSTILE not in page
    assert HOSTILE in words(page)


def test_nothing_tells_where_on_the_machine_it_was_written(page: str, tmp_path: Path) -> None:
    assert str(tmp_path.parent) not in page
    assert str(Path.cwd()) not in page


def test_files_are_listed_with_their_hashes(page: str) -> None:
    digest = hashlib.sha256(b"model.onnx").hexdigest()
    assert digest in section(page, "provenance")


def test_each_section_without_data_names_the_command_that_fills_it(tmp_path: Path) -> None:
    html = write_page(tmp_path / "empty.html").read_text("utf-8")
    commands = {
        "winner": "atb search",
        "device": "atb profile",
        "latencies": "atb profile",
        "predictor": "atb predictor train",
        "search": "atb search",
        "neighbours": "atb profile --arch",
        "provenance": "atb quickstart",
    }
    for name, command in commands.items():
        assert "Nothing here yet" in section(html, name)
        assert f"<code>{command}" in section(html, name)
    assert 'role="img"' not in html


def test_a_database_alone_fills_its_sections(run: Run, tmp_path: Path) -> None:
    html = write_page(tmp_path / "page.html", database=run.database).read_text("utf-8")
    assert "Nothing here yet" not in section(html, "latencies")
    assert "Nothing here yet" in section(html, "search")
    assert "tinybert-4" in section(html, "neighbours")


def test_an_empty_database_is_no_error(tmp_path: Path) -> None:
    with ProfileDatabase(tmp_path / "new.db", create=True) as database:
        html = write_page(tmp_path / "page.html", database=database).read_text("utf-8")
    assert "Nothing here yet" in section(html, "latencies")


def test_a_predictor_alone_says_that_nothing_unseen_was_measured(run: Run, tmp_path: Path) -> None:
    html = write_page(tmp_path / "page.html", predictor=run.predictor).read_text("utf-8")
    assert "atb profile --samples" in section(html, "predictor")


def test_the_document_of_a_result_gives_the_same_page(run: Run, tmp_path: Path) -> None:
    pages = [
        section(write_page(tmp_path / "page.html", result=result).read_text("utf-8"), "search")
        for result in (run.result, run.result.to_json())
    ]
    assert pages[0] == pages[1]


def test_a_winner_above_its_limit_is_called_so(run: Run, tmp_path: Path) -> None:
    strict = dataclasses.replace(run.result, constraint_seconds=1e-3)
    html = write_page(tmp_path / "page.html", result=strict).read_text("utf-8")
    assert "above the limit of 1.00 ms" in words(section(html, "winner"))


def test_settings_that_were_weighed_are_told(run: Run, tmp_path: Path) -> None:
    weighed = (
        Weighed("int8", "here", "L2-H128-A2-Q64-F128", -0.25, 0.001),
        Weighed("fp32", "here", refused="below reach"),
    )
    result = dataclasses.replace(run.result, weighed=weighed)
    html = write_page(tmp_path / "page.html", result=result).read_text("utf-8")
    told = "int8 scores -0.2500 in 1.00 ms; fp32 has nothing within the limits"
    assert told in words(section(html, "search"))


def test_a_damaged_result_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="atb search"):
        write_page(tmp_path / "page.html", result={"winner": {}})
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_belong_together_is_refused(run: Run, tmp_path: Path) -> None:
    other = dataclasses.replace(run.conditions, settings=RunSettings(precision="int8"))
    with pytest.raises(InputError, match="precision: fp32 and int8"):
        write_page(tmp_path / "page.html", conditions=other, predictor=run.predictor)
    with pytest.raises(InputError, match="precision: fp32 and int8"):
        write_page(tmp_path / "page.html", conditions=other, result=run.result)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_browser_shows_every_picture(run: Run, tmp_path: Path) -> None:
    browser = shutil.which("chromium")
    if browser is None:
        assert os.environ.get("CI") != "true", "chromium must be installed where CI=true"
        pytest.skip("chromium is not installed: no browser to open the page in")
    html = whole_page(run, tmp_path).read_text("utf-8")
    # a picture is shown if it takes room and something is drawn in it
    counter = (
        "<script>document.title = [...document.querySelectorAll('img, svg')].map(e => e.tagName =="
        " 'IMG' ? e.naturalWidth > 0 : e.getBoundingClientRect().width > 300 &&"
        " e.getBBox().width > 300).join()</script>"
    )
    probe = tmp_path / "probe.html"
    probe.write_text(html.replace("</body>", f"{counter}</body>"), "utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync",
             f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1000,4000"]  # fmt: skip
    done = subprocess.run(
        [browser, *flags, "--dump-dom", probe.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    title = re.search(r"<title>([^<]*)</title>", done.stdout)
    assert title is not None
    assert title[1] == ",".join(["true"] * PICTURES)
