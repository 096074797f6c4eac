"""Change of coordinates, and the metric of the chains."""

import torch

from paecli.model.flow import LatentFlow
from paecli.restoration.coordinates import LatentSpace
from paecli.restoration.mixture import Mixture, build_mixture, geometric_mean
from paecli.restoration.target import Target

LATENT = 3


def flow_space() -> LatentSpace:
    """A flow with weights as training could leave them, and a decoder that only reshapes."""
    torch.manual_seed(0)
    flow = LatentFlow(kind="glow", latent_size=LATENT, blocks=2, width=8).double().eval()
    for parameter in flow.parameters():
        if parameter.is_floating_point():
            parameter.data += 0.2 * torch.randn_like(parameter)
    decode = lambda w: w.view(-1, 1, 1, LATENT)  # noqa: E731
    return LatentSpace(decode, flow.white_to_base, flow.base_to_white, flow.base)


def base_target(space: LatentSpace) -> Target:
    data = torch.full((1, LATENT), 0.3).double()
    return Target(
        generate=lambda u: space.decode(space.from_base(u)),
        data=data,
        variance=torch.full_like(data, 0.5),
        observed=torch.ones_like(data, dtype=torch.bool),
        latent_size=LATENT,
        base=space.base,
    )


def spd(seed: int) -> torch.Tensor:
    root = torch.randn(4, 4, generator=torch.Generator().manual_seed(seed)).double()
    return root @ root.mT + 0.1 * torch.eye(4).double()


def test_both_coordinates_describe_one_posterior() -> None:
    space = flow_space()
    base = base_target(space)
    u = torch.randn(1, 5, LATENT).double()
    w = space.from_base(u[0])[None]
    jacobian = torch.vmap(torch.func.jacrev(lambda v: space.to_base(v[None])[0][0]))(w[0])
    change = torch.linalg.slogdet(jacobian)[1]
    latent = space.target(base).log_prob(w)
    torch.testing.assert_close(latent - change, base.log_prob(u), atol=1e-9, rtol=0)
    torch.testing.assert_close(space.base_vectors(w), u, atol=1e-9, rtol=0)


def test_pushed_mixture_has_the_spread_of_pushed_draws() -> None:
    space = flow_space()
    base = base_target(space)
    precision = 1e6 * torch.eye(LATENT).double()  # so narrow that the map is linear
    mixture = build_mixture(
        torch.randn(1, 1, LATENT).double(), torch.zeros(1, 1).double(), precision.view(1, 1, 3, 3)
    )
    pushed = space.push_forward(base, mixture)
    draws = mixture.sample(4000, torch.Generator().manual_seed(1))
    spread = 1e6 * torch.cov(space.from_base(draws[0]).mT)
    factor = 1e3 * pushed.factors[0, 0]
    torch.testing.assert_close(factor @ factor.mT, spread, atol=0.0, rtol=0.15)
    torch.testing.assert_close(pushed.means[0], space.from_base(mixture.means[0]))


def test_geometric_mean_is_symmetric_and_solves_its_equation() -> None:
    first, second = spd(0), spd(1)
    mean = geometric_mean(first, second)
    torch.testing.assert_close(mean, geometric_mean(second, first))
    torch.testing.assert_close(mean @ torch.linalg.inv(first) @ mean, second)


def test_adapting_finds_the_covariance_of_a_gaussian() -> None:
    covariance = spd(2)[None]
    factor = torch.linalg.cholesky(covariance)
    normal = torch.randn(1, 3000, 4, generator=torch.Generator().manual_seed(0)).double()
    points = normal @ factor.mT + 1.0
    gradient = -torch.linalg.solve(covariance, (points - 1.0).mT).mT
    wrong = Mixture(
        means=torch.zeros(1, 1, 4).double(),
        factors=torch.eye(4).double().view(1, 1, 4, 4),
        log_weights=torch.zeros(1, 1).double(),
        log_posteriors=torch.zeros(1, 1).double(),
    )
    component = torch.zeros(1, 3000, dtype=torch.long)
    adapted = wrong.adapted(points, gradient, component)
    for _ in range(3):
        adapted = adapted.adapted(points, gradient, component)
    found = adapted.factors[0, 0] @ adapted.factors[0, 0].mT
    torch.testing.assert_close(found, covariance[0], atol=0.0, rtol=0.1)
    torch.testing.assert_close(adapted.means[0, 0], torch.ones(4).double(), atol=0.15, rtol=0)
