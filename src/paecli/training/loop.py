"""The loop that both stages share: steps, schedule, averaging, checkpoints, interruption."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from paecli.system.errors import TrainingError
from paecli.system.interruption import StopRequest
from paecli.system.progress import Progress, Task
from paecli.system.threads import fitting, keep_threads, threads_in_use
from paecli.training.averaging import WeightAverage
from paecli.training.course import Course, first_course, is_flat
from paecli.training.muon import has_fast_bfloat16
from paecli.training.optimisers import build_optimisers, learning_rate_at
from paecli.training.settings import OptimiserSettings
from paecli.training.state import TrainingState

PARTS = 1000  # of the bar, where the number of steps may change


class TrainingInterruptedError(TrainingError):
    """Ctrl-C or a termination signal; the state is saved."""

    exit_code = 130


class Stage(Protocol):
    """What a stage hands to the loop."""

    module: nn.Module  # called as module(*batch, fraction), returns the loss
    examples: int  # training examples
    example_kind: str  # what they are called: images, latents
    metric_name: str  # what `held_out_metric` returns

    def batch(
        self, index: Tensor, *, fraction: float, generator: torch.Generator
    ) -> tuple[Tensor, ...]:
        """Makes the batch of the examples in `index` `(b,)`, augmented; each tensor is `(b, ...)`.

        `fraction` in [0, 1] is how much of the training is done.
        """

    def held_out_metric(self) -> float:
        """Measures the module, as it is now, on held-out examples; lower is better."""


@dataclass(frozen=True)
class LoopResult:
    """What the loop did."""

    epochs: int
    seconds: float
    examples_per_second: float
    example_kind: str
    best_metric: float
    history: list[dict[str, float]]
    ended: str = "epochs"  # why it ended; see `Course`


class TrainingLoop:
    """Trains a stage and leaves its module with the weights that were best on held-out data.

    The result depends on the seed alone, not on interruptions: every epoch's order and
    every step's randomness come from seeds derived from their number. Only with `minutes` it
    depends on the machine's speed, too; what was measured of it is part of the state.
    """

    def __init__(
        self,
        stage: Stage,
        *,
        name: str,
        settings: OptimiserSettings,
        seed: int,
        state_file: Path,
        described: dict[str, Any],
        content_hash: str,
        accelerator: Accelerator,
        use_bfloat16: bool,
        progress: Progress,
    ) -> None:
        """Prepares optimiser and devices.

        Args:
            stage: what to train.
            name: of the stage.
            settings: how.
            seed: of everything random.
            state_file: where to keep the state for `--resume`.
            described: the run's settings, stored with the state.
            content_hash: of the data set, stored with the state.
            accelerator: devices and processes.
            use_bfloat16: whether to multiply in bfloat16 (weights stay float32).
            progress: told of every step.

        Raises:
            TrainingError: the batch does not divide over the processes.
        """
        self.stage = stage
        self.work = f"training {name}"
        self.settings = settings
        self.seed = seed
        self.state_file = state_file
        self.accelerator = accelerator
        self.use_bfloat16 = use_bfloat16
        self.progress = progress
        self.state = TrainingState(settings=described, content_hash=content_hash)
        self.batch_size = min(settings.batch_size, stage.examples)
        if self.batch_size % accelerator.num_processes:
            raise TrainingError(
                f"a batch of {self.batch_size} does not divide over "
                f"{accelerator.num_processes} processes; choose another --batch-size"
            )
        self.steps_per_epoch = stage.examples // self.batch_size
        optimisers = build_optimisers(stage.module, settings)
        self.module, *self.optimisers = accelerator.prepare(stage.module, *optimisers)
        # only now is the module on its device
        self.average = WeightAverage(stage.module, decay=settings.averaging)
        self.course = first_course(settings, self.steps_per_epoch)
        self.stop = StopRequest()

    def run(
        self, after_epoch: Callable[[list[dict[str, float]]], None] | None = None
    ) -> LoopResult:
        """Trains to the end of the course.

        Args:
            after_epoch: told the rows of all epochs so far whenever one has ended.

        Raises:
            TrainingError: the loss is no longer finite.
            TrainingInterruptedError: a signal asked to stop; the state is saved.
        """
        state = self.state
        with self.stop, self.progress.task("training", self._bar_length()) as task:
            task.advance(self._bar())
            while state.step < self.course.last or state.step > state.epoch * self.steps_per_epoch:
                self._epoch(task)
                if after_epoch:
                    after_epoch(self.state.history)
        self.stage.module.load_state_dict(state.best_weights())
        return self._result()

    def restore(self, state: TrainingState) -> None:
        """Goes back to a saved state.

        Raises:
            TrainingError: the state is that of another network, or of other optimisers.
        """
        try:
            self._restore(state)
        except (RuntimeError, ValueError, LookupError, TypeError) as error:
            raise TrainingError(
                f"{self.state_file} does not fit this network; start again with --overwrite"
            ) from error

    def _restore(self, state: TrainingState) -> None:
        state.content_hash = self.state.content_hash  # version 0.1 did not record it
        self.state = state
        if state.threads is not None:
            keep_threads(state.threads)
        if state.course is not None:
            self.course = Course(**state.course)
        state.give_back(self.stage.module, self.average, self.optimisers)

    def _epoch(self, task: Task) -> None:
        state = self.state
        order = torch.randperm(
            self.stage.examples, generator=_generator(self.seed, state.epoch, -1)
        )
        started, seconds_before = time.perf_counter(), state.seconds
        done = state.step - state.epoch * self.steps_per_epoch
        self.module.train()
        for position in range(done, self.steps_per_epoch):
            if state.step >= self.course.last:  # the time is over
                break
            shown = self._bar()
            index = order[position * self.batch_size : (position + 1) * self.batch_size]
            with fitting(self.work):
                state.loss_sum += self._step(index)
            state.seconds = seconds_before + time.perf_counter() - started
            self._fit_to_the_clock()
            task.advance(
                self._bar() - shown,
                epoch=self._epoch_text(),
                loss=f"{state.loss_sum / (position + 1):.5f}",
                **{f"{self.stage.example_kind}_per_second": f"{self._rate():.0f}"},
            )
            self._stop_if_asked()
        self._close_epoch(task)
        state.seconds = seconds_before + time.perf_counter() - started

    def _step(self, index: Tensor) -> float:
        state, accelerator = self.state, self.accelerator
        fraction = self.course.fraction(state.step)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = learning_rate_at(fraction, self.settings)
            optimiser.zero_grad(set_to_none=True)
        own = index[accelerator.process_index :: accelerator.num_processes]
        generator = _generator(self.seed, state.epoch, state.step, accelerator.process_index)
        torch.manual_seed(generator.initial_seed())  # dropout and the like
        batch = self.stage.batch(own, fraction=fraction, generator=generator)
        batch = tuple(part.to(accelerator.device) for part in batch)
        with self._autocast():
            loss = self.module(*batch, fraction)
        value = float(accelerator.reduce(loss.detach(), "mean"))
        self._refuse_divergence("the loss", value)
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(self.module.parameters(), self.settings.clip)
        for optimiser in self.optimisers:
            optimiser.step()
        if self.settings.averaging:
            self.average.update(self.stage.module)
        state.step += 1
        return value

    def _close_epoch(self, task: Task) -> None:
        """Measures the epoch on held-out data, remembers the best weights, saves the state."""
        state = self.state
        live = {name: value.clone() for name, value in self.stage.module.state_dict().items()}
        if self.settings.averaging:
            self.stage.module.load_state_dict(self.average.weights)
        self.module.eval()
        with self._autocast():
            metric = self.stage.held_out_metric()
        metric = self._agreed(metric)
        self._refuse_divergence(f"the held-out {self.stage.metric_name}", metric)
        steps = state.step - state.epoch * self.steps_per_epoch
        state.epoch += 1
        row = {
            "epoch": state.epoch,
            "loss": state.loss_sum / steps,
            "held_out": metric,
            # not that of the optimiser, which a run that goes on here has not set yet
            "learning_rate": learning_rate_at(self.course.fraction(state.step - 1), self.settings),
            "images_per_second": self._rate(),
            "seconds": state.seconds,
            "threads": threads_in_use(self.work),
        }
        state.history.append(row)
        state.loss_sum = 0.0
        if state.best_metric is None or metric < state.best_metric:
            state.best_metric = metric
            state.keep_best(self.stage.module)
        self.stage.module.load_state_dict(live)
        task.advance(0, **{f"held-out_{self.stage.metric_name}": f"{metric:.5f}"})
        self._end_if_flat()
        self._save()

    def _end_if_flat(self) -> None:
        """Begins the end of the training when held-out errors no longer fall."""
        state, settings = self.state, self.settings
        if self.course.fraction(state.step) >= 1 - settings.cooldown:
            return
        errors = [row["held_out"] for row in state.history[_warm_up(state.history, settings) :]]
        if is_flat(errors, settings.patience, self.steps_per_epoch):
            self.course.cool(state.step, state.seconds, settings.cooldown)
            left = (self.course.last - state.step) / self.steps_per_epoch
            self.progress.say(
                f"the held-out {self.stage.metric_name} is flat after epoch {state.epoch}: "
                f"{left:.3g} more while the learning rate falls"
            )

    def _fit_to_the_clock(self) -> None:
        """With `minutes`, moves the last step to where they will be over."""
        if not self.settings.minutes:
            return
        budget, seconds = 60 * self.settings.minutes, self._agreed(self.state.seconds)
        if self.course.is_due(self.state.step, seconds, budget):
            self.course.refit(self.state.step, seconds, budget)

    def _agreed(self, value: float) -> float:
        """Returns the mean of a number over all processes, which must decide alike."""
        if self.accelerator.num_processes == 1:
            return value
        here = torch.tensor(value, dtype=torch.float64, device=self.accelerator.device)
        return float(self.accelerator.reduce(here, "mean"))

    def _bar_length(self) -> int:
        return PARTS if self.settings.minutes or self.settings.patience else self.course.last

    def _bar(self) -> int:
        """Returns how far the bar is: in steps, or where their number may change, in parts."""
        if self.settings.minutes or self.settings.patience:
            return int(PARTS * self.course.fraction(self.state.step))
        return self.state.step

    def _epoch_text(self) -> str:
        known = "" if self.settings.minutes else f"/{self.settings.last_epoch}"
        return f"{self.state.epoch + 1}{known}"

    def _save(self) -> None:
        if not self.accelerator.is_main_process:
            return
        state = self.state
        state.gather(self.stage.module, self.average, self.optimisers)
        state.threads = threads_in_use(self.work)
        state.course = self.course.as_fields()
        state.save(self.state_file)

    def _autocast(self) -> torch.autocast:
        device = self.accelerator.device.type
        return torch.autocast(device, torch.bfloat16, enabled=self.use_bfloat16)

    def _rate(self) -> float:
        return self.state.step * self.batch_size / max(self.state.seconds, 1e-9)

    def _result(self) -> LoopResult:
        state = self.state
        best = float("nan") if state.best_metric is None else state.best_metric
        return LoopResult(
            epochs=state.epoch,
            seconds=state.seconds,
            examples_per_second=self._rate(),
            example_kind=self.stage.example_kind,
            best_metric=best,
            history=state.history,
            ended=self.course.ended,
        )

    def _refuse_divergence(self, what: str, value: float) -> None:
        if math.isfinite(value):
            return
        kept = (
            f"the state after epoch {self.state.epoch} is kept in {self.state_file.parent}"
            if self.state.epoch
            else "no epoch was completed"
        )
        raise TrainingError(
            f"{what} became {value} at step {self.state.step} (epoch {self.state.epoch + 1}); "
            f"{kept}; start again with --overwrite and a lower --learning-rate or --precision fp32"
        )

    def _stop_if_asked(self) -> None:
        if not self.stop.made:
            return
        self._save()
        raise TrainingInterruptedError(
            f"stopped in epoch {self._epoch_text().replace('/', ' of ')}, nothing is lost; "
            "add --resume to the same command to go on"
        )


def choose_bfloat16(precision: str, device: torch.device) -> bool:
    """Decides whether to multiply in bfloat16; `auto` means where the hardware does so fast."""
    if precision != "auto":
        return precision == "bf16"
    return has_fast_bfloat16(device.type)


def _warm_up(history: list[dict[str, float]], settings: OptimiserSettings) -> int:
    """Returns how many epochs ended before the learning rate was highest."""
    rates = [row["learning_rate"] for row in history]
    falls = [False, *(now < before for before, now in pairwise(rates))]
    over = [fell or rate >= settings.learning_rate for fell, rate in zip(falls, rates, strict=True)]
    return over.index(True) if True in over else len(over)


def _generator(*numbers: int) -> torch.Generator:
    """Returns a generator whose seed mixes all the numbers."""
    seed = 0
    for number in numbers:
        seed = (seed * 6364136223846793005 + number + 1442695040888963407) % 2**63
    return torch.Generator().manual_seed(seed)
