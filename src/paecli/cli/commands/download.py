"""`pae download`: fetches and verifies what the registry has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from paecli.cli.console import RichProgress, print_json, print_table, say
from paecli.cli.options import Json, RegistryAddress, refuse_useless
from paecli.data.sets.named_sets import NAMED_SETS
from paecli.store.sources import BUNDLED
from paecli.system.errors import RegistryError, UsageError
from paecli.system.names import counted

if TYPE_CHECKING:
    from paecli.store.index import Entry

MEGABYTE = 1e6


def download(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="A model, data set or feature network. Default: the default model.",
            show_default=False,
        ),
    ] = None,
    registry: RegistryAddress = None,
    revision: Annotated[
        int | None, typer.Option(help="Which revision. Default: the newest.", show_default=False)
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Use only what is on this machine already.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Check every file in the cache against its hash.")
    ] = False,
    list_: Annotated[
        bool, typer.Option("--list", "-l", help="Show what the registry has.")
    ] = False,
    json: Json = False,
) -> None:
    """Fetches a model, data set or feature network, and verifies it.

    Interrupted downloads go on where they stopped. What is here already is only checked.

    Examples:

        pae download --list

        pae download fmnist-32

        pae download inception-fid

        pae download my-model --registry https://example.org/models
    """
    if name in NAMED_SETS and not list_:
        reason = f"{name} is fetched from its makers"
        refuse_useless(context, ("registry", "revision", "verify"), reason)
        return _fetch_dataset(name, offline, json)
    if verify and not name:
        refuse_useless(
            context, ("registry", "revision", "offline", "list_"), "--verify checks the cache"
        )
        return _verify(json)
    if list_:
        refuse_useless(context, ("revision", "verify"), "--list shows what the registry has")
        return _list(name, registry, offline, json)
    return _fetch(name, registry, revision, offline, json)


def _fetch(
    name: str | None,
    registry: str | None,
    revision: int | None,
    offline: bool,
    json: bool,
) -> None:
    from paecli.store.registry import DEFAULT_MODEL, fetch

    progress = RichProgress()
    fetched = fetch(
        name or DEFAULT_MODEL,
        registry=registry,
        revision=revision,
        offline=offline,
        progress=progress,
    )
    if registry not in (None, BUNDLED) and fetched.origin == BUNDLED:
        say(f"{registry} has no {fetched.entry.name}: this is the bundled one.")
    if json:
        fields: dict[str, object] = {"name": fetched.entry.name, "kind": fetched.entry.kind}
        fields |= {"revision": fetched.entry.revision, "origin": fetched.origin, "verified": True}
        return print_json(fields | {"files": [str(path) for path in fetched.files]})
    entry = fetched.entry
    for path in fetched.files:
        say(f"{entry.name}, revision {entry.revision}, verified: {path}")
    if entry.kind == "model" and fetched.origin != BUNDLED:
        say(_how_to_use(entry.name, registry))
    return None


def _how_to_use(name: str, registry: str | None) -> str:
    from paecli.store.registry import list_entries

    if registry is None or name not in {entry.name for entry in list_entries(BUNDLED)}:
        return f"Use it by its name: pae sample {name}"
    return (
        f"{name} alone is the bundled model; for this one: pae sample {name} --registry {registry}"
    )


def _fetch_dataset(name: str, offline: bool, json: bool) -> None:
    from paecli.data import download_dataset

    if offline:
        raise UsageError(f"{name} is fetched from its makers; leave --offline out")
    folder = download_dataset(name, progress=RichProgress())
    if json:
        fields = {"name": name, "kind": "data", "origin": "download"}
        return print_json(fields | {"files": [str(folder)]})
    return say(f"{name}: {folder}")


def _list(name: str | None, registry: str | None, offline: bool, json: bool) -> None:
    from paecli.store.registry import open_registry

    opened = open_registry(registry, offline=offline, progress=RichProgress())
    entries = [entry for entry in opened.index.entries if name in (None, entry.name)]
    if name is not None and not entries:
        raise RegistryError(
            f"{opened.source.address} has nothing of the name {name!r:.200}; "
            "see `pae download --list`"
        )
    if json:
        return print_json(
            {"registry": opened.source.address, "entries": [_fields(e) for e in entries]}
        )
    columns = ["name", "what", "description"]
    rows = [_row(entry) for entry in entries]
    return print_table(f"Registry {opened.source.address}", columns, rows, words=True)


def _fields(entry: Entry) -> dict[str, object]:
    return entry.model_dump(mode="json", exclude_none=True)


def _row(entry: Entry) -> list[str]:
    size = sum(file.size for file in entry.files) / MEGABYTE
    return [
        entry.name,
        f"{entry.kind}, revision {entry.revision}, {size:.1f} MB, {entry.licence or 'no licence'}",
        entry.description,
    ]


def _verify(json: bool) -> None:
    from paecli.store.cache import cached_files, damaged_files, remove_damaged, unknown_files
    from paecli.system.folders import cache_folder

    count, damaged = len(cached_files()), damaged_files()
    remove_damaged(damaged)
    for path in unknown_files():
        say(f"{path} stays: pae has no record of writing it, and it is not what belongs there.")
    if json:
        print_json({"checked": count, "damaged": [str(path) for path in damaged]})
    if damaged:
        raise RegistryError(
            f"{len(damaged)} of {count} files in {cache_folder()} were damaged and are removed "
            f"({', '.join(path.name for path in damaged)}); download them again"
        )
    if not json:
        say(f"{counted(count, 'file')} in {cache_folder()}, all as they should be.")
