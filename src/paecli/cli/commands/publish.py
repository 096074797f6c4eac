"""`pae publish`: adds a model to a registry folder."""

from pathlib import Path
from typing import Annotated

import typer

from paecli.cli.console import RichProgress, print_json, say
from paecli.cli.options import Json, refuse_useless


def publish(
    context: typer.Context,
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A run folder, a .safetensors file or a registry name."
        ),
    ],
    to: Annotated[Path, typer.Option("--to", help="The registry folder; made if need be.")],
    name: Annotated[
        str | None,
        typer.Option(help="What to call it. Default: DATASET-LATENT_SIZE.", show_default=False),
    ] = None,
    licence: Annotated[str, typer.Option(help="SPDX identifier, such as CC-BY-4.0.")] = "",
    description: Annotated[str, typer.Option(help="One line for the list of models.")] = "",
    half: Annotated[
        bool,
        typer.Option(
            "--half", help="Store the autoencoder as float16: half the size, rounded weights."
        ),
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Remove earlier revisions of that name.")
    ] = False,
    json: Json = False,
) -> None:
    """Adds a model to a registry folder that any static host can serve.

    Writes the model, a model card and the index; whoever reads the index meanwhile sees the
    old one or the new one.

    Examples:

        pae publish runs/fmnist --to registry --licence CC-BY-4.0

        pae download fmnist-32 --registry registry
    """
    from paecli.store.contents import read_header
    from paecli.store.find_model import find_model
    from paecli.store.publishing.publication_plan import plan_publication

    path = find_model(model)
    header = read_header(path)
    if header.patches:
        refuse_useless(context, ("half",), "models of patches are small and stay as they are")
    plan_publication(header, folder=to, name=name, licence=licence, description=description)
    from paecli.store.publishing import publish as workflow

    published = workflow.publish(
        path,
        folder=to,
        name=name,
        licence=licence,
        description=description,
        half=half,
        replace=replace,
        progress=RichProgress(),
    )
    entry = published.entry
    if json:
        return print_json(
            {
                "name": entry.name,
                "revision": entry.revision,
                "size": entry.files[0].size,
                "sha256": entry.files[0].sha256,
                "model_file": str(published.model_file),
                "card_file": str(published.card_file),
                "index_file": str(published.index_file),
            }
        )
    return say(
        f"{entry.name}, revision {entry.revision}: {published.model_file}. "
        f"Fetch it with `pae download {entry.name} --registry {to}`."
    )
