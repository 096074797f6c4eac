"""`pae interpolate`: the way from one image to another."""

from pathlib import Path
from typing import Annotated

import typer

from paecli.cli.console import RichProgress, print_json, say
from paecli.cli.options import (
    DataDir,
    Json,
    ModelOption,
    ModelRegistry,
    Out,
    Threads,
    refuse_useless,
)
from paecli.data.sets.locations import parse_position

End = Annotated[
    str,
    typer.Argument(
        help="An image file, or one of the model's data set: `test:12` or `train:12`.",
        show_default=False,
    ),
]


def interpolate(
    context: typer.Context,
    a: End,
    b: End,
    model: ModelOption = None,
    registry: ModelRegistry = None,
    steps: Annotated[int, typer.Option(help="Images, both ends included.", min=2, max=100)] = 9,
    files: Annotated[
        bool, typer.Option("--files", help="Also write every image to a file of its own.")
    ] = False,
    data_dir: DataDir = None,
    out: Out = Path("interpolation"),
    threads: Threads = "auto",
    json: Json = False,
) -> None:
    """Goes from image A to image B through images that the model finds as typical.

    The path follows a sphere in the flow's base space: a straight line would cut through
    its inside, where no sample lies.

    Examples:

        pae interpolate shirt.png boot.png

        pae interpolate test:3 test:12 --model runs/fmnist --steps 12
    """
    from paecli.cli.checks import check_image, check_model
    from paecli.cli.outputs import OutputFolder

    file = check_model(model, registry=registry).path
    names = [name for name in (a, b) if parse_position(name) is None]
    if len(names) == 2:
        refuse_useless(context, ("data_dir",), "both images are files")
    for name in names:
        check_image(Path(name))
    earlier = OutputFolder(out, ["grid.png"], series="step-*.png" if files else "")
    from paecli import sampling
    from paecli.data import write_image
    from paecli.report.pictures import path_picture
    from paecli.store.runs import load_with_header
    from paecli.system.files import write_atomically

    pae, header = load_with_header(file)
    start, end = sampling.read_ends(
        (a, b), model=pae, header=header, data_dir=data_dir, progress=RichProgress()
    )
    way = sampling.interpolate(pae, start, end, steps=steps)
    earlier.clear()
    grid = out / "grid.png"
    write_atomically(grid, path_picture(way.ends, way.frames))
    digits = len(str(steps))
    written = [out / f"step-{n:0{digits}}.png" for n in range(1, steps + 1)] if files else []
    for path, image in zip(written, way.frames, strict=False):
        write_image(path, image, own=True)
    if json:
        fields = {"steps": steps, "log_prob": way.log_prob.tolist(), "grid_file": str(grid)}
        print_json(fields | {"files": [str(path) for path in written]})
        return
    say(f"{steps} steps from {a} to {b}: {grid}")
