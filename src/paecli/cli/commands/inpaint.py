"""`pae inpaint`: restores missing pixels, with uncertainty."""

from pathlib import Path
from typing import Annotated

import typer

from paecli.cli.options import Json, ModelOption, ModelRegistry, Out, Seed, Threads
from paecli.cli.restore_options import ImageArgument, MethodOption, Samples, Starts, Truth, run


def inpaint(
    image: ImageArgument,
    mask: Annotated[
        str,
        typer.Option(
            "--mask",
            metavar="SPEC",
            help="What is missing: box, left, right, top, bottom, random:FRACTION, "
            "box:X0,Y0,X1,Y1 (pixels of the image as it is), or an image file of the same size in "
            "which white is missing and transparent is not.",
        ),
    ],
    model: ModelOption = None,
    registry: ModelRegistry = None,
    invert_mask: Annotated[
        bool, typer.Option("--invert-mask", help="In the mask file white is observed instead.")
    ] = False,
    noise: Annotated[
        float,
        typer.Option(min=0, help="Standard deviation of noise on the input, pixels in [0, 1]."),
    ] = 0.0,
    starts: Starts = 64,
    samples: Samples = 64,
    method: MethodOption = "auto",
    truth: Truth = None,
    out: Out = Path("restored"),
    seed: Seed = 0,
    threads: Threads = "auto",
    json: Json = False,
) -> None:
    """Restores the missing pixels of an image, with samples and an uncertainty map.

    What is under the mask is never looked at. Observed pixels stay as they are unless noise is
    given. A folder is restored as one batch; `--json` then prints a line for each image.

    Examples:

        pae inpaint shoe.png --mask left

        pae inpaint shoe.png --mask scratches.png --model runs/fmnist --truth clean.png --json

        pae inpaint photos/ --mask random:0.95 --noise 0.1 --out restored
    """
    run(
        image,
        model,
        out=out,
        truth=truth,
        as_json=json,
        mask=mask,
        invert_mask=invert_mask,
        noise=noise,
        method=method,
        samples=samples,
        starts=starts,
        seed=seed,
    )
