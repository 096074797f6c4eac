"""`pae fid`: how far two folders of images are apart."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paecli.cli.commands.eval import Features, refuse_other_weights
from paecli.cli.console import RichProgress, print_json, print_table, say
from paecli.cli.options import Json, Seed, Threads, refuse_useless
from paecli.system.errors import UsageError

if TYPE_CHECKING:
    from paecli.evaluation.compare_folders import FolderDistance

STATISTICS = ".npz"  # of pytorch-fid, which are of inception's features

Set = Annotated[
    Path,
    typer.Argument(
        help="A folder of images, searched to any depth, or an .npz file of pytorch-fid.",
        show_default=False,
    ),
]


def fid(
    context: typer.Context,
    a: Set,
    b: Set,
    features: Annotated[
        Features,
        typer.Option(
            help="The network to compare through, as in `pae eval`. Only inception gives a FID. "
            "auto: inception, else photo."
        ),
    ] = Features.auto,
    inception_weights: Annotated[
        Path | None,
        typer.Option(
            help="pytorch-fid's weight file, instead of downloading it.", show_default=False
        ),
    ] = None,
    kid: Annotated[
        bool, typer.Option("--kid", help="Also compute the kernel distance, of two folders.")
    ] = False,
    seed: Seed = 0,
    threads: Threads = "auto",
    json: Json = False,
) -> None:
    """Compares two folders of images: the Frechet distance (FID).

    Statistics files of pytorch-fid serve in the place of a folder. No model is needed.

    Examples:

        pae fid generated/ real/

        pae fid generated/ cifar10-statistics.npz --json
    """
    from paecli.cli.checks import check_image_set, check_readable

    for path in (a, b):
        check_image_set(path)
    check_readable(inception_weights)
    if features is Features.classifier:
        raise UsageError(
            "--features classifier is for grey 28 x 28 images; choose inception or photo"
        )
    refuse_other_weights(context, features)
    kept = [path for path in (a, b) if path.suffix.lower() == STATISTICS and path.is_file()]
    if kept:
        features = _of_statistics(features, kid, kept[0])
        refuse_useless(context, ("seed",), "nothing is drawn where only statistics are known")
    if len(kept) == 2:
        refuse_useless(context, ("inception_weights",), "both sets are statistics")
    from paecli.evaluation.compare_folders import compare_folders

    network = None
    if len(kept) < 2:  # else nothing is computed of images
        from paecli.evaluation.features.opening import open_feature_network

        network = open_feature_network(
            features.value,
            image_shape=ANY_COLOUR,
            inception_weights=inception_weights,
            progress=RichProgress(),
        )
    found = compare_folders(a, b, network, kernel=kid, seed=seed, progress=RichProgress())
    _print(found)
    if json:
        print_json(asdict(found))


ANY_COLOUR = (3, 0, 0)  # shape of images that a network has to take at any size


def _of_statistics(features: Features, kid: bool, file: Path) -> Features:
    """Returns the one network that statistics are of.

    Raises:
        UsageError: another one, or the kernel distance, was asked for.
    """
    if features not in (Features.auto, Features.inception):
        raise UsageError(f"{file} holds statistics of inception; drop --features {features.value}")
    if kid:
        raise UsageError(f"the kernel distance needs the images, and {file} has statistics only")
    return Features.inception


def _print(found: FolderDistance) -> None:
    def ends(interval: tuple[float, float] | None) -> str:
        return f"{interval[0]:.5g} to {interval[1]:.5g}" if interval else ""

    rows = [("Frechet distance", f"{found.frechet:.6g}", ends(found.frechet_ci))]
    if found.kernel is not None:
        rows.append(("kernel distance", f"{found.kernel:.6g}", ends(found.kernel_ci)))
    print_table(f"{found.features} features", ("distance", "value", "95 % interval"), rows)
    say(f"Protocol: {found.protocol}")
