"""The one habit of commands that write a folder.

What took a training, and what pae did not write, is never replaced without being asked. Pictures,
pages and tables are made again in moments: those of an earlier command are replaced, in words.
"""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from paecli.cli.console import say
from paecli.system.errors import UsageError
from paecli.system.outputs import earlier_results, is_own_result


class OutputFolder:
    """A folder that a command is about to write results to."""

    def __init__(self, folder: Path, names: Iterable[str | Path], *, series: str = "") -> None:
        """Looks at what is there, before anything is computed.

        Args:
            folder: what the user named, or the default.
            names: the files that will or may be written, relative to it.
            series: a pattern such as `sample-*.png`. Of an earlier series, which may be longer,
                nothing shall stay among the new one.

        Raises:
            WriteError: a file is there that pae did not write.
        """
        self._earlier = set(earlier_results(folder / name for name in names))
        if series:
            self._earlier |= {file for file in folder.glob(series) if is_own_result(file)}
        self._folder, self._said = folder, False

    def announce(self) -> None:
        """Says, once, that what is there will be replaced."""
        if self._earlier and not self._said:
            say(f"{self._folder} holds results of an earlier command; they are replaced.")
            self._said = True

    def clear(self, below: Path | None = None) -> None:
        """Removes earlier results, in words; called when the new ones are about to be written.

        Args:
            below: those in this folder only.
        """
        self.announce()
        cleared = {file for file in self._earlier if below in (None, file.parent)}
        for file in cleared:
            file.unlink(missing_ok=True)
        self._earlier -= cleared


def refuse_to_replace(outputs: Sequence[Path | None], inputs: Iterable[Path]) -> None:
    """Refuses to write a file over one that is read, or two into one.

    Args:
        outputs: what the user named, None where nothing was.
        inputs: what is read.

    Raises:
        UsageError: names the file.
    """
    # pipes and devices take what comes, from several
    chosen = [each for each in outputs if each and (each.is_file() or not each.exists())]
    places = Counter(os.path.realpath(output) for output in chosen)
    for output in chosen:
        if places[os.path.realpath(output)] > 1:
            raise UsageError(f"{output} is named for two outputs; give each a file of its own")
    there = {_identity(output): output for output in chosen if output.is_file()}
    for path in inputs if there else ():
        with suppress(FileNotFoundError):
            if same := there.get(_identity(path)):
                raise UsageError(f"{same} is read by this command; give another file to write")


def _identity(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_dev, state.st_ino


def for_report(folder: Path | None, pictures: Sequence[str] = ()) -> None:
    """Looks at the folder of a report with these pictures, if one is asked for."""
    if folder is not None:
        OutputFolder(folder, ["report.html", *pictures]).announce()
