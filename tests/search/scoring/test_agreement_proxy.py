"""Slices scored by how well they keep their teacher's ranking of sentence pairs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from atb.data.corpus.sentence_pairs import SentencePairs
from atb.data.tokenizer.tokenizer_files import read_vocabulary
from atb.errors import BadFile
from atb.models.architecture import Architecture
from atb.models.superplm.superplm import SuperPLM
from atb.search.scoring.executors import LocalExecutor
from atb.search.scoring.proxies import default_on_text, make_proxy
from atb.search.scoring.proxy import AgreementProxy, RoughProxy, superplm_sha256
from atb.training.one_shot.agreement import AgreementScorer

LARGEST = Architecture(2, 48, 4, 64, 96)
SLICES = [Architecture(1, 32, 2, 32, 64), Architecture(2, 40, 4, 64, 96)]


def made(**changes: object) -> SuperPLM:
    torch.manual_seed(0)
    options = {"projection_size": 48, "positions": 128, **changes}
    superplm = SuperPLM.from_architecture(LARGEST, **options)  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in superplm.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.05)
    return superplm.eval()


@pytest.fixture(scope="module")
def superplm() -> SuperPLM:
    return made()


def test_the_score_is_the_ranking_and_the_whole_keeps_all_of_it(superplm: SuperPLM) -> None:
    proxy = AgreementProxy(superplm)
    assert isinstance(proxy, RoughProxy)
    rough = proxy.score_roughly(SLICES)
    scores = proxy.score([*SLICES, LARGEST])
    scorer = AgreementScorer(superplm, read_vocabulary())
    assert scores[:2] == pytest.approx([scorer.score(a).ranking for a in SLICES])
    assert scores[2] == pytest.approx(1.0)
    assert rough == pytest.approx(scores[:2], abs=0.1)
    assert rough != scores[:2]
    assert AgreementProxy(superplm).score(SLICES) == scores[:2]  # without rough ones before


def test_a_key_tells_weights_pairs_precision_and_the_layers_of_slices_apart(
    superplm: SuperPLM, tmp_path: Path
) -> None:
    lines = [f"a house {n},the house number {n}" for n in range(12)]
    own = tmp_path / "own.csv"
    own.write_text("\n".join(["first,second", *lines]), "utf-8")
    even = made(slice_layers="even")
    keys = [
        AgreementProxy(superplm).key,
        AgreementProxy(superplm, SentencePairs.read(own)).key,
        AgreementProxy(superplm, precision="int8").key,
        AgreementProxy(even).key,
        AgreementProxy(made(positions=64)).key,
    ]
    assert len(set(keys)) == 5
    assert superplm_sha256(superplm) != superplm_sha256(even)
    assert make_proxy(superplm, pairs=own).key == keys[1]
    with pytest.raises(BadFile, match="none"):
        make_proxy(superplm, pairs=tmp_path / "none.csv")


def test_it_is_the_default_for_english_words_where_there_is_no_other_text(
    superplm: SuperPLM, tmp_path: Path
) -> None:
    assert default_on_text(superplm) == "agreement"
    assert default_on_text(superplm, on_text=True) == "distillation"
    assert default_on_text(made(projection_size=None, with_mlm_head=True)) == "mlm"
    foreign = made()
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhaus\n", "utf-8")
    foreign.folder = tmp_path
    assert default_on_text(foreign) == "distillation"


def test_a_slice_that_cannot_be_scored_is_none(superplm: SuperPLM) -> None:
    broken = made()
    with torch.no_grad():
        broken.bert.encoder.layer[0].output.dense.bias.fill_(float("nan"))
    proxy = AgreementProxy(superplm)
    proxy._scorer._superplm = broken
    assert proxy.score(SLICES[:1]) == [None]


def test_threads_compute_the_same_scores(superplm: SuperPLM) -> None:
    shapes = [Architecture(layers, 8 * n, 2, 32, 64) for layers in (1, 2) for n in range(2, 7)]
    one, other = (
        {a: score for a, score, _ in LocalExecutor(AgreementProxy(superplm), n).scores(shapes)}
        for n in (1, 4)
    )
    assert one == other
    rough = dict(
        found[:2] for found in LocalExecutor(AgreementProxy(superplm), 4).scores(shapes, rough=True)
    )
    assert rough == dict(zip(shapes, AgreementProxy(superplm).score_roughly(shapes), strict=True))
