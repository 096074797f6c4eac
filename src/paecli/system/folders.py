"""The user's own folders: downloads and caches, settings."""

import functools
import os
import stat
import tempfile
from pathlib import Path

import platformdirs

CACHE_VARIABLE = "PAE_CACHE"


def cache_folder() -> Path:
    """Returns the cache: `PAE_CACHE`, the user's folder, or a temporary one without a home."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(os.path.expanduser(chosen))  # noqa: PTH111 - Path's fails without a home
    return _own_cache() or _temporary_cache()


def cache_is_temporary() -> bool:
    """Tells whether downloads go to a temporary folder, since nobody knows the user's own."""
    return not os.environ.get(CACHE_VARIABLE) and _own_cache() is None


def config_file() -> Path | None:
    """Returns where the user's own settings are, whether the file exists or not.

    None where the user has no home.
    """
    try:
        return platformdirs.user_config_path("pae") / "config.yaml"
    except RuntimeError:
        return None


def _own_cache() -> Path | None:
    """Returns the user's cache; None as in containers: no HOME, and nobody knows the user."""
    try:
        return platformdirs.user_cache_path("pae")
    except RuntimeError:
        return None


@functools.cache
def _temporary_cache() -> Path:
    """Makes a folder that is this user's alone, where everybody may make folders."""
    folder = Path(tempfile.gettempdir()) / f"pae-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        about = folder.lstat()
    except OSError:
        about = None
    if about is None or about.st_uid != os.getuid() or about.st_mode != stat.S_IFDIR | 0o700:
        return Path(tempfile.mkdtemp(prefix="pae-"))  # somebody else was there before
    return folder
