"""`pae inpaint`: restores missing pixels, with uncertainty."""

from pathlib import Path
from typing import Annotated

import typer

from paecli.cli.options import DataDir, Json, ModelOption, ModelRegistry, Out, Seed, Threads
from paecli.cli.restore_options import (
    NOISE_HELP,
    Blur,
    Confidence,
    Downsample,
    ImageArgument,
    MethodOption,
    Resize,
    Samples,
    Starts,
    Tiles,
    Truth,
    refuse_idle,
    run,
)


def inpaint(
    context: typer.Context,
    image: ImageArgument,
    mask: Annotated[
        str | None,
        typer.Option(
            "--mask",
            metavar="SPEC",
            help="What is missing: box, left, right, top, bottom, random:FRACTION, "
            "box:X0,Y0,X1,Y1 (pixels of the image as it is), an image file of the same size in "
            "which white is missing and transparent is not, or a folder of these by the images' "
            "names.",
            show_default=False,
        ),
    ] = None,
    model: ModelOption = None,
    registry: ModelRegistry = None,
    invert_mask: Annotated[
        bool, typer.Option("--invert-mask", help="In the mask file white is observed instead.")
    ] = False,
    noise: Annotated[
        str,
        typer.Option("--noise", metavar="SIGMA|FILE", help=NOISE_HELP),
    ] = "0",
    blur: Blur = 0.0,
    downsample: Downsample = 1,
    starts: Starts = 64,
    samples: Samples = 64,
    method: MethodOption = "auto",
    truth: Truth = None,
    confidence: Confidence = None,
    data_dir: DataDir = None,
    resize: Resize = False,
    tiles: Tiles = False,
    out: Out = Path("restored"),
    seed: Seed = 0,
    threads: Threads = "auto",
    json: Json = False,
) -> None:
    """Restores missing pixels, blurred and small images, with samples and an uncertainty map.

    What is under the mask is never looked at. Observed pixels stay as they are unless noise is
    given. A folder is restored as one batch; `--json` then prints a line for each image.

    Examples:

        pae inpaint shoe.png --mask left

        pae inpaint shoe.png --mask scratches.png --model runs/fmnist --truth clean.png --json

        pae inpaint photos/ --mask masks/ --noise 0.1 --out restored

        pae inpaint small.png --downsample 2 --noise 0.02

        pae inpaint scan.png --mask scratches.png --model runs/scans --tiles
    """
    refuse_idle(context, method=method, confidence=confidence)
    run(
        image,
        model,
        registry=registry,
        out=out,
        truth=truth,
        as_json=json,
        mask=mask,
        invert_mask=invert_mask,
        noise=noise,
        blur=blur,
        downsample=downsample,
        method=method,
        samples=samples,
        starts=starts,
        confidence=confidence,
        data_dir=data_dir,
        resize=resize,
        tiles=tiles,
        seed=seed,
    )
