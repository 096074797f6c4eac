"""What `pae inpaint` and `pae denoise` share: options, and how the result is printed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from paecli.cli.console import RichProgress, print_json, print_table, say
from paecli.cli.options import refuse_useless
from paecli.model.requirements import require_damage, require_operator
from paecli.system.errors import UsageError

if TYPE_CHECKING:
    from paecli.restoration.files import RestoredFile

Method = Literal["auto", "map", "laplace", "mixture", "is", "hmc", "smc"]

ImageArgument = Annotated[
    Path,
    typer.Argument(metavar="IMAGE", help="An image file, or a folder to restore as one batch."),
]
Starts = Annotated[
    int,
    typer.Option(
        min=1,
        help="Starting points of the search for readings; auto and smc search from their draws.",
    ),
]
Samples = Annotated[int, typer.Option(min=1, max=256, help="Restored images to draw.")]
MethodOption = Annotated[
    Method,
    typer.Option(
        "--method",
        help="auto runs tempered Monte Carlo (smc) until two halves of it agree, within seconds; "
        "smc goes on for longer. is and hmc are other samplers with diagnostics of their own; "
        "map, laplace and mixture are quicker approximations.",
    ),
]
Blur = Annotated[
    float,
    typer.Option(
        min=0,
        metavar="SIGMA",
        help="The input is blurred by a Gaussian of this standard deviation, in pixels of the "
        "model's size.",
    ),
]
Downsample = Annotated[
    int,
    typer.Option(
        min=1,
        metavar="N",
        help="The input is N times smaller than the model's images, each pixel the mean of N by N "
        "(after the blur); the answer has the model's size.",
    ),
]
Confidence = Annotated[
    float | None,
    typer.Option(
        "--confidence",
        min=0.01,
        max=0.999,
        metavar="SHARE",
        help="Also write intervals, lower.png and upper.png, that hold at least this share of the "
        "missing pixels, on average over images like the training data.",
        show_default=False,
    ),
]
Resize = Annotated[
    bool,
    typer.Option(
        "--resize",
        help="Crop and shrink the input to the model's size whatever it is. Without, a photograph "
        "is refused by models of small pictures, not by models of a folder.",
    ),
]
Tiles = Annotated[
    bool,
    typer.Option(
        "--tiles",
        help="Restore larger images at their own size: overlapping tiles, blended; "
        "those with nothing to restore stay. For models trained on crops of such images.",
    ),
]
NOISE_HELP = (
    "Standard deviation of the noise on the input, pixels in [0, 1]; or a picture (white is 1) or "
    ".npy file of one a pixel, or a folder of these by the images' names."
)
Truth = Annotated[
    Path | None,
    typer.Option(
        "--truth",
        help="The undamaged image (or a folder of them by the images' names), to count how many of "
        "its pixels the intervals cover.",
        show_default=False,
    ),
]


def refuse_idle(context: typer.Context, *, method: Method, confidence: float | None) -> None:
    """Refuses options of another method, or of a guarantee that nobody asked for.

    Raises:
        UsageError: one was typed.
    """
    if method in ("auto", "smc"):
        refuse_useless(context, ("starts",), f"--method {method} searches from its own draws")
    if method == "map":
        refuse_useless(context, ("samples",), "--method map gives the best images, and draws none")
    if confidence is None:
        refuse_useless(context, ("data_dir",), "only --confidence compares with the model's data")


def run(
    image: Path,
    model: str | None,
    *,
    registry: str | None,
    out: Path,
    truth: Path | None,
    as_json: bool,
    mask: str | None = None,
    noise: str,
    blur: float = 0.0,
    downsample: int = 1,
    confidence: float | None = None,
    data_dir: Path | None = None,
    resize: bool = False,
    tiles: bool = False,
    **options: Any,
) -> None:
    """Restores, and prints a JSON line for each image or a table of them all.

    Args:
        image: a file or a folder.
        model: what the user typed.
        registry: what the user typed after `--registry`.
        out: folder for the pictures.
        truth: the undamaged image, or folder of them.
        as_json: whether to print JSON.
        mask: what is missing; None is nothing.
        noise: standard deviation on the input, or a file or folder with one a pixel.
        blur: standard deviation of the blur of the input, in pixels of the model's size.
        downsample: side of the blocks of pixels of which the input holds the mean.
        confidence: share of the missing pixels that guaranteed intervals hold, or None.
        data_dir: where the model's data is, for held-out images.
        resize: whether to shrink images of any size and colour; always for models of a folder,
            whose images were shrunk in training.
        tiles: whether to restore larger images tile by tile.
        options: the other fields of `RestoreSettings`.
    """
    from paecli.cli.checks import (
        check_images,
        check_mask,
        check_model,
        check_noise,
        check_tiles,
        check_truth,
    )
    from paecli.cli.outputs import OutputFolder
    from paecli.restoration.picture_files import folders_for, picture_names

    if tiles and (resize or blur > 0 or downsample > 1 or confidence is not None):
        raise UsageError(
            "--tiles keeps images as they are; it goes with none of --resize, --blur, "
            "--downsample and --confidence"
        )
    contents = check_model(model, registry=registry)
    shape = require_operator(contents.image_shape, blur=blur, downsample=downsample)
    level = check_noise(noise, image)
    require_damage(level != 0 or mask is not None or blur > 0 or downsample > 1)
    images = check_images([image], leave_out=out)
    if options.get("invert_mask") and (mask is None or not Path(mask).exists()):
        raise UsageError("--invert-mask would do nothing here: it is for a mask file or folder")
    if mask is not None:
        check_mask(mask, shape, image)
    if tiles and not image.is_dir():
        check_tiles(image, shape)
    check_truth(truth, image)
    folders = folders_for(images, image, out)
    names = [folder / name for folder in folders.values() for name in picture_names()]
    earlier = OutputFolder(out, [name.relative_to(out) for name in names])
    from paecli.data.dataset_names import is_named
    from paecli.report.restore_plots import write_pictures
    from paecli.restoration.files import restore_files
    from paecli.restoration.guarantee.held_out import held_out_images
    from paecli.restoration.guarantee.references import References
    from paecli.restoration.masks.files import NOTHING
    from paecli.restoration.reading import RestoreSettings
    from paecli.store.runs import load_with_header

    rows, promised = [], None
    settings = RestoreSettings(
        mask=NOTHING if mask is None else mask,
        noise=level,
        blur=blur,
        downsample=downsample,
        confidence=confidence,
        tiles=tiles,
        resize=resize or not is_named(contents.header.training_set),
        **options,
    )
    loaded, header = load_with_header(contents.path)
    progress = RichProgress()
    references = None
    if confidence is not None:
        held_out = held_out_images(loaded, header, data_dir=data_dir, many=True, progress=progress)
        references = References(loaded, held_out)
    restored = restore_files(
        loaded,
        image,
        settings,
        out=out,
        truth=truth,
        references=references,
        progress=progress,
    )
    for each in restored:
        earlier.clear(each.folder)
        write_pictures(each)
        for sentence in (each.restoration.note, each.likeness and each.likeness.warning):
            if sentence:
                say(f"{each.path}: {sentence}")
        if as_json:
            print_json(json_fields(each))
        rows.append(_row(each))
        promised = each.guarantee
    print_table("Restored", ("image", "method", "readings", "chi2 / values", "seconds"), rows)
    if promised is not None:
        say(
            f"lower.png to upper.png hold at least {promised.confidence:.0%} of the missing "
            f"pixels, on average over images like the model's: set on {promised.images} held-out "
            f"images, which mislead with a probability of at most {promised.failure:.0%}"
        )
    say(f"Pictures: {out}")


def json_fields(restored: RestoredFile) -> dict[str, Any]:
    """Returns the JSON object of one image."""
    result, coverage = restored.restoration, restored.coverage
    diagnostics = result.diagnostics
    return {
        "path": str(restored.path),
        **{key: str(path) for key, path in restored.files.items()},
        "missing_pixels": restored.missing_pixels,
        "mask_notes": list(restored.mask_notes),
        "modes": [
            {"log_posterior": mode.log_posterior, "weight": mode.weight} for mode in result.modes
        ],
        "chi2": result.chi2,
        "degrees_of_freedom": result.degrees_of_freedom,
        "coverage": coverage and {f"{level:.0%}": share for level, share in coverage.items()},
        "method": result.method,
        "note": result.note or None,
        "diagnostics": {
            "pareto_k": diagnostics.pareto_k,
            "rhat": diagnostics.rhat,
            "ess": diagnostics.ess,
            "passed": diagnostics.passed,
            "disagreement": diagnostics.disagreement,
            "evidence_gap": diagnostics.evidence_gap,
            "ancestors": diagnostics.ancestors,
        },
        "likeness": restored.likeness
        and {
            "p_value": restored.likeness.p_value,
            "held_out_images": restored.likeness.images,
            "warning": restored.likeness.warning or None,
        },
        "guarantee": restored.guarantee
        and {
            "confidence": restored.guarantee.confidence,
            "factor": restored.guarantee.factor,
            "held_out_images": restored.guarantee.images,
            "failure_probability": restored.guarantee.failure,
        },
        "seconds": round(result.seconds, 3),
    }


def _row(restored: RestoredFile) -> tuple[str, ...]:
    result = restored.restoration
    weights = ", ".join(f"{mode.weight:.0%}" for mode in result.modes)
    return (
        str(restored.path),
        result.method,
        weights,
        f"{result.chi2:.0f} / {result.degrees_of_freedom}",
        f"{result.seconds:.2f}",
    )
