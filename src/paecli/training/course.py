"""Where a training is between its start and its end: by steps, by the clock, or until it is flat.

All that changes during a training (learning rate, augmentation, objectives) follows the fraction of
it that is done. A course says which step has which fraction, and which is the last.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from paecli.training.settings import OptimiserSettings

PROBE = 2  # steps whose time gives the first rate; they have the fraction 0
REFIT = 0.02  # of the time between two measurements of the rate
LEAST_GAIN = 0.01  # relative improvement below which held-out errors count as flat
LOOK_BACK = 4  # errors are compared with those before the last quarter of the epochs
FEWEST_STEPS = 200  # that are looked back: epochs of few images are short


@dataclass
class Course:
    """Steps and their fractions, as they are known now.

    From the step `start` with the fraction `begun` on, fractions rise evenly to 1 at `last`.
    Neither changes unless `refit` or `cool` is called, so a training without a time limit and
    without a flat end has the fractions `step / last`.

    Attributes:
        last: number of steps in all.
        start: step from which on this holds.
        begun: its fraction.
        seconds: training time at that step.
        ended: why the last step is where it is: `epochs`, `minutes` or `flat`.
    """

    last: int
    start: int = 0
    begun: float = 0.0
    seconds: float = 0.0
    ended: str = "epochs"

    def fraction(self, step: int) -> float:
        """Returns how much of the training is done before a step, in [0, 1]."""
        if self.last <= self.start:
            return 1.0
        return self.begun + (1 - self.begun) * ((step - self.start) / (self.last - self.start))

    def is_due(self, step: int, seconds: float, budget: float) -> bool:
        """Tells whether the rate should be measured again."""
        return step - self.start >= PROBE and seconds - self.seconds >= REFIT * budget

    def refit(self, step: int, seconds: float, budget: float) -> None:
        """Moves the last step to where the time will be over, at the rate since the last fit.

        Args:
            step: steps done.
            seconds: time they took.
            budget: seconds for the whole training.
        """
        rate = (step - self.start) / max(seconds - self.seconds, 1e-9)
        left = max(round(rate * (budget - seconds)), 0)
        self.begun = self.fraction(step)
        self.start, self.seconds = step, seconds
        if step + left <= self.last or self.ended != "flat":
            self.last = step + left

    def cool(self, step: int, seconds: float, cooldown: float) -> None:
        """Begins the end of the training: its last part, in proportion to what was trained.

        Args:
            step: steps done.
            seconds: time they took.
            cooldown: the part of all steps that the end takes.
        """
        left = max(math.ceil(step * cooldown / (1 - cooldown)), 1)
        self.last = min(self.last, step + left)
        self.begun, self.start, self.seconds, self.ended = 1 - cooldown, step, seconds, "flat"

    def as_fields(self) -> dict[str, Any]:
        """Returns what a training state keeps."""
        return asdict(self)


def first_course(settings: OptimiserSettings, steps_per_epoch: int) -> Course:
    """Returns the course of a training that begins."""
    if settings.minutes:
        # no fraction passes before a rate is known
        return Course(last=2**62, ended="minutes")
    return Course(last=settings.last_epoch * steps_per_epoch)


def is_flat(errors: Sequence[float], patience: int, steps_per_epoch: int) -> bool:
    """Tells whether held-out errors have stopped falling.

    The best of the last epochs, `patience` or a quarter of all, is less than 1 % below the best
    before them. Long trainings look back further: noise would end them by chance otherwise.

    Args:
        errors: after each epoch since the warm-up.
        patience: the least number of epochs to look back; 0: never flat.
        steps_per_epoch: of short epochs more are looked back.
    """
    least = math.ceil(FEWEST_STEPS / steps_per_epoch)
    recent = max(patience, least, math.ceil(len(errors) / LOOK_BACK))
    if not patience or len(errors) <= recent:
        return False
    before, now = min(errors[:-recent]), min(errors[-recent:])
    return now > before - LEAST_GAIN * abs(before)
