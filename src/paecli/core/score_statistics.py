"""What is usual in the space of scores: measured once on held-out images."""

import torch
from torch import Tensor, nn

FEATURES = 3  # log p(z), log of the plain and of the weighted error


class ScoreStatistics(nn.Module):
    """Mean and covariance of several scores over normal images.

    An image may have a usual log density and a usual reconstruction error and still be
    unusual in the two together; the squared distance here sees that. It also sees images that
    are too simple: a blank one reconstructs better than any normal one (Morningstar et al.,
    "Density of States Estimation", arXiv:2006.09273, with a Gaussian density).

    Attributes:
        mean: `(features,)`; the first is `-log p(z)`.
        whitening: `(features, features)` inverse of the covariance's Cholesky factor.
    """

    mean: Tensor
    whitening: Tensor

    def __init__(self) -> None:
        """Starts with mean 0 and the identity."""
        super().__init__()
        self.register_buffer("mean", torch.zeros(FEATURES))
        self.register_buffer("whitening", torch.eye(FEATURES))

    @property
    def mean_log_prob(self) -> Tensor:
        """Mean of `-log p(z)` over normal images, in nats."""
        return self.mean[0]

    @torch.no_grad()
    def fit(self, features: Tensor) -> None:
        """Sets both from the features of normal images, `(n, features)`."""
        features = features.double()
        mean = features.mean(0)
        centred = features - mean
        covariance = centred.T @ centred / max(len(features) - 1, 1)
        # few images leave directions without variance
        covariance += 1e-6 * torch.eye(FEATURES, dtype=torch.float64)
        identity = torch.eye(FEATURES, dtype=torch.float64)
        cholesky = torch.linalg.cholesky(covariance)
        self.mean.copy_(mean)
        self.whitening.copy_(torch.linalg.solve_triangular(cholesky, identity, upper=False))

    def distance(self, features: Tensor) -> Tensor:
        """Returns the squared Mahalanobis distance of features `(b, features)`: `(b,)`."""
        return ((features - self.mean) @ self.whitening.T).square().sum(1)
