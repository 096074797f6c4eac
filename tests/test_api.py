"""What users call: a trained model with scores, p-values and restorations."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

import paecli
from paecli.api import PAE, load
from paecli.model.model import Model
from paecli.outliers.scores import measure_scores
from paecli.store.checkpoint import load_pae
from paecli.system.errors import CheckpointError, UsageError


def test_load_gives_the_model_of_the_file(model_file: Path, blobs: Tensor) -> None:
    pae = load(model_file)
    model, _ = load_pae(model_file)
    assert type(pae) is paecli.PAE
    assert not pae.training
    assert pae.state_dict().keys() == model.state_dict().keys()
    for name, tensor in model.state_dict().items():
        assert torch.equal(pae.state_dict()[name], tensor), name
    assert pae.reference_scores.keys() == model.reference_scores.keys()
    assert torch.equal(pae.log_prob(blobs[:5]), model.log_prob(blobs[:5]))


def test_pae_of_a_model_shares_its_weights(trained_pae: PAE) -> None:
    model = Model(trained_pae.autoencoder, trained_pae.flow)
    pae = PAE.of(model)
    assert pae.training
    assert pae.autoencoder is model.autoencoder
    assert pae.sigma is model.sigma
    assert pae.reference_images is model.reference_images
    assert pae.held_out_errors is model.held_out_errors
    assert pae.reference_scores is model.reference_scores
    assert pae.trained_on is model.trained_on


def test_a_saved_model_is_the_same_model(model_file: Path, tmp_path: Path) -> None:
    pae = load(model_file)
    pae.save(tmp_path / "copy.safetensors")
    again = load(tmp_path / "copy.safetensors")
    assert again.state_dict().keys() == pae.state_dict().keys()
    for name, tensor in pae.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    assert again.reference_scores.keys() == pae.reference_scores.keys()
    assert again.header == pae.header


def test_a_model_of_unknown_making_cannot_be_saved(trained_pae: PAE, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="know how they were made"):
        PAE.of(trained_pae).save(tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())


def test_the_representation_is_one_line_of_facts() -> None:
    said = repr(load("mnist-8"))
    assert said.startswith("PAE(mnist, ")
    for fact in ("images of 28 x 28", "8 latents", "resnet network, glow flow", "weights", "cpu"):
        assert fact in said
    assert len(said.splitlines()) == 1


def test_score_is_the_score_of_that_name(trained_pae: PAE, blobs: Tensor) -> None:
    names = ("log_prob", "reconstruction_error")
    scores = measure_scores(trained_pae, blobs[:7], names)
    for name in names:
        assert torch.equal(trained_pae.score(blobs[:7], name), scores[name])


def test_p_value_counts_the_normal_images_that_score_as_high(trained_pae: PAE) -> None:
    pae = PAE.of(trained_pae)
    scores = pae.score(torch.rand(4, 1, 28, 28), "reconstruction_error").sort().values
    pae.reference_scores = {"reconstruction_error": scores}
    p = pae.p_value(torch.rand(1, 1, 28, 28) * 0, "reconstruction_error")
    assert p.item() == (1 + 4) / 5
    with pytest.raises(CheckpointError, match="no reference scores of 'log_prob'"):
        pae.p_value(torch.rand(1, 1, 28, 28))


def test_one_image_is_restored_as_a_batch_of_one(trained_pae: PAE, blobs: Tensor) -> None:
    observed = torch.ones(28, 28)
    observed[:, :14] = 0
    options = {"method": "laplace", "samples": 4, "starts": 4, "seed": 3}
    alone = trained_pae.restore(blobs[0], mask=observed, **options)
    batch = trained_pae.restore_batch(blobs[:1], mask=observed[None], **options)[0]
    assert torch.equal(alone.mean, batch.mean)
    assert torch.equal(alone.mean[0, :, 14:], blobs[0, 0, :, 14:])
