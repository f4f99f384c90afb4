"""Files of GLUE and SQuAD in their published layouts, with invented rows."""

from __future__ import annotations

import json
from pathlib import Path

_MNLI = (
    "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\t"
    "sentence1_parse\tsentence2_parse\tsentence1\tsentence2"
)
# Of each task: the header of its training file (None where there is none), a row, and the header
# of its test file; {} is the number of the row, {label} a label.
LAYOUTS: dict[str, tuple[str | None, str, str]] = {
    "cola": (None, "inv\t{label}\t\tThe fox {} sleeps .", "index\tsentence"),
    "sst2": ("sentence\tlabel", 'a "warm" film {}\t{label}', "index\tsentence"),
    "mrpc": (
        "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String",
        "{label}\t7\t8\tThe owl {} calls .\tAn owl calls , he said .",
        "index\t#1 ID\t#2 ID\t#1 String\t#2 String",
    ),
    "stsb": (
        "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore",
        "{}\tnews\tf\t2020\t1\ts\ts\tA lamp {} burns .\tA lamp is lit .\t{label}",
        "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2",
    ),
    "qqp": (
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate",
        "{}\t1\t2\tHow far is {} ?\tWhat is the distance ?\t{label}",
        "id\tquestion1\tquestion2",
    ),
    "mnli": (
        f"{_MNLI}\tlabel1\tgold_label",
        "{}\tp\tq\tfiction\t( )\t( )\t(R )\t(R )\tThe mole {} digs .\tIt digs .\t{label}\t{label}",
        _MNLI,
    ),
    "qnli": (
        "index\tquestion\tsentence\tlabel",
        "{}\tWho sees {} ?\tThe heron sees it .\t{label}",
        "index\tquestion\tsentence",
    ),
    "rte": (
        "index\tsentence1\tsentence2\tlabel",
        "{}\tThe ship {} left .\tA ship left .\t{label}",
        "index\tsentence1\tsentence2",
    ),
    "wnli": (
        "index\tsentence1\tsentence2\tlabel",
        "{}\tThe cup {} fell on it .\tThe cup fell .\t{label}",
        "index\tsentence1\tsentence2",
    ),
}
LABELS = {
    "stsb": ("0.0", "2.5", "5.0"),
    "mnli": ("contradiction", "entailment", "neutral"),
    "qnli": ("not_entailment", "entailment"),
    "rte": ("not_entailment", "entailment"),
}


def write_glue(folder: Path, task: str, rows: int = 12) -> Path:
    """Training, development and test files of a task; the test rows come without labels."""
    header, row, test_header = LAYOUTS[task]
    labels = LABELS.get(task, ("0", "1"))
    folder.mkdir(parents=True, exist_ok=True)
    ends = ("_matched", "_mismatched") if task == "mnli" else ("",)
    lines = [
        row.replace("{label}", labels[number % len(labels)]).replace("{}", str(number))
        for number in range(rows)
    ]
    labelled = "\n".join(([header] if header else []) + lines) + "\n"
    (folder / "train.tsv").write_text(labelled)
    for end in ends:
        (folder / f"dev{end}.tsv").write_text(labelled)
        columns = (header or "source\tlabel\tstar\tsentence").split("\t")
        wanted = test_header.split("\t")
        tests = []
        for number, line in enumerate(lines):
            cells = dict(zip(columns, line.split("\t"), strict=True))
            tests.append("\t".join(cells.get(name, str(number)) for name in wanted))
        (folder / f"test{end}.tsv").write_text("\n".join([test_header, *tests]) + "\n")
    return folder


def write_squad(folder: Path, *, version: str = "1.1", rows: int = 8) -> Path:
    """A training and a development file; in 2.0 every second question has no answer."""
    articles = []
    for number in range(rows):
        context = f"In the year {1800 + number} the keeper {'slowly ' * (number * 30)}lit the lamp."
        answer = "the keeper"
        impossible = version == "2.0" and number % 2 == 1
        question = {
            "id": f"q{number}",
            "question": "  Who lit the lamp?",
            "answers": []
            if impossible
            else [{"text": answer, "answer_start": context.index(answer)}],
        }
        if version == "2.0":
            question["is_impossible"] = impossible
        paragraph = {"context": context, "qas": [question]}
        articles.append({"title": f"Article {number}", "paragraphs": [paragraph]})
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "dev"):
        content = json.dumps({"version": version, "data": articles})
        (folder / f"{split}-v{version}.json").write_text(content)
    return folder
