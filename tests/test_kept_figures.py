"""What the mathematics gives on fixed inputs and seeds: every figure is the kept one.

Whether figures are right is tested elsewhere, against closed forms and other libraries; here
no number in a formula and no default of an option changes without being noticed.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from paecli.data.transforms import TRANSFORMS, transform_images
from paecli.evaluation.flow_fit import measure_base_fit
from paecli.evaluation.kid import kernel_distance
from paecli.evaluation.memorisation import memorisation
from paecli.evaluation.precision_recall import measure_precision_recall
from paecli.evaluation.reconstruction import reconstruction_quality
from paecli.model.autoencoder import Autoencoder
from paecli.model.base_distribution import GaussianMixture, StandardGaussian
from paecli.model.couplings import rational_quadratic_spline
from paecli.model.flow import FLOWS, LatentFlow
from paecli.model.networks import NETWORKS
from paecli.model.patches.autoencoder import PatchAutoencoder
from paecli.model.patches.pixels import PixelFeatures
from paecli.model.pixel_table import local_variation, tabulate_pixels
from paecli.model.principal_components import principal_components
from paecli.outliers.detection_metrics import measure_detection
from paecli.outliers.drift import DriftDetector, bets
from paecli.outliers.localisation import localise
from paecli.outliers.regions import find_regions
from paecli.restoration.guarantee.risk_control import choose_factor, upper_bound
from paecli.restoration.masks.drawing import add_noise, draw_mask
from paecli.restoration.operators import build_operator
from paecli.restoration.pixel_model import GaussianPixels, TabulatedPixels
from paecli.training import muon
from paecli.training.augmentation import augment
from paecli.training.course import Course, first_course, is_flat
from paecli.training.objectives import AutoencoderObjective
from paecli.training.optimisers import build_optimisers, learning_rate_at
from paecli.training.patches import painting
from paecli.training.patches.painting import paint_defects
from paecli.training.settings import OptimiserSettings

from .kept_answers import compare, seeded, told


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=seeded(seed))


def images(count: int, channels: int = 1, side: int = 12) -> Tensor:
    return torch.rand(count, channels, side, side, generator=seeded(5))


def stirred(module: nn.Module, scale: float = 0.1) -> nn.Module:
    """Moves weights off where they start, some of which are zero."""
    generator = seeded(3)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += scale * torch.randn(parameter.shape, generator=generator)
    return module


SMALL: dict[str, dict[str, Any]] = {
    "infogan": {}, "conv": {"channels": 4}, "resnet": {"channels": 4, "width": 16, "blocks": 2},
    "mlp": {"width": 16},
}  # fmt: skip


def networks() -> dict[str, Any]:
    """Outputs of each network, and how many weights it has as users get it."""
    answer: dict[str, Any] = {}
    for name, build in NETWORKS.items():
        torch.manual_seed(0)
        shape = (2, 19, 12)
        parts = build(image_shape=shape, latent_size=3, encoder_outputs=5, **SMALL[name])
        encoder, decoder = (stirred(each.eval(), 0.02) for each in parts)
        x = torch.rand(2, *shape, generator=seeded())
        answer[name] = {"encoder": told(encoder(x)), "decoder": told(decoder(draw(2, 3)))}
        with torch.device("meta"):
            whole = build(image_shape=(1, 28, 28), latent_size=8, encoder_outputs=8)
        answer[name]["weights"] = [sum(p.numel() for p in each.parameters()) for each in whole]
        answer[name]["dropout"] = [
            layer.p for each in whole for layer in each.modules() if hasattr(layer, "p")
        ]
    return answer


def flows() -> dict[str, Any]:
    """Densities and samples of each flow."""
    answer: dict[str, Any] = {}
    for kind in FLOWS:
        torch.manual_seed(0)
        flow = LatentFlow(kind=kind, latent_size=5, blocks=3, width=12, reach=2.0,
                          shift_only_blocks=1 if kind == "realnvp" else 0)  # fmt: skip
        stirred(flow).eval()
        flow.fit_whitening(draw(60, 5, seed=1) @ draw(5, 5, seed=2) + 3)
        z = 2 * draw(7, 5, seed=4) + 3
        u, determinant = flow.to_base(z)
        answer[kind] = {
            "u": told(u), "determinant": told(determinant), "log_prob": told(flow.log_prob(z)),
            "back": told(flow.from_base(1.5 * draw(7, 5))),
            "samples": told(flow.sample(6, generator=seeded())),
            "cooler": told(flow.sample(6, temperature=0.5, generator=seeded())),
        }  # fmt: skip
        torch.manual_seed(0)
        answer[kind]["weights"] = sum(p.numel() for p in LatentFlow(
            kind=kind, latent_size=5).parameters())  # fmt: skip
    return answer


def couplings() -> dict[str, Any]:
    """The spline inside its bounds, at them and beyond."""
    x = torch.linspace(-4, 4, 33)
    parameters = draw(33, 3 * 6 - 1)
    y, slope = rational_quadratic_spline(x, parameters, bound=3.0)
    back, inverse = rational_quadratic_spline(y, parameters, bound=3.0, inverse=True)
    return {"y": told(y), "slope": told(slope), "back": told(back), "inverse": told(inverse)}


def bases() -> dict[str, Any]:
    """A Gaussian and a mixture of them as base distributions."""
    mixture = GaussianMixture(2, 3)
    factors = torch.stack((torch.eye(3), 2 * torch.eye(3)))
    factors[:, 0, 2] = 0.5
    mixture.set(torch.tensor([0.3, 0.7]), draw(2, 3), factors)
    u = 1.5 * draw(6, 3, seed=1)
    return {
        name: {
            "radius": base.radius, "log_prob": told(base.log_prob(u)),
            "gradient": told(base.gradient(u)), "precision": told(base.precision(u)),
            "sample": told(base.sample(9, generator=seeded())),
            "warm": told(base.sample(9, temperature=1.5, generator=seeded())),
            "standard": told(base.standardise(u, seeded())),
        }
        for name, base in {"gaussian": StandardGaussian(3), "mixture": mixture}.items()
    }  # fmt: skip


def objectives() -> dict[str, Any]:
    """Every loss of stage 1, at its start, middle and end."""
    cases: dict[str, dict[str, Any]] = {
        "ae": {}, "map": {"map_stage": 0.4},
        "vae": {"loss": "vae", "beta": 0.7, "pixel_sigma": 1.0},
        "annealed": {"loss": "vae", "anneal": 0.8, "free_bits": 0.1, "pixel_sigma": 0.9},
        "fixed": {"loss": "vae", "posterior_sigma": 0.5, "beta": 0.3, "pixel_sigma": 1.0},
        "beta-vae": {"loss": "beta-vae", "beta": 2.0, "capacity": 3.0, "anneal": 0.5,
                     "pixel_sigma": 1.0},
        "flow-vae": {"loss": "flow-vae", "free_bits": 0.05, "pixel_sigma": 1.0},
        "usual": {"loss": "vae"},
    }  # fmt: skip
    answer = {}
    x = images(6)
    for name, options in cases.items():
        torch.manual_seed(0)
        variational = options.get("loss", "ae") != "ae" and "posterior_sigma" not in options
        network = Autoencoder(network="mlp", image_shape=(1, 12, 12), latent_size=3, width=16,
                              variational=variational)  # fmt: skip
        prior = LatentFlow(kind="nsf", latent_size=3, blocks=1, width=8)
        flow = stirred(prior) if name == "flow-vae" else None
        objective = AutoencoderObjective(stirred(network), prior=flow, **options)  # type: ignore[arg-type]
        values = []
        for fraction in (0.0, 0.3, 0.59, 0.61, 1.0):
            torch.manual_seed(1)
            values.append(objective(x, x.flip(-1), fraction).item())
        answer[name] = values
    return answer


def optimisers() -> dict[str, Any]:
    """Weights after five steps, and learning rates on the way."""
    answer: dict[str, Any] = {}
    for method in ("adamw", "muon"):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(1, 64, 3), nn.Flatten(), nn.Linear(64, 40))
        settings = OptimiserSettings(method=method, learning_rate=0.01, weight_decay=0.1)
        steps = build_optimisers(network, settings)
        for step in range(5):
            loss = (network(draw(8, 1, 3, 3, seed=step)) - 1).square().mean()
            for each in steps:
                each.zero_grad()
            loss.backward()
            for each in steps:
                each.step()
        answer[method] = {name: told(value) for name, value in network.state_dict().items()}
    for schedule in ("cosine", "constant", "trapezoid"):
        settings = OptimiserSettings(schedule=schedule, warmup=0.1, cooldown=0.3)
        answer[schedule] = [learning_rate_at(each / 20, settings) for each in range(21)]
    return answer


def augmentations() -> dict[str, Any]:
    """Each kind alone, and all."""
    x = images(16)
    kinds: dict[str, dict[str, Any]] = {
        "shift": {"shift": 2, "shift_probability": 0.7}, "usual": {"shift": 1},
        "flip": {"horizontal_flip": 0.5}, "rotation": {"rotation": 20.0},
        "brightness": {"brightness": 0.3},
        "all": {"shift": 2, "horizontal_flip": 0.5, "rotation": 5.0, "brightness": 0.1},
    }  # fmt: skip
    return {name: told(augment(x, generator=seeded(), **each)) for name, each in kinds.items()}


def courses() -> dict[str, Any]:
    """Fractions of a training that is refitted to the clock, and one that ends flat."""
    course = first_course(OptimiserSettings(minutes=1.0, epochs=3), 10)
    fractions = [course.fraction(0)]
    for step, seconds in ((2, 1.0), (10, 5.5), (40, 21.0), (80, 45.0)):
        due = course.is_due(step, seconds, 60.0)
        course.refit(step, seconds, 60.0)
        fractions.append([due, course.last, course.fraction(step), course.fraction(step + 5)])
    flat = Course(last=1000)
    flat.cool(300, 20.0, 0.25)
    falling = [1 / (1 + each) for each in range(12)]
    level = [*falling, *(0.0769 for _ in range(8))]
    return {
        "clock": [fractions, course.as_fields()], "flat": flat.as_fields(),
        "rest": [flat.fraction(step) for step in (300, 350, 400)],
        "epochs": first_course(OptimiserSettings(epochs=7), 11).last,
        "is flat": [[is_flat(errors[:count], 3, 100) for count in range(1, len(errors) + 1)]
                    for errors in (falling, level)],
        "never": is_flat(level, 0, 100), "short": is_flat(level, 3, 11),
    }  # fmt: skip


def detections() -> dict[str, Any]:
    """What outliers are told by."""
    generator = np.random.default_rng(0)
    low, high = generator.normal(size=200), generator.normal(1.2, 1.5, size=150)
    found = measure_detection(low, high, replicates=300, seed=1)
    plane = generator.normal(size=(30, 40)).astype(np.float32)
    plane[10:16, 20:28] += 4
    regions, inside = find_regions(
        torch.from_numpy(plane), reference_peaks=torch.linspace(1, 4, 99), rate=0.1
    )
    truth = np.zeros((30, 40), dtype=bool)
    truth[9:15, 19:27] = True
    localised = localise([plane, plane[::-1].copy()], [truth, np.zeros_like(truth)])
    return {
        "detection": [found.auroc, found.aupr, found.fpr95, found.auroc_ci, found.aupr_ci,
                      found.fpr95_ci],
        "regions": [[each.box, each.area, each.p_value] for each in regions],
        "inside": int(inside.sum()), "localised": vars(localised),
    }  # fmt: skip


def evaluations() -> dict[str, Any]:
    """Figures of `pae eval` that no scikit-learn stands behind."""
    x = images(30)
    y = (0.9 * x + 0.05 * images(30).flip(0)).clamp(0, 1)
    quality = reconstruction_quality(
        [(x[:20], y[:20]), (x[20:], y[20:])], labels=torch.arange(30) % 3, classes=("a", "b", "c")
    )
    copies = memorisation(y[:12], x[12:20], x[20:])
    overlap = measure_precision_recall(draw(60, 3), 0.8 * draw(50, 3, seed=1))
    kernel = kernel_distance(draw(80, 3), draw(90, 3, seed=1) + 0.3)
    return {
        "reconstruction": vars(quality), "memorisation": vars(copies), "overlap": vars(overlap),
        "kernel": [kernel.value, kernel.ci], "base": vars(measure_base_fit(1.1 * draw(90, 4))),
    }  # fmt: skip


def restorations() -> dict[str, Any]:
    """Masks, noise, what an image is seen through, the pixels about it, and the guarantee."""
    decoded = images(40)
    true = (decoded + 0.1 * draw(40, 1, 12, 12, seed=2)).clamp(0, 1)
    edges, quantiles = tabulate_pixels(decoded, true)
    pixels = {"gaussian": GaussianPixels(torch.full((144,), 0.07)),
              "table": TabulatedPixels(edges, quantiles, (1, 12, 12))}  # fmt: skip
    flat = decoded[:3].flatten(1)[None]
    losses = torch.rand(50, 4, generator=seeded(), dtype=torch.float64)
    ratios = [3 * torch.rand(20, generator=seeded(each)).double() for each in range(60)]
    answer: dict[str, Any] = {
        name: {"mean": told(each.mean(flat)), "variance": told(each.variance(flat)),
               "draw": told(each.draw(flat[0], seeded()))}
        for name, each in pixels.items()
    }  # fmt: skip
    for blur, block in ((0.8, 1), (0.0, 3), (1.5, 2)):
        operator = build_operator((1, 12, 12), blur=blur, downsample=block)
        assert operator is not None
        answer[f"blur {blur}, blocks {block}"] = [
            told(operator(decoded)), told(operator.variance(0.01 + decoded[0]))
        ]  # fmt: skip
    for spec in ("left", "right", "top", "bottom", "box", "random:0.3", "box:1,2,5,9"):
        answer[spec] = told(draw_mask(spec, height=11, width=13, seed=4).float())
    answer["noise"] = told(add_noise(decoded[0], noise=0.2, seed=3))
    answer["variation"] = told(local_variation(decoded))
    answer["bound"] = told(upper_bound(losses))
    answer["factor"] = [choose_factor(ratios, level) for level in (0.5, 0.8, 0.9)]
    return answer


def sets() -> dict[str, Any]:
    """Sets made of others, and principal components."""
    x = (255 * images(20)).to(torch.uint8)
    components = principal_components(x, 4)
    return {
        **{name: told(transform_images(name, x, 3)) for name in TRANSFORMS},
        "errors": components.errors(x).tolist(), "mse": components.mse(x, 2),
    }  # fmt: skip


def defects() -> dict[str, Any]:
    """Defects as they are painted on good images: every shape and filling at least once."""
    good, other = images(2, 3, 40).numpy()
    rng = np.random.default_rng(0)
    painted = [paint_defects(good, other[: 1 + number % 3], rng) for number in range(24)]
    return {
        **{shape.__name__: [told(torch.from_numpy(np.asarray(shape((40, 30), rng))))
                            for _ in range(2)] for _, shape in painting.SHAPES},
        **{fill.__name__: [told(torch.from_numpy(np.asarray(fill(good, other, rng))))
                           for _ in range(2)] for _, fill in painting.FILLS},
        "images": [told(torch.from_numpy(each.image))["mean"] for each in painted],
        "defects": [int(each.defects.sum()) for each in painted],
        "touched": [int(each.touched.sum()) for each in painted],
    }  # fmt: skip


def drifts() -> dict[str, Any]:
    """How evidence of a drift grows, before and after images change, and what raises the alarm."""
    rng = np.random.default_rng(0)
    usual = rng.normal(size=(60, 2))
    stream = np.concatenate((rng.normal(size=(80, 2)), rng.normal(1.5, 1, (60, 2))))
    answer: dict[str, Any] = {"bets": bets(np.array([0.0, 0.1, 0.5, 1.0])).tolist()}
    for name, known, baseline, first in (
        ("from the start", usual, 30, 80), ("later", usual, 0, 0), ("unknown", usual[:0], 0, 0),
    ):  # fmt: skip
        detector = DriftDetector(
            {"a": known[:, 0].tolist(), "b": known[:, 1].tolist()}, baseline=baseline, seed=3
        )
        evidence = []
        for row in stream[first:]:
            detector.add({"a": row[0], "b": row[1] / 2})
            evidence.append(detector.evidence)
        raised = [detector.count, detector.alarm, detector.score, detector.from_start]
        answer[name] = {"evidence": evidence[::8], "raised": raised}
    return answer


def patches() -> dict[str, Any]:
    """Features of patches without a network, and their principal components."""
    features = PixelFeatures()(images(3, 3, 64))
    rows = features.movedim(1, -1).flatten(0, 2).double()
    autoencoder = PatchAutoencoder(size=rows.shape[1], latent_size=5)
    autoencoder.fit(rows.sum(0), rows.T @ rows, len(rows))
    latents, left_out = autoencoder.project(rows.float())
    return {
        "features": told(features), "grey": told(PixelFeatures()(images(2, 1, 32))),
        "latents": told(latents.abs()), "back": told(autoencoder.decode(latents)),
        "left out": told(autoencoder.residual_energy(left_out)[:8]),
        "explained": autoencoder.explained(),
    }  # fmt: skip


@pytest.mark.parametrize(
    "figures",
    [networks, flows, couplings, bases, objectives, optimisers, augmentations, courses, detections,
     evaluations, restorations, sets, defects, drifts, patches],
    ids=lambda each: each.__name__,
)  # fmt: skip
def test_figures_are_as_before(
    figures: Callable[[], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(muon, "has_fast_bfloat16", lambda device: False)  # some processors have it
    compare(figures.__name__, figures(), relative=3e-4)
