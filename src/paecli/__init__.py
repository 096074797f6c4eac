"""Generative models of your own images, with outlier detection and restoration.

>>> from paecli import load
>>> pae = load("fmnist-32")
>>> pae.sample(16).shape
torch.Size([16, 1, 28, 28])
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"
__all__ = ["PAE", "PaeError", "__version__", "load", "use_threads"]

if TYPE_CHECKING:
    from paecli.api import PAE, load
    from paecli.system.errors import PaeError
    from paecli.system.threads import use_threads


def __getattr__(name: str) -> Any:
    """Imports torch only when the library is used, so that `pae --help` stays quick."""
    if name == "load":
        from paecli.api import load

        return load
    if name == "PAE":
        from paecli.api import PAE

        return PAE
    if name == "PaeError":
        from paecli.system.errors import PaeError

        return PaeError
    if name == "use_threads":
        from paecli.system.threads import use_threads

        return use_threads
    raise AttributeError(f"module 'paecli' has no attribute {name!r}")
