"""What users call: a trained model that encodes, samples, scores and restores."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from torch import Tensor

from paecli.model.model import Model
from paecli.outliers.conformal import p_values
from paecli.outliers.scores import measure_scores
from paecli.restoration.damage import Damage, check_damage
from paecli.restoration.guarantee.held_out import held_out_images
from paecli.restoration.guarantee.references import Guarantee, Likeness, References
from paecli.restoration.restore import restore_with
from paecli.restoration.result import Restoration
from paecli.restoration.solve import Method
from paecli.store.checkpoint import save_pae
from paecli.store.header import Header
from paecli.store.runs import load_with_header
from paecli.system.errors import UsageError


def load(model: str | Path | None = None) -> PAE:
    """Loads a trained model.

    Args:
        model: a registry name (`fmnist-32`), a run folder (`runs/fmnist`) or a
            `.safetensors` file; None is the bundled default model.

    Returns:
        The model in evaluation mode, on the CPU.

    Raises:
        CheckpointError: there is no such model, or its file is damaged.
    """
    return PAE.of(*load_with_header(model))


class PAE(Model):
    """A trained probabilistic auto-encoder (Boehm & Seljak, arXiv:2006.05479).

    `encode`, `decode`, `reconstruct`, `sample` and `log_prob` are those of `Model`, as are the
    attributes.
    """

    header: Header | None = None  # what its file said about it

    @classmethod
    def of(cls, model: Model, header: Header | None = None) -> PAE:
        """Gives a model the methods of this class; both share their weights.

        Args:
            model: the model.
            header: what its file says about it; `save` needs it.
        """
        pae = cls(model.autoencoder, model.flow)
        pae.header = header
        pae.sigma = model.sigma
        pae.held_out_errors = model.held_out_errors
        pae.reference_images = model.reference_images
        pae.voices = model.voices
        pae.reference_scores = model.reference_scores
        pae.trained_on = model.trained_on
        return pae.train(model.training)

    def __repr__(self) -> str:
        """Says what the model is on one line; `pae.autoencoder` and `pae.flow` show the layers."""
        channels, height, width = self.image_shape
        shape = f"{height} x {width}" if channels == 1 else f"{channels} x {height} x {width}"
        facts = [f"images of {shape}", f"{self.latent_size} latents"]
        if self.header is not None:
            facts.insert(0, self.header.training_set)
            flow = f"{self.header.flow['kind']} flow" if self.header.flow else "no flow"
            facts.append(f"{self.header.autoencoder['network']} network, {flow}")
        weights = sum(parameter.numel() for parameter in self.parameters())
        facts += [f"{weights:,} weights", str(self.sigma.device)]
        return f"PAE({', '.join(facts)})"

    def save(self, path: str | Path) -> None:
        """Writes the model to a `.safetensors` file, which `load` and every command read.

        No pickle is involved: loading such a file runs no code.

        Raises:
            UsageError: the model was not loaded from a file, which says how it was made.
            WriteError: the file cannot be written.
        """
        if self.header is None:
            raise UsageError("only models that `paecli.load` returned know how they were made")
        save_pae(Path(path), self, self.header)

    def score(self, x: Tensor, score: str = "log_prob") -> Tensor:
        """Scores how unusual images are; see `paecli.outliers.scores` for the names.

        Args:
            x: `(b, c, h, w)`, uint8 or float in [0, 1].
            score: `log_prob` is minus the log density of the latent.

        Returns:
            `(b,)`, higher = more unusual.
        """
        return measure_scores(self, x, [score])[score]

    def p_value(self, x: Tensor, score: str = "log_prob") -> Tensor:
        """Returns the share of reference images that are at least as unusual, `(b,)` in (0, 1].

        Among fresh in-distribution images a share of at most `a` has a p-value up to `a`.
        """
        return p_values(self.score(x, score), self.require_reference_scores(score))

    def restore(
        self,
        image: Tensor,
        *,
        mask: Tensor | None = None,
        noise: float | Tensor = 0.0,
        blur: float = 0.0,
        downsample: int = 1,
        method: Method = "auto",
        samples: int = 64,
        starts: int = 64,
        seed: int = 0,
    ) -> Restoration:
        """Restores one damaged image with its uncertainty.

        Args:
            image: `(c, h, w)`, uint8 or float in [0, 1]; what is under the mask is never looked at.
            mask: `(h, w)` or `(c, h, w)`, 1 or True where OBSERVED; all of it by default.
            noise: standard deviation of the Gaussian noise on observed pixels: a number, or one
                a pixel, `(h, w)` or `(c, h, w)`. Where it is 0 pixels are exact.
            blur: standard deviation in pixels of a Gaussian blur that the image was seen through.
            downsample: side of the blocks of pixels of which only the mean was seen, after the
                blur: the image is `(c, h / downsample, w / downsample)`, its mask and noise map
                alike, the answer has the model's size.
            method: `map`, `laplace`, `mixture`, `is`, `hmc`, `smc`, or `auto`: `smc` within
                seconds.
            samples: draws to return as images.
            starts: starting points of the search for modes, all climbed at once.
            seed: of everything random.

        Raises:
            UsageError: shapes that do not fit, observed values that are not finite, or
                outside [0, 1] without noise, a blur or a down-sampling that does not fit.
        """
        masks = None if mask is None else mask[None]
        noise = noise[None] if isinstance(noise, Tensor) and noise.ndim else noise
        return self.restore_batch(
            image[None],
            mask=masks,
            noise=noise,
            blur=blur,
            downsample=downsample,
            method=method,
            samples=samples,
            starts=starts,
            seed=seed,
        )[0]

    def restore_batch(
        self,
        images: Tensor,
        *,
        mask: Tensor | None = None,
        noise: float | Tensor = 0.0,
        blur: float = 0.0,
        downsample: int = 1,
        method: Method = "auto",
        samples: int = 64,
        starts: int = 64,
        seed: int = 0,
    ) -> list[Restoration]:
        """Restores images `(n, c, h, w)`; each gets the answer it would get alone.

        Together they are quicker, since they share draws from the prior. Args as of `restore`;
        `mask` and a noise map are `(n, h, w)` or `(n, c, h, w)`, or 1 for n.
        """
        return restore_with(
            self,
            images,
            mask=mask,
            noise=noise,
            blur=blur,
            downsample=downsample,
            method=method,
            samples=samples,
            starts=starts,
            seed=seed,
        )

    def likeness(
        self,
        image: Tensor,
        *,
        mask: Tensor | None = None,
        noise: float | Tensor = 0.0,
        blur: float = 0.0,
        downsample: int = 1,
    ) -> Likeness | None:
        """Tells whether what is observed of an image is like the images the model was trained on.

        Args as of `restore`.

        Returns:
            A p-value against held-out images under the same mask, noise and operator; None where
            nothing is observed.
        """
        damage = self._damage(image, mask, noise, blur, downsample)
        return self.references.likeness(damage)

    def guarantee(
        self,
        image: Tensor,
        confidence: float = 0.9,
        *,
        mask: Tensor | None = None,
        noise: float | Tensor = 0.0,
        blur: float = 0.0,
        downsample: int = 1,
    ) -> Guarantee:
        """Returns intervals that hold a share of the missing pixels, on average over images.

        Arguments as of `restore`; `confidence` is the share, in (0, 1).

        Raises:
            UsageError: also if there are too few held-out images to promise it.
        """
        damage = self._damage(image, mask, noise, blur, downsample)
        return self.references.guarantee(damage, confidence).of_one()

    @cached_property
    def references(self) -> References:
        """The held-out images that `likeness` and `guarantee` compare with.

        Those that `restoration.guarantee.held_out` finds; set it to `References(pae, images)` for
        others.
        """
        return References(self, held_out_images(self, self.header, many=True))

    def _damage(
        self,
        image: Tensor,
        mask: Tensor | None,
        noise: float | Tensor,
        blur: float,
        downsample: int,
    ) -> Damage:
        return check_damage(
            image[None],
            None if mask is None else mask[None],
            noise=noise[None] if isinstance(noise, Tensor) and noise.ndim else noise,
            image_shape=self.image_shape,
            blur=blur,
            downsample=downsample,
        )
