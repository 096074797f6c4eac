"""`pae fid` against pytorch-fid's own formula, and what its two sides may be."""

import io
import json
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_fid.fid_score import calculate_frechet_distance
from tests.listener import Listener
from tests.peak_memory import peak_growth
from torch import Tensor
from typer.testing import CliRunner

from paecli.cli.app import app
from paecli.evaluation import compare_folders as module
from paecli.evaluation.compare_folders import compare_folders
from paecli.evaluation.image_sets import read_statistics
from paecli.system.errors import DataError
from paecli.system.progress import NullProgress

COUNT = 25
pytestmark = pytest.mark.filterwarnings("ignore:The `disp` argument:DeprecationWarning")


class Moments:
    """Mean, spread and mixed moment of each colour: six numbers that any size has."""

    name = "moments"
    description = "moments of the colours"
    identity = "1"
    size = 6
    batch = 10

    def __call__(self, images: Tensor) -> Tensor:
        x = images.float().flatten(2) / 255
        return torch.cat((x.mean(2), x.std(2)), dim=1)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAE_CACHE", str(tmp_path / "cache"))


def write(folder: Path, seed: int, sizes: tuple[int, ...] = (12,)) -> Path:
    generator = np.random.default_rng(seed)
    folder.mkdir()
    for index in range(COUNT):
        side = sizes[index % len(sizes)]
        pixels = generator.integers(seed, 256, (side, side + 3, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return folder


def moments(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Computes mean and covariance as pytorch-fid does."""
    rows = []
    for file in folder.glob("*.png"):
        pixels = torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)
        rows.append(Moments()(pixels[None])[0].double().numpy())
    features = np.stack(rows)
    return features.mean(0), np.cov(features, rowvar=False)


def test_an_interval_is_as_wide_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "frechet_standard_error", lambda *_, **__: 2.0)
    pair = [torch.zeros(9, 3)] * 2
    for distance, low in ((10.0, 10 - 3.92), (3.0, 0.0)):
        told = module._interval(distance, pair, torch.Generator(), NullProgress())
        assert told == pytest.approx((low, distance + 3.92))


@pytest.mark.parametrize("sizes", [(12,), (12, 7, 30)])
def test_two_folders_give_the_number_of_pytorch_fid(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    a, b = write(tmp_path / "a", 1, sizes), write(tmp_path / "b", 40, sizes)
    found = compare_folders(a, b, Moments(), kernel=True)
    expected = calculate_frechet_distance(*moments(a), *moments(b))
    assert found.frechet == pytest.approx(expected, rel=1e-5)
    assert found.images == (COUNT, COUNT)
    assert found.frechet_ci is not None
    assert found.frechet_ci[0] <= found.frechet <= found.frechet_ci[1]
    assert found.kernel is not None
    assert str(a) in found.protocol
    assert "moments of the colours" in found.protocol


@pytest.mark.parametrize("sides", ["fb", "af", "ff"])
def test_statistics_stand_for_the_folder(tmp_path: Path, sides: str) -> None:
    folders = {"a": write(tmp_path / "a", 1), "b": write(tmp_path / "b", 40)}
    for name, folder in folders.items():
        mu, sigma = moments(folder)
        np.savez_compressed(tmp_path / f"{name}.npz", mu=mu, sigma=sigma)
    chosen = [
        tmp_path / f"{name}.npz" if kind == "f" else folders[name]
        for name, kind in zip("ab", sides, strict=True)
    ]
    found = compare_folders(chosen[0], chosen[1], Moments())
    expected = calculate_frechet_distance(*moments(folders["a"]), *moments(folders["b"]))
    assert found.frechet == pytest.approx(expected, rel=1e-6)
    assert found.frechet_ci is None


@pytest.mark.parametrize("size", [6, 192])
def test_two_files_of_statistics_need_no_network(tmp_path: Path, size: int) -> None:
    files = [tmp_path / "a.npz", tmp_path / "b.npz"]
    for shift, file in enumerate(files):
        np.savez(file, mu=np.full(size, float(shift)), sigma=np.eye(size) * (1 + 3 * shift))
    found = CliRunner().invoke(app, ["fid", *map(str, files), "--json"])
    assert found.exit_code == 0, found.output
    # |shift|^2 + tr A + tr B - 2 tr (A B)^(1/2) = n + n + 4 n - 4 n
    assert json.loads(found.stdout)["frechet"] == pytest.approx(2 * size)
    np.savez(files[1], mu=np.zeros(7), sigma=np.eye(7))
    with pytest.raises(DataError, match="they do not compare"):
        compare_folders(*files, None)


def test_a_set_is_at_no_distance_from_itself(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", 1)
    assert compare_folders(folder, folder, Moments()).frechet == pytest.approx(0, abs=1e-9)


def test_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a", 1), write(tmp_path / "b", 40)
    before = compare_folders(a, b, Moments()).frechet
    (a / "00.png").write_bytes(b"")
    (b / "zz.jpg").write_bytes(b"no image")
    assert compare_folders(a, b, Moments()).frechet == before


@pytest.mark.parametrize("broken", ["empty", "one"])
def test_too_few_images_are_refused(tmp_path: Path, broken: str) -> None:
    a = write(tmp_path / "a", 1)
    (tmp_path / "b").mkdir()
    if broken == "one":
        Image.new("RGB", (4, 4)).save(tmp_path / "b" / "1.png")
    with pytest.raises(DataError, match=r"no images|1 image"):
        compare_folders(a, tmp_path / "b", Moments())


def _npz(**members: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in members.items():
            archive.writestr(f"{name}.npy", text)
    return content.getvalue()


def _npy(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, array, allow_pickle=True)
    return content.getvalue()


GOOD = np.eye(6)


def _with_flags(content: bytes, *, flags: int = 0, method: int = 0) -> bytes:
    """Sets what every entry of an archive says about itself."""
    changed = bytearray(content)
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = content.find(mark)
        while start >= 0:
            changed[start + place : start + place + 4] = struct.pack("<HH", flags, method)
            start = content.find(mark, start + 1)
    return bytes(changed)


WHOLE = _npz(mu=_npy(np.zeros(6)), sigma=_npy(GOOD))
HOSTILE = {
    "encrypted": _with_flags(WHOLE, flags=1),
    "patched": _with_flags(WHOLE, flags=0x20),
    "packed by nobody knows what": _with_flags(WHOLE, method=99),
    "no deflate": _with_flags(WHOLE, method=8),
    "no lzma": _with_flags(WHOLE, method=14),
    "an odd header": _npz(mu=_npy(np.zeros(6)).replace(b"'<f8'", b"'<f8("), sigma=_npy(GOOD)),
    "words": b"no archive",
    "no sigma": _npz(mu=_npy(np.zeros(6))),
    "of another network": _npz(mu=_npy(np.zeros(7)), sigma=_npy(np.eye(7))),
    "a flat covariance": _npz(mu=_npy(np.zeros(6)), sigma=_npy(np.zeros(36))),
    "not symmetric": _npz(mu=_npy(np.zeros(6)), sigma=_npy(np.triu(np.ones((6, 6))))),
    "a negative variance": _npz(mu=_npy(np.zeros(6)), sigma=_npy(-GOOD)),
    "correlations above 1": _npz(mu=_npy(np.zeros(6)), sigma=_npy(np.ones((6, 6)) + 1 - GOOD)),
    "NaN": _npz(mu=_npy(np.full(6, np.nan)), sigma=_npy(GOOD)),
    "huge": _npz(mu=_npy(np.zeros(6)), sigma=_npy(GOOD * 1e308)),
    "objects": _npz(mu=_npy(np.array([object] * 6)), sigma=_npy(GOOD)),
    "words inside": _npz(mu=b"no array", sigma=_npy(GOOD)),
    "cut": _npz(mu=_npy(np.zeros(6)), sigma=_npy(GOOD)[:-8]),
}


def test_no_more_is_unpacked_than_statistics_may_have(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "kept.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mu.npy", _npy(np.zeros(6)) + bytes(64 << 20))
        archive.writestr("sigma.npy", _npy(GOOD) + bytes(64 << 20))

    def read() -> None:
        read_statistics(tmp_path / "kept.npz", size=6)

    read()  # what is imported at the first time is not counted
    assert peak_growth(read) < 16e6


@pytest.mark.parametrize("kind", HOSTILE)
def test_files_that_hold_no_statistics_are_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "kept.npz"
    file.write_bytes(HOSTILE[kind])
    with pytest.raises(DataError) as error:
        read_statistics(file, size=6)
    assert "\n" not in str(error.value)
    assert "kept.npz" in str(error.value)


def test_both_folders_are_told_of_while_they_are_read(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a", 1), write(tmp_path / "b", 40)
    (a / "broken.png").write_bytes(b"no image")
    listener = Listener()
    compare_folders(a, b, Moments(), progress=listener)
    assert listener.work["moments features of a"] == [COUNT + 1, COUNT + 1]
    assert listener.work["moments features of b"] == [COUNT, COUNT]
    assert any(line.startswith("1 of 26 images left out; the first: ") for line in listener.lines)
