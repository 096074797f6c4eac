"""`pae publish`: adds a model to a registry folder that any static host can serve."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paecli.model.model import Model
from paecli.store.checkpoint import load_pae, read_header, save_pae
from paecli.store.header import HEADER_KEY, LENGTH_BYTES, Header
from paecli.store.index import (
    INDEX_FILE,
    MAX_INDEX_BYTES,
    Entry,
    Index,
    IndexFile,
    index_to_yaml,
    parse_index,
)
from paecli.store.patch_checkpoint import load_patch_pae
from paecli.store.publishing.model_card import card_title, write_card
from paecli.store.publishing.publication_plan import plan_publication, published_files
from paecli.store.registry import read_folder_index
from paecli.system.errors import RegistryError
from paecli.system.files import is_intact, write_atomically
from paecli.system.locks import only_process
from paecli.system.progress import NullProgress, Progress
from paecli.system.temporary import temporary_folder
from paecli.system.yaml_text import read_bounded_text

ALIGNMENT = 8  # bytes; where the tensors of a safetensors file begin
LONGEST_TITLE = 200  # bytes of a card's first line, and more
NOTE = ".publishing"  # entries that are being added or removed


@dataclass(frozen=True)
class Publication:
    """What was published.

    Attributes:
        entry: the new entry of the index.
        model_file: the model in the registry folder.
        card_file: its model card, Markdown.
        index_file: the index.
    """

    entry: Entry
    model_file: Path
    card_file: Path
    index_file: Path


def publish(
    model_file: Path,
    *,
    folder: Path,
    name: str | None = None,
    licence: str = "",
    description: str = "",
    half: bool = False,
    replace: bool = False,
    progress: Progress = NullProgress(),
) -> Publication:
    """Adds a model to a registry folder as the next revision of its name.

    The index is written last and atomically: whoever reads it meanwhile, and a crash, finds
    the registry as it was.

    Args:
        model_file: the model.
        folder: the registry; made if need be.
        name: what to call it; by default `DATASET-LATENT_SIZE`.
        licence: SPDX identifier.
        description: one line.
        half: whether to store the autoencoder's weights as float16; models of patches, which
            are small, stay as they are.
        replace: whether to remove earlier revisions of that name.
        progress: told when this has to wait for another process.

    Raises:
        CheckpointError: the model is damaged.
        WriteError: the folder cannot be written.
        RegistryError: the folder holds a damaged index.
        UsageError: a name that cannot be used.
    """
    patches = read_header(model_file).patches is not None
    model, header = load_patch_pae(model_file) if patches else load_pae(model_file)
    header = header.model_copy(update={"config": _without_folder(header.config)})
    key = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()
    with only_process(key, f"publishing to {folder}", progress):
        _clear_unfinished(folder)
        plan = plan_publication(
            header, folder=folder, name=name, licence=licence, description=description
        )
        target, card = published_files(folder, plan.entry.name, plan.entry.revision)
        if half and isinstance(model, Model):
            content = _halved(model, header, folder)
        else:
            content = _publishable(model_file)
        stored = IndexFile(path=target.name, size=len(content), sha256=_hash(content))
        entry = plan.entry.model_copy(update={"files": (stored,)})
        old = [other for other in plan.index.entries if replace and other.name == entry.name]
        with _noted(folder, (entry, *old)):
            with _removed_on_failure(target, card):
                write_atomically(target, content)
                write_atomically(card, write_card(entry, header).encode())
                _write_index(folder, plan.index, entry, old)
            _remove_unlisted(folder, old)
    return Publication(entry, target, card, folder / INDEX_FILE)


@contextmanager
def _noted(folder: Path, entries: tuple[Entry, ...]) -> Iterator[None]:
    """Keeps a note of what is added and removed: after a kill the next call makes an end of it."""
    note = folder / NOTE
    write_atomically(note, index_to_yaml(Index(entries=entries)).encode())
    try:
        yield
    finally:
        note.unlink(missing_ok=True)


@contextmanager
def _removed_on_failure(*files: Path) -> Iterator[None]:
    """Removes files that were not there before if what writes them fails."""
    try:
        yield
    except BaseException:
        for file in files:
            file.unlink(missing_ok=True)
        raise


def _clear_unfinished(folder: Path) -> None:
    """Removes what a call that was killed has written or had yet to remove."""
    note = folder / NOTE
    try:
        noted = parse_index(read_bounded_text(note, MAX_INDEX_BYTES), where=str(note))
    except (OSError, ValueError, RegistryError):
        return  # none, or not ours
    _remove_unlisted(folder, noted.entries)
    note.unlink(missing_ok=True)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _halved(model: Model, header: Header, folder: Path) -> bytes:
    """Returns the file of a model whose autoencoder is stored as float16."""
    folder.mkdir(parents=True, exist_ok=True)
    with temporary_folder(folder) as place:  # there the next call finds what a kill leaves
        file = place / "half.safetensors"
        save_pae(file, model, header, half=True)
        return file.read_bytes()


def _publishable(model_file: Path) -> bytes:
    """Returns the file's bytes, less the publisher's own folders in its header."""
    content = model_file.read_bytes()
    end = LENGTH_BYTES + int.from_bytes(content[:LENGTH_BYTES], "little")
    table = json.loads(content[LENGTH_BYTES:end])
    fields = json.loads(table["__metadata__"][HEADER_KEY])
    config = _without_folder(fields.get("config", {}))
    if config == fields.get("config", {}):
        return content
    table["__metadata__"][HEADER_KEY] = json.dumps(fields | {"config": config})
    text = json.dumps(table).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    return len(text).to_bytes(LENGTH_BYTES, "little") + text + content[end:]


def _without_folder(config: dict[str, Any]) -> dict[str, Any]:
    """Returns settings that name a folder of images without the path to it."""
    stage = config.get("autoencoder", {})
    dataset = str(stage.get("data", {}).get("dataset", ""))
    if not Path(dataset).is_absolute():
        return config
    data = stage["data"] | {"dataset": Path(dataset).name}
    return config | {"autoencoder": stage | {"data": data}}


def _write_index(folder: Path, index: Index, entry: Entry, old: Sequence[Entry]) -> None:
    """Writes the index with the new entry and without old ones.

    Raises:
        RegistryError: it would be larger than what is read.
    """
    kept = [other for other in index.entries if other not in old]
    text = index_to_yaml(Index(entries=(*kept, entry))).encode()
    if len(text) > MAX_INDEX_BYTES:
        raise RegistryError(
            f"the index of {folder} would be larger than {MAX_INDEX_BYTES} bytes, which nobody "
            "reads; publish into another folder, or add --replace"
        )
    write_atomically(folder / INDEX_FILE, text)


def _remove_unlisted(folder: Path, entries: Iterable[Entry]) -> None:
    """Removes the files of those entries that are not in the index."""
    there = (folder / INDEX_FILE).exists()
    listed = read_folder_index(folder).entries if there else ()
    used = {file.path for entry in listed for file in entry.files}
    for entry in entries:
        if entry not in listed:
            _remove(folder, entry, used)


def _remove(folder: Path, entry: Entry, still_used: set[str]) -> None:
    """Removes a revision: the files that are as they were published, and its card."""
    for file in entry.files:
        path = folder / file.path
        ours = not path.is_symlink() and is_intact(path, size=file.size, sha256=file.sha256)
        if ours and file.path not in still_used:
            path.unlink()
    card = published_files(folder, entry.name, entry.revision)[1]
    if card.is_file() and not card.is_symlink() and _is_card(card, entry):
        card.unlink()


def _is_card(path: Path, entry: Entry) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(LONGEST_TITLE).startswith(card_title(entry).encode())
    except OSError:
        return False
