"""A sweep in which every tenth artefact is poisoned, on this machine with onnxruntime.

What must come out: the sweep ends, every healthy architecture is measured, and each poisoned one is
a failure with the cause that fits:

    crash           a division that the processor cannot do: it ends the worker by a signal
    hang            a loop that will not end in a lifetime
    memory bomb     a loop that keeps filling memory
    wrong weights   a right graph with the weights of another model
    not a number    a model whose output is not finite

The same command goes on where it was interrupted.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from atb.devices.contract import Artefact
from atb.devices.local import LocalDevice
from atb.devices.runtimes.artefacts import describe_artefact
from atb.devices.runtimes.onnxruntime.cpu import OnnxRuntimeCpu
from atb.devices.runtimes.reference import timing_sizes
from atb.devices.settings import RunSettings
from atb.models.architecture import Architecture
from atb.models.onnx_builder import OPSET, build_graph, save_graph
from atb.models.space import SPACES
from atb.profiler.campaign.campaign import CampaignResult, run_campaign
from atb.profiler.campaign.plan import Plan
from atb.profiler.database.writer import ProfileDatabase
from benchmarks.shared.record import machine, write_result

#: The cause that a failure of each poison is to have.
CAUSES = {
    "crash": "crash",
    "hang": "timeout",
    "memory bomb": "out-of-memory",
    "wrong weights": "wrong-output",
    "not a number": "wrong-output",
}
ARCHITECTURES, POISONED = 50, 5
TIMEOUT_SECONDS = 10.0
MEMORY_SHARE = 0.1  # so that a bomb is full soon and disturbs nothing else
_FOREVER = 2**62
_BOMB_VALUES = 2**25  # floats that one turn of the loop adds


class PoisonedRuntime(OnnxRuntimeCpu):
    """Writes other graphs for some architectures.

    Args:
        poisons: By the text form of the architecture.
    """

    def __init__(self, poisons: Mapping[str, str]) -> None:
        self.poisons = poisons

    def build(self, architecture: Architecture, settings: RunSettings, folder: Path) -> Artefact:
        """Write the timing artefact, or what stands for it."""
        poison = self.poisons.get(str(architecture))
        if poison is None:
            return super().build(architecture, settings, folder)
        path = folder / f"{architecture}.{settings.precision}.onnx"
        save_graph(_GRAPHS[poison](architecture, settings), path)
        return describe_artefact(path)


def _crash(architecture: Architecture, settings: RunSettings) -> onnx.ModelProto:
    """The least integer divided by minus one, made of the input so that no optimiser sees it."""
    nodes = [
        helper.make_node("Mul", ["token_type_ids", "token_type_ids"], ["zeros"]),
        helper.make_node("Add", ["zeros", "least"], ["dividend"]),
        helper.make_node("Sub", ["zeros", "attention_mask"], ["minus_ones"]),
        helper.make_node("Div", ["dividend", "minus_ones"], ["quotient"]),
        helper.make_node("Cast", ["quotient"], ["last_hidden_state"], to=TensorProto.FLOAT),
    ]
    least = helper.make_tensor("least", TensorProto.INT64, (), [-(2**63)])
    return _model(nodes, [least], settings)


def _hang(architecture: Architecture, settings: RunSettings) -> onnx.ModelProto:
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["goes_on"]),
            helper.make_node("Add", ["before", "before"], ["after"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, ()),
            helper.make_tensor_value_info("going", TensorProto.BOOL, ()),
            helper.make_tensor_value_info("before", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("goes_on", TensorProto.BOOL, ()),
            helper.make_tensor_value_info("after", TensorProto.FLOAT, None),
        ],
    )
    nodes = [
        helper.make_node("Cast", ["token_type_ids"], ["start"], to=TensorProto.FLOAT),
        helper.make_node("Loop", ["turns", "", "start"], ["last_hidden_state"], body=body),
    ]
    turns = helper.make_tensor("turns", TensorProto.INT64, (), [_FOREVER])
    return _model(nodes, [turns], settings)


def _memory_bomb(architecture: Architecture, settings: RunSettings) -> onnx.ModelProto:
    """A loop whose turns each leave an array behind."""
    one = helper.make_tensor("value", TensorProto.FLOAT, (1,), [1.0])
    size = helper.make_tensor("size", TensorProto.INT64, (1,), [_BOMB_VALUES])
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["goes_on"]),
            helper.make_node("ConstantOfShape", ["size"], ["filled"], value=one),
            helper.make_node("Cast", ["turn"], ["number"], to=TensorProto.FLOAT),
            helper.make_node("Add", ["filled", "number"], ["kept"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, ()),
            helper.make_tensor_value_info("going", TensorProto.BOOL, ()),
        ],
        [
            helper.make_tensor_value_info("goes_on", TensorProto.BOOL, ()),
            helper.make_tensor_value_info("kept", TensorProto.FLOAT, (_BOMB_VALUES,)),
        ],
    )
    nodes = [
        helper.make_node("Loop", ["turns", ""], ["all"], body=body),
        helper.make_node("ReduceSum", ["all"], ["sum"], keepdims=0),
        helper.make_node("Cast", ["token_type_ids"], ["zeros"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["zeros", "sum"], ["last_hidden_state"]),
    ]
    turns = helper.make_tensor("turns", TensorProto.INT64, (), [_FOREVER])
    return _model(nodes, [turns, size], settings)


def _wrong_weights(architecture: Architecture, settings: RunSettings) -> onnx.ModelProto:
    return build_graph(
        architecture,
        seed=1,
        **timing_sizes(settings),
        sequence_length=settings.sequence_length,
        batch=settings.batch,
    )


def _not_a_number(architecture: Architecture, settings: RunSettings) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Cast", ["token_type_ids"], ["zeros"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["zeros", "zeros"], ["last_hidden_state"]),
    ]
    return _model(nodes, [], settings)


_GRAPHS = {
    "crash": _crash,
    "hang": _hang,
    "memory bomb": _memory_bomb,
    "wrong weights": _wrong_weights,
    "not a number": _not_a_number,
}


def _model(
    nodes: Sequence[onnx.NodeProto], constants: Sequence[onnx.TensorProto], settings: RunSettings
) -> onnx.ModelProto:
    """A model with the inputs of a timing graph."""
    shape = (settings.batch, settings.sequence_length)
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, shape)
        for name in ("input_ids", "attention_mask", "token_type_ids")
    ]
    outputs = [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, shape)]
    graph = helper.make_graph(nodes, "poison", inputs, outputs, initializer=constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)


def poison(architectures: Sequence[Architecture], count: int) -> dict[str, str]:
    """Which architectures are poisoned and how: `count` of them, scattered."""
    rng = np.random.default_rng(0)
    chosen = rng.choice(len(architectures), count, replace=False)
    kinds = list(CAUSES)
    return {str(architectures[place]): kinds[i % len(kinds)] for i, place in enumerate(chosen)}


def sweep(
    plan: Plan, poisons: Mapping[str, str], database: ProfileDatabase, settings: RunSettings
) -> CampaignResult:
    """Measure the architectures of a plan, some of them poisoned."""
    device = LocalDevice(timeout_seconds=TIMEOUT_SECONDS, memory_share=MEMORY_SHARE)
    return run_campaign(device, PoisonedRuntime(poisons), settings, plan, database)


def judge(plan: Plan, poisons: Mapping[str, str], result: CampaignResult) -> dict[str, Any]:
    """What came out, beside what should have."""
    measured = {str(m.subject) for m in result.measurements}
    healthy = {str(subject) for subject in plan.subjects} - set(poisons)
    causes: dict[str, set[str]] = {}
    for failure in result.failures:
        if failure.subject is not None:  # None where several models shared a worker
            causes.setdefault(str(failure.subject), set()).add(failure.cause)
    rows = [
        {
            "architecture": architecture,
            "poison": kind,
            "wanted": CAUSES[kind],
            "causes": sorted(causes.get(architecture, ())),
            "detail": next(
                (f.detail for f in result.failures if str(f.subject) == architecture), None
            ),
        }
        for architecture, kind in poisons.items()
    ]
    right = sum(row["causes"] == [row["wanted"]] for row in rows)
    return {
        "architectures": len(plan.subjects),
        "poisoned": len(poisons),
        "ended_by": result.ended_by,
        "share_of_healthy_measured": len(healthy & measured) / len(healthy),
        "share_of_poisoned_with_the_right_cause": right / len(rows),
        "poisoned_but_measured": sorted(measured & set(poisons)),
        "healthy_but_failed": sorted(set(causes) - set(poisons)),
        "rows": rows,
    }


def main() -> None:
    """Sweep, judge, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--architectures", type=int, default=ARCHITECTURES)
    parser.add_argument("--poisoned", type=int, default=POISONED)
    parser.add_argument("--out", type=Path, default=Path("atb-runs/poisoned"))
    arguments = parser.parse_args()
    started = machine()
    begun = time.monotonic()
    plan = Plan.sample(SPACES["mini"], arguments.architectures, name="poisoned")
    poisons = poison([a for a in plan.subjects if isinstance(a, Architecture)], arguments.poisoned)
    print(f"{arguments.architectures} architectures, poisoned: {dict(Counter(poisons.values()))}")
    with ProfileDatabase(arguments.out / "profile.db", create=True) as database:
        found = judge(plan, poisons, sweep(plan, poisons, database, RunSettings()))
    for row in found["rows"]:
        print(f"  {row['poison']:14} {','.join(row['causes']):14} {row['detail']}")
    print(
        f"healthy measured: {found['share_of_healthy_measured']:.1%}; poisoned with the right "
        f"cause: {found['share_of_poisoned_with_the_right_cause']:.1%}; ended by "
        f"{found['ended_by']} after {time.monotonic() - begun:.0f} s"
    )
    path = write_result(
        "poisoned", {"seconds": round(time.monotonic() - begun, 1), **found}, started
    )
    print(f"written: {path}")


if __name__ == "__main__":
    main()
