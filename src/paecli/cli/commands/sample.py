"""`pae sample`: draws images from a model."""

from pathlib import Path
from typing import Annotated

import typer

from paecli.cli.console import print_json, say
from paecli.cli.options import (
    Json,
    Model,
    ModelOption,
    ModelRegistry,
    Out,
    Seed,
    Threads,
    one_model,
    refuse_useless,
)
from paecli.model.requirements import require_temperature
from paecli.system.names import counted


def sample(
    context: typer.Context,
    argument: Model = None,
    model: ModelOption = None,
    registry: ModelRegistry = None,
    count: Annotated[int, typer.Option("--count", "-n", help="How many images.", min=1)] = 64,
    temperature: Annotated[
        float,
        typer.Option(help="Below 1: more typical, less varied. 1 is the model itself.", min=0),
    ] = 1.0,
    files: Annotated[
        bool, typer.Option("--files", help="Also write every image to a file of its own.")
    ] = False,
    out: Out = Path("samples"),
    seed: Seed = 0,
    threads: Threads = "auto",
    json: Json = False,
) -> None:
    """Draws new images from a model.

    Examples:

        pae sample

        pae sample runs/fmnist -n 100 --temperature 0.8

        pae sample runs/fmnist -n 10000 --files --out drawn --json
    """
    from paecli.cli.checks import check_model
    from paecli.cli.outputs import OutputFolder

    require_temperature(temperature)
    if temperature == 0:
        refuse_useless(context, ("seed",), "at temperature 0 all images are the same")
    file = check_model(one_model(argument, model), registry=registry).path
    earlier = OutputFolder(out, ["grid.png"], series="sample-*.png" if files else "")
    from paecli.data import write_image
    from paecli.report.grid import image_grid
    from paecli.sampling import draw_samples
    from paecli.store.runs import load_with_header
    from paecli.system.files import write_atomically

    drawn = draw_samples(load_with_header(file)[0], count=count, temperature=temperature, seed=seed)
    earlier.clear()
    grid = out / "grid.png"
    write_atomically(grid, image_grid(drawn.images))
    digits = len(str(count))
    written = [out / f"sample-{n:0{digits}}.png" for n in range(1, count + 1)] if files else []
    for path, image in zip(written, drawn.images, strict=False):
        write_image(path, image, own=True)
    if json:
        fields = {"count": count, "temperature": temperature, "seed": seed, "grid_file": str(grid)}
        print_json(fields | {"files": [str(path) for path in written]})
        return
    say(f"{counted(count, 'image')} drawn at temperature {temperature:g}: {grid}")
