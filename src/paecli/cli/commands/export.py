"""`pae export`: a model as an ONNX file."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from paecli.cli.console import RichProgress, print_json, print_table, say
from paecli.cli.options import DataDir, Json, Seed, Threads, output_file
from paecli.model.requirements import DEFAULT_SCORE, FAST_SCORES, require_reference_scores
from paecli.system.errors import UsageError


def export(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A registry name, a run folder or a .safetensors file."
        ),
    ],
    out: Annotated[
        Path, typer.Argument(metavar="FILE", parser=output_file, help="The .onnx file to write.")
    ],
    score: Annotated[
        list[str] | None,
        typer.Option(
            "--score",
            help="A score to put into the file; the first one is its main one. Repeatable. "
            "Default: combined, then all other fast ones.",
            show_default=False,
        ),
    ] = None,
    pixels: Annotated[
        Literal["uint8", "float32"],
        typer.Option(help="Type of the images the file takes: 0 to 255, or 0 to 1."),
    ] = "uint8",
    check: Annotated[
        int,
        typer.Option(
            min=1,
            max=100_000,
            help="Held-out images to compare; as many again are changed ones.",
        ),
    ] = 2_000,
    data_dir: DataDir = None,
    seed: Seed = 0,
    threads: Threads = "auto",
    json: Json = False,
) -> None:
    """Writes a model as an ONNX file that answers without pae and torch.

    Image in; reconstruction, latent, scores and p-values out, for any number of images. The
    file's answers are compared with the model's first: if a single flag differs at a usual
    rate, nothing is written. Needs the extra `paecli[onnx]`.

    Examples:

        pae export fmnist-32 fmnist.onnx

        pae export runs/parts parts.onnx --score weighted_error --pixels float32
    """
    from paecli.cli.checks import check_model, require_extra
    from paecli.cli.outputs import refuse_to_replace

    for name in score or []:
        if name not in FAST_SCORES:
            raise UsageError(
                f"no fast score {name!r} to export; choose one of {', '.join(FAST_SCORES)}"
            )
    if out.is_dir():
        raise UsageError(f"{out} is a folder; give the name of a file, such as {out}/model.onnx")
    contents = check_model(model)
    refuse_to_replace([out], [contents.path])
    for name in score or [DEFAULT_SCORE]:
        if score or not set(FAST_SCORES) & contents.reference_scores.keys():
            require_reference_scores(name, contents.reference_scores)
    require_extra("onnx")
    from paecli.export.export import export_model
    from paecli.store.runs import load_with_header
    from paecli.system.files import hash_file

    loaded, header = load_with_header(contents.path)
    report = export_model(
        loaded,
        header,
        out,
        source_hash=hash_file(contents.path),
        scores=score or (),
        pixels=pixels,
        check=check,
        data_dir=data_dir,
        seed=seed,
        progress=RichProgress(),
    )
    comparison = report.comparison
    if json:
        return print_json(
            {
                "file": str(report.path),
                "size": report.size,
                "sha256": report.sha256,
                "pixels": report.pixels,
                "scores": list(report.scores),
                "images": report.source,
                "compared": comparison.images,
                "rates": list(comparison.rates),
                "flags_that_differ": comparison.flags,
                "largest_difference": {each.score: each.difference for each in comparison.scores},
                "reconstruction_difference": comparison.reconstruction,
                "latent_difference": comparison.latent,
                "seconds": round(report.seconds, 3),
            }
        )
    print_table(
        "torch and onnxruntime",
        ["score", "largest difference", "flags that differ"],
        [[each.score, f"{each.difference:.1e}", str(each.flags)] for each in comparison.scores],
    )
    rates = ", ".join(f"{rate:g}" for rate in comparison.rates)
    say(
        f"{comparison.images:,} images compared ({report.source}, half of them changed), flags at "
        f"{rates}: all the same."
    )
    return say(f"{report.path}: {report.size / 1e6:.1f} MB, takes {report.pixels} pixels.")
