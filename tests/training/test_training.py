"""Both training stages as the commands call them: files, refusals, failures."""

import copy
import json
import re
from pathlib import Path

import pytest
import torch
from sklearn.mixture import GaussianMixture as Estimator
from tests.listener import Listener

from paecli.api import load
from paecli.data import ImageSplit, write_image
from paecli.data.dataset import make_dataset
from paecli.model.base_distribution import GaussianMixture, StandardGaussian
from paecli.model.flow import LatentFlow
from paecli.model.reference_images import ReferenceImages
from paecli.model.requirements import FAST_SCORES, MAP_PEAK, PIXEL_STATISTICS
from paecli.report.plots import training_curves
from paecli.store.checkpoint import load_pae, save_pae
from paecli.store.runs import load_with_header
from paecli.system.errors import CheckpointError, ConfigError, DataError, TrainingError
from paecli.system.outputs import AUTOENCODER_FILE, MODEL_FILE
from paecli.train import measure_again, train_autoencoder, train_flow
from paecli.training import mixture_fit
from paecli.training.autoencoder import split_data
from paecli.training.build_networks import build_flow
from paecli.training.flow import FlowLatents, FlowStage
from paecli.training.history import history_file
from paecli.training.run_folder import resolve_flow_settings, state_file
from paecli.training.settings import RunSettings


def with_optimiser(settings: RunSettings, **changes: object) -> RunSettings:
    stage = settings.autoencoder
    optimiser = stage.optimiser.model_copy(update=changes)
    return settings.model_copy(
        update={"autoencoder": stage.model_copy(update={"optimiser": optimiser})}
    )


def with_objective(settings: RunSettings, **changes: object) -> RunSettings:
    stage = settings.autoencoder
    objective = stage.objective.model_copy(update=changes)
    return settings.model_copy(
        update={"autoencoder": stage.model_copy(update={"objective": objective})}
    )


def test_a_run_inside_its_own_folder_of_images_is_no_data(
    small_run: RunSettings, blobs: torch.Tensor, tmp_path: Path
) -> None:
    for index in range(20):
        write_image(tmp_path / "d" / f"{index}.png", blobs[index])
    run_dir, stage = tmp_path / "d" / "run", small_run.autoencoder
    data = stage.data.model_copy(update={"dataset": str(tmp_path / "d"), "limit": None})
    stage = stage.model_copy(update={"data": data})
    settings = small_run.model_copy(update={"autoencoder": stage})
    said = Listener()
    report = train_autoencoder(settings, run_dir=run_dir, device="cpu", progress=said)
    training_curves(report.history, run_dir / "autoencoder-loss.png", title="loss")
    train_flow(settings.flow, run_dir=run_dir, device="cpu", progress=said)
    (line,) = {line for line in said.lines if line.startswith("d: ")}
    assert sum(int(number) for number in re.findall(r"(\d+) (?:images|held|test)", line)) == 20


def test_two_images_are_too_few(small_run: RunSettings, blobs: torch.Tensor) -> None:
    split = ImageSplit((blobs[:1] * 255).to(torch.uint8))
    data = make_dataset("d", split, split, source="the test")
    with pytest.raises(DataError, match="d has 2 images; give at least 3"):
        split_data(small_run.autoencoder.data, data)


def test_measuring_again_restores_what_an_older_file_lacks(
    small_run: RunSettings, trained_run: Path
) -> None:
    with pytest.raises(CheckpointError, match="pae train-flow"):
        measure_again(trained_run)
    train_flow(small_run.flow, run_dir=trained_run, device="cpu")
    trained, header = load_with_header(trained_run)
    old = copy.deepcopy(trained)
    old.reference_images, old.reference_scores = ReferenceImages(old.latent_size), {}
    save_pae(trained_run / MODEL_FILE, old, header)
    measure_again(trained_run)
    again, header_again = load_with_header(trained_run)
    assert header_again == header
    assert set(again.reference_scores) == {*FAST_SCORES, *PIXEL_STATISTICS, MAP_PEAK}
    for name, values in trained.reference_scores.items():
        torch.testing.assert_close(again.reference_scores[name], values)


def test_both_stages_write_a_run_that_loads(small_run: RunSettings, trained_run: Path) -> None:
    report = train_flow(small_run.flow, run_dir=trained_run, device="cpu")
    model, header = load_with_header(trained_run)
    assert report.epochs == 3
    assert header.kind == "pae"
    assert header.metrics == pytest.approx(report.metrics)
    assert {"held_out_mse", "test_mse", "held_out_nll", "test_nll"} <= report.metrics.keys()
    assert torch.isfinite(model.log_prob(torch.rand(3, 1, 28, 28))).all()
    assert model.sigma.shape == (1, 28, 28)
    assert model.reference_scores
    assert not state_file(trained_run, "flow").exists()


def test_history_has_a_row_an_epoch_and_the_loss_falls(trained_run: Path) -> None:
    lines = history_file(trained_run, "autoencoder").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows[-1]["held_out"] < rows[0]["held_out"]


def test_reported_test_error_is_that_of_the_written_model(trained_run: Path) -> None:
    from paecli.data import load_dataset

    images = load_dataset("mnist-mini").test.images
    model, header = load_with_header(trained_run)
    error = (model.reconstruct(images) - images / 255).square().mean().item()
    assert header.metrics["test_mse"] == pytest.approx(error, rel=1e-5)


def test_same_seed_gives_the_same_weights(
    small_run: RunSettings, trained_run: Path, tmp_path: Path
) -> None:
    train_autoencoder(small_run, run_dir=tmp_path / "again", device="cpu")
    first, second = load(trained_run).state_dict(), load(tmp_path / "again").state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_finished_run_is_not_replaced_by_accident(
    small_run: RunSettings, trained_run: Path
) -> None:
    with pytest.raises(TrainingError, match="--overwrite"):
        train_autoencoder(small_run, run_dir=trained_run, device="cpu")


def test_diverging_loss_stops_with_a_hint(small_run: RunSettings, tmp_path: Path) -> None:
    wild = with_optimiser(small_run, learning_rate=1e30, method="adamw")
    with pytest.raises(TrainingError, match="lower --learning-rate"):
        train_autoencoder(wild, run_dir=tmp_path, device="cpu")
    assert not (tmp_path / "autoencoder.safetensors").exists()


def test_flow_without_an_autoencoder_names_the_command(
    small_run: RunSettings, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="pae train-ae"):
        train_flow(small_run.flow, run_dir=tmp_path, device="cpu")


def test_retrained_autoencoder_makes_the_flow_stale(
    small_run: RunSettings, trained_run: Path
) -> None:
    train_flow(small_run.flow, run_dir=trained_run, device="cpu")
    other = with_optimiser(small_run, learning_rate=1e-3)
    train_autoencoder(other, run_dir=trained_run, device="cpu", overwrite=True)
    with pytest.raises(CheckpointError, match="pae train-flow"):
        load(trained_run)


@pytest.mark.parametrize("latent_size", [1, 3, 300])
def test_odd_latent_sizes_train(small_run: RunSettings, tmp_path: Path, latent_size: int) -> None:
    stage = small_run.autoencoder.model_copy(update={"latent_size": latent_size})
    settings = small_run.model_copy(update={"autoencoder": stage})
    train_autoencoder(settings, run_dir=tmp_path, device="cpu")
    train_flow(settings.flow, run_dir=tmp_path, device="cpu")
    assert torch.isfinite(load(tmp_path).sample(4)).all()


@pytest.mark.parametrize(
    ("loss", "options"),
    [
        ("vae", {"anneal": 0.5}),
        ("vae", {"free_bits": 0.2}),
        ("vae", {"posterior_sigma": 1.0, "beta": 0.0}),
        ("beta-vae", {"capacity": 5.0}),
        ("flow-vae", {}),
    ],
)
def test_variational_objectives_train(
    small_run: RunSettings, tmp_path: Path, loss: str, options: dict[str, float]
) -> None:
    settings = with_objective(small_run, loss=loss, **options)
    report = train_autoencoder(settings, run_dir=tmp_path, device="cpu")
    assert report.history[-1]["loss"] < report.history[0]["loss"]
    assert load(tmp_path).encode(torch.rand(2, 1, 28, 28)).shape == (2, 4)


def test_flow_vae_leaves_a_whole_model(small_run: RunSettings, tmp_path: Path) -> None:
    settings = with_objective(small_run, loss="flow-vae")
    report = train_autoencoder(settings, run_dir=tmp_path, device="cpu")
    model, header = load_with_header(tmp_path)
    assert header.kind == "pae"
    assert {"held_out_mse", "test_mse", "held_out_nll", "test_nll"} == report.metrics.keys()
    assert model.reference_scores
    assert model.held_out_errors.fitted
    z = torch.randn(50, 4)
    normal = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1)
    # the flow has moved away from N(0, I)
    assert not torch.allclose(model.require_flow().log_prob(z), normal, atol=1e-2)


def test_train_flow_goes_on_with_the_flow_of_a_flow_vae(
    small_run: RunSettings, tmp_path: Path
) -> None:
    settings = with_objective(small_run, loss="flow-vae")
    train_autoencoder(settings, run_dir=tmp_path, device="cpu")
    joint = load(tmp_path).require_flow()
    still = small_run.flow.optimiser.model_copy(update={"learning_rate": 1e-12, "epochs": 1})
    gentle = settings.flow.model_copy(update={"optimiser": still})
    train_flow(gentle, run_dir=tmp_path, device="cpu")
    gone_on = load(tmp_path).require_flow()
    z = torch.randn(20, 4)
    torch.testing.assert_close(gone_on.log_prob(z), joint.log_prob(z))
    for changes in ({"warm_start": False}, {"blocks": 3}):
        other = gentle.model_copy(update=changes)
        train_flow(other, run_dir=tmp_path, device="cpu", overwrite=True)
        fresh = load(tmp_path).require_flow()
        assert not torch.allclose(fresh.log_prob(z), joint.log_prob(z), atol=0.1)
        # a new flow is whitened by the latents, the joint one never was
        assert not torch.equal(fresh.cholesky, joint.cholesky)


def test_weights_from_before_beta_has_risen_do_not_win(
    small_run: RunSettings, tmp_path: Path
) -> None:
    settings = with_objective(small_run, loss="vae", beta=500.0, anneal=1.0)
    report = train_autoencoder(
        with_optimiser(settings, learning_rate=1e-12), run_dir=tmp_path, device="cpu"
    )
    losses, held_out = ([row[key] for row in report.history] for key in ("loss", "held_out"))
    # the weights stand still: the training loss rises with beta, what chooses the epoch does not
    assert losses[0] < losses[1] < losses[2]
    assert held_out == pytest.approx([held_out[0]] * 3, rel=1e-3)
    assert held_out[0] > losses[2]


def test_options_a_network_does_not_have_are_named(small_run: RunSettings, tmp_path: Path) -> None:
    stage = small_run.autoencoder.model_copy(update={"network_options": {"wings": 2}})
    settings = small_run.model_copy(update={"autoencoder": stage})
    with pytest.raises(ConfigError, match="wings"):
        train_autoencoder(settings, run_dir=tmp_path, device="cpu")


def test_batch_normalisation_over_one_image_is_refused(
    small_run: RunSettings, tmp_path: Path
) -> None:
    stage = small_run.autoencoder.model_copy(update={"network": "infogan", "network_options": {}})
    single = with_optimiser(small_run.model_copy(update={"autoencoder": stage}), batch_size=1)
    with pytest.raises(TrainingError, match="at least 2"):
        train_autoencoder(single, run_dir=tmp_path, device="cpu")


def test_base_of_gaussians_is_fitted_and_kept(small_run: RunSettings, trained_run: Path) -> None:
    settings = small_run.flow.model_copy(update={"flow_options": {"width": 16, "components": 3}})
    train_flow(settings, run_dir=trained_run, device="cpu")
    model = load(trained_run)
    base = model.require_flow().base
    assert isinstance(base, GaussianMixture)
    assert torch.cdist(base.means, base.means)[0, 1] > 0.1
    draws = model.sample(5, generator=torch.Generator().manual_seed(0))
    assert draws.shape == (5, *model.image_shape)
    assert set(model.reference_scores) == {*FAST_SCORES, *PIXEL_STATISTICS, MAP_PEAK}
    restoration = model.restore(draws[0], mask=torch.ones(28, 28).triu(), starts=4)
    assert restoration.mean.isfinite().all()


def test_the_number_of_gaussians_is_chosen_and_kept(
    small_run: RunSettings, trained_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixture = fitted_mixture(2, size=4)
    monkeypatch.setattr(mixture_fit, "choose_mixture", lambda *args, **kwargs: mixture)
    settings = small_run.flow.model_copy(update={"flow_options": {"components": "auto"}})
    train_flow(settings, run_dir=trained_run, device="cpu")
    base = load(trained_run).require_flow().base
    assert isinstance(base, GaussianMixture)
    torch.testing.assert_close(base.means, torch.from_numpy(mixture.means_).float())


def test_the_flow_of_a_flow_vae_starts_from_a_standard_gaussian(small_run: RunSettings) -> None:
    settings = small_run.flow.model_copy(update={"flow_options": {"components": "auto"}})
    flow, arguments = build_flow(settings, 4)
    assert isinstance(flow.base, StandardGaussian)
    assert arguments["components"] == 0


def test_only_the_number_of_gaussians_is_chosen(small_run: RunSettings) -> None:
    settings = small_run.flow.model_copy(update={"flow_options": {"width": "auto"}})
    with pytest.raises(ConfigError, match="only `components` can be auto"):
        build_flow(settings, 4)


def fitted_mixture(components: int, *, size: int) -> Estimator:
    u = torch.randn(50, size, generator=torch.Generator().manual_seed(0))
    return Estimator(components, covariance_type="diag", random_state=0).fit(u.numpy())


def test_where_images_were_mirrored_the_flow_learns_mirrored_ones() -> None:
    plain, mirrored = torch.zeros(4000, 2), torch.ones(4000, 2)
    latents = FlowLatents(plain, plain[:5], mirrored=mirrored, flip_probability=0.25)
    generator = torch.Generator().manual_seed(0)
    drawn = latents.draw(torch.arange(4000), generator)
    assert drawn.unique().tolist() == [0, 1]
    assert (drawn[:, 0] == drawn[:, 1]).all()  # a whole vector is the one or the other's
    assert drawn[:, 0].mean().item() == pytest.approx(0.25, abs=0.03)
    assert len(latents.all) == 8000


@pytest.mark.parametrize("flip", [0.0, 0.5])
def test_mirrored_images_are_encoded_if_stage_1_mirrored_some(
    small_run: RunSettings, trained_run: Path, monkeypatch: pytest.MonkeyPatch, flip: float
) -> None:
    seen: list[FlowLatents] = []
    monkeypatch.setattr(
        "paecli.training.flow.FlowStage",
        lambda flow, noise, latents: seen.append(latents) or FlowStage(flow, noise, latents),
    )
    path = trained_run / AUTOENCODER_FILE
    model, header = load_pae(path)
    header.config["autoencoder"]["augment"]["horizontal_flip"] = flip
    save_pae(path, model, header)
    train_flow(small_run.flow, run_dir=trained_run, device="cpu")
    (latents,) = seen
    assert latents.flip_probability == flip
    if not flip:
        assert latents.mirrored is None
        return
    assert latents.mirrored is not None
    assert latents.mirrored.shape == latents.training.shape
    assert not torch.equal(latents.mirrored, latents.training)


def test_too_few_images_for_the_base_are_told_before_training(
    small_run: RunSettings, trained_run: Path
) -> None:
    settings = small_run.flow.model_copy(update={"flow_options": {"components": 100}})
    with pytest.raises(TrainingError, match="192 images are too few for a base of 100 Gaussians"):
        train_flow(settings, run_dir=trained_run, device="cpu")
    assert not (trained_run / MODEL_FILE).exists()


def test_noise_of_the_latents_has_their_covariance() -> None:
    latents = torch.randn(20_000, 2) @ torch.tensor([[3.0, 1.0], [0.0, 0.2]])
    flow = LatentFlow(kind="nsf", latent_size=2, blocks=1, width=8)
    flow.fit_whitening(latents)
    stage = FlowStage(flow, 0.5, FlowLatents(latents, latents[:10]))
    index, generator = torch.arange(len(latents)), torch.Generator().manual_seed(0)
    (noisy,) = stage.batch(index, fraction=0.0, generator=generator)
    torch.testing.assert_close(
        (noisy - latents).T.cov(), 0.25 * latents.T.cov(), rtol=0.05, atol=0.01
    )
    (quiet,) = FlowStage(flow, 0.0, FlowLatents(latents, latents[:10])).batch(
        index, fraction=0.0, generator=generator
    )
    assert torch.equal(quiet, latents)


def test_flow_settings_come_from_the_run_then_from_flags(
    small_run: RunSettings, trained_run: Path
) -> None:
    own = resolve_flow_settings(trained_run, preset=None, file=None, flags={"blocks": None})
    assert own == small_run.flow
    changed = resolve_flow_settings(trained_run, preset=None, file=None, flags={"blocks": 5})
    assert changed.blocks == 5
    assert changed.latent_noise == small_run.flow.latent_noise
