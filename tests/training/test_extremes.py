"""Data at the edge of what makes sense, from a folder to an evaluation: it works or says why."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from torch import Tensor

from paecli.api import load
from paecli.data import write_image
from paecli.evaluation.evaluate import evaluate
from paecli.system.errors import ConfigError, DataError, PaeError, TrainingError
from paecli.train import train_autoencoder, train_flow
from paecli.training.settings import RunSettings, check

Train = Callable[..., Path]


@pytest.fixture
def train(small_run: RunSettings, tmp_path: Path) -> Train:
    """Trains both stages on images `(n, c, h, w)` in a folder; returns the run folder."""

    def run(images: Tensor, *, test: int = 10, batch_size: int = 8, **changes: object) -> Path:
        for index, image in enumerate(images):
            part = "test" if index < test else "train"
            write_image(tmp_path / "images" / part / f"{index:02}.png", image)
        fields = small_run.model_dump()
        fields["autoencoder"] |= {"data": {"dataset": str(tmp_path / "images")}, **changes}
        for stage in ("autoencoder", "flow"):
            fields[stage]["optimiser"] |= {"epochs": 1, "batch_size": batch_size}
        settings = RunSettings.model_validate(fields)
        train_autoencoder(settings, run_dir=tmp_path / "run", device="cpu")
        train_flow(settings.flow, run_dir=tmp_path / "run", device="cpu")
        return tmp_path / "run"

    return run


@pytest.mark.parametrize("grey", [0.0, 0.5])
def test_nearly_constant_images_train_and_evaluate(train: Train, grey: float) -> None:
    images = torch.full((40, 1, 8, 8), grey)
    images[:, 0, 0, 0] = torch.arange(40) / 255
    run_dir = train(images)
    model = load(run_dir)
    assert model.sample(4, generator=torch.Generator()).isfinite().all()
    assert model.log_prob(torch.full((2, 1, 8, 8), grey)).isfinite().all()
    assert evaluate(str(run_dir)).reconstruction.mse < 0.3


def test_a_shift_out_of_the_image_is_refused_before_it_is_padded(train: Train) -> None:
    with pytest.raises(ConfigError, match="shift is 60,000 pixels, the images have 8 a side"):
        train(torch.rand(40, 1, 8, 8), augment={"shift": 60_000})


def test_copies_of_one_image_are_refused(train: Train) -> None:
    """None of them could be held out: all would have been trained on."""
    with pytest.raises(DataError, match="all 30 images are the same"):
        train(torch.full((40, 1, 8, 8), 0.5))


@pytest.mark.parametrize("shape", [(3, 7, 13), (1, 17, 5), (1, 1, 1), (1, 2, 3)])
def test_odd_shapes_train_and_evaluate(train: Train, shape: tuple[int, int, int]) -> None:
    images = torch.rand(40, *shape)
    images[:, 0, 0, 0] = torch.randperm(256)[:40] / 255  # no two are alike, however small
    run_dir = train(images)
    assert load(run_dir).image_shape == shape
    evaluation = evaluate(str(run_dir))
    assert evaluation.images == 10
    assert evaluation.examples.originals.shape[1:] == shape
    assert asdict(evaluation.reconstruction)["mse"] > 0


def test_fewer_images_than_latents_train(train: Train) -> None:
    run_dir = train(torch.rand(16, 1, 8, 8), latent_size=64)
    assert load(run_dir).sample(2, generator=torch.Generator()).isfinite().all()


def test_an_evaluation_on_a_few_images_is_refused(train: Train) -> None:
    with pytest.raises(DataError, match=r"has 3 test images, too few .* at least 10"):
        evaluate(str(train(torch.rand(20, 1, 4, 4), test=3)))


@pytest.mark.parametrize("network", ["conv", "resnet", "infogan"])
def test_a_batch_of_one_pixel_is_refused_where_it_is_normalised(train: Train, network: str) -> None:
    with pytest.raises(TrainingError, match="at least 2 images; use --network mlp"):
        train(torch.rand(14, 1, 1, 1), batch_size=1, network=network, network_options={})


@pytest.mark.parametrize("linear", [False, True])
def test_a_batch_of_one_trains_where_nothing_is_normalised_over_it(
    train: Train, linear: bool
) -> None:
    run_dir = train(torch.rand(14, 1, 4, 4), batch_size=1, linear=linear)
    assert load(run_dir).sample(1, generator=torch.Generator()).isfinite().all()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"wings": 2}, "wings"),
        ({"dropout": 2}, "dropout"),
        ({"width": 1.5}, "cannot be built"),
    ],
)
def test_options_that_make_no_network_are_named(
    train: Train, options: dict[str, float], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        train(torch.rand(14, 1, 4, 4), network_options=options)


@pytest.mark.parametrize("latent_size", [0, 10**12])
def test_absurd_latent_sizes_are_refused(small_run: RunSettings, latent_size: int) -> None:
    fields = small_run.model_dump()
    fields["autoencoder"]["latent_size"] = latent_size
    with pytest.raises(PaeError, match=r"autoencoder\.latent_size: input should be"):
        check(fields, where="the test")
