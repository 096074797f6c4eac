"""What `pae eval` reports: frozen figures, and images for pictures."""

from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from paecli.evaluation.flow_fit import BaseFit, TwoSampleTest
from paecli.evaluation.memorisation import Memorisation
from paecli.evaluation.reconstruction import ReconstructionQuality
from paecli.evaluation.sample_quality import SampleQuality
from paecli.evaluation.smoothness import Interpolation

WRITTEN_NAMES = {"base_fit": "base", "decoded_gaussian": "decoded_normal"}


@dataclass(frozen=True)
class FlowQuality:
    """How well the flow fits the latents of the test images.

    Attributes:
        nll: mean negative log density, nats per image.
        nll_ci: 95 % interval of `nll` from the spread between images.
        two_sample: can a classifier tell the flow's samples from encoded test images?
        base_fit: do base vectors of test images follow the base, once standardised?
    """

    nll: float
    nll_ci: tuple[float, float]
    two_sample: TwoSampleTest
    base_fit: BaseFit


@dataclass(frozen=True, eq=False)
class Examples:
    """Images for pictures, each `(n, c, h, w)` in [0, 1]; the last three need a flow.

    Attributes:
        originals: test images.
        reconstructions: what the model makes of them.
        decoded_gaussian: decoded N(0, I) latents.
        samples: samples of the model.
        lines: interpolations `(lines, steps + 1, c, h, w)`.
    """

    originals: Tensor
    reconstructions: Tensor
    decoded_gaussian: Tensor
    samples: Tensor | None
    lines: Tensor | None


@dataclass(frozen=True)
class Evaluation:
    """What `pae eval` found; the parts that need a flow are None without one.

    Attributes:
        model: what was evaluated, as the user named it.
        dataset: name of the data set.
        content_hash: SHA-256 of its images.
        substitute_for: the full data set in whose place a bundled sample stands, or None.
        seen_images: how many test images are left out because the model was trained on them.
        images: how many test images.
        seed: seed of everything random.
        reconstruction: how well test images are reconstructed.
        flow: how well the flow fits.
        memorisation: whether samples copy training images; None also where these are not here.
        interpolation: how evenly images change between test images.
        sample_quality: feature distances, when asked for.
        examples: images for pictures.
    """

    model: str
    dataset: str
    content_hash: str
    substitute_for: str | None
    seen_images: int
    images: int
    seed: int
    reconstruction: ReconstructionQuality
    flow: FlowQuality | None
    memorisation: Memorisation | None
    interpolation: Interpolation | None
    sample_quality: SampleQuality | None
    examples: Examples

    def as_dict(self) -> dict[str, Any]:
        """Returns the figures as plain values; `fid.samples` and others are contract."""
        plain = {
            name: asdict(value) if hasattr(value, "__dataclass_fields__") else value
            for name, value in vars(self).items()
            if name not in ("examples", "sample_quality")
        }
        quality = self.sample_quality
        if quality is not None:
            named = {"fid": quality.frechet, "kid": quality.kernel}
            for name, distances in named.items():
                if distances is not None:
                    plain[name] = {"features": quality.features, **asdict(distances)}
            plain["coverage"] = {
                name: asdict(value) for name, value in quality.precision_recall.items()
            }
        return _as_written(plain)


def _as_written(plain: dict[str, Any]) -> dict[str, Any]:
    """Gives names the form they have in the JSON output, which is contract."""
    return {
        WRITTEN_NAMES.get(name, name): _as_written(value) if isinstance(value, dict) else value
        for name, value in plain.items()
    }
