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

try:
    import fcntl
except ImportError:  # not on Windows, where nobody is kept out
    fcntl = None  # type: ignore[assignment]


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
        status = path.stat()
        return cls(status.st_ino, status.st_mtime_ns, status.st_size)


class Journal:
    """The answers so far, and a file that is locked while they are added to.

    Attributes:
        path: the file.
        answers: the lines that were there, oldest first.
    """

    def __init__(self, path: Path, handle: int, *, model: str) -> None:
        """Reads what is there; use `open_journal`."""
        self.path = path
        self.answers: list[dict[str, Any]] = []
        self._handle = handle
        self._stamps: set[Stamp] = set()
        self._contents: set[tuple[str, str]] = set()
        for number, line in enumerate(self._whole_lines(), start=1):
            self._recall(line, number, model)

    def _whole_lines(self) -> list[bytes]:
        """Returns the lines, and cuts off what a killed process left of one."""
        content = self.path.read_bytes()
        end = content.rfind(b"\n") + 1
        if end < len(content):
            if end == 0 and not content.startswith(b"{"):
                raise self._foreign(1)
            os.ftruncate(self._handle, end)
        return content[:end].splitlines()

    def _recall(self, line: bytes, number: int, model: str) -> None:
        try:
            answer = json.loads(line)
            stamp = Stamp(*(int(answer[name]) for name in Stamp.__dataclass_fields__))
            content = (str(answer["path"]), str(answer["sha256"]))
            of_model = str(answer["model"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise self._foreign(number) from error
        if of_model != model:
            raise DataError(
                f"{self.path} holds the answers of another model or score; give another file"
            )
        self._remember(answer, stamp, content)

    def _foreign(self, line: int) -> DataError:
        return DataError(
            f"{self.path} was not written by `pae watch` (line {line}); give another file"
        )

    def _remember(self, answer: dict[str, Any], stamp: Stamp, content: tuple[str, str]) -> None:
        self.answers.append(answer)
        self._stamps.add(stamp)
        self._contents.add(content)

    def knows(self, stamp: Stamp) -> bool:
        """Tells whether this state of this file was answered, under whatever name."""
        return stamp in self._stamps

    def knows_content(self, path: Path, sha256: str, stamp: Stamp) -> bool:
        """Tells whether this path was answered with this content; its new stamp is known then."""
        if (str(path), sha256) not in self._contents:
            return False
        self._stamps.add(stamp)
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
        self._remember(answer, stamp, (str(path), sha256))


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
        raise WriteError(f"cannot write {path}: {error.strerror}; choose another place") from error
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
