"""`pae eval`: how good a model is."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paecli.cli.console import RichProgress, print_json, print_table, say
from paecli.cli.options import (
    DataDir,
    FileList,
    Json,
    Model,
    ModelOption,
    ModelRegistry,
    Report,
    Seed,
    Threads,
    one_model,
    refuse_idle_data_dir,
    refuse_useless,
)
from paecli.model.requirements import require_features
from paecli.system.cores import process_index
from paecli.system.errors import UsageError

if TYPE_CHECKING:
    from paecli.evaluation.result import Evaluation


class Features(StrEnum):
    """The feature networks."""

    auto = "auto"
    inception = "inception"
    classifier = "classifier"
    photo = "photo"


def refuse_other_weights(context: typer.Context, features: Features) -> None:
    """Refuses `--inception-weights` beside another network.

    Raises:
        UsageError: it was typed.
    """
    if features not in (Features.auto, Features.inception):
        reason = f"--features {features.value} has its own"
        refuse_useless(context, ("inception_weights",), reason)


def evaluate(
    context: typer.Context,
    argument: Model = None,
    model: ModelOption = None,
    registry: ModelRegistry = None,
    fid: Annotated[
        bool,
        typer.Option("--fid", help="Also compute the Frechet distance (slow; see --features)."),
    ] = False,
    kid: Annotated[bool, typer.Option("--kid", help="Also compute the kernel distance.")] = False,
    features: Annotated[
        Features,
        typer.Option(
            help="Network for --fid and --kid: inception is the standard (95 MB download, hours on "
            "a CPU), photo takes colour and any size (the extra `photo`), classifier is bundled "
            "(grey 28 x 28 images, about a minute). auto: the first of these that can be had."
        ),
    ] = Features.auto,
    inception_weights: Annotated[
        Path | None,
        typer.Option(
            help="pytorch-fid's weight file, instead of downloading it.", show_default=False
        ),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(
            min=20,
            help="Images in each set of --fid and --kid. Default: as many as there are test "
            "images, at most 10,000.",
            show_default=False,
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Data set to evaluate on. Default: the one the model was trained on.",
            show_default=False,
        ),
    ] = None,
    file_list: FileList = None,
    data_dir: DataDir = None,
    report: Report = None,
    seed: Seed = 0,
    threads: Threads = "auto",
    json: Json = False,
) -> None:
    """Tells how good a model is, on test images it has not seen.

    Reconstruction error, fit of the flow, copied training images, smooth interpolation;
    with `--fid` or `--kid` also how close its samples are to real images.

    Examples:

        pae eval

        pae eval runs/fmnist --report report/

        pae eval runs/fmnist --fid --kid --features classifier

        pae eval runs/photos --list new-photos.csv

        pae eval runs/fmnist --fid --samples 10000 --json
    """
    if not (fid or kid):
        unused = ("features", "inception_weights", "samples")
        refuse_useless(context, unused, "they need --fid or --kid")
    refuse_other_weights(context, features)
    from paecli.cli.checks import check_list, check_model, check_readable, check_training_set
    from paecli.cli.outputs import for_report

    model = one_model(argument, model)
    contents = check_model(model, registry=registry, flow=fid or kid)
    if contents.header.flow is None and report is None:
        refuse_useless(context, ("seed",), "nothing is drawn without a flow")
    if fid or kid:
        require_features(features.value, contents.image_shape)
        check_readable(inception_weights)
    if file_list:
        check_list(file_list)
        if dataset:
            raise UsageError(f"--dataset {dataset} and --list {file_list}: give one of them")
        dataset = str(file_list)
    if dataset:
        refuse_idle_data_dir(context, dataset)
    check_training_set(contents.header, instead=dataset, data_dir=data_dir)
    for_report(report)
    from paecli.evaluation.evaluate import SampleQualityOptions, evaluate

    compare = None
    if fid or kid:
        from paecli.evaluation.features.opening import open_feature_network

        # opened first: what is missing should be said before minutes of work
        network = open_feature_network(
            features.value,
            image_shape=contents.image_shape,
            inception_weights=inception_weights,
            progress=RichProgress(),
        )
        compare = SampleQualityOptions(network, fid=fid, kid=kid, samples=samples)
    evaluation = evaluate(
        model,
        dataset=dataset,
        data_dir=data_dir,
        whole=file_list is not None,
        compare=compare,
        seed=seed,
        progress=RichProgress(),
    )
    _print_tables(evaluation)
    if report and process_index() == 0:
        from paecli.report.evaluation_page import write_evaluation

        say(f"Report: {write_evaluation(evaluation, report)}")
    if json:
        print_json(evaluation.as_dict())


def _print_tables(evaluation: Evaluation) -> None:
    from paecli.report import evaluation_tables as tables

    title = f"{evaluation.model} on {evaluation.images:,} test images of {evaluation.dataset}"
    print_table(title, tables.FIGURE_COLUMNS, tables.figure_rows(evaluation))
    quality = evaluation.sample_quality
    if quality is None:
        return
    named = {"Frechet distance": quality.frechet, "Kernel distance": quality.kernel}
    for name, distances in named.items():
        if distances is not None:
            print_table(
                f"{name}, {quality.features} features",
                tables.DISTANCE_COLUMNS,
                tables.distance_rows(distances),
            )
            say(f"Protocol: {distances.protocol}")
    print_table(
        "Overlap",
        tables.PRECISION_RECALL_COLUMNS,
        tables.precision_recall_rows(quality.precision_recall),
    )
