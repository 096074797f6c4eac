"""Registries: finds models, data samples and feature networks by name, fetches, verifies."""

import hashlib
import os
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from paecli.store.cache import remember_registry, remembered_registry
from paecli.store.index import (
    INDEX_FILE,
    MAX_INDEX_BYTES,
    Entry,
    Index,
    Kind,
    parse_index,
)
from paecli.store.obtain import obtain
from paecli.store.sources import (
    BUNDLED,
    DoiSource,
    FolderSource,
    Source,
    WebSource,
    choose_address,
    open_source,
)
from paecli.system.errors import RegistryError, WriteError
from paecli.system.files import write_atomically
from paecli.system.folders import cache_folder
from paecli.system.progress import NullProgress, Progress
from paecli.system.yaml_text import read_bounded_text

DEFAULT_MODEL = "fmnist-32"


@dataclass(frozen=True)
class Registry:
    """An opened registry.

    Attributes:
        source: where its files are.
        index: what it has.
    """

    source: Source
    index: Index


@dataclass(frozen=True)
class Fetched:
    """An entry whose files are on this machine, verified.

    Attributes:
        entry: what the index says about it.
        files: where its files are, in the index's order.
        origin: `bundled`, `folder`, `cache` or `download`.
    """

    entry: Entry
    files: tuple[Path, ...]
    origin: str


def open_registry(
    address: str | None = None, *, offline: bool = False, progress: Progress = NullProgress()
) -> Registry:
    """Opens a registry and reads its index.

    Args:
        address: see `paecli.store.sources.open_source`; None means `PAE_REGISTRY`, then the
            user's config file, then the bundled registry.
        offline: whether to use only what is on this machine.
        progress: told when an older copy of the index has to do.

    Raises:
        RegistryError: no registry there, or its index is damaged.
    """
    source = open_source(choose_address(address))
    return Registry(source, _read_index(source, offline, progress))


def list_entries(
    address: str | None = None, *, offline: bool = False, progress: Progress = NullProgress()
) -> tuple[Entry, ...]:
    """Lists what a registry has; see `open_registry`."""
    return open_registry(address, offline=offline, progress=progress).index.entries


def ask_registry(address: str | None = None) -> Index:
    """Reads a registry's index once, without retries and without an older copy.

    Raises:
        RegistryError: it does not answer, or its index is damaged.
    """
    source = open_source(choose_address(address))
    if isinstance(source, FolderSource):
        return read_folder_index(source.folder)
    return _read_web_index(source, attempts=1)[0]


def fetch(
    name: str,
    *,
    kind: Kind | None = None,
    registry: str | None = None,
    revision: int | None = None,
    offline: bool = False,
    progress: Progress = NullProgress(),
) -> Fetched:
    """Fetches an entry's files and verifies their size and SHA-256.

    What the chosen registry does not have is looked for in the bundled one, then in the one
    that it was last fetched from.

    Args:
        name: the entry's name.
        kind: what it must be; None takes any kind.
        registry: address, see `open_registry`.
        revision: a number; None is the newest.
        offline: whether to use only what is on this machine.
        progress: shows downloads.

    Raises:
        RegistryError: no such entry, unreachable, damaged, or not here while offline.
    """
    opened = open_registry(registry, offline=offline, progress=progress)
    entry = opened.index.find(name, revision)
    if entry is None and opened.source.address != BUNDLED:
        fallback = open_registry(BUNDLED, offline=offline)
        entry = fallback.index.find(name, revision)
        opened = fallback if entry is not None else opened
    if entry is None and registry is None and (last := remembered_registry(name)):
        opened = open_registry(last, offline=offline, progress=progress)
        entry = opened.index.find(name, revision)
    if entry is None:
        raise _unknown(name, revision, opened)
    if kind is not None and entry.kind != kind:
        raise RegistryError(
            f"{name} is of kind {entry.kind!r}, not {kind!r}; see `pae download --list`"
        )
    obtained = [
        obtain(file, opened.source, offline=offline, progress=progress) for file in entry.files
    ]
    origins, files = zip(*obtained, strict=True)
    if opened.source.address != BUNDLED:
        remember_registry(name, _lasting_address(opened.source))
    return Fetched(entry, files, "download" if "download" in origins else origins[0])


def _lasting_address(source: Source) -> str:
    """Returns an address that means the same from every working directory."""
    return str(source.folder.absolute()) if isinstance(source, FolderSource) else source.address


def fetch_model(
    name: str | None,
    *,
    registry: str | None = None,
    revision: int | None = None,
    offline: bool = False,
    progress: Progress = NullProgress(),
) -> Path:
    """Returns a model's file, fetched and verified; see `fetch`.

    Args:
        name: a model in the registry; None is the default model, bundled unless `registry`
            says otherwise.
        registry: address, see `open_registry`.
        revision: a number; None is the newest.
        offline: whether to use only what is on this machine.
        progress: shows downloads.
    """
    if name is None and registry is None:
        registry = BUNDLED
    return fetch_file(
        name or DEFAULT_MODEL,
        kind="model",
        registry=registry,
        revision=revision,
        offline=offline,
        progress=progress,
    )


def fetch_file(
    name: str,
    *,
    kind: Kind,
    registry: str | None = None,
    revision: int | None = None,
    offline: bool = False,
    progress: Progress = NullProgress(),
) -> Path:
    """Returns the first (mostly the only) file of an entry; see `fetch`."""
    return fetch(
        name,
        kind=kind,
        registry=registry,
        revision=revision,
        offline=offline,
        progress=progress,
    ).files[0]


def read_folder_index(folder: Path) -> Index:
    """Reads the index of a registry folder.

    Raises:
        RegistryError: there is none, or it is damaged.
    """
    path = folder / INDEX_FILE
    try:
        if not path.is_file():  # a pipe would keep us waiting
            raise FileNotFoundError("there is none")
        text = read_bounded_text(path, MAX_INDEX_BYTES)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RegistryError(
            f"{folder} is no registry: cannot read its {INDEX_FILE} ({reason!s:.200}); "
            "make one with `pae publish MODEL --to FOLDER`"
        ) from error
    return parse_index(text, where=str(folder))


def _read_index(source: Source, offline: bool, progress: Progress) -> Index:
    if isinstance(source, FolderSource):
        return read_folder_index(source.folder)
    digest = hashlib.sha256(os.fsencode(source.address)).hexdigest()
    copy = cache_folder() / "indexes" / f"{digest}.yaml"
    if not offline:
        try:
            index, text = _read_web_index(source)
        except RegistryError as error:
            if not copy.is_file():
                raise
            progress.say(f"Warning: {error}. Using the index of an earlier visit.")
        else:
            _remember(copy, text, progress)
            return index
    try:
        text = read_bounded_text(copy, MAX_INDEX_BYTES)
    except (OSError, ValueError) as error:
        raise RegistryError(
            f"the index of {source.address} is not in the cache (or damaged there); go online once"
        ) from error
    return parse_index(text, where=source.address)


def _remember(copy: Path, text: str, progress: Progress) -> None:
    """Keeps an index for times without a network; a cache that cannot be written only warns."""
    try:
        write_atomically(copy, text.encode())
    except WriteError as error:
        progress.say(f"Warning: {error}.")


def _read_web_index(
    source: WebSource | DoiSource, *, attempts: int | None = None
) -> tuple[Index, str]:
    from paecli.store.web import read_text

    text = read_text(
        source.url(INDEX_FILE),
        headers=source.headers,
        limit=MAX_INDEX_BYTES,
        what=f"the index of {source.address}",
        attempts=attempts,
    )
    return parse_index(text, where=source.address), text


def _unknown(name: str, revision: int | None, registry: Registry) -> RegistryError:
    names = sorted({entry.name for entry in registry.index.entries})
    if revision is not None and name in names:
        return RegistryError(
            f"{name} has no revision {revision} in {registry.source.address}; "
            "see `pae download --list`"
        )
    close = get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}?" if close else "see `pae download --list`"
    return RegistryError(
        f"{name!r:.200} is no file, no run folder and no name in the registry "
        f"{registry.source.address}; {hint}"
    )
