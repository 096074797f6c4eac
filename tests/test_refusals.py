"""Bad input ends in its own sentence: those that no other test of a module calls for."""

import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from paecli.data.datasets import load_dataset
from paecli.data.images.files import read_image, read_images, write_image
from paecli.data.images.truth_masks import match_masks
from paecli.data.sets.downloads import download_dataset
from paecli.data.sets.idx import read_idx
from paecli.data.sets.named_sets import NAMED_SETS
from paecli.data.sets.readers import read_named
from paecli.evaluation.compare_folders import compare_folders
from paecli.evaluation.features.opening import open_feature_network
from paecli.evaluation.image_sets import read_statistics
from paecli.restoration.damage import check_damage
from paecli.restoration.noise_maps import read_noise
from paecli.store.contents import read_table
from paecli.store.header import HEADER_KEY, parse_header
from paecli.store.index import MAX_INDEX_BYTES, parse_index
from paecli.store.sources import choose_address
from paecli.system.errors import PaeError
from paecli.system.progress import NullProgress
from paecli.system.yaml_text import parse_yaml, read_bounded_text
from paecli.training.settings import resolve

Case = Callable[[Path], object]
ONES = torch.ones(1, 1, 4, 4)


def damaged(images: torch.Tensor, **given: object) -> object:
    return check_damage(images, None, **{"noise": 0.0, "image_shape": (1, 4, 4)} | given)  # type: ignore[arg-type]


def array(folder: Path, values: object) -> Path:
    np.save(folder / "noise.npy", np.asarray(values))
    return folder / "noise.npy"


def noise_map(folder: Path, values: object) -> object:
    write_image(folder / "a.png", ONES[0])
    image = read_image(folder / "a.png", image_shape=(1, 4, 4))
    return read_noise(array(folder, values), image)


def archive(folder: Path) -> object:
    write_image(folder / "a.png", ONES[0])
    with (folder / "noise.npy").open("wb") as file:
        np.savez(file, a=np.ones((4, 4)))
    return read_noise(folder / "noise.npy", read_image(folder / "a.png", image_shape=(1, 4, 4)))


def floats(folder: Path, value: float) -> object:
    values = np.full((4, 4), 0.5, np.float32)
    values[0, 0] = value
    Image.fromarray(values).save(folder / "a.tif")
    return read_image(folder / "a.tif", image_shape=(1, 4, 4))


def lab(folder: Path) -> object:
    Image.new("LAB", (4, 4)).save(folder / "a.tif")
    return read_image(folder / "a.tif", image_shape=(3, 4, 4))


def none_readable(folder: Path) -> object:
    for name in "abc":
        (folder / f"{name}.png").touch()
    return read_images(sorted(folder.glob("*.png")), image_shape=(1, 4, 4))


def two_masks(folder: Path) -> object:
    (folder / "masks").mkdir()
    for name in ("1.png", "1_mask.png"):
        write_image(folder / "masks" / name, ONES[0])
    return match_masks([folder / "1.jpg"], folder / "masks")


def idx(folder: Path, content: bytes) -> object:
    (folder / "a-idx3-ubyte").write_bytes(content)
    return read_idx(folder / "a-idx3-ubyte")


def omniglot(folder: Path) -> object:
    for name in NAMED_SETS["omniglot"].files:
        (folder / name).mkdir(parents=True)
    return read_named(NAMED_SETS["omniglot"], folder, None, NullProgress())


def statistics(folder: Path, mean: object, covariance: object) -> object:
    with zipfile.ZipFile(folder / "a.npz", "w") as packed:
        for name, values in (("mu", mean), ("sigma", covariance)):
            stream = io.BytesIO()
            np.save(stream, np.asarray(values))
            packed.writestr(f"{name}.npy", stream.getvalue())
    return read_statistics(folder / "a.npz", size=None)


def without_network(folder: Path) -> object:
    write_image(folder / "a.png", ONES[0])
    return compare_folders(folder, folder, None)


def table(folder: Path, text: bytes) -> object:
    file = folder / "a.safetensors"
    file.write_bytes(struct.pack("<Q", len(text)) + text)
    return read_table(file)


def header(**fields: object) -> object:
    whole = {"format_version": 1, "kind": "pae", "autoencoder": {}} | fields
    return parse_header(Path("a"), {HEADER_KEY: json.dumps(whole)})


def address_of(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> object:
    monkeypatch.setattr("paecli.store.sources.config_file", lambda: folder / "config.yaml")
    monkeypatch.delenv("PAE_REGISTRY", raising=False)
    (folder / "config.yaml").write_text(text)
    return choose_address(None)


CASES: dict[str, Case] = {
    "observed pixels are NaN": lambda _: damaged(ONES / 0 * 0),
    "observed pixels lie outside": lambda _: damaged(ONES + 0.01),
    "observed pixels lie outside [": lambda _: damaged(-ONES),
    "the noise map has values below 0": lambda _: damaged(ONES, noise=-ONES),
    "the noise map has values below 0, infinite": lambda _: damaged(ONES, noise=ONES / 0),
    "noise.npy has values below 0": lambda folder: noise_map(folder, -np.ones((4, 4))),
    "noise.npy has values below 0, infinite": lambda folder: noise_map(folder, [[np.nan] * 4] * 4),
    "archive of arrays": archive,
    "holds an array of shape (4,)": lambda folder: noise_map(folder, np.ones(4)),
    "holds an array of shape (4, 4) and type complex": lambda folder: noise_map(
        folder, np.ones((4, 4), complex)
    ),
    "has 2 channels in its last axis": lambda folder: noise_map(folder, np.ones((4, 4, 2))),
    "has NaN or infinite pixels": lambda folder: floats(folder, np.nan),
    "float pixels from 0.5 to 2": lambda folder: floats(folder, 2),
    "float pixels from -0.5 to 0.5": lambda folder: floats(folder, -0.5),
    "Lab colours": lab,
    "is empty; save or download the image again (2 others": none_readable,
    "nothing is written": lambda folder: write_image(folder / "a.png", ONES[0] * torch.nan),
    "has two masks": two_masks,
    "IDX type 0x0d": lambda folder: idx(folder, b"\0\0\x0d\x03" + bytes(12)),
    "is not an IDX file": lambda folder: idx(folder, b"\0\0\x08\0"),
    "ends within its header": lambda folder: idx(folder, b"\0\0\x08\x03" + bytes(11)),
    "lacks Omniglot's images": omniglot,
    "no data set 'nothing' to download": lambda _: download_dataset("nothing"),
    "no download was tried": lambda folder: load_dataset(
        "omniglot", data_dir=folder, download=False
    ),
    "impossible statistics": lambda folder: statistics(folder, [0.0, 0.0], [[1.0, 2], [2, 1]]),
    "impossible statistics; make": lambda folder: statistics(folder, [np.inf], [[1.0]]),
    "mu is no array of numbers": lambda folder: statistics(folder, [0, 0], np.eye(2)),
    "holds no statistics; name a network": without_network,
    "is not a regular file; give the weight file": lambda folder: open_feature_network(
        "inception", image_shape=(3, 32, 32), inception_weights=folder
    ),
    "its header is no JSON": lambda folder: table(folder, b"{"),
    "its header is no table": lambda folder: table(folder, b"[]"),
    "has format version 2": lambda _: header(format_version=2),
    "has a damaged header": lambda _: header(data={"dataset": 3}),
    "has a damaged header; download": lambda _: header(data=[]),
    "has a damaged header; download or": lambda _: header(config={"autoencoder": [1]}),
    "one name stands for two kinds": lambda _: parse_index(
        yaml.safe_dump({"schema_version": 1, "entries": [entry("model"), entry("data", 2)]}),
        where="there",
    ),
    "is larger than": lambda _: parse_index(" " * (MAX_INDEX_BYTES + 1), where="there"),
    "unknown key": lambda _: resolve(preset=None, file=None, flags={"autoencoder": {"x": 1}}),
}


def entry(kind: str, revision: int = 1) -> dict[str, object]:
    file = {"path": f"a{revision}", "size": 1, "sha256": "0" * 64, "url": "https://a.b/c"}
    return {"name": "a", "kind": kind, "revision": revision, "files": [file]}


@pytest.mark.parametrize("words", CASES)
def test_bad_input_ends_in_its_own_sentence(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAE_CACHE", str(tmp_path / "cache"))
    with pytest.raises(PaeError) as caught:
        CASES[words](tmp_path)
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("text", ["registry: a\nother: b", "- registry", "registry: {"])
def test_a_config_of_another_form_is_refused(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PaeError, match="registry"):
        address_of(tmp_path, monkeypatch, text)
    assert address_of(tmp_path, monkeypatch, "registry: https://a.b") == "https://a.b"
    assert address_of(tmp_path, monkeypatch, "registry: https://a.b\n")


@pytest.mark.parametrize(
    ("text", "words"),
    [("a: 1\na: 2", "given more than once"), ("2001-99-99", "cannot be read"), ("a: &x 1", "")],
)
def test_yaml_that_reads_two_ways_is_refused(text: str, words: str) -> None:
    if not words:
        assert parse_yaml(text) == {"a": 1}
        return
    with pytest.raises(yaml.YAMLError, match=words):
        parse_yaml(text)


def test_a_text_is_read_up_to_its_limit(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("12345")
    assert read_bounded_text(tmp_path / "a", 5) == "12345"
    with pytest.raises(ValueError, match="larger than 4 bytes"):
        read_bounded_text(tmp_path / "a", 4)
