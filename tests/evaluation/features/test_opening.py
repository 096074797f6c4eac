import functools
import json
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from pytorch_fid import fid_score
from pytorch_fid.inception import InceptionV3, fid_inception_v3
from scipy import linalg
from torch import Tensor, nn
from typer.testing import CliRunner

from paecli.cli.app import app
from paecli.data import load_dataset
from paecli.evaluation.evaluate import SampleQualityOptions
from paecli.evaluation.features.classifier import GreyClassifier
from paecli.evaluation.features.network import to_8_bit
from paecli.evaluation.features.opening import INCEPTION_ENTRY, open_feature_network
from paecli.store.index import Entry, Index, IndexFile, index_to_yaml
from paecli.system.errors import CheckpointError, UsageError
from paecli.system.files import hash_file

GREY = (1, 28, 28)
WEIGHT_FILE = "pt_inception-2015-12-05-6726825d.pth"  # what pytorch-fid looks for in its cache


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weight file of the right 566 entries with random values."""
    path = tmp_path_factory.mktemp("torch") / "hub" / "checkpoints" / WEIGHT_FILE
    path.parent.mkdir(parents=True)
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        # build pytorch-fid's own network, but keep its random weights
        patch.setattr("pytorch_fid.inception.load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(nn.Module, "load_state_dict", lambda *_, **__: None)
        network = fid_inception_v3()
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            # torch's default would let all features vanish
            nn.init.kaiming_normal_(layer.weight)
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture
def registry(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A web server on this machine that serves the weights as a registry."""
    file = IndexFile(path=WEIGHT_FILE, size=weights.stat().st_size, sha256=hash_file(weights))
    entry = Entry(name=INCEPTION_ENTRY, kind="features", files=(file,))
    (weights.parent / "index.yaml").write_text(index_to_yaml(Index(entries=(entry,))))
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(weights.parent))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setenv("PAE_REGISTRY", address)
    monkeypatch.setenv("PAE_CACHE", str(tmp_path / "cache"))
    yield address
    server.shutdown()
    server.server_close()


def save_images(images: Tensor, folder: Path) -> list[Path]:
    folder.mkdir()
    paths = [folder / f"{index:02}.png" for index in range(len(images))]
    for image, path in zip(images, paths, strict=True):
        Image.fromarray(image[0].numpy()).save(path)
    return paths


COUNT = 6  # images of a set: the network takes a second for five


def features_by_pytorch_fid(
    sets: dict[str, Tensor], weights: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> list[NDArray[np.float32]]:
    """Lets pytorch-fid read the weights from its own cache and the images from folders."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(weights.parents[1]))
    network = InceptionV3([3])
    return [
        fid_score.get_activations(
            save_images(images, folder / name), network, batch_size=3, num_workers=0
        )
        for name, images in sets.items()
    ]


def drawn(available: int, wanted: int) -> Tensor:
    """The images that `pae eval` compares: the same draw each time."""
    draw = torch.Generator().manual_seed(0)
    return torch.randperm(available, generator=draw)[:wanted].sort().values


def distance_by_eigenvalues(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Computes the Frechet distance over all features of fewer vectors than features.

    pytorch-fid's own formula takes a root of 2,048 x 2,048 numbers, which is half a minute;
    `benchmarks/evaluation.py parity` compares with it.
    """
    factors = [(x - x.mean(0)).astype(np.float64) / (len(x) - 1) ** 0.5 for x in (a, b)]
    between = factors[0] @ factors[1].T
    # tr (A B)^(1/2): the eigenvalues of A B other than zero are those of this small product
    overlap = np.sqrt(linalg.eigvalsh(between @ between.T).clip(0)).sum()
    shift = np.square(a.mean(0, dtype=np.float64) - b.mean(0, dtype=np.float64)).sum()
    return float(shift + sum(np.square(factor).sum() for factor in factors) - 2 * overlap)


def test_pae_eval_agrees_with_pytorch_fid_on_weights_from_a_registry(
    model_file: Path,
    weights: Path,
    registry: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # fewer images than the command takes, to save time
    monkeypatch.setattr("paecli.evaluation.sample_quality.FEWEST_IMAGES", COUNT)
    monkeypatch.setattr(
        "paecli.evaluation.evaluate.SampleQualityOptions",
        lambda network, **options: SampleQualityOptions(network, **options | {"samples": COUNT}),
    )
    arguments = ["eval", str(model_file), "--dataset", "fmnist-mini", "--fid", "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["fid"]
    assert hash_file(weights)[:8] in found["protocol"]

    data = load_dataset("fmnist-mini")
    parts = {"train": data.train.images, "test": data.test.images}
    sets = {name: images[drawn(len(images), COUNT)] for name, images in parts.items()}
    theirs = features_by_pytorch_fid(sets, weights, tmp_path, monkeypatch)
    assert found["train"] == pytest.approx(distance_by_eigenvalues(*theirs), rel=1e-3)
    assert theirs[0].shape == (COUNT, 2048)


def test_pae_fid_agrees_with_pytorch_fid(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAE_CACHE", str(tmp_path / "cache"))
    data = load_dataset("fmnist-mini")
    sets = {"a": data.train.images[:3], "b": data.test.images[:3]}
    theirs = features_by_pytorch_fid(sets, weights, tmp_path, monkeypatch)
    folders = [str(tmp_path / name) for name in sets]
    arguments = ["fid", *folders, "--inception-weights", str(weights), "--json"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    found = json.loads(result.stdout)
    assert found["frechet"] == pytest.approx(distance_by_eigenvalues(*theirs), rel=1e-6)
    assert found["images"] == [3, 3]
    assert hash_file(weights)[:8] in found["protocol"]


def test_features_do_not_depend_on_the_rest_of_the_batch(blobs: Tensor, weights: Path) -> None:
    network = open_feature_network("inception", image_shape=GREY, inception_weights=weights)
    images = to_8_bit(blobs[:3])
    torch.testing.assert_close(network(images)[:1], network(images[:1]), rtol=1e-4, atol=1e-5)


def test_weights_other_than_the_standard_ones_are_named_so(weights: Path) -> None:
    network = open_feature_network("inception", image_shape=GREY, inception_weights=weights)
    assert "not the standard" in network.description
    assert network.identity == hash_file(weights)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (str(tmp_path / "owned"),)

    torch.save({"weights": Hostile()}, tmp_path / "hostile.pth")
    with pytest.raises(CheckpointError, match=r"pt_inception-2015-12-05-6726825d\.pth"):
        open_feature_network(
            "inception", image_shape=GREY, inception_weights=tmp_path / "hostile.pth"
        )
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("content", [b"", b"not a weight file", b"PK\x03\x04broken"])
def test_a_damaged_weight_file_is_one_line(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match="does not hold"):
        open_feature_network("inception", image_shape=GREY, inception_weights=file)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save(GreyClassifier(classes=2).state_dict(), tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="does not hold"):
        open_feature_network(
            "inception", image_shape=GREY, inception_weights=tmp_path / "other.pth"
        )


def test_a_missing_weight_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nothing\.pth"):
        open_feature_network(
            "inception", image_shape=GREY, inception_weights=tmp_path / "nothing.pth"
        )


def test_the_classifier_takes_grey_28_by_28_only() -> None:
    with pytest.raises(UsageError, match="--features inception"):
        open_feature_network("classifier", image_shape=(3, 28, 28))
