"""Downloads over HTTP: bounded, resumable, retried, and only ever from secure addresses."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
import urllib3

from paecli.store.http_answers import PassingError, open_answer, too_slow, without_secrets
from paecli.system.errors import RegistryError
from paecli.system.progress import Progress, Task

ATTEMPTS = 5  # in a row that bring next to nothing
PAUSE = 0.5  # seconds before the second attempt; doubles each time
LONGEST_TEXT = 120.0  # seconds for a whole index
PATIENCE, LEAST = 60.0, 6_000  # seconds, and bytes that must come in them or in an attempt
PIECE = 64 * 1024  # bytes
SIZE_UNIT = 1000  # progress counts kilobytes


def read_text(
    url: str,
    *,
    headers: Mapping[str, str],
    limit: int,
    what: str,
    attempts: int | None = None,
) -> str:
    """Fetches a short UTF-8 text.

    Args:
        url: `https://`, or `http://` on this machine.
        headers: sent with the request.
        limit: largest size in bytes.
        what: what is fetched, for messages.
        attempts: how often to try; None is `ATTEMPTS`.

    Raises:
        RegistryError: unreachable, an error status, larger than `limit`, or not text.
    """
    failures = 0
    while True:
        try:
            return _read_text_once(url, headers, limit, what)
        except PassingError as error:
            failures += 1
            _pause_or_give_up(failures, url, error, attempts or ATTEMPTS)


def download(
    url: str,
    part: Path,
    *,
    size: int,
    headers: Mapping[str, str],
    label: str,
    progress: Progress,
) -> None:
    """Fetches `url` into `part`, going on where an earlier try stopped.

    The caller compares the hash: a server may send the right number of wrong bytes.

    Args:
        url: `https://`, or `http://` on this machine.
        part: the unfinished file; it survives failures, so that the next call resumes.
        size: exact size in bytes; more is never written.
        headers: sent with each request.
        label: the file's name, for the progress bar and messages.
        progress: told about every piece.

    Raises:
        RegistryError: unreachable, an error status, another size, a full disk.
    """
    failures = 0
    with progress.task(f"{label}, kB", -(-size // SIZE_UNIT)) as task:
        _show(task, 0, _length(part))
        while True:
            before = _length(part)
            try:
                return _continue(url, part, size, headers, label, task)
            except PassingError as error:
                failures = 1 if _length(part) >= before + LEAST else failures + 1
                _pause_or_give_up(failures, url, error, ATTEMPTS)


def _read_text_once(url: str, headers: Mapping[str, str], limit: int, what: str) -> str:
    content, deadline = b"", time.monotonic() + LONGEST_TEXT
    with open_answer(url, headers, what) as response:
        for piece in _pieces(response, what):
            content += piece
            if len(content) > limit:
                raise RegistryError(f"{what} is larger than {limit} bytes; check the address")
            if time.monotonic() > deadline:
                raise too_slow(what)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RegistryError(f"{what} is not text; check the registry's address") from error


def _continue(
    url: str, part: Path, size: int, headers: Mapping[str, str], label: str, task: Task
) -> None:
    """Fetches what is missing in one request."""
    have = _length(part)
    if have == size:
        return
    wanted = {"Range": f"bytes={have}-"} if have else {}
    with open_answer(url, {**headers, **wanted}, label) as response:
        if not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            _show(task, have, 0)
            have = 0  # the server starts over
        _check_length(response, size - have, label)
        with _writing(part, "ab" if have else "wb") as file:
            for piece in _pieces(response, label):
                if have + len(piece) > size:
                    raise RegistryError(
                        f"the server sends more than the {size} bytes that {label} should have; "
                        "tell the registry's owner"
                    )
                file.write(piece)
                _show(task, have, have + len(piece))
                have += len(piece)
    if have < size:
        raise PassingError(f"the connection ended after {have} of {size} bytes")


def _pieces(response: requests.Response, what: str) -> Iterator[bytes]:
    """Yields what has arrived as it arrives: nothing of a slow or broken answer is waited for.

    Raises:
        RegistryError: next to nothing comes.
        PassingError: the connection broke or fell silent.
    """
    began, count = time.monotonic(), 0
    try:
        while piece := response.raw.read1(PIECE):
            yield piece
            count += len(piece)
            if time.monotonic() > began + PATIENCE:
                if count < LEAST:
                    raise too_slow(what)
                began, count = time.monotonic(), 0
    except urllib3.exceptions.ReadTimeoutError as error:
        raise PassingError("the server does not answer") from error
    except urllib3.exceptions.HTTPError as error:
        raise PassingError("the connection broke") from error


def _check_length(response: requests.Response, expected: int, label: str) -> None:
    announced = response.headers.get("Content-Length", "")
    if announced in ("", str(expected)):
        return
    if "html" in response.headers.get("Content-Type", ""):
        raise RegistryError(
            f"the server sent a web page in place of {label}: a sign-in or quota page, perhaps; "
            f"open {without_secrets(response.url)} in a browser"
        )
    raise RegistryError(
        f"the server offers {announced:.20} bytes for {label}, the index says {expected}; "
        "the registry and its index disagree: tell its owner"
    )


@contextmanager
def _writing(part: Path, mode: str) -> Iterator[Any]:
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open(mode) as file:
            yield file
    except requests.RequestException:
        raise  # also an OSError, but not the disk's
    except OSError as error:
        raise RegistryError(
            f"cannot write {part}: {error.strerror}; free some space or set PAE_CACHE"
        ) from error


def _pause_or_give_up(failures: int, url: str, error: PassingError, attempts: int) -> None:
    if failures >= attempts:
        raise RegistryError(
            f"cannot fetch {without_secrets(url)}: {error}; check the connection and try again"
        ) from error
    time.sleep(PAUSE * 2 ** (failures - 1))


def _show(task: Task, before: int, after: int) -> None:
    task.advance(after // SIZE_UNIT - before // SIZE_UNIT)


def _length(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0
