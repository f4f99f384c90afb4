"""`atb space`: the search spaces and the known architectures."""

from __future__ import annotations

from typing import Annotated

import typer

from atb.commands.arguments import Json, Seed, completion
from atb.commands.output import note, print_json, print_line, print_table

app = typer.Typer(help="The search spaces.", no_args_is_help=True)

SpaceArgument = Annotated[
    str,
    typer.Argument(
        metavar="SPACE",
        help="A built-in name, or the path of a TOML file.",
        autocompletion=completion.spaces,
    ),
]


@app.command("list")
def list_spaces(json: Json = False) -> None:
    """List the search spaces and the known architectures."""
    from atb.models import PUBLISHED, SPACES

    if json:
        print_json(
            {
                "spaces": [space.to_json() for space in SPACES.values()],
                "architectures": {name: str(shape) for name, shape in PUBLISHED.items()},
            }
        )
        return
    print_table(
        ("space", "architectures", "smallest", "largest"),
        [(s.name, f"{s.size:,}", str(s.smallest), str(s.largest)) for s in SPACES.values()],
        left=(0, 2, 3),
    )
    print_line("")
    print_table(
        ("known architecture", "", "parameters", "multiply-adds"),
        [
            (name, str(a), f"{a.parameters() / 1e6:.1f} M", f"{a.multiply_adds() / 1e9:.2f} G")
            for name, a in PUBLISHED.items()
        ],
        left=(0, 1),
    )
    note("\nParameters with a vocabulary of 30,522; multiply-adds for one sequence of 128 tokens.")


@app.command("show")
def show(space: SpaceArgument = "mini", json: Json = False) -> None:
    """Show the dimensions of one space."""
    from atb.models import find_space

    document = find_space(space).to_json()
    if json:
        print_json(document)
        return
    print_line(f"{document['name']}: {document['size']:,} architectures")
    print_table(
        ("dimension", "first", "last", "step", "values"),
        [
            (name, *(str(d[field]) for field in ("first", "last", "step", "count")))
            for name, d in document["dimensions"].items()
        ],
    )


@app.command("sample")
def sample(
    space: SpaceArgument = "mini",
    samples: Annotated[int, typer.Option("--samples", min=1)] = 10,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Draw architectures uniformly; the same seed draws the same ones."""
    import numpy as np

    from atb.models import find_space

    drawn = find_space(space).sample(np.random.default_rng(seed), samples)
    if json:
        print_json({"architectures": [str(architecture) for architecture in drawn]})
        return
    for architecture in drawn:
        print_line(str(architecture))
