"""The error tree: every failure a user can cause or meet.

Each message is one line that says what went wrong, where, and what to do next.
The command line prints it as it stands and exits with the class's `exit_code`.
"""


class PaeError(Exception):
    """Base of all errors that `pae` raises on purpose."""

    exit_code = 1


class UsageError(PaeError):
    """The call itself is wrong: options that exclude each other, an unknown name."""

    exit_code = 2


class ConfigError(PaeError):
    """A configuration file or value is unknown, misspelt or out of range."""


class DataError(PaeError):
    """A data set is missing, damaged or does not fit the model."""


class ImageError(DataError):
    """One image or mask file cannot be read or used."""


class CheckpointError(PaeError):
    """A model file is missing, damaged, of an unknown version, or incomplete."""


class RegistryError(PaeError):
    """The model registry, its index or one of its files cannot be used."""


class TrainingError(PaeError):
    """Training cannot start, go on or resume."""


class WriteError(PaeError):
    """A file cannot be written: no permission, or the disk is full."""
