"""`pae samples`: images to try the commands on."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from paecli.cli.console import print_json, say
from paecli.cli.options import Json


def samples(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A new folder for the images.", show_default=False)
    ],
    json: Json = False,
) -> None:
    """Writes images to try the commands on: clothes, one damaged, one noisy, and a folder.

    To draw new images from a model, use `pae sample`.

    Examples:

        pae samples pictures/

        pae inpaint pictures/img.png --mask box

        pae ood pictures/incoming
    """
    from paecli.data.sample_files import write_samples

    files = write_samples(folder)
    if json:
        print_json({name: str(path) for name, path in asdict(files).items()})
        return
    say(f"written to {folder}; try one of:")
    say(f"  pae inpaint {files.image} --mask box")
    say(f"  pae inpaint {files.damaged} --mask {files.mask}")
    say(f"  pae denoise {files.noisy} --noise 0.2")
    say(f"  pae ood {files.folder}")
