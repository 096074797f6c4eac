"""What a watched folder's images got for answers, one JSON line each: output and memory in one.

A line is written at once and flushed to the disk. If the process is killed meanwhile, the half line
is cut off at the next start and the image answered then: nothing twice, nothing lost.
"""

import errno
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paecli.system.errors import DataError, WriteError
from paecli.system.files import cannot_write

try:
    import fcntl
except ImportError:  # not on Windows, where nobody is kept out
    fcntl = None  # type: ignore[assignment]


BEGINNING = b'{"path": "'  # of each answer


@dataclass(frozen=True)
class Stamp:
    """Which state of which file this is; a renamed file keeps it, a changed one does not.

    Attributes:
        inode: number of the file on its disk.
        mtime_ns: when it was last written, nanoseconds.
        size: bytes.
    """

    inode: int
    mtime_ns: int
    size: int

    @classmethod
    def of(cls, path: Path) -> "Stamp":
        """Looks at a file.

        Raises:
            OSError: it is gone.
        """
        return cls.of_status(path.stat())

    @classmethod
    def of_status(cls, status: os.stat_result) -> "Stamp":
        """Takes what the system says of a file."""
        return cls(status.st_ino, status.st_mtime_ns, status.st_size)


class Journal:
    """The answers so far, and a file that is locked while they are added to.

    Attributes:
        path: the file.
        count: how many answers it holds.
    """

    def __init__(self, path: Path, handle: int, *, model: str) -> None:
        """Reads what is there; use `open_journal`."""
        self.path = path
        self.count = 0
        self._handle = handle
        self._states: set[tuple[str, Stamp]] = set()
        self._content_of: dict[Stamp, str] = {}
        self._last_content: dict[str, str] = {}
        for number, line in enumerate(self._whole_lines(), start=1):
            self._recall(line, number, model)

    def answers(self) -> Iterator[dict[str, Any]]:
        """Reads the answers one after the other, oldest first."""
        with self.path.open("rb") as file:
            for line in file:
                yield json.loads(line)

    def _whole_lines(self) -> Iterator[bytes]:
        """Gives the lines, and cuts off what a killed process left of one."""
        end = 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    if not _is_half_answer(line):
                        raise self._foreign(number)
                    os.ftruncate(self._handle, end)
                    return
                end += len(line)
                yield line

    def _recall(self, line: bytes, number: int, model: str) -> None:
        try:
            answer = json.loads(line)
            stamp = Stamp(*(int(answer[name]) for name in Stamp.__dataclass_fields__))
            path, sha256 = str(answer["path"]), str(answer["sha256"])
            of_model = str(answer["model"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise self._foreign(number) from error
        if of_model != model:
            raise DataError(
                f"{self.path} holds the answers of another model or score; give another file"
            )
        self._remember(path, stamp, sha256)

    def _foreign(self, line: int) -> DataError:
        return DataError(
            f"{self.path} was not written by `pae watch` (line {line}); give another file"
        )

    def _remember(self, path: str, stamp: Stamp, sha256: str) -> None:
        self.count += 1
        self._states.add((path, stamp))
        self._content_of[stamp] = sha256
        self._last_content[path] = sha256

    def knows(self, path: Path, stamp: Stamp) -> bool:
        """Tells whether this state of this file was answered under this name."""
        return (str(path), stamp) in self._states

    def knows_content(self, path: Path, sha256: str, stamp: Stamp) -> bool:
        """Tells whether this content was answered; its new name or state is known then.

        That is so for a file that was renamed, whose state stays, and for one that was only
        touched. The state alone would not do: disks give the number of a deleted file to the next
        one, and many programs set times to whole seconds.
        """
        name = str(path)
        if sha256 not in (self._content_of.get(stamp), self._last_content.get(name)):
            return False
        self._states.add((name, stamp))
        self._content_of[stamp] = self._last_content[name] = sha256
        return True

    def add(self, path: Path, stamp: Stamp, sha256: str, fields: Mapping[str, Any]) -> None:
        """Writes the answer to a file.

        Raises:
            WriteError: the disk is full.
        """
        state = {name: getattr(stamp, name) for name in Stamp.__dataclass_fields__}
        answer = {"path": str(path), **fields, "sha256": sha256, **state}
        line = json.dumps(answer, allow_nan=False).encode() + b"\n"
        try:
            if os.write(self._handle, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._handle)
        except OSError as error:
            raise WriteError(
                f"cannot write {self.path}: {error.strerror}; free some space and start again: "
                "nothing is lost"
            ) from error
        self._remember(str(path), stamp, sha256)


def _is_half_answer(line: bytes) -> bool:
    """Tells whether a last line without an end can be the beginning of an answer."""
    length = min(len(line), len(BEGINNING))
    if line[:length] != BEGINNING[:length]:
        return False
    try:
        whole = json.loads(line)
    except (ValueError, RecursionError):
        return True
    return "sha256" in whole  # only the end of the line is missing


@contextmanager
def open_journal(path: Path, *, model: str) -> Iterator[Journal]:
    """Opens a journal, or begins one, for this process alone.

    Args:
        path: the file.
        model: what the answers come from; those of another one are refused.

    Raises:
        DataError: the file is something else, or belongs to another model or process.
        WriteError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        if fcntl is not None:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise DataError(
                    f"another pae is writing to {path}; end it, or give another file"
                ) from error
        yield Journal(path, handle, model=model)
    finally:
        os.close(handle)
