"""`pae ood`: which data sets, or which images, are unusual for a model."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from paecli.cli.checks import (
    check_folder,
    check_images,
    check_list,
    check_model,
    check_training_set,
    flagging_rate,
)
from paecli.cli.options import (
    DataDir,
    FileList,
    Json,
    ModelOption,
    ModelRegistry,
    Report,
    Seed,
    Threads,
    one_on_standard_output,
    output_file,
    refuse_useless,
)
from paecli.cli.outputs import OutputFolder, for_report, refuse_to_replace
from paecli.data.images.lists import missing_files
from paecli.data.sets.locations import require_comparison
from paecli.data.sets.named_sets import TRANSFORM_NAMES
from paecli.model.requirements import (
    DEFAULT_SCORE,
    FAST_SCORES,
    PATCH_SCORE,
    require_rate,
    require_reference_scores,
    require_scores,
)
from paecli.report.map_places import map_files
from paecli.store.contents import ModelContents
from paecli.system.errors import ImageError, UsageError

FOUND_OUTLIER = 3  # exit code of --fail-on-outlier


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
    file_list: FileList = None,
    model: ModelOption = None,
    registry: ModelRegistry = None,
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
        typer.Option(
            min=0, max=1, help="Share of in-distribution images that may be flagged by mistake."
        ),
    ] = 0.05,
    fdr: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Instead of --fpr: share of the flagged images that may be in-distribution "
            "(Benjamini-Hochberg); for many images.",
            show_default=False,
        ),
    ] = None,
    fail_on_outlier: Annotated[
        bool,
        typer.Option(
            "--fail-on-outlier",
            help="Exit with code 3 if an image is flagged, else with 1 if one cannot be read.",
        ),
    ] = False,
    csv_file: Annotated[
        Path | None,
        typer.Option(
            "--csv",
            parser=output_file,
            metavar="FILE",
            help="Write a line an image to this file; - is standard output.",
            show_default=False,
        ),
    ] = None,
    json_lines: Annotated[
        Path | None,
        typer.Option(
            "--jsonl",
            parser=output_file,
            metavar="FILE",
            help="Write a JSON object an image to this file; - is standard output.",
            show_default=False,
        ),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            parser=output_file,
            metavar="FILE",
            help="Write a PNG of the most unusual images; - is standard output.",
            show_default=False,
        ),
    ] = None,
    maps: Annotated[
        Path | None,
        typer.Option(
            "--maps",
            help="Write a heat map of each image, and a table of unusual regions, to this folder.",
            show_default=False,
        ),
    ] = None,
    truth_masks: Annotated[
        Path | None,
        typer.Option(
            "--truth-masks",
            help="Folder of true masks, white where defective, called like the images: measure "
            "how well the maps find them. Images without a mask count as good.",
            show_default=False,
        ),
    ] = None,
    tiles: Annotated[
        bool,
        typer.Option(
            "--tiles",
            help="Score images larger than the model's at their own size, tile by tile: one "
            "p-value for each, and its unusual tiles as regions.",
        ),
    ] = False,
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

    With images: a p-value for each, the share of reference images that are at least as unusual.
    Without: how well the model's scores tell whole data sets from its own.

    With --maps also where: pixels by their p-values, and outlined regions. The share of
    in-distribution images with any region is at most --fpr.

    Examples:

        pae ood photo.png

        pae ood runs/photos --list new-photos.csv --csv flags.csv

        pae ood runs/tiles incoming/ --maps maps/

        pae ood runs/fmnist incoming/ --fdr 0.1 --csv flags.csv --fail-on-outlier

        pae ood fmnist-64 --against mnist --against hflip --report report/
    """
    one_on_standard_output(csv_file, json_lines, picture, as_json=json)
    name, images = split_arguments(arguments or [], model)
    if file_list and images:
        raise UsageError("give images or --list, not both")
    listed = check_list(file_list) if file_list else []
    missing = missing_files(listed)
    lost = {file for file, _ in missing}
    images += [str(row.file) for row in listed if row.file not in lost]
    if images and against:
        raise UsageError("give images or --against, not both")
    if images:
        refuse_useless(context, ("limit", "data_dir", "seed"), "they are for --against")
        _one_score_only(score)
        chosen = score[0] if score else None
        contents = check_model(name, registry=registry, patches=True)
        if tiles and (maps or truth_masks or contents.header.patches is not None):
            raise UsageError(
                "--tiles goes with neither --maps nor --truth-masks, nor with models of patches, "
                "which take images of any size as they are"
            )
        count = _count_reference_scores(contents, chosen)
        if fdr is None:
            fpr = flagging_rate(context, contents, fpr, count)
        else:
            refuse_useless(context, ("fpr",), "--fdr takes its place")
            require_rate(fdr, count)
        found = check_images([Path(image) for image in images], leave_out=maps)
        read = [*found, contents.path, *([file_list] if file_list else [])]
        refuse_to_replace((csv_file, json_lines, picture), read)
        if maps is not None:
            OutputFolder(maps, map_files(found)).announce()
        for_report(report, ["unusual.png"])
        from paecli.cli.outlier_images import flag

        flagged, unreadable = flag(
            contents.path,
            images,
            missing=missing,
            score=chosen,
            fpr=fpr,
            fdr=fdr,
            files=(csv_file, json_lines, picture),
            maps=maps,
            truth=truth_masks,
            tiles=tiles,
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
    files = csv_file or json_lines or picture or maps or truth_masks
    if fail_on_outlier or files or tiles or fdr is not None:
        raise UsageError(
            "--fail-on-outlier, --csv, --jsonl, --picture, --maps, --truth-masks, --tiles and "
            "--fdr need images; give image files or folders"
        )
    refuse_useless(context, ("fpr",), "it needs image files or folders")
    file = _check_comparison(name, registry, against or [], score or [], data_dir)
    kinds, measured = ("roc", "histogram"), score or FAST_SCORES
    for_report(report, [f"{kind}-{each}.png" for kind in kinds for each in measured])
    from paecli.cli.outlier_sets import compare

    compare(
        file,
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
    from paecli.data.images.listing import is_called_image
    from paecli.system.outputs import AUTOENCODER_FILE, MODEL_FILE, is_run_folder

    path = Path(argument)
    if path.suffix == ".safetensors":
        return True
    if path.is_dir():
        with suppress(OSError):
            files = frozenset(file.name for file in path.iterdir())
            # an unfinished run is meant as a model, too: it must not be answered by the bundled one
            return not files.isdisjoint((MODEL_FILE, AUTOENCODER_FILE)) or is_run_folder(files)
        return False
    # what does not exist and is not called like an image can only be a registry name
    return not path.exists() and not is_called_image(path)


def _count_reference_scores(contents: ModelContents, chosen: str | None) -> int:
    """Returns how many held-out images are behind the p-values.

    Raises:
        UsageError: no such score.
        CheckpointError: the model was not measured by it.
    """
    score = chosen or (DEFAULT_SCORE if contents.header.patches is None else PATCH_SCORE)
    if contents.header.patches is None:
        require_scores([score])
    elif score != PATCH_SCORE:
        raise UsageError(f"a model of patches has one score, {PATCH_SCORE}; drop --score {score}")
    require_reference_scores(score, contents.reference_scores)
    return contents.reference_scores[score]


def _check_comparison(
    name: str | None,
    registry: str | None,
    against: Sequence[str],
    scores: Sequence[str],
    data_dir: Path | None,
) -> Path:
    """Refuses what cannot work, before torch is imported; returns the model's file."""
    contents = check_model(name, registry=registry)
    check_training_set(contents.header, data_dir=data_dir)
    require_scores(scores)
    for each in against:
        require_comparison(each)
        if each not in TRANSFORM_NAMES:
            check_folder(each)
    return contents.path


def _one_score_only(score: Sequence[str] | None) -> None:
    if score and len(score) > 1:
        raise UsageError("p-values come from one score; give --score once")
