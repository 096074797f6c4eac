"""Outlier detection side by side: pae's scores, simple baselines and the published figures.

    python benchmarks/outliers.py MODEL --data-dir DATA [--limit 10000] [--out table.md]

Reference images are the Fashion-MNIST test set; outliers are the MNIST test set and both flips.
Baselines: PCA reconstruction, isolation forest and k nearest neighbours on pixels, a Gaussian
and a Gaussian mixture on the model's latents (all scikit-learn), pyod's isolation forest and k
nearest neighbours when pyod is installed, and the ELBO of a pythae VAE when pythae is (neither is
a dependency: `pip install pyod pythae`). Published figures: arXiv:2006.05479, latent size 64. It
also measures how often fresh in-distribution images are flagged, and how long scoring takes.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from paecli.api import PAE, load
from paecli.data import load_dataset
from paecli.data.transforms import transform_images
from paecli.outliers.conformal import p_values
from paecli.outliers.scores import FAST_SCORES, SCORES, measure_scores

Array = NDArray[np.float32]
Scorer = Callable[[Tensor], Array]
Rows = dict[str, tuple[float | None, ...]]

SETS = ("mnist", "hflip", "vflip")
PUBLISHED: Rows = {
    "paper: log p(z)": (0.997, 0.698, 0.891),
    "paper: reconstruction error": (0.986, 0.689, 0.880),
    "likelihood ratio (as cited by the paper)": (0.996, None, None),
}
RATES = (0.01, 0.05, 0.1)


def pixels(images: Tensor) -> Array:
    return (images.flatten(1).float() / 255).numpy()


def pca_reconstruction(train: Tensor, components: int) -> Scorer:
    pca = PCA(components, random_state=0).fit(pixels(train))

    def score(images: Tensor) -> Array:
        x = pixels(images)
        return np.square(x - pca.inverse_transform(pca.transform(x))).mean(1)

    return score


def isolation_forest(train: Tensor) -> Scorer:
    forest = IsolationForest(n_estimators=200, random_state=0).fit(pixels(train))
    return lambda images: -forest.score_samples(pixels(images))


def nearest_neighbours(train: Tensor) -> Scorer:
    index = NearestNeighbors(n_neighbors=5).fit(pixels(train))
    return lambda images: index.kneighbors(pixels(images))[0].mean(1)


def pyod_detectors(train: Tensor) -> Iterator[tuple[str, Scorer]]:
    try:
        from pyod.models.iforest import IForest
        from pyod.models.knn import KNN
    except ImportError:
        print("pyod is not installed: its detectors are left out")
        return
    detectors = {
        f"pyod {version('pyod')}: IForest on pixels, 200 trees": IForest(
            n_estimators=200, random_state=0
        ),
        f"pyod {version('pyod')}: KNN on pixels, mean of 5": KNN(n_neighbors=5, method="mean"),
    }
    for name, detector in detectors.items():
        detector.fit(pixels(train))
        yield name, lambda images, detector=detector: detector.decision_function(pixels(images))


def latent_mixture(model: PAE, train: Tensor, components: int) -> Scorer:
    mixture = GaussianMixture(components, random_state=0, reg_covar=1e-5)
    mixture.fit(model.encode(train).numpy())
    return lambda images: -mixture.score_samples(model.encode(images).numpy())


def vae_elbo(train: Tensor, latent_size: int, epochs: int) -> Scorer:
    from pythae.models import VAE, VAEConfig

    torch.manual_seed(0)
    vae = VAE(VAEConfig(input_dim=(1, 28, 28), latent_dim=latent_size, reconstruction_loss="bce"))
    optimiser = torch.optim.Adam(vae.parameters(), lr=1e-3)
    for _ in range(epochs):
        for index in torch.randperm(len(train)).split(128):
            optimiser.zero_grad()
            vae({"data": train[index].float() / 255}).loss.backward()
            optimiser.step()
    vae.eval()

    @torch.no_grad()
    def score(images: Tensor) -> Array:
        parts = []
        for batch in images.split(500):
            x = batch.float() / 255
            code = vae.encoder(x)
            mean, log_variance = code.embedding, code.log_covariance
            decoded = vae.decoder(mean)["reconstruction"].view_as(x)
            error = torch.nn.functional.binary_cross_entropy(decoded, x, reduction="none")
            kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)
            parts.append(error.flatten(1).sum(1) + kl)
        return torch.cat(parts).numpy()

    return score


def baselines(model: PAE, train: Tensor, count: int, epochs: int) -> Iterator[tuple[str, Scorer]]:
    """Yields fitted baselines: they see `count` random images, the VAE all."""
    few = train[:count]
    for components in (32, 64):
        yield f"PCA reconstruction, {components} components", pca_reconstruction(few, components)
    yield "isolation forest on pixels, 200 trees", isolation_forest(few)
    yield f"5 nearest neighbours on pixels, {len(few):,} images", nearest_neighbours(few)
    yield from pyod_detectors(few)
    yield "Gaussian on the model's latents", latent_mixture(model, few, 1)
    yield "mixture of 20 Gaussians on the model's latents", latent_mixture(model, few, 20)
    try:
        elbo = vae_elbo(train, 64, epochs)
    except ImportError:
        print("pythae is not installed: its VAE is left out")
    else:
        yield f"pythae {version('pythae')} VAE, latent 64, {epochs} epochs: ELBO", elbo


def table(corner: str, columns: tuple[str, ...], rows: Rows) -> list[str]:
    """Returns the lines of a Markdown table."""
    return [
        f"| {corner} | " + " | ".join(columns) + " |",
        "|---" * (len(columns) + 1) + "|",
        *(
            f"| {name} | " + " | ".join("" if v is None else f"{v:.4f}" for v in values) + " |"
            for name, values in rows.items()
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--limit", type=int, default=10_000, help="images of each test set")
    parser.add_argument(
        "--train", type=int, default=5_000, help="images the baselines but the VAE see"
    )
    parser.add_argument("--vae-epochs", type=int, default=20)
    parser.add_argument("--slow", type=int, default=0, help="images for marginal_likelihood")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()

    model = load(options.model)
    fashion = load_dataset("fmnist", data_dir=options.data_dir)
    mnist = load_dataset("mnist", data_dir=options.data_dir)
    reference = fashion.test.images[: options.limit]
    flips = (transform_images(name, reference, 0) for name in SETS[1:])
    outliers = [mnist.test.images[: options.limit], *flips]
    train = fashion.train.images
    train = train[torch.randperm(len(train), generator=torch.Generator().manual_seed(0))]

    start = time.perf_counter()
    own = measure_scores(model, reference, FAST_SCORES)
    seconds = time.perf_counter() - start
    rows = own_rows(model, own, outliers)
    if options.slow:
        rows |= slow_row(model, reference, outliers, options.slow)
    for name, scorer in baselines(model, train, options.train, options.vae_epochs):
        began = time.perf_counter()
        scored = scorer(reference)
        rows[name] = tuple(auroc(scored, scorer(images)) for images in outliers)
        print(f"{name}: scored in {time.perf_counter() - began:.0f} s", flush=True)
    lines = [
        *table(
            f"score (n = {len(reference):,} a set)", ("MNIST", "hflip", "vflip"), rows | PUBLISHED
        ),
        "",
        *table(
            f"share of {len(reference):,} fresh in-distribution images flagged",
            tuple(f"{rate:g}" for rate in RATES),
            {name: flagged_shares(own[name], model.reference_scores[name]) for name in FAST_SCORES},
        ),
        "",
        f"All fast scores of {len(reference):,} images: {seconds:.1f} s.",
    ]
    text = "\n".join(lines)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


def own_rows(model: PAE, reference: dict[str, Tensor], outliers: list[Tensor]) -> Rows:
    others = [measure_scores(model, images, FAST_SCORES) for images in outliers]
    return {
        f"pae: {name}": tuple(auroc(reference[name], other[name]) for other in others)
        for name in FAST_SCORES
    }


def slow_row(model: PAE, reference: Tensor, outliers: list[Tensor], count: int) -> Rows:
    slow = SCORES["marginal_likelihood"]
    scored = slow(model, reference[:count])
    values = tuple(auroc(scored, slow(model, images[:count])) for images in outliers)
    return {f"pae: marginal_likelihood (n = {count:,})": values}


def flagged_shares(scores: Tensor, reference: Tensor) -> tuple[float, ...]:
    p = p_values(scores, reference)
    return tuple((p <= rate).double().mean().item() for rate in RATES)


def auroc(reference: Tensor | Array, outliers: Tensor | Array) -> float:
    labels = np.repeat((0, 1), (len(reference), len(outliers)))
    return float(roc_auc_score(labels, np.concatenate((reference, outliers))))


if __name__ == "__main__":
    main()
