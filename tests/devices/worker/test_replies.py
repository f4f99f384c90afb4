import base64
from typing import Any

import pytest

from atb.devices.contract import Block, LaunchFailure, Loaded
from atb.devices.worker import replies
from atb.devices.worker.replies import ProtocolError

LOADED: dict[str, Any] = {
    "load_seconds": 1.0,
    "first_seconds": 0.5,
    "providers": ["CPU"],
    "output_checksum": -3.0,
    "memory_bytes": 5,
}
BLOCK: dict[str, Any] = {
    "started_at": 1e9,
    "wall_seconds": [0.1, 0.2],
    "cpu_seconds": [0.1, 0.2],
    "voluntary_switches": [0, 1],
    "involuntary_switches": [0, 0],
    "warmup_seconds": [0.3],
    "span_seconds": 0.3,
    "minor_faults": 7,
}


@pytest.mark.parametrize(
    "line",
    [b"", b"hello", b"[]", b'{"a": NaN}', b'{"a": Infinity}', b"[" * 100_000, b"\xff", b'{"a"'],
)
def test_a_line_is_an_object_of_finite_numbers(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        replies.parse_line(line)


def test_what_is_right_is_read() -> None:
    assert replies.parse_loaded(LOADED) == Loaded(1.0, 0.5, ("CPU",), -3.0, 5)
    block = replies.parse_block(BLOCK, iterations=2, warmup=1)
    assert block == Block(
        **{name: tuple(v) if isinstance(v, list) else v for name, v in BLOCK.items()}
    )
    assert replies.parse_facts({"processor": "Cortex-A72"}) == {"processor": "Cortex-A72"}
    assert replies.parse_clusters([[4, 5], [0]]) == ((4, 5), (0,))
    assert replies.parse_state({"governor": "performance"})["governor"] == "performance"
    assert replies.parse_state({})["temperature_celsius"] is None


@pytest.mark.parametrize(
    "change",
    [
        {"load_seconds": -1},
        {"load_seconds": "1"},
        {"load_seconds": True},
        {"load_seconds": 10**400},
        {"first_seconds": None},
        {"providers": "CPU"},
        {"providers": [1]},
        {"providers": ["x" * 501]},
        {"providers": ["a\x1b[2J"]},
        {"output_checksum": "nan"},
        {"memory_bytes": 1.5},
        {"memory_bytes": -1},
    ],
)
def test_what_loading_showed_is_checked(change: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        replies.parse_loaded({**LOADED, **change})


@pytest.mark.parametrize(
    "change",
    [
        {"wall_seconds": [0.1]},
        {"wall_seconds": [0.1, 0.2, 0.3]},
        {"wall_seconds": [0.1, -0.2]},
        {"wall_seconds": [0.1, 0.0]},
        {"wall_seconds": [0, 0]},
        {"wall_seconds": [0.1, 1e300]},
        {"wall_seconds": "ab"},
        {"cpu_seconds": [0.1, None]},
        {"voluntary_switches": [0, 0.5]},
        {"wait_seconds": [0.1]},
        {"warmup_seconds": []},
        {"started_at": None},
        {"span_seconds": -1},
        {"major_faults": "many"},
        {"__class__": "x"},
    ],
)
def test_readings_are_checked(change: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        replies.parse_block({**BLOCK, **change}, iterations=2, warmup=1)


@pytest.mark.parametrize(
    "answer",
    [
        {"shape": [2], "values": base64.b64encode(b"1234").decode()},
        {"shape": [1], "values": "!!!!"},
        {"shape": [-1], "values": ""},
        {"shape": [1] * 9, "values": base64.b64encode(b"1234").decode()},
        {"shape": 1, "values": ""},
        {"shape": [2**62, 2**62], "values": ""},
        {},
    ],
)
def test_an_output_is_checked(answer: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        replies.parse_output(answer)


@pytest.mark.parametrize(
    "rows",
    [None, [1], [{"operator": "MatMul"}], [{"operator": "", "name": "", "seconds": -1}]],
)
def test_operators_are_checked(rows: Any) -> None:
    with pytest.raises(ProtocolError):
        replies.parse_operators({"operators": rows})


@pytest.mark.parametrize(
    "facts",
    [
        None,
        [],
        {"processor": 1},
        {"processor": "x" * 501},
        {"../etc": "x"},
        {"processor": "a\nb"},
        {str(number): "x" for number in range(65)},
    ],
)
def test_facts_are_checked(facts: Any) -> None:
    with pytest.raises(ProtocolError):
        replies.parse_facts(facts)


@pytest.mark.parametrize("groups", [None, [0], [[0], [0]], [[-1]], [["0"]], [list(range(5000))]])
def test_groups_of_cpus_are_checked(groups: Any) -> None:
    with pytest.raises(ProtocolError):
        replies.parse_clusters(groups)


@pytest.mark.parametrize(
    "state", [None, {"mood": 1}, {"governor": ["a"]}, {"governor": "a\x07"}, {"governor": True}]
)
def test_a_state_is_checked(state: Any) -> None:
    with pytest.raises(ProtocolError):
        replies.parse_state(state)


def test_a_failure_has_a_known_cause() -> None:
    failure = replies.parse_failure({"cause": "load-error", "detail": "no"})
    assert isinstance(failure, LaunchFailure)
    for answer in ({"cause": "whim", "detail": "no"}, {"cause": [], "detail": ""}, {"cause": None}):
        with pytest.raises(ProtocolError):
            replies.parse_failure(answer)


def test_what_a_worker_says_of_its_failure_is_printable() -> None:
    told = "Traceback:\r\n  \x1b[31mred\x1b[0m \x1b]52;c;aGk=\x07\n\x9b2J\u202egnp"
    failure = replies.parse_failure({"cause": "crash", "detail": told})
    for text in (failure.detail, str(failure)):
        assert all(line.isprintable() for line in text.split("\n"))
    assert len(failure.detail.split("\n")) == 3
