"""The user's own folders: downloads and caches, settings."""

import os
from pathlib import Path

import platformdirs

CACHE_VARIABLE = "PAE_CACHE"


def cache_folder() -> Path:
    """Returns the cache: `PAE_CACHE`, or the user's cache folder."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen) if chosen else platformdirs.user_cache_path("pae")


def config_file() -> Path:
    """Returns where the user's own settings are, whether the file exists or not."""
    return platformdirs.user_config_path("pae") / "config.yaml"
