"""`pae ood`: which data sets, or which images, are unusual for a model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from paecli.cli.options import DataDir, Json, ModelOption, Report, Seed, Threads, refuse_useless
from paecli.system.errors import ImageError, UsageError

FOUND_OUTLIER = 3  # exit code of --fail-on-outlier
DEFAULT_SCORE = "combined"  # of the p-values


def ood(
    context: typer.Context,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL] [IMAGES]...",
            help="A model (registry name, run folder or .safetensors file; default: the bundled "
            "one), then image files and folders. A first argument that is an existing image file "
            "or folder without a model in it is an image; `--model` settles any doubt.",
            show_default=False,
        ),
    ] = None,
    model: ModelOption = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            "--against",
            metavar="NAME",
            help="Compare whole sets: a data set, a folder, or hflip, vflip, noise, constant, "
            "invert of the model's own test set. Repeatable.",
            show_default=False,
        ),
    ] = None,
    score: Annotated[
        list[str] | None,
        typer.Option(
            "--score",
            help="log_prob, local_log_prob, nearest_distance, orientation (is it mirrored or "
            "upside down?), typicality, reconstruction_error, weighted_error, cycle_distance, "
            "combined or marginal_likelihood (slow). Repeatable with whole sets. "
            "Default: combined for images, all the fast ones for sets.",
            show_default=False,
        ),
    ] = None,
    fpr: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of normal images that may be flagged by mistake."),
    ] = 0.05,
    fdr: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Instead of --fpr: share of the flagged images that may be normal "
            "(Benjamini-Hochberg); for many images.",
            show_default=False,
        ),
    ] = None,
    fail_on_outlier: Annotated[
        bool,
        typer.Option(
            "--fail-on-outlier",
            help="Exit with code 3 if an image is flagged, and with 1 if one cannot be read.",
        ),
    ] = False,
    csv_file: Annotated[
        Path | None,
        typer.Option("--csv", help="Write a line an image to this file.", show_default=False),
    ] = None,
    json_lines: Annotated[
        Path | None,
        typer.Option(
            "--jsonl", help="Write a JSON object an image to this file.", show_default=False
        ),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(help="Write a PNG of the most unusual images.", show_default=False),
    ] = None,
    report: Report = None,
    limit: Annotated[
        int | None,
        typer.Option(min=2, help="Use at most so many images of each set.", show_default=False),
    ] = None,
    data_dir: DataDir = None,
    seed: Seed = 0,
    threads: Threads = "auto",
    json: Json = False,
) -> None:
    """Tells how unusual images are.

    With images: a p-value for each, the share of normal images that are at least as unusual.
    Without: how well the model's scores tell whole data sets from its own.

    Examples:

        pae ood photo.png

        pae ood runs/fmnist incoming/ --fdr 0.1 --csv flags.csv --fail-on-outlier

        pae ood fmnist-64 --against mnist --against hflip --report report/
    """
    name, images = split_arguments(arguments or [], model)
    if images and against:
        raise UsageError("give images or --against, not both")
    if images:
        from paecli.cli.outlier_images import flag

        refuse_useless(context, ("limit", "data_dir", "seed"), "they are for --against")
        _one_score_only(score)
        flagged, unreadable = flag(
            name,
            images,
            score=(score or [DEFAULT_SCORE])[0],
            fpr=fpr,
            fdr=fdr,
            files=(csv_file, json_lines, picture),
            report=report,
            as_json=json,
        )
        if flagged and fail_on_outlier:
            raise typer.Exit(FOUND_OUTLIER)
        if unreadable and fail_on_outlier:
            raise ImageError(
                f"{unreadable} of the images could not be looked at, so they may be outliers; "
                "mend or remove them"
            )
        return
    if fail_on_outlier or csv_file or json_lines or picture or fdr is not None:
        raise UsageError(
            "--fail-on-outlier, --csv, --jsonl, --picture and --fdr need images; "
            "give image files or folders"
        )
    refuse_useless(context, ("fpr",), "it needs image files or folders")
    from paecli.cli.outlier_sets import compare

    compare(
        name,
        against or [],
        scores=score,
        data_dir=data_dir,
        limit=limit,
        seed=seed,
        report=report,
        as_json=json,
    )


def split_arguments(arguments: Sequence[str], model: str | None) -> tuple[str | None, list[str]]:
    """Tells the model from the images among the positional arguments.

    Args:
        arguments: as typed.
        model: what `--model` named; then all arguments are images.
    """
    if model is None and arguments and _is_model(arguments[0]):
        return arguments[0], list(arguments[1:])
    return model, list(arguments)


def _is_model(argument: str) -> bool:
    from paecli.data.images.listing import image_endings
    from paecli.store.runs import AUTOENCODER_FILE, MODEL_FILE

    path = Path(argument)
    if path.is_dir():
        return any((path / file).is_file() for file in (MODEL_FILE, AUTOENCODER_FILE))
    if path.suffix == ".safetensors":
        return True
    # what does not exist and is not called like an image can only be a registry name
    return not path.exists() and path.suffix.lower() not in image_endings()


def _one_score_only(score: Sequence[str] | None) -> None:
    if score and len(score) > 1:
        raise UsageError("p-values come from one score; give --score once")
