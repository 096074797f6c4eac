import torch

from paecli.restoration.randomness import derived_seed, image_generator


def first(seed: int, data: torch.Tensor, observed: torch.Tensor) -> int:
    return image_generator(seed, data=data, observed=observed).initial_seed()


def test_seeds_differ_by_every_part_and_fit_a_generator() -> None:
    seeds = {
        derived_seed(0),
        derived_seed(1),
        derived_seed(-1),
        derived_seed(0, "a"),
        derived_seed(2**70),
    }
    assert len(seeds) == 5
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_an_image_has_its_own_by_what_is_seen_of_it() -> None:
    data, observed = torch.rand(8), torch.arange(8) < 4
    hidden = torch.where(observed, data, torch.rand(8))
    assert first(0, data, observed) == first(0, hidden, observed)
    assert first(0, data, observed) != first(1, data, observed)
    assert first(0, data, observed) != first(0, data + 1, observed)
    assert first(0, data, observed) != first(0, torch.zeros(8), ~observed)
