"""Drift told from outliers: are images, taken together, still drawn as the first ones were?

An outlier is one image with a small p-value. Drift is a change of all: p-values that no longer are
uniform. An exchangeability martingale bets against uniform p-values; its wealth grows only if they
are not, and by Ville's inequality the chance that it ever reaches `1 / a` is at most `a`, however
long the stream is (Vovk, Nouretdinov & Gammerman, "Testing exchangeability on-line", ICML 2003;
Vovk et al., "Retrain or not retrain", arXiv:2102.10439).

P-values against one fixed set of scores are not independent of each other: of 10,000 images all
are compared with the same 2,500, whose own scatter then looks like drift. So each image joins the
set that the next ones are compared with, and ties are broken at random: such p-values are
independent and exactly uniform while the images are exchangeable.

Two comparisons go side by side. All images are compared with those before them, which tells when
they change. The first ones are also compared with images that are known to be usual, which tells if
they had changed before they came; but only the first, since these two sets differ a little in
truth, and for ever would find that.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping, Sequence
from math import inf, log

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

POWERS = (0.1, 0.3, 0.5, 0.7, 0.85)  # e of the bets e p^(e - 1): on few, or on many small p-values
SLOPES = (1.0, 0.5)  # e of the bets 1 + e (1 - 2 p)
SMALLEST = 1e-12
NONE: Mapping[str, float] = {}
# Share of the false-alarm probability that the comparison with known images has. Theirs is the only
# one whose set stays the same over all streams: an odd set would raise its alarms in many of them.
SHARE_OF_KNOWN = 0.1


def bets(p: Array, tolerance: Array | float = 0.0) -> Array:
    """Returns what each bet makes of a unit of wealth when p-values come.

    The powers bet on small p-values, mirrored on large ones; the slopes on a gentle shift. Each
    integrates to 1 over a uniform p-value.

    A tolerance makes the null hypothesis a composite one: nowhere is the distribution function of p
    further than that from the uniform one's. Then p + tolerance is a p-value, and so is 1 - p +
    tolerance; every bet falls with the one or the other. Its average is at most `largest_average`.

    Args:
        p: `(n,)` in [0, 1].
        tolerance: `(n,)` or one for all, in [0, 1/2].

    Returns:
        `(n, BETS)`, 0 or more.
    """
    p = np.asarray(p)
    small = np.minimum(np.maximum(p + tolerance, SMALLEST), 1)[:, None]
    large = np.minimum(np.maximum(1 - p + tolerance, SMALLEST), 1)[:, None]
    powers = np.array(POWERS)
    return np.concatenate(
        (
            powers * small ** (powers - 1),
            powers * large ** (powers - 1),
            1 + np.array(SLOPES) * (1 - 2 * small),
            1 + np.array(SLOPES) * (1 - 2 * large),
        ),
        axis=1,
    )


def largest_average(tolerance: Array) -> Array:
    """Returns what `bets` come to on average in the worst case that a tolerance `(n,)` allows.

    It is at most 1, since no p-value that a bet is on is below the tolerance. What bets pay is
    divided by it: `(n, BETS)`.
    """
    share, powers, slopes = tolerance[:, None], np.array(POWERS), np.array(SLOPES)
    steep, gentle = 1 - (1 - powers) * share**powers, 1 - slopes * share**2
    return np.concatenate((steep, steep, gentle, gentle), axis=1)


BETS = 2 * len(POWERS) + 2 * len(SLOPES)


class Martingales:
    """Wealth from bets against uniform p-values, ready for a change that may come at any time.

    There are several side by side, one for each stream of p-values. Money is laid by: of 1 at the
    start, `log 2 / log(k + 2)` is left after k images, and what was taken is shared among the bets.
    So a change after n images is met by fresh bets, at a cost of about `n log(n)^2` in wealth. All
    bets of one kind that were opened at different times win and lose together, so that one sum
    stands for them.
    """

    def __init__(self, number: int, tolerance: Array | float = 0.0) -> None:
        """Starts with a wealth of 1 each; `bets` has the tolerance, `(number,)` or one for all."""
        self.count = 0
        self._tolerance = np.broadcast_to(tolerance, (number,))
        self._worst = np.log(largest_average(self._tolerance))
        self._stakes = np.full((number, BETS), -inf)  # logarithms

    @property
    def log_wealth(self) -> Array:
        """Natural logarithms of the wealths, `(number,)`; 0 at the start."""
        laid_by = log(_laid_by(self.count))
        return np.asarray(np.logaddexp(np.logaddexp.reduce(self._stakes, axis=1), laid_by))

    def add(self, p: Array) -> None:
        """Plays one round, by p-values `(number,)` in [0, 1]."""
        self.count += 1
        opened = log((_laid_by(self.count - 1) - _laid_by(self.count)) / BETS)
        with np.errstate(divide="ignore"):  # a slope of 1 loses all at p = 0
            paid = np.log(bets(p, self._tolerance)) - self._worst
        self._stakes = np.logaddexp(self._stakes, opened) + paid


def _laid_by(count: int) -> float:
    """Returns what is left, of 1, to bet on changes that come after so many images."""
    return log(2) / log(count + 2)


class ExchangeablePValues:
    """P-values of a stream, each image against all before it; uniform and independent."""

    def __init__(self, reference: Sequence[float]) -> None:
        """Takes scores of the images that the stream is compared with at first; may be empty."""
        self._ordered = sorted(reference)

    def add(self, score: float, draw: float) -> float:
        """Returns the p-value of the next image, and adds its score to the comparison.

        Args:
            score: higher = more unusual.
            draw: uniform in [0, 1); places the image among those with the same score.
        """
        above = len(self._ordered) - bisect_right(self._ordered, score)
        same = bisect_right(self._ordered, score) - bisect_left(self._ordered, score) + 1
        insort(self._ordered, score)
        return (above + draw * same) / len(self._ordered)


class _Comparison:
    """Streams of p-values, one for each score, and bets against them."""

    def __init__(
        self,
        reference: Mapping[str, Sequence[float]],
        false_alarm: float,
        tolerance: Mapping[str, float] = NONE,
    ) -> None:
        """Takes for each score what the first image is compared with; may be empty."""
        self.names = list(reference)
        self._threshold = log(max(len(reference), 1) / false_alarm)  # Bonferroni
        self._p_values = [ExchangeablePValues(values) for values in reference.values()]
        tolerances = [tolerance.get(name, 0.0) for name in reference]
        self._martingales = Martingales(len(reference), np.array(tolerances))

    def add(self, scores: Mapping[str, float], draws: Sequence[float]) -> None:
        """Takes the next image's scores, and a uniform draw for each of them."""
        rows = zip(self.names, self._p_values, draws, strict=True)
        p = [p_values.add(scores[name], draw) for name, p_values, draw in rows]
        self._martingales.add(np.array(p))

    @property
    def evidence(self) -> Array:
        """For each score the logarithm of its wealth over that which raises the alarm."""
        return self._martingales.log_wealth - self._threshold


class DriftDetector:
    """Watches several scores of a stream and raises one alarm.

    Each score has a martingale of its own in both comparisons, and the alarm is raised when one
    reaches the number of scores over the comparison's share of the false-alarm probability
    (Bonferroni). Their average would need p-values that are independent of the other scores' pasts,
    which they need not be.

    Attributes:
        count: images seen.
        alarm: number of the image that raised the alarm, from 1; None without one.
        score: name of the score that raised it.
        from_start: whether it was raised by the comparison with images that are known to be usual.
    """

    def __init__(
        self,
        reference: Mapping[str, Sequence[float]],
        *,
        tolerance: Mapping[str, float] = NONE,
        false_alarm: float = 0.001,
        baseline: int = 0,
        seed: int = 0,
    ) -> None:
        """Starts without images.

        Args:
            reference: for each score to watch, its values on images that are known to be usual;
                empty if none are known.
            tolerance: for scores of which images without a change may differ from the known ones,
                by how much: the largest distance of the two distribution functions (Kolmogorov's).
                It is 0 for all others, and in the comparison with earlier images.
            false_alarm: chance of any alarm, ever, without a change, in (0, 1).
            baseline: how many images of the stream are compared with `reference`; 0 is all.
            seed: of the draws that break ties.
        """
        known = {name: values for name, values in reference.items() if len(values)}
        share = SHARE_OF_KNOWN if known else 0.0
        self._known = _Comparison(known, max(share * false_alarm, SMALLEST), tolerance)
        self._earlier = _Comparison({name: [] for name in reference}, (1 - share) * false_alarm)
        self._baseline = baseline
        self._generator = np.random.default_rng(seed)
        self.count = 0
        self.alarm: int | None = None
        self.score: str | None = None
        self.from_start = False

    @property
    def evidence(self) -> float:
        """Logarithm of the largest wealth over that which raises the alarm; 0 raises it."""
        return max(float(each.evidence.max()) for each in self._active)

    @property
    def _active(self) -> list[_Comparison]:
        at_start = not self._baseline or self.count <= self._baseline
        return [self._earlier, *([self._known] if at_start and self._known.names else [])]

    def add(self, scores: Mapping[str, float]) -> bool:
        """Takes the next image's scores, by name; returns whether they raise the alarm."""
        self.count += 1
        for each in self._active:
            each.add(scores, self._generator.random(len(each.names)).tolist())
        if self.alarm is not None or self.evidence < 0:
            return False
        highest = max(self._active, key=lambda each: float(each.evidence.max()))
        self.alarm = self.count
        self.score = highest.names[int(highest.evidence.argmax())]
        self.from_start = highest is self._known
        return True
