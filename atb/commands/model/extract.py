"""`atb model extract`: one architecture out of a SuperPLM, ready to load."""

from __future__ import annotations

from atb.commands.arguments import ArchitectureArgument, ModelFolder, SuperPLMFolder
from atb.commands.output import print_line, print_status


def extract(
    architecture: ArchitectureArgument, out: ModelFolder, superplm: SuperPLMFolder = "mini"
) -> None:
    """Cut an architecture out of a SuperPLM, with the head of a task where it has one.

    Writes a transformers folder with its own modelling file, model.onnx and model.int8.onnx.

    Example:
        atb model extract L4-H256-A8-Q256-F512 --out model
    """
    from atb.deploy import export_model
    from atb.files import prepared_folder
    from atb.models import resolve
    from atb.models.superplm import folder_of, load_superplm

    shape = resolve(architecture)
    loaded = load_superplm(superplm)
    loaded.check(shape)
    with prepared_folder(out):
        print_status(f"extracting {shape} ...")
        export_model(loaded, shape, out, source=folder_of(superplm))
    count = loaded.parameter_count(shape)
    print_line(f"{out}: {shape}, {count:,} parameters, as transformers folder and ONNX")
