"""`pae recalibrate`: p-values for images of new conditions, without training."""

from pathlib import Path
from typing import Annotated

import typer

from paecli.cli.console import RichProgress, print_json, say
from paecli.cli.options import Json, Threads
from paecli.model.requirements import (
    DEFAULT_SCORE,
    FAST_SCORES,
    require_recalibration,
    require_reference_scores,
)
from paecli.system.errors import UsageError
from paecli.system.outputs import MODEL_FILE

ONE_POINT = 2_000  # images whose interval is within .01 of the rate


def recalibrate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A registry name, a run folder or a .safetensors file."
        ),
    ],
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="Good images of the new conditions. With 500 the rate of .05 comes back within "
            ".02, with 2,000 within .01, in 95 of 100 cases.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="The .safetensors file to write, or a folder for it. What is there is kept.",
        ),
    ] = Path("recalibrated"),
    threads: Threads = "auto",
    json: Json = False,
) -> None:
    """Measures a model's p-values anew on images of new conditions, and writes a new model.

    For another lamp, lens or crop that leaves the images of the same kind. The weights stay as
    they are, so it takes seconds; when the model does not know such images, it says so.

    Examples:

        pae recalibrate runs/parts recent/ --out parts-new-lamp
    """
    from paecli.cli.checks import check_images, check_model

    file = out if out.suffix == ".safetensors" else out / MODEL_FILE
    if file.exists():
        raise UsageError(f"{file} exists; give another name with --out")
    contents = check_model(model)
    measured = [name for name in FAST_SCORES if name in contents.reference_scores]
    if not measured:
        require_reference_scores(DEFAULT_SCORE, contents.reference_scores)
    images = check_images([folder])
    require_recalibration(len(images))
    import torch

    from paecli.data.images.files import read_images
    from paecli.outliers import recalibrate as job
    from paecli.store.checkpoint import save_pae
    from paecli.store.runs import load_with_header

    loaded, header = load_with_header(contents.path)
    progress = RichProgress()
    found, unreadable = read_images(images, image_shape=loaded.image_shape, progress=progress)
    for _, message in unreadable:
        say(f"Skipped: {message}")
    score = DEFAULT_SCORE if DEFAULT_SCORE in measured else measured[0]
    result = job.recalibrate(
        loaded, torch.stack([each.pixels for each in found]), score=score, progress=progress
    )
    data = header.data | {"recalibrated_on": result.images}
    save_pae(file, loaded, header.model_copy(update={"data": data}))
    if json:
        return print_json(
            {
                "model_file": str(file),
                "images": result.images,
                "unreadable": len(unreadable),
                "score": score,
                "flagged_before": result.flagged_before,
                "scatter": result.scatter,
                "rate_interval": list(result.interval),
            }
        )
    low, high = result.interval
    say(
        f"{result.images:,} images: {result.flagged_before[score]:.1%} were flagged at .05 by "
        f"{score}. Of further ones 5 % will be on average; with these images, from {low:.1%} to "
        f"{high:.1%} (in 95 of 100 cases; {_more(result.images)})."
    )
    return say(f"{file}: the same weights, new p-values.")


def _more(images: int) -> str:
    """Says what more images would do; no other way of counting does as much (docs/decisions.md)."""
    if images >= ONE_POINT:
        return "four times as many images halve that"
    return f"{ONE_POINT:,} images keep it within one point, four times as many halve it"
