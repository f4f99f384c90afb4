"""`atb space`: the search spaces and the known architectures."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Option

from atb.commands.arguments import Json, Seed, completion
from atb.commands.output import Table, print_result

_Space = Annotated[
    str,
    Argument(
        metavar="SPACE",
        help="A name of `atb space list`, or the path of a TOML file.",
        autocompletion=completion.spaces,
    ),
]


def list_spaces(json: Json = False) -> None:
    """List the search spaces and the known architectures.

    Example:
        atb space list
    """
    from atb.models import PUBLISHED, SPACES

    spaces = [(s.name, f"{s.size:,}", str(s.smallest), str(s.largest)) for s in SPACES.values()]
    known = [
        (name, str(a), f"{a.parameters() / 1e6:.1f} M", f"{a.multiply_adds() / 1e9:.2f} G")
        for name, a in PUBLISHED.items()
    ]
    print_result(
        {
            "spaces": [space.to_json() for space in SPACES.values()],
            "architectures": {name: str(shape) for name, shape in PUBLISHED.items()},
        },
        Table(("space", "architectures", "smallest", "largest"), spaces, left=(0, 2, 3)),
        Table(("known architecture", "", "parameters", "multiply-adds"), known, left=(0, 1)),
        json=json,
        status=[
            "\nParameters with a vocabulary of 30,522; multiply-adds for a sequence of 128 tokens."
        ],
    )


def show(space: _Space = "mini", json: Json = False) -> None:
    """Show the dimensions of one space.

    Example:
        atb space show mini
    """
    from atb.models import find_space

    document = find_space(space).to_json()
    rows = [
        (name, *(str(d[field]) for field in ("first", "last", "step", "count")))
        for name, d in document["dimensions"].items()
    ]
    print_result(
        document,
        f"{document['name']}: {document['size']:,} architectures",
        Table(("dimension", "first", "last", "step", "values"), rows),
        json=json,
    )


def sample(
    space: _Space = "mini",
    samples: Annotated[int, Option(min=1, help="Draw this many architectures.")] = 10,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Draw architectures uniformly; the same seed draws the same ones.

    Example:
        atb space sample mini --samples 5 --seed 1
    """
    import numpy as np

    from atb.models import find_space

    drawn = find_space(space).sample(np.random.default_rng(seed), samples)
    names = [str(architecture) for architecture in drawn]
    print_result({"architectures": names}, *names, json=json)
