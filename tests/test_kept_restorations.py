"""What searches, samplers and sums of a restoration give on fixed inputs and seeds: as before.

The posterior is one of a decoder that bends, in double precision, so that processors which round
otherwise still accept the same moves. Whether answers are right is tested beside the modules.
"""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from paecli.model.base_distribution import GaussianMixture, StandardGaussian
from paecli.model.held_out_errors import HeldOutErrors
from paecli.restoration import inflation
from paecli.restoration.coordinates import LatentSpace
from paecli.restoration.damage import Damage
from paecli.restoration.inflation import measure_inflations
from paecli.restoration.mixture import Mixture, build_mixture, geometric_mean, shrunk_scatter
from paecli.restoration.modes import (
    best,
    climb,
    climb_on,
    draw_starts,
    finish,
    gauss_newton,
    hessian,
    laplace_precision,
)
from paecli.restoration.moments import Linearisation, pixel_moments
from paecli.restoration.operators import build_operator
from paecli.restoration.pixel_model import GaussianPixels
from paecli.restoration.restore import build_target, restore_images
from paecli.restoration.result import Restoration
from paecli.restoration.samplers import draws, tempering
from paecli.restoration.samplers.agreement import Halves
from paecli.restoration.samplers.chains import run_chains, start_chains, warm_up
from paecli.restoration.samplers.diagnostics import effective_sample_size, rhat
from paecli.restoration.samplers.draws import KEPT, draw_by_chains
from paecli.restoration.samplers.emulator import fit_emulator
from paecli.restoration.samplers.hamiltonian import leapfrog, rotate
from paecli.restoration.samplers.importance import log_ratios, pareto_smooth
from paecli.restoration.samplers.particles import Particles, effective_size, resample
from paecli.restoration.samplers.prior_pool import PriorPool
from paecli.restoration.samplers.tempering import Kernel, Way, move, place, stir, temper
from paecli.restoration.solve import METHODS, find_modes, modes_near
from paecli.restoration.target import Target

from .kept_answers import compare, seeded, told

LATENT, SHAPE = 2, (1, 2, 3)
PIXELS = 6
SIGMA = 0.1


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


def decode(w: Tensor) -> Tensor:
    """Pixels about .5 that bend with the latents."""
    first, second = w[:, :1], w[:, 1:]
    columns = (first, second, first * second, first.sin(), second.square() / 2, first - second)
    return (0.5 + 0.15 * torch.cat(columns, dim=1)).view(-1, *SHAPE)


def clusters() -> GaussianMixture:
    base = GaussianMixture(2, LATENT).double()
    factors = torch.stack((torch.eye(2), torch.tensor([[1.2, 0.4], [0.0, 0.8]]))).double()
    base.set(torch.tensor([0.4, 0.6]).double(), torch.tensor([[0.5, 0], [-0.7, 0.4]]).double(),
             factors)  # fmt: skip
    return base


def space(base: StandardGaussian | GaussianMixture | None = None) -> LatentSpace:
    """Latents that a flow without parameters stretches: `w = sinh u`."""
    return LatentSpace(
        decode=decode,
        to_base=lambda w: (w.asinh(), -0.5 * (1 + w.square()).log().sum(1)),
        from_base=torch.sinh,
        base=base or StandardGaussian(LATENT),
    )


def damage(noise: float | Tensor = 0.0, **operator: Any) -> Damage:
    images = decode(torch.tensor([[0.8, -0.5], [-0.3, 1.1]]).double())
    observed = torch.tensor([True, False, True, True, False, False]).view(1, *SHAPE)
    through = build_operator(SHAPE, **operator) if operator else None
    if through is not None:
        images = through(images)
        observed = torch.ones_like(images[:1], dtype=torch.bool)
    data = images + 0.05 * draw(*images.shape, seed=4)
    return Damage(data.clamp(0, 1), observed.expand_as(data), noise, through)


def targets(where: LatentSpace, damaged: Damage) -> tuple[Target, Target]:
    """The posteriors over base vectors and over whitened latents."""
    sigma = torch.full(SHAPE, SIGMA).double()
    over_base = build_target(
        damaged, space=where, latent_size=LATENT, sigma=sigma,
        inflation=torch.tensor([1.0, 2.0]).double(),
    )  # fmt: skip
    return over_base, where.target(over_base)


def of_mixture(mixture: Mixture) -> dict[str, Any]:
    heavy = mixture.weights > 0
    return {
        "means": told(mixture.means[heavy]), "factors": told(mixture.factors[heavy]),
        "weights": mixture.weights[heavy].tolist(),
        "levels": mixture.log_posteriors[heavy].tolist(),
    }  # fmt: skip


def searches() -> dict[str, Any]:
    """Starts, climbs, last steps, curvature, and mixtures of what was found."""
    answer: dict[str, Any] = {}
    for name, base in {"gaussian": None, "clusters": clusters()}.items():
        over_base, _ = targets(space(base), damage())
        u = draw(2, 5, LATENT)
        starts = draw_starts(over_base, count=40, generator=seeded(), guesses=0.5 * u[:, :1])
        near = climb(over_base, starts)
        points, levels = finish(over_base, u, steps=2)
        precision = laplace_precision(over_base, near[:, :3], curvature="hessian")
        answer[name] = {
            "target": told(over_base.log_prob(u)),
            "tempered": told(over_base.log_prob(u, temper=0.3)),
            "starts": told(starts), "near": told(near), "finished": [told(points), told(levels)],
            "whole": [told(each) for each in finish(over_base, near)],
            "best": told(best(over_base, u, 3)),
            "on": told(climb_on(over_base, near[:, :4] + 0.1 * u[:, :4])),
            "newton": [told(each) for each in gauss_newton(over_base, u)],
            "hessian": told(hessian(over_base, u)), "precision": told(precision),
            "modes": of_mixture(find_modes(over_base, starts=12, generator=seeded(1))),
            "few": of_mixture(modes_near(over_base.select(torch.tensor([1])), near[1:])),
        }  # fmt: skip
    return answer


def bimodal() -> Mixture:
    means = torch.tensor([[[0.5, 0.2], [-0.6, 1.0]], [[-0.2, 0.9], [1.5, 0.3]]]).double()
    roots = draw(2, 2, LATENT, LATENT, seed=6)
    precisions = roots @ roots.mT + 3 * torch.eye(LATENT).double()
    return build_mixture(means, torch.tensor([[1.0, 1.7], [0.2, -2.0]]).double(), precisions)


def mixtures() -> dict[str, Any]:
    """All that a mixture of Gaussians is asked for."""
    mixture = bimodal()
    u, component = mixture.sample(7, seeded()), mixture.pick(7, seeded())
    first = draw(1, 3, 3, seed=7) @ draw(1, 3, 3, seed=7).mT + torch.eye(3).double()
    apart = torch.tensor([[[0.0, 0.0], [0.1, 0.0], [4.0, 0.0], [-9.0, 0.0]]]).double()
    alike = build_mixture(
        apart, torch.tensor([[2.0, 3.0, 0.0, -12.0]]).double(),
        torch.eye(2).double().expand(1, 4, 2, 2),
    )  # fmt: skip
    over_base, _ = targets(space(), damage())
    pushed = space().push_forward(over_base, mixture)
    return {
        "whole": of_mixture(mixture), "best": of_mixture(mixture.only_best()),
        "one": of_mixture(mixture.select(torch.tensor([1]))), "copies": of_mixture(alike),
        "sample": told(u), "component": component.tolist(), "log prob": told(mixture.log_prob(u)),
        "gradient": told(mixture.gradient(u)), "standard": told(mixture.standardise(u)),
        "own": told(mixture.standardise_in(u, component)), "volumes": told(mixture.log_volumes()),
        "adapted": of_mixture(mixture.adapted(u, mixture.gradient(u), component)),
        "pushed": of_mixture(pushed), "mean": told(geometric_mean(first, 2 * first.inverse())),
        "scatter": told(shrunk_scatter(u)),
    }  # fmt: skip


def chains() -> dict[str, Any]:
    """Starts, warm-up and moves of chains with jumps, and what is told of draws."""
    _, target = targets(space(), damage())
    mixture, generator = bimodal(), seeded()
    started = start_chains(target, mixture, chains=4, generator=generator)
    adapted, warm = warm_up(target, mixture, started, generator)
    last, points, gradients = run_chains(target, adapted, warm, steps=9, generator=generator)
    noise = draw(40, 4, 3, seed=8).cumsum(0) + 3 * draw(1, 4, 3, seed=9)
    slow = draw_by_chains(target.select(torch.tensor([0])), bimodal().select(torch.tensor([0])),
                          seeded(2), rounds=2)  # fmt: skip
    return {
        "started": [told(started.u), told(started.step), started.component.tolist()],
        "adapted": of_mixture(adapted), "step": told(warm.step), "points": told(points),
        "gradients": told(gradients), "last": told(last.log_prob),
        "jumped": last.component.tolist(), "rhat": rhat(noise).tolist(),
        "size": effective_sample_size(draw(40, 4, 3, seed=8)).tolist(),
        "kept": [list(slow.points.shape), KEPT, told(slow.points), slow.ess.tolist()],
    }  # fmt: skip


def particles_of(target: Target) -> Particles:
    points = 0.7 * draw(2, 24, LATENT, seed=2)
    return place(target, points, target.images(points), torch.arange(48).view(2, 24) // 3)


def of_particles(particles: Particles) -> dict[str, Any]:
    return {
        "points": told(particles.points), "likelihood": told(particles.log_likelihood),
        "prior": told(particles.log_prior), "gradient": told(particles.prior_gradient),
        "ancestor": particles.ancestor[:, :6].tolist(),
    }  # fmt: skip


def tempered() -> dict[str, Any]:
    """Moves of particles, whole runs, the emulator, and what two halves say of each other."""
    one = targets(space(), damage())[1].select(torch.tensor([0]))
    target = one.select(torch.tensor([0, 0]))
    before = particles_of(target)
    flat = before.points.flatten(0, 1)
    seen = [tempering._see(one, before, 0.1)]
    way = Way(target, None, list(seen))
    begun = Kernel.begin(before)
    emulator = fit_emulator(seen, 0.4, begun.shared_factor())
    kernel = begun.adapted(before, emulator, 0.4)
    moved, tried, next_kernel = move(way, before, kernel, emulator, 0.4, seeded())
    stirred, last = stir(way, before, kernel, 0.4, 1.5, seeded(1))
    pool = PriorPool(space(), like=one.data, populations=2, seed=3)
    part = pool.for_image(one, 1)
    run = temper(target, part, size=48, generator=seeded(4))
    halves = Halves(
        run.particles.images,
        run.log_evidence[:, None] + draw(2, 48, seed=5),
        before.ancestor.repeat(1, 2),
    )
    short = kernel.adjusted(torch.full((2, 3), 0.1), torch.full((2, 3), 0.3))
    return {
        "emulator": [told(getattr(emulator, each.name)) for each in fields(emulator)],
        "forces": [told(emulator.log_likelihood(flat)), told(emulator.gradient(flat))],
        "shared": told(kernel.shared_factor()),
        "weights": told(seen[0].weights(0.8)), "kernel": told(kernel.factors),
        "moved": of_particles(moved), "tried": of_particles(tried),
        "step": told(next_kernel.step), "short": told(short.step),
        "stirred": of_particles(stirred), "last": [told(last.step), told(last.factors)],
        "pool": [list(part.points.shape), told(part.points), told(part.log_likelihood)],
        "run": of_particles(run.particles), "evidence": run.log_evidence.tolist(),
        "tempers": list(run.tempers), "apart": halves.disagreement(),
        "gap": halves.evidence_gap(), "worth": halves.effective_size(),
        "ancestors": halves.ancestors(), "size": effective_size(draw(2, 30)).tolist(),
        "resampled": resample(draw(2, 30), 9, seeded()).tolist(),
    }  # fmt: skip


def trajectories() -> dict[str, Any]:
    """Both integrators, importance ratios with their tail, and controlled moments."""
    _, target = targets(space(), damage())
    u, momentum = draw(2, 3, LATENT), draw(2, 3, LATENT, seed=1)
    factors = bimodal().factors

    def evaluate(points: Tensor) -> tuple[Tensor, Tensor]:
        return target.log_prob_and_gradient(points)

    gradient = target.log_prob_and_gradient(u)[1]
    step = torch.tensor([[[0.2]], [[0.3]]]).double()
    followed = leapfrog(u, momentum, gradient, factors=factors[:, :1], step=step, steps=3,
                        evaluate=evaluate)  # fmt: skip
    turned = rotate(u, momentum, centre=u.mean(1, keepdim=True), factors=factors[:, 0],
                    angle=step.expand(2, 3, 1), steps=3, evaluate=evaluate,
                    force=gradient)  # fmt: skip
    ratios = log_ratios(target, bimodal(), bimodal().sample(120, seeded()))
    weights, shape = pareto_smooth(ratios[0])
    linear = Linearisation(draw(2, LATENT, 5), bimodal().factors[:, 0] @ bimodal().factors[:, 0].mT)
    mean, variance = pixel_moments(draw(2, 30, 5, seed=2), draw(2, 30, LATENT, seed=3), linear)
    return {
        "leapfrog": [told(each) for each in followed], "rotate": [told(each) for each in turned],
        "ratios": told(ratios), "weights": told(weights), "shape": shape,
        "linear": told(linear.pixel_variance()), "mean": told(mean), "variance": told(variance),
    }  # fmt: skip


def inflations() -> dict[str, Any]:
    """Factors for several masks and through an operator, in parts as in one."""
    errors = HeldOutErrors()
    errors.u = 0.8 * draw(9, LATENT, seed=3)
    images = decode(torch.sinh(errors.u)) + 0.2 * draw(9, *SHAPE, seed=4)
    errors.images = (255 * images.clamp(0, 1)).to(torch.uint8)
    errors.quantiles = torch.ones(1)
    sigma = torch.full(SHAPE, SIGMA).double()
    masks = torch.tensor([[1, 0, 1, 1, 0, 0], [0] * 6, [1] * 6, [0, 0, 0, 0, 0, 1]]).bool()
    blurred = build_operator(SHAPE, blur=0.7, downsample=1)
    return {
        "masks": measure_inflations(errors, space(), sigma=sigma, masks=masks),
        "blurred": measure_inflations(
            errors, space(), sigma=sigma, masks=masks[2:3], operator=blurred
        ),
        "unfitted": measure_inflations(
            HeldOutErrors(), space(), sigma=sigma, masks=masks[:1]
        ),
    }  # fmt: skip


def restored(result: Restoration) -> dict[str, Any]:
    low, high = result.interval(0.8)
    return {
        "map": told(result.map), "mean": told(result.mean), "std": told(result.std),
        "samples": told(result.samples), "u": told(result.samples_u),
        "predictive": told(result.predictive), "chi2": result.chi2,
        "freedom": result.degrees_of_freedom, "diagnostics": vars(result.diagnostics),
        "method": result.method, "note": result.note, "interval": [told(low), told(high)],
        "modes": [[each.u.tolist(), told(each.image), each.log_posterior, each.weight]
                  for each in result.modes],
        "coverage": list(result.coverage(result.samples[0], result.std > 0).values()),
    }  # fmt: skip


def whole() -> dict[str, Any]:
    """A restoration by every method; with noise; through an operator; with nothing observed."""
    cases: dict[str, tuple[str, Damage]] = {
        method: (method, damage()) for method in METHODS if method != "hmc"
    }
    nothing = replace(damage(), observed=torch.zeros(2, *SHAPE, dtype=torch.bool))
    cases |= {
        "noise": ("laplace", damage(0.1)), "blur": ("mixture", damage(blur=0.6)),
        "nothing": ("auto", nothing), "map of nothing": ("map", nothing),
    }  # fmt: skip
    answer = {}
    for name, (method, damaged) in cases.items():
        results = restore_images(
            Damage(damaged.data[:1], damaged.observed[:1], damaged.noise, damaged.operator),
            space=space(), latent_size=LATENT, sigma=torch.full(SHAPE, SIGMA).double(),
            inflation=torch.tensor([1.5]).double(), method=method,  # type: ignore[arg-type]
            pixels=GaussianPixels(torch.full((PIXELS,), SIGMA).double()), samples=5, starts=8,
            seed=7, guesses=torch.zeros(1, 1, LATENT).double(),
        )  # fmt: skip
        answer[name] = [restored(each) for each in results]
    return answer


@pytest.mark.parametrize(
    "figures",
    [searches, mixtures, chains, tempered, trajectories, inflations, whole],
    ids=lambda each: each.__name__,
)
def test_restorations_are_as_before(
    figures: Callable[[], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draws, "FIRST_ROUND", 12)
    monkeypatch.setattr(inflation, "JACOBIAN_BYTES", 4 * LATENT * PIXELS * 8)  # three parts
    compare(f"restored-{figures.__name__}", figures(), relative=3e-4)
