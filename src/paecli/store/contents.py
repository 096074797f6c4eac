"""What a model file contains, read without its tensors and without torch."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from paecli.store.header import LENGTH_BYTES, Header, check_header_length, parse_header
from paecli.system.errors import CheckpointError
from paecli.system.names import is_utf8

AUTOENCODER = "autoencoder."  # prefix of stage 1's tensors
FLOW = "flow."  # prefix of stage 2's
# Files keep the names of version 0.1.
REFERENCE_SCORES = "normal_scores."  # prefix of the scores that p-values compare with
ERRORS = "calibration."  # prefix of the measured errors
REFERENCE = "normal_reference."  # prefix of the images that scores compare with
# Version 0.1 compared with held-out images and stored these.
RETIRED = {REFERENCE + "mean", REFERENCE + "std"}
RETIRED_SCORES = {REFERENCE_SCORES + name for name in ("typicality", "local_log_prob", "combined")}

# what the networks hold beside what they learned
BUFFERS = re.compile(
    r"\.(running_mean|running_var|num_batches_tracked|permutation|_u|_v)$"
    r"|^flow\.(mean|cholesky|base\..*)$"
)
BITS = {"F64": 64, "F32": 32, "F16": 16, "BF16": 16, "I64": 64, "I32": 32, "U8": 8, "BOOL": 8}


@dataclass(frozen=True)
class StoredTensor:
    """A tensor's entry in the table of a safetensors file.

    Attributes:
        dtype: as safetensors calls it, such as `F32`.
        shape: its sizes.
    """

    dtype: str
    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        """How many numbers it holds."""
        return prod(self.shape)


@dataclass(frozen=True)
class ModelContents:
    """What a model file contains.

    Attributes:
        path: the file.
        header: what it says about itself.
        tensors: by name, in the order in which they are stored.
    """

    path: Path
    header: Header
    tensors: Mapping[str, StoredTensor]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """`(channels, height, width)` of the images.

        Raises:
            CheckpointError: the header does not say so.
        """
        try:
            channels, height, width = map(int, self.header.autoencoder["image_shape"])
        except (KeyError, TypeError, ValueError) as error:
            raise _unreadable(self.path, "it does not say which images it takes") from error
        return channels, height, width

    @property
    def reference_scores(self) -> dict[str, int]:
        """For each score the number of reference images it was measured on."""
        dropped = RETIRED_SCORES if RETIRED & self.tensors.keys() else set()
        return {
            name.removeprefix(REFERENCE_SCORES): tensor.count
            for name, tensor in self.tensors.items()
            if name.startswith(REFERENCE_SCORES) and name not in dropped
        }

    def parameters(self, prefix: str) -> int:
        """Counts the numbers that were learned, among the tensors with a prefix."""
        return sum(
            tensor.count
            for name, tensor in self.tensors.items()
            if name.startswith(prefix) and not BUFFERS.search(name)
        )


def read_contents(path: Path) -> ModelContents:
    """Reads what a model file says about itself, and the table of its tensors.

    The numbers in the tensors are not looked at; `checkpoint.load_pae` does.

    Raises:
        CheckpointError: not a model file, damaged, or of an unknown format version.
    """
    table = read_table(path)
    metadata = table.pop("__metadata__", None)
    header = parse_header(path, metadata if isinstance(metadata, dict) else None)
    return ModelContents(path, header, _tensors(path, table))


def read_header(path: Path) -> Header:
    """Reads and checks what a model file says about itself.

    Raises:
        CheckpointError: as `read_contents`.
    """
    return read_contents(path).header


def read_table(path: Path) -> dict[str, Any]:
    """Reads the JSON that a safetensors file begins with.

    Raises:
        CheckpointError: missing, or not a safetensors file.
    """
    if not is_utf8(path):  # what reads the tensors later takes no such path
        raise CheckpointError(
            f"the name of {path} is not UTF-8, so its tensors cannot be read; rename it, or give a "
            "link to it"
        )
    check_header_length(path)
    with path.open("rb") as file:
        length = int.from_bytes(file.read(LENGTH_BYTES), "little")
        text = file.read(length)
    try:
        table = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _unreadable(path, "its header is no JSON") from error
    if not isinstance(table, dict):
        raise _unreadable(path, "its header is no table")
    return table


def _tensors(path: Path, table: Mapping[str, Any]) -> dict[str, StoredTensor]:
    """Checks the table as the format demands: the tensors fill the file without gaps."""
    try:
        entries = sorted(
            ((name, *_entry(fields)) for name, fields in table.items()), key=lambda entry: entry[2]
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _unreadable(path, "its table of tensors is damaged") from error
    begin = 0
    for _, _, (first, last) in entries:
        if first != begin:
            raise _unreadable(path, "its tensors overlap or leave gaps")
        begin = last
    with path.open("rb") as file:
        start = LENGTH_BYTES + int.from_bytes(file.read(LENGTH_BYTES), "little")
    if start + begin != path.stat().st_size:
        raise _unreadable(path, "it is cut short, or something was added")
    return {name: tensor for name, tensor, _ in entries}


def _entry(fields: Mapping[str, Any]) -> tuple[StoredTensor, tuple[int, int]]:
    """Reads one row of the table; whatever is wrong with it raises one of the usual errors."""
    first, last = fields["data_offsets"]
    shape = tuple(fields["shape"])
    if not all(type(size) is int and size >= 0 for size in (*shape, first, last)):
        raise ValueError("sizes are whole numbers from 0 up")
    tensor = StoredTensor(str(fields["dtype"]), shape)
    if 8 * (last - first) != tensor.count * BITS[tensor.dtype]:
        raise ValueError("the size does not fit the shape")
    return tensor, (first, last)


def _unreadable(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{path} is not a readable model file ({reason}); download or train it again"
    )
