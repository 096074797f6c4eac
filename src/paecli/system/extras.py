"""Optional parts of the package: whether what they need is installed, told without importing it."""

from importlib.util import find_spec

from paecli.system.errors import UsageError

EXTRAS = {"onnx": ("onnx", "onnxruntime"), "watch": ("watchfiles",)}  # what each brings


def require_extra(extra: str) -> None:
    """Refuses a command whose extra is not installed.

    Args:
        extra: a key of `EXTRAS`.

    Raises:
        UsageError: names the first package that is missing, and how to install it.
    """
    for package in EXTRAS[extra]:
        if find_spec(package) is None:
            raise UsageError(
                f"this needs {package}, which is not installed; install it with "
                f"`pipx inject paecli 'paecli[{extra}]'`"
            )
