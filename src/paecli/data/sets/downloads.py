"""Downloads of the named data sets, by torchvision, into the user's cache."""

import socket
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path

from paecli.data.sets.archives import staging_folder
from paecli.data.sets.locations import dataset_cache, find_location
from paecli.data.sets.named_sets import NAMED_SETS
from paecli.system.errors import DataError, UsageError
from paecli.system.locks import only_process
from paecli.system.progress import NullProgress, Progress

TIMEOUT = 30.0  # seconds without a byte
FAILURES = (
    RuntimeError, OSError, EOFError, ImportError, ValueError,
    HTTPException, tarfile.TarError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def download_dataset(name: str, *, anew: bool = True, progress: Progress = NullProgress()) -> Path:
    """Downloads a data set into the user's cache.

    Args:
        name: a key of `NAMED_SETS`.
        anew: whether to fetch a set that is there already; two processes that lack a set say no,
            and the second uses what the first has fetched.
        progress: told what is going on.

    Returns:
        The cache folder it is in.

    Raises:
        UsageError: no such set.
        DataError: no network, refused, or not the expected content.
        WriteError: the cache cannot be written.
    """
    if name not in NAMED_SETS:
        raise UsageError(f"no data set {name!r} to download; there are: {', '.join(NAMED_SETS)}")
    root, named = dataset_cache(), NAMED_SETS[name]
    with only_process(named.title, f"fetching {named.title}", progress):
        if not anew and find_location(named, None):
            return root
        progress.say(f"downloading {name} into {root}")
        try:
            with staging_folder(root) as staging, _socket_timeout():
                _fetch(named.title, staging)
        except FAILURES as error:
            raise DataError(f"cannot download {name}: {_reason(error)}") from error
    return root


def _fetch(title: str, staging: Path) -> None:
    from torchvision import datasets  # slow to import

    if title == "CelebA":
        datasets.CelebA(staging, split="all", target_type=[], download=True)
    elif title == "Omniglot":
        datasets.Omniglot(staging, background=True, download=True)
        datasets.Omniglot(staging, background=False, download=True)
    else:
        getattr(datasets, title)(staging, download=True)


@contextmanager
def _socket_timeout() -> Iterator[None]:
    """Keeps a silent server from stopping us for ever; torchvision sets no timeout."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _reason(error: BaseException) -> str:
    """Says in a few words what torchvision's many-line message means."""
    text = " ".join(str(error).split())
    if "corrupted" in text.lower():
        return "the server sent something else than the data set (its checksum is wrong)"
    if "gdown" in text:
        return "it is on a drive that needs the package gdown; run `pip install gdown`"
    lines = [line for line in str(error).splitlines() if line and not line.startswith("Tried")]
    return lines[-1] if lines else type(error).__name__
