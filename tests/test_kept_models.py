"""What models make of images, and what trainings make of models, on fixed seeds: as before.

The models are small and not trained, so that their figures are the same on every machine; the
trainings are of a few steps. Whether figures are right is tested beside the modules.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from paecli.api import PAE
from paecli.data import write_image
from paecli.evaluation.smoothness import interpolation, lines_between
from paecli.model.autoencoder import Autoencoder
from paecli.model.flow import LatentFlow
from paecli.model.patches.discriminator import Discriminator
from paecli.model.patches.lite0 import Lite0
from paecli.model.reference_images import ReferenceImages
from paecli.model.voices import STATEMENTS, Voices
from paecli.outliers.ingredients import Ingredients
from paecli.outliers.map_images import map_images
from paecli.outliers.pixel_statistics import pixel_statistics
from paecli.outliers.residual_maps import ResidualMaps
from paecli.restoration.damage import check_damage
from paecli.restoration.guarantee.quick_fit import fit_quickly
from paecli.restoration.guarantee.references import References
from paecli.sampling import go_along_directions, interpolate
from paecli.system.progress import NullProgress
from paecli.train import measure_held_out
from paecli.training import muon
from paecli.training.autoencoder import AutoencoderStage, reconstruction_mse
from paecli.training.choices import choose
from paecli.training.flow import FlowLatents, FlowStage
from paecli.training.images import held_out_part
from paecli.training.loop import Stage
from paecli.training.patches.discriminator_trainer import train_discriminator
from paecli.training.patches.feature_maps import FeatureMap, PaintedMap, patch_latents
from paecli.training.patches.reference import (
    cross_fit,
    evenly_spaced,
    measure_usual_scores,
    score_held_out,
)
from paecli.training.run import open_accelerator, run_loop
from paecli.training.settings import AutoencoderSettings, DataSettings, OptimiserSettings

from .kept_answers import compare, seeded, told
from .patches_models import small_model, surface

SIDE, LATENT = 12, 3
Figures = Callable[[Path], dict[str, Any]]
# energies divide by the smallest variances, of which float32 knows few digits
LESS_EXACT = {"patch_models": 0.05}


def pictures(count: int, seed: int = 0) -> Tensor:
    """Gentle slopes with some noise, `(count, 1, 12, 12)` in [0, 1]."""
    generator = seeded(seed)
    rise, tilt = torch.rand(2, count, 1, 1, 1, generator=generator)
    ramp = torch.linspace(0, 1, SIDE)
    noise = 0.1 * torch.rand(count, 1, SIDE, SIDE, generator=generator)
    return (0.1 + 0.4 * rise * ramp + 0.4 * tilt * ramp[:, None] + noise).clamp(0, 1)


def small_pae() -> PAE:
    """A model whose weights are drawn, measured on pictures."""
    torch.manual_seed(0)
    autoencoder = Autoencoder(
        network="mlp", image_shape=(1, SIDE, SIDE), latent_size=LATENT, width=16
    )
    flow = LatentFlow(kind="nsf", latent_size=LATENT, blocks=2, width=8)
    generator = seeded(3)
    with torch.no_grad():
        for parameter in (*autoencoder.parameters(), *flow.parameters()):
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    model = PAE(autoencoder, flow).eval()
    flow.fit_whitening(model.encode(pictures(80)))
    measure_held_out(model, training=pictures(80), held_out=pictures(60, seed=1))
    return model


def scores(_: Path) -> dict[str, Any]:
    """Every quantity that scores are made of, and what a model stores of held-out images."""
    model, x = small_pae(), pictures(5, seed=2)
    made = Ingredients(model, x)
    names = [
        "z", "residual", "negative_log_prob", "reconstruction_error", "weighted_error",
        "residual_map", "map_peak", "cycle_distance", "typicality", "negative_local_log_prob",
        "nearest_distance", "combined", "neighbours", "orientation", "white", "features",
        "components", "negative_log_marginal_likelihood",
    ]  # fmt: skip
    flat = Ingredients(model, torch.full((1, 1, SIDE, SIDE), 0.5))
    return {
        **{name: told(getattr(made, name)) for name in names},
        **dict(zip(STATEMENTS, made.statements.T.tolist(), strict=True)),
        "flat": flat.statements.tolist(), "loudest": made.loudest,
        "sigma": told(model.sigma), "stored": {
            name: told(values) for name, values in model.reference_scores.items()
        },
        "references": told(model.reference_images.statistics),
        "tables": told(model.voices.tables), "precision": told(model.voices.precision),
        "errors": [told(model.held_out_errors.edges), told(model.held_out_errors.quantiles),
                   told(model.held_out_errors.u), list(model.held_out_errors.images.shape)],
    }  # fmt: skip


def judgements(_: Path) -> dict[str, Any]:
    """Comparison with neighbours, and voices, of drawn numbers; some of them far away."""
    draw = lambda *shape, seed: torch.randn(shape, generator=seeded(seed))  # noqa: E731
    references, voices = ReferenceImages(LATENT), Voices()
    references.keep(draw(90, LATENT, seed=1), draw(90, 3, seed=2))
    components = references.compare(draw(40, LATENT, seed=3), draw(40, 3, seed=4))
    references.fit(components)
    voices.fit(draw(50, seed=5), draw(50, len(STATEMENTS), seed=6))
    said, statements = 2 * draw(20, seed=7), 2 * draw(20, len(STATEMENTS), seed=8)
    few = ReferenceImages(LATENT)
    few.keep(draw(7, LATENT, seed=1), draw(7, 3, seed=2))
    return {
        "components": told(components), "combined": told(references.combine(3 * components)),
        "few": told(few.compare(draw(5, LATENT, seed=3), draw(5, 3, seed=4))),
        "spoken": voices.speak(said, statements).tolist(),
        "loudest": voices.name_loudest(said, statements),
        "quieter": voices.name_loudest(said / 9, statements / 9),
    }  # fmt: skip


def places(folder: Path) -> dict[str, Any]:
    """Maps of images of several sizes, pixel statistics, paths between images, guarantees."""
    model, x = small_pae(), pictures(4, seed=2)
    maps = ResidualMaps(model)
    tall = torch.rand(3, 40, 26, generator=seeded(4))
    black = x[:2].clone()
    black[0, :, 3:6] = 1
    way = interpolate(model, x[0], x[1], steps=4)
    directions = go_along_directions(model, x[0], count=2, steps=3)
    mask = torch.ones(SIDE, SIDE)
    mask[:, 5:] = 0
    damage = check_damage(x[:1], mask[None], noise=0.1, image_shape=(1, SIDE, SIDE))
    references = References(model, pictures(40, seed=6))
    likeness = references.likeness(damage)
    assert likeness is not None
    promised = references.guarantee(damage, 0.7)
    fit = fit_quickly(model, damage, torch.tensor([1.5]), spread=True)
    assert fit.mean is not None
    assert fit.std is not None
    lines = lines_between(x[:2].flatten(1), x[2:].flatten(1), steps=3)
    along = interpolation(lines.view(2, 4, 1, SIDE, SIDE) ** 2)
    return {
        "map": told(maps.score_map(tall)), "own": told(maps.score_map(x[0])),
        "peaks": told(maps.reference_peaks), "pixels": told(maps.reference_pixels),
        "statistics": {name: each.tolist() for name, each in pixel_statistics(black).items()},
        "bytes": {name: each.tolist()
                  for name, each in pixel_statistics((255 * black).byte()).items()},
        "way": [told(way.frames), way.log_prob.tolist()],
        "directions": [told(directions.frames), directions.shares.tolist(),
                       directions.distances.tolist()],
        "likeness": [likeness.p_value, likeness.images], "energy": fit.energy.tolist(),
        "fit": [told(fit.mean), told(fit.std)], "factor": promised.factor,
        "promised": [told(promised.lower), told(promised.upper)], "lines": vars(along),
    }  # fmt: skip


def drawn_map(seed: int, painted: bool = True) -> FeatureMap:
    """Patches of N(0, I); where they are painted, the first feature is 3 or -3."""
    generator = seeded(seed)
    features, other = torch.randn(2, 6, 8, 9, generator=generator)
    defects = torch.rand(8, 9, generator=generator) < 0.1
    other[0] = torch.where(defects, 3.0, other[0])
    share = 0.16 * torch.rand(8, 9, generator=generator) * defects
    found = PaintedMap(other, share, defects) if painted else None
    return FeatureMap(features, 100, 120, found)


def patch_models(folder: Path) -> dict[str, Any]:
    """Scores of patches, their references, and a discriminator after its training."""
    model = small_model()
    image = surface(99, hole=True)
    cells = model.score_cells(image)
    plain = model.compare(cells)
    maps = [FeatureMap(model.feature_map(surface(n)), 80, 96) for n in range(6)]
    held_out = score_held_out(model, maps)
    crossed = cross_fit(lambda _: model, maps, folds=3)
    measure_usual_scores(model, maps)
    for number in (1, 2):
        picture = surface(number, hole=number == 2).float() / 255
        write_image(folder / f"{number}.png", picture)
    found = map_images(
        model, [folder / "1.png", folder / "2.png"], rate=0.1, unreadable=[],
        progress=NullProgress(),
    )  # fmt: skip
    mapped = {
        each.path.name: [[region.box, region.area, region.p_value] for region in each.regions]
        for each in found
    }
    drawn = [drawn_map(n) for n in range(6)]
    trained = train_discriminator(drawn, weight=0.4, seed=3)
    torch.manual_seed(0)
    model.discriminator = Discriminator(size=model.features.size, weight=0.5).eval()
    model.discriminator.fit_scale(maps[0].patches)
    return {
        "mapped": mapped,
        "surprise": told(cells.surprise), "energy": told(cells.energy), "plain": told(plain),
        "map": told(model.score_map(image)), "usual": model.usual.tolist(),
        "odd": told(model.score_map(surface(5, size=(50, 70)))),
        "held out": {name: told(each) for name, each in held_out.scores.items()},
        "crossed": {name: told(each) for name, each in crossed.scores.items()},
        "nll": [held_out.nll, crossed.nll], "thinned": evenly_spaced(torch.arange(50), 7).tolist(),
        "odds": told(trained(drawn[0].patches)),
        "weights": {name: told(each) for name, each in trained.state_dict().items()},
        "latents": told(patch_latents(model.autoencoder, maps, seed=2)),
    }  # fmt: skip


def photo_network(_: Path) -> dict[str, Any]:
    """The network of photographs, by weights that are drawn."""
    torch.manual_seed(0)
    network = Lite0().eval()
    maps = network.stage_maps(255 * torch.rand(1, 3, 64, 96, generator=seeded()), last=4)
    return {
        "maps": [told(each) for each in maps],
        "weights": sum(each.numel() for each in network.parameters()),
    }


class Trained:
    """Runs a stage for a few epochs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, name: str, stage: Stage, **settings: Any) -> dict[str, Any]:
        found = run_loop(
            stage, name="autoencoder", run_dir=self.folder / name,
            settings=OptimiserSettings(batch_size=16, precision="fp32", **settings), seed=4,
            described={}, content_hash="", accelerator=open_accelerator("cpu"), resumed=None,
            log="csv", progress=NullProgress(),
        )  # fmt: skip
        rows = (self.folder / name / "autoencoder-history.csv").read_text().splitlines()
        weights = stage.module.state_dict()
        return {
            "history": [
                {key: row[key] for key in row if key != "threads"} for row in found.history
            ],
            "best": found.best_metric, "ended": found.ended, "epochs": found.epochs,
            "written": [rows[0], len(rows)],
            "weights": {key: told(weights[key]) for key in sorted(weights)[:6]},
        }  # fmt: skip


def trainings(folder: Path) -> dict[str, Any]:
    """Losses, rates and weights of both stages, by several losses, schedules and averages."""
    train, held_out = ((255 * pictures(count, seed=count)).byte() for count in (70, 20))
    run = Trained(folder)

    def stage(**options: Any) -> AutoencoderStage:
        torch.manual_seed(0)
        variational = "loss" in options.get("objective", {})
        network = Autoencoder(network="mlp", image_shape=(1, SIDE, SIDE), latent_size=LATENT,
                              width=16, variational=variational)  # fmt: skip
        return AutoencoderStage(network, AutoencoderSettings(**options), train, held_out)

    changed = {"augment": {"shift": 1, "noise": 0.1, "horizontal_flip": 0.5, "rotation": 5.0,
                           "brightness": 0.1, "clean_fraction": 0.3}}  # fmt: skip
    torch.manual_seed(0)
    flow = LatentFlow(kind="nsf", latent_size=LATENT, blocks=2, width=8)
    latents = torch.randn(70, LATENT, generator=seeded(1)) @ torch.tensor(
        [[1.0, 0.5, 0], [0, 1, 0], [0, 0.2, 2]]
    )
    flow.fit_whitening(latents)
    plain = stage()
    batches = [stage(**changed).batch(torch.arange(8), fraction=each, generator=seeded())
               for each in (0.2, 0.7)]  # fmt: skip
    return {
        "plain": run("plain", plain, epochs=3, averaging=0.9),
        "changed": run("changed", stage(**changed), epochs=3, method="muon", clip=0.1),
        "vae": run("vae", stage(objective={"loss": "vae", "anneal": 0.5}), epochs=2),
        "map": run("map", stage(objective={"map_stage": 0.5}), epochs=2, schedule="constant"),
        "flow": run("flow", FlowStage(flow, 0.05, FlowLatents(latents, latents[:20])), epochs=3,
                    averaging=0.5, schedule="trapezoid"),
        "error": reconstruction_mse(plain.autoencoder, held_out),
        "batches": [[told(each) for each in pair] for pair in batches],
    }  # fmt: skip


def chosen(_: Path) -> dict[str, Any]:
    """What is left to the images: latents, mirroring, epochs, and how many are held out."""
    open_ones = AutoencoderSettings(
        latent_size="auto", augment={"horizontal_flip": "auto"},  # type: ignore[arg-type]
        optimiser={"epochs": "auto", "patience": 3},  # type: ignore[arg-type]
    )  # fmt: skip
    train, tuning = ((255 * pictures(count, seed=count)).byte() for count in (300, 60))
    found = choose(open_ones, train, tuning, NullProgress())
    parts = [held_out_part(DataSettings(), count) for count in (100, 399, 401, 1199, 1201, 60_000)]
    return {"settings": found.settings.model_dump(mode="json"), "held out": parts}


@pytest.mark.parametrize(
    "figures",
    [scores, judgements, places, patch_models, photo_network, trainings, chosen],
    ids=lambda each: each.__name__,
)
def test_models_are_as_before(
    figures: Figures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(muon, "has_fast_bfloat16", lambda device: False)  # some processors have it
    relative = LESS_EXACT.get(figures.__name__, 2e-3)
    compare(f"models-{figures.__name__}", figures(tmp_path), relative=relative)
