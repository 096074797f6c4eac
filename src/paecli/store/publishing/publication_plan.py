"""What a model will be called in a registry, and whether it may be; told without torch."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from paecli.store.header import Header
from paecli.store.index import INDEX_FILE, Entry, Index, IndexFile
from paecli.store.registry import read_folder_index
from paecli.system.errors import UsageError

# stands for the file until there is one, so that all else can be checked before it is written
LONGEST_DEFAULT = 40  # letters of the data set in a name
BLANK = IndexFile(path="model", size=1, sha256="0" * 64)


@dataclass(frozen=True)
class PublicationPlan:
    """What will be added to a registry.

    Attributes:
        entry: the new entry, its file still blank.
        index: the registry's index as it is.
    """

    entry: Entry
    index: Index


def plan_publication(
    header: Header, *, folder: Path, name: str | None, licence: str, description: str
) -> PublicationPlan:
    """Makes the entry of the next revision; writes nothing.

    Args:
        header: of the model.
        folder: the registry, which need not exist.
        name: what to call it; by default `DATASET-LATENT_SIZE`.
        licence: SPDX identifier.
        description: one line.

    Raises:
        RegistryError: the folder holds a damaged index.
        UsageError: the name, licence, description or metrics cannot stand in an index.
    """
    name = name or default_name(header)
    index = read_folder_index(folder) if (folder / INDEX_FILE).exists() else Index()
    newest = index.find(name)
    if newest is not None and newest.kind != "model":
        raise UsageError(
            f"{name} is the name of a {newest.kind} entry there; choose another --name"
        )
    try:
        entry = Entry(
            name=name,
            kind="model",
            revision=_free_revision(folder, name, newest.revision + 1 if newest else 1),
            description=description,
            licence=licence,
            metrics=header.metrics,
            files=(BLANK,),
        )
    except ValidationError as error:
        raise _unfit(name, error) from error
    return PublicationPlan(entry, index)


def published_files(folder: Path, name: str, revision: int) -> tuple[Path, Path]:
    """Returns where the model of a revision and its card are."""
    stem = f"{name}-r{revision}"
    return folder / f"{stem}.safetensors", folder / f"{stem}.md"


def _free_revision(folder: Path, name: str, revision: int) -> int:
    """Returns the first revision from here on whose files are not there yet.

    What the index does not know may be somebody's, or left by a publication that was killed.
    """
    free = revision
    while any(os.path.lexists(file) for file in published_files(folder, name, free)):
        free += 1
    return free


def default_name(header: Header) -> str:
    """Returns `DATASET-LATENT_SIZE`, as the published models are called."""
    data = Path(str(header.data.get("dataset") or "")).name.lower()
    letters = re.sub(r"[^a-z0-9]+", "-", data)[:LONGEST_DEFAULT].strip("-")
    size = header.autoencoder.get("latent_size")
    return f"{letters or 'model'}-{size if isinstance(size, int) else 'x'}"


def _unfit(name: str, error: ValidationError) -> UsageError:
    problem = error.errors()[0]
    field = str(problem["loc"][0])
    if field == "name":
        return UsageError(
            f"{name!r:.80} cannot be a name; use lower-case letters, digits, '.', '-' and '_'"
        )
    # metrics are the model's own
    remedy = "save the model without some" if field == "metrics" else "choose another"
    return UsageError(f"the {field} cannot stand in an index ({problem['msg']:.200}); {remedy}")
