import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_fid import fid_score
from pytorch_fid.inception import InceptionV3, fid_inception_v3
from scipy import linalg
from torch import Tensor, nn

from paecli.core.features import to_8_bit
from paecli.core.features_classifier import GreyClassifier
from paecli.core.fid import frechet_distance, gaussian_statistics
from paecli.errors import CheckpointError, UsageError
from paecli.files import hash_file
from paecli.store.index import Entry, Index, IndexFile, index_to_yaml
from paecli.workflows.feature_networks import INCEPTION_ENTRY, open_feature_network

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


def test_the_distance_agrees_with_pytorch_fid(
    blobs: Tensor, weights: Path, registry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = [to_8_bit(blobs[:6]), to_8_bit(1 - blobs[6:12])]
    network = open_feature_network("inception", image_shape=GREY)
    ours = [network(images) for images in sets]

    # pytorch-fid reads the same weights from its own cache and the images from folders
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(weights.parents[1]))
    theirs_network = InceptionV3([3])
    root = linalg.sqrtm
    # its call with disp=False is deprecated in SciPy and gone from 1.18
    monkeypatch.setattr(fid_score.linalg, "sqrtm", lambda x, disp: (root(x), None))
    theirs = [
        fid_score.get_activations(
            save_images(images, tmp_path / name), theirs_network, batch_size=3, num_workers=0
        )
        for name, images in zip("ab", sets, strict=True)
    ]
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine.numpy(), other, rtol=1e-3, atol=1e-5)
    # its matrix root wants a covariance of full rank: the three features that vary most
    varied = np.concatenate(theirs).var(0).argsort()[-3:].copy()
    expected = fid_score.calculate_frechet_distance(
        *(s for x in theirs for s in (x[:, varied].mean(0), np.cov(x[:, varied], rowvar=False)))
    )
    statistics = [gaussian_statistics(x[:, varied]) for x in ours]
    assert expected > 0
    assert frechet_distance(*statistics) == pytest.approx(expected, rel=1e-3)


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
