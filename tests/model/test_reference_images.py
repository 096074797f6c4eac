import torch

from paecli.model.reference_images import (
    ALLOWANCE,
    COMPONENTS,
    EDGE,
    FEATURES,
    NEIGHBOURS,
    ReferenceImages,
)


def line_of_images() -> ReferenceImages:
    """Sixty latents in two far groups, of which one has all features 1 and the other 3."""
    reference = ReferenceImages(2)
    latents = torch.zeros(120, 2)
    latents[:, 0] = torch.linspace(0, 1, 120)
    latents[60:, 1] = 100
    features = torch.ones(120, FEATURES)
    features[60:] = 3
    reference.keep(latents, features)
    return reference


def test_features_are_compared_with_the_own_group() -> None:
    components = line_of_images().compare(
        torch.tensor([[0.5, 0.0], [0.5, 100.0]]), torch.full((2, FEATURES), 3.0)
    )
    assert components[:, 0].tolist() == [3, 3]
    torch.testing.assert_close(components[0, 1:4], torch.full((3,), 2.0))
    torch.testing.assert_close(components[1, 1:4], torch.zeros(3), atol=1e-6, rtol=0)


def test_the_last_component_is_the_log_distance_with_a_floor() -> None:
    reference = line_of_images()
    points = torch.stack((reference.latents[3], torch.tensor([0.0, -2.0])))
    distance = reference.compare(points, torch.ones(2, FEATURES))[:, -1].exp()
    torch.testing.assert_close(distance, torch.tensor([1e-3, 2.0]))


def test_a_last_digit_does_not_decide_which_images_count() -> None:
    latents = torch.zeros(200, 2)
    latents[:49, 1] = torch.linspace(0.5, 1, 49)
    latents[49, 0], latents[50, 0] = -3, 3  # equally near; one of them is the fiftieth
    latents[51:, 1] = torch.linspace(5, 6, 149)
    features = torch.zeros(200, FEATURES)
    features[49], features[50] = -100, 100
    reference = ReferenceImages(2)
    reference.keep(latents, features)
    points = torch.stack((torch.linspace(-0.5, 0.5, 1001), torch.zeros(1001)), dim=1)
    components = reference.compare(points, torch.zeros(1001, FEATURES))[:, 1]
    assert components[0] > 0.2
    assert components[-1] < -0.2
    assert components.diff().abs().max() < 0.01  # it was 4 in one step of .001


def test_a_last_digit_decides_little_where_the_last_neighbours_are_as_far() -> None:
    count = NEIGHBOURS + EDGE + 1
    reference, moved = ReferenceImages(2), ReferenceImages(2)
    latents = torch.zeros(count, 2)
    latents[:, 0] = torch.linspace(0.5, 0.9, count)
    latents[-2 * EDGE - 2 :, 0] = torch.linspace(0.90, 0.901, 2 * EDGE + 2)  # as float16 has them
    features = torch.rand(count, FEATURES, generator=torch.Generator().manual_seed(0))
    reference.keep(latents, features)
    moved.keep(latents, features)
    moved.latents[-2, 0] -= 2e-6  # a last digit of a network
    told, again = (
        each.compare(torch.zeros(1, 2), torch.zeros(1, FEATURES)) for each in (reference, moved)
    )
    assert 0 < (told - again).abs().max() < 2e-5


def test_statistics_are_of_the_images_given_to_fit() -> None:
    reference = line_of_images()
    latents = torch.tensor([[0.0, -1.0], [0.0, -2.0], [0.0, -4.0]])
    components = reference.compare(latents, torch.arange(9.0).view(3, FEATURES))
    reference.fit(components)
    torch.testing.assert_close(reference.statistics[0], components.mean(0))
    torch.testing.assert_close(reference.statistics[1], components.std(0, correction=0))


def test_combined_rises_with_the_latent_and_with_errors_beyond_the_allowance() -> None:
    reference = ReferenceImages(2)
    reference.statistics = torch.stack((torch.zeros(COMPONENTS), torch.ones(COMPONENTS)))
    usual = reference.combine(torch.zeros(1, COMPONENTS)).item()

    def change(component: int, deviations: float) -> float:
        components = torch.zeros(1, COMPONENTS)
        components[0, component] = deviations
        return reference.combine(components).item() - usual

    assert change(0, 10.0) == 0  # the density counts only beside the neighbours'
    assert change(1, 2.0) > 1.5
    assert change(4, 2.0) > 0.5
    for error in (2, 3):
        assert change(error, -5.0) < 0.01
        assert change(error, ALLOWANCE - 1) < 0.05
        assert change(error, ALLOWANCE + 3) > 2.5


def test_a_state_of_any_length_loads() -> None:
    reference = line_of_images()
    reference.fit(torch.zeros(4, COMPONENTS))
    other = ReferenceImages(2)
    other.load_state_dict(reference.state_dict())
    assert torch.equal(other.latents, reference.latents)
    assert torch.equal(other.statistics, reference.statistics)
