import torch

from paecli.model.identities import identities


def test_identities_are_those_of_torch() -> None:
    assert torch.equal(identities(3, 5), torch.eye(5).repeat(3, 1, 1))
