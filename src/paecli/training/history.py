"""The history of a training while it runs: a row an epoch, as JSON lines, CSV and TensorBoard."""

import csv
import io
import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from paecli.system.errors import UsageError
from paecli.system.files import write_atomically

Log = Literal["csv", "tensorboard"]
Row = dict[str, float]

TENSORBOARD = "tensorboard"
EVENTS = "events.out.tfevents.*"  # how TensorBoard names its files


def history_file(run_dir: Path, stage: str, *, ending: str = "jsonl") -> Path:
    """Returns where the metrics of a stage are kept: `jsonl`, one object an epoch, or `csv`."""
    return run_dir / f"{stage}-history.{ending}"


def require_log(log: Log) -> None:
    """Checks that what a log needs is installed.

    Raises:
        UsageError: it is not.
    """
    if log == TENSORBOARD and find_spec(TENSORBOARD) is None:
        raise UsageError("TensorBoard is not installed: pip install 'paecli[tensorboard]'")


class History:
    """Writes the rows of a stage whenever an epoch has ended."""

    def __init__(self, run_dir: Path, stage: str, log: Log = "csv") -> None:
        """Prepares to write into a run folder.

        Args:
            run_dir: the run folder.
            stage: of the training.
            log: `csv` (always written), or `tensorboard` for its events beside it.
        """
        self._run_dir, self._stage = run_dir, stage
        self._events: Any = None
        if log == TENSORBOARD:
            self._events = _open_events(run_dir / TENSORBOARD / stage)
            self._seen = 0

    def write(self, rows: Sequence[Row]) -> None:
        """Writes all rows of the run so far; the files are never half written.

        Raises:
            WriteError: the disk is full, or the folder cannot be written.
        """
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        write_atomically(history_file(self._run_dir, self._stage), lines.encode())
        table = history_file(self._run_dir, self._stage, ending="csv")
        write_atomically(table, _as_csv(rows).encode())
        if self._events is not None:
            for row in rows[self._seen :]:
                for name in row.keys() - {"epoch"}:
                    self._events.add_scalar(name, row[name], int(row["epoch"]))
            self._seen = len(rows)
            self._events.flush()

    def close(self) -> None:
        """Ends the events."""
        if self._events is not None:
            self._events.close()


def _as_csv(rows: Sequence[Row]) -> str:
    text = io.StringIO()
    table = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()


def _open_events(folder: Path) -> Any:
    """Opens the events of a run anew: a run that goes on writes its earlier epochs again."""
    from torch.utils.tensorboard import SummaryWriter

    for old in folder.glob(EVENTS):
        old.unlink()
    return SummaryWriter(str(folder))
