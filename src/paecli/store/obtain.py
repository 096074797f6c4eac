"""Gets one file of a registry: where it is, from the cache, or by download; always verified."""

from pathlib import Path

from paecli.store.cache import cached_file, keep_in_cache, partial_file
from paecli.store.index import IndexFile
from paecli.store.sources import BUNDLED, FolderSource, Source
from paecli.system.errors import RegistryError
from paecli.system.files import is_intact
from paecli.system.locks import only_process
from paecli.system.progress import Progress


def obtain(
    file: IndexFile, source: Source, *, offline: bool, progress: Progress
) -> tuple[str, Path]:
    """Brings one file to this machine, verified.

    Args:
        file: what the index says about it.
        source: the registry's.
        offline: whether the network is out of bounds.
        progress: shows the download.

    Returns:
        Where it came from (`bundled`, `folder`, `cache` or `download`) and where it is.

    Raises:
        RegistryError: unreachable, damaged, not here while offline, or the file cannot be kept.
        WriteError: the cache's locks cannot be written.
    """
    if isinstance(source, FolderSource) and file.url is None:
        path = source.folder / file.path
        if not is_intact(path, size=file.size, sha256=file.sha256):
            raise RegistryError(
                f"{path} is missing or not what the index says; reinstall pae or publish it again"
            )
        return ("bundled" if source.address == BUNDLED else "folder"), path
    target = cached_file(file)
    if _is_cached(file):
        return "cache", target
    if offline:
        raise RegistryError(
            f"{file.path} is not in the cache (or damaged there) and --offline forbids fetching; "
            "run `pae download NAME` online first"
        )
    with only_process(file.sha256, f"fetching {file.path}", progress):
        if not _is_cached(file):
            _download(file, source, progress)
    return "download", target


def _is_cached(file: IndexFile) -> bool:
    return is_intact(cached_file(file), size=file.size, sha256=file.sha256)


def _download(file: IndexFile, source: Source, progress: Progress) -> None:
    """Fetches a file into the cache; it appears there only once verified."""
    from paecli.store.http_answers import without_secrets
    from paecli.store.web import download

    url = file.url or _url(source, file)
    headers = source.headers if file.url is None and not isinstance(source, FolderSource) else {}
    part = partial_file(file)
    resumed = part.is_file()
    download(url, part, size=file.size, headers=headers, label=file.path, progress=progress)
    if not is_intact(part, size=file.size, sha256=file.sha256):
        part.unlink()
        if resumed:  # the old part may have been bad; a clean start tells
            return _download(file, source, progress)
        raise RegistryError(
            f"{without_secrets(url)} is not the file that the index describes (its SHA-256 "
            "differs); nothing was kept: try again later or tell the registry's owner"
        )
    return keep_in_cache(part, cached_file(file))


def _url(source: Source, file: IndexFile) -> str:
    assert not isinstance(source, FolderSource)  # its files need no fetching
    return source.url(file.path)
