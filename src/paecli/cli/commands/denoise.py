"""`pae denoise`: removes noise, with uncertainty."""

from pathlib import Path
from typing import Annotated

import typer

from paecli.cli.options import DataDir, Json, ModelOption, ModelRegistry, Out, Seed, Threads
from paecli.cli.restore_options import (
    NOISE_HELP,
    Confidence,
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


def denoise(
    context: typer.Context,
    image: ImageArgument,
    noise: Annotated[
        str,
        typer.Option("--noise", metavar="SIGMA|FILE", help=NOISE_HELP),
    ],
    model: ModelOption = None,
    registry: ModelRegistry = None,
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
    """Removes Gaussian noise from an image, with samples and an uncertainty map.

    Examples:

        pae denoise shoe.png --noise 0.2

        pae denoise photos/ --noise 0.1 --model runs/fmnist --json
    """
    refuse_idle(context, method=method, confidence=confidence)
    run(
        image,
        model,
        registry=registry,
        out=out,
        truth=truth,
        as_json=json,
        noise=noise,
        method=method,
        samples=samples,
        starts=starts,
        confidence=confidence,
        data_dir=data_dir,
        resize=resize,
        tiles=tiles,
        seed=seed,
    )
