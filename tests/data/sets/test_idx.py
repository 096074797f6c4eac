import gzip
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from paecli.data.sets.idx import MAX_BYTES, read_idx
from paecli.system.errors import DataError

from .idx_files import idx_bytes

MANY = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
BYTE_ARRAYS = arrays(np.uint8, array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5))
STARTS = [b"", b"\0\0\x08\x01", b"\x1f\x8b", b"\x1f\x8b\x08"]


def write(folder: Path, content: bytes, *, zipped: bool = False) -> Path:
    path = folder / "file-ubyte"
    path.write_bytes(gzip.compress(content, 1) if zipped else content)
    return path


@MANY
@given(values=BYTE_ARRAYS, zipped=st.booleans())
def test_returns_what_was_written(tmp_path: Path, values: np.ndarray, zipped: bool) -> None:
    read = read_idx(write(tmp_path, idx_bytes(values), zipped=zipped))
    assert read.dtype == torch.uint8
    np.testing.assert_array_equal(read.numpy(), values)


@MANY
@given(values=BYTE_ARRAYS, cut=st.integers(1, 30), zipped=st.booleans())
def test_refuses_a_file_that_ends_early(
    tmp_path: Path, values: np.ndarray, cut: int, zipped: bool
) -> None:
    content = idx_bytes(values)
    with pytest.raises(DataError, match="file-ubyte"):
        read_idx(write(tmp_path, content[: max(len(content) - cut, 0)], zipped=zipped))


@MANY
@given(values=BYTE_ARRAYS, extra=st.binary(min_size=1, max_size=9), zipped=st.booleans())
def test_refuses_bytes_after_the_end(
    tmp_path: Path, values: np.ndarray, extra: bytes, zipped: bool
) -> None:
    with pytest.raises(DataError, match="holds more"):
        read_idx(write(tmp_path, idx_bytes(values) + extra, zipped=zipped))


@MANY
@given(
    start=st.sampled_from([b"", b"\0\0\x08\x01", b"\x1f\x8b", b"\x1f\x8b\x08"]), rest=st.binary()
)
def test_any_bytes_give_values_or_one_line(tmp_path: Path, start: bytes, rest: bytes) -> None:
    message = ""
    try:
        read_idx(write(tmp_path, start + rest))
    except DataError as error:
        message = str(error)
    assert "\n" not in message


@MANY
@given(values=BYTE_ARRAYS, place=st.floats(0, 1), bit=st.integers(0, 7))
def test_a_flipped_bit_in_a_gzip_never_gives_other_values(
    tmp_path: Path, values: np.ndarray, place: float, bit: int
) -> None:
    packed = bytearray(gzip.compress(idx_bytes(values), mtime=0))
    packed[int(place * (len(packed) - 1))] ^= 1 << bit
    path = tmp_path / "file-ubyte"
    path.write_bytes(packed)
    try:
        read = read_idx(path)  # some bits mean nothing: padding, the time stamp
    except DataError:
        return
    np.testing.assert_array_equal(read.numpy(), values)


@pytest.mark.parametrize(
    ("announced", "content", "zipped", "says"),
    [(MAX_BYTES, b"few", False, "only 3"), (10, bytes(50_000_000), True, "holds more")],
    ids=["false header", "gzip bomb"],
)
def test_memory_is_bounded_by_header_and_content(
    tmp_path: Path, announced: int, content: bytes, zipped: bool, says: str
) -> None:
    header = b"\0\0\x08\x01" + struct.pack(">I", announced)
    path = write(tmp_path, header + content, zipped=zipped)
    tracemalloc.start()
    with pytest.raises(DataError, match=says):
        read_idx(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6_000_000


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\0\0\x08\x03" + struct.pack(">3I", 2**32 - 1, 2**32 - 1, 2**32 - 1), "announces"),
        (b"\0\0\x0d\x01" + struct.pack(">I", 1) + bytes(4), "type 0x0d"),
        (b"\0\0\x08\x00", "not an IDX file"),
        (b"\0\0\x08\xff" + bytes(2000), "not an IDX file"),
        (b"<!DOCTYPE html><html></html>", "not an IDX file"),
        (b"", "not an IDX file"),
        (b"\0\0\x08\x03\0\0", "within its header"),
    ],
)
def test_says_what_is_wrong(tmp_path: Path, content: bytes, says: str) -> None:
    with pytest.raises(DataError, match=says):
        read_idx(write(tmp_path, content))


def test_names_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere: No such file"):
        read_idx(tmp_path / "nowhere")
