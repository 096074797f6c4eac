"""Chooses a number of threads for repeated work by timing the work itself."""

from dataclasses import dataclass, field

LAPS = 3  # of each number of threads in a trial, after one that is not counted
TRIAL_SECONDS = 0.1  # a number of threads is timed for at least so long
LONG_LAP = 1.0  # seconds; laps as long need no others beside them
NO_GAIN = 0.97  # more threads must take less than this part of the time
CHANGED = 1.3  # a rate that changes by this factor asks for another trial
WINDOW = 1.0  # seconds over which the rate is watched
OLDEST_CHOICE = 20.0  # seconds after which a choice is tried again: cores may be free by now


@dataclass
class _Timing:
    """What one number of threads took in a trial."""

    laps: int = 0
    seconds: float = 0.0
    units: int = 0

    @property
    def is_enough(self) -> bool:
        if self.laps and self.seconds / self.laps >= LONG_LAP:
            return True
        return self.laps >= LAPS and self.seconds >= TRIAL_SECONDS

    @property
    def seconds_per_unit(self) -> float:
        return self.seconds / max(self.units, 1)


@dataclass
class Tuner:
    """Chooses a number of threads for one kind of work from the times of its laps.

    In a trial the numbers take turns lap by lap, so that a machine whose load changes treats them
    alike. The fastest then serves until the rate changes or the choice is old.

    Attributes:
        candidates: numbers of threads, ascending.
        threads: what the next lap is to use.
        is_trying: whether a trial is under way.
    """

    candidates: tuple[int, ...]
    threads: int = 0
    is_trying: bool = True
    _timings: dict[int, _Timing] = field(default_factory=dict)
    _warm: set[int] = field(default_factory=set)
    _expected: float = 0.0  # seconds a unit when the choice was made
    _window: _Timing = field(default_factory=_Timing)
    _age: float = 0.0

    def __post_init__(self) -> None:
        """Starts the first trial."""
        self._start_trial()

    def record(self, seconds: float, units: int) -> None:
        """Takes in a lap that was done with `threads` and sets `threads` for the next one.

        Args:
            seconds: wall clock time of the lap.
            units: how much it did (images, rows); laps of a kind may differ.
        """
        if self.is_trying:
            self._try(seconds, units)
        else:
            self._watch(seconds, units)

    def _start_trial(self) -> None:
        self.is_trying = len(self.candidates) > 1
        self.threads = self.candidates[0]
        self._timings = {count: _Timing() for count in self.candidates}
        self._warm = set()

    def _try(self, seconds: float, units: int) -> None:
        if self.threads in self._warm or seconds >= LONG_LAP:
            _add(self._timings[self.threads], seconds, units)
        self._warm.add(self.threads)
        waiting = [count for count in self.candidates if not self._timings[count].is_enough]
        if waiting:
            later = [count for count in waiting if count > self.threads]
            self.threads = (later or waiting)[0]
        else:
            self._choose()

    def _choose(self) -> None:
        best = self.candidates[0]
        for count in self.candidates[1:]:
            if self._time(count) < NO_GAIN * self._time(best):
                best = count
        self.threads, self.is_trying = best, False
        self._expected = self._time(best)
        self._window, self._age = _Timing(), 0.0

    def _time(self, count: int) -> float:
        return self._timings[count].seconds_per_unit

    def _watch(self, seconds: float, units: int) -> None:
        if len(self.candidates) == 1:
            return
        _add(self._window, seconds, units)
        if self._window.seconds < WINDOW:
            return
        self._age += self._window.seconds
        ratio = self._window.seconds_per_unit / max(self._expected, 1e-12)
        self._window = _Timing()
        if not 1 / CHANGED < ratio < CHANGED or self._age > OLDEST_CHOICE:
            self._start_trial()


def _add(timing: _Timing, seconds: float, units: int) -> None:
    timing.laps += 1
    timing.seconds += seconds
    timing.units += units
