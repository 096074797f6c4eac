"""Downloads over HTTP: bounded, resumable, retried, and only ever from secure addresses."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

from paecli import __version__
from paecli.store.sources import is_loopback
from paecli.system.errors import RegistryError
from paecli.system.progress import Progress, Task

TIMEOUT = (10.0, 30.0)  # seconds to connect, and between two pieces of the answer
ATTEMPTS = 5  # in a row that bring nothing
PAUSE = 0.5  # seconds before the second attempt; doubles each time
LONGEST_TEXT = 120.0  # seconds for a whole index
PIECE = 64 * 1024  # bytes
SLOW_DOWN = (408, 425, 429)  # client errors that pass with time
SIZE_UNIT = 1000  # progress counts kilobytes


class _PassingError(Exception):
    """A failure that may not happen again."""


class _LoopbackAdapter(HTTPAdapter):  # type: ignore[misc]
    """Plain HTTP, but only to this machine; checked at every redirect too."""

    def send(self, request: Any, *args: Any, **options: Any) -> Any:
        if not is_loopback(request.url):
            raise requests.exceptions.InvalidSchema("plain http:// to another machine")
        return super().send(request, *args, **options)


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
        except _PassingError as error:
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
            except _PassingError as error:
                failures = 1 if _length(part) > before else failures + 1
                _pause_or_give_up(failures, url, error, ATTEMPTS)


def without_secrets(url: str) -> str:
    """Returns a URL without its query, which may hold a signature or token."""
    return urlsplit(url)._replace(query="", fragment="").geturl()


def _read_text_once(url: str, headers: Mapping[str, str], limit: int, what: str) -> str:
    content, deadline = b"", time.monotonic() + LONGEST_TEXT
    with _answer(url, headers, what) as response:
        for piece in _pieces(response):
            content += piece
            if len(content) > limit:
                raise RegistryError(f"{what} is larger than {limit} bytes; check the address")
            if time.monotonic() > deadline:
                raise RegistryError(f"{what} arrives too slowly; try again later")
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
    with _answer(url, {**headers, **wanted}, label) as response:
        if not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            _show(task, have, 0)
            have = 0  # the server starts over
        _check_length(response, size - have, label)
        with _writing(part, "ab" if have else "wb") as file:
            for piece in _pieces(response):
                if have + len(piece) > size:
                    raise RegistryError(
                        f"the server sends more than the {size} bytes that {label} should have; "
                        "tell the registry's owner"
                    )
                file.write(piece)
                _show(task, have, have + len(piece))
                have += len(piece)
    if have < size:
        raise _PassingError(f"the connection ended after {have} of {size} bytes")


@contextmanager
def _answer(url: str, headers: Mapping[str, str], what: str) -> Iterator[requests.Response]:
    """Opens a connection and yields a good answer, its body still to be read."""
    # identity: a compressed body could unpack into far more than was agreed, and breaks ranges
    sent = {"User-Agent": f"pae/{__version__}", **headers, "Accept-Encoding": "identity"}
    try:
        with (
            _session(url) as session,
            session.get(url, headers=sent, stream=True, timeout=TIMEOUT) as response,
        ):
            _check_status(response, what)
            yield response
    except (
        requests.exceptions.InvalidSchema,
        requests.exceptions.InvalidURL,
        requests.exceptions.TooManyRedirects,
    ) as error:
        raise _not_followed(url, error) from error
    except requests.RequestException as error:
        raise _PassingError(_reason(error)) from error
    except ValueError as error:  # of urllib, for an address such as http://[::1
        raise _not_followed(url, error) from error


def _not_followed(url: str, error: Exception) -> RegistryError:
    return RegistryError(
        f"{without_secrets(url)} leads to an address that pae does not follow "
        f"({error!s:.200}); tell the registry's owner"
    )


def _pieces(response: requests.Response) -> Iterator[bytes]:
    """Yields what has arrived as it arrives: nothing of a slow or broken answer is waited for.

    Raises:
        _PassingError: the connection broke or fell silent.
    """
    try:
        while piece := response.raw.read1(PIECE):
            yield piece
    except urllib3.exceptions.ReadTimeoutError as error:
        raise _PassingError("the server does not answer") from error
    except urllib3.exceptions.HTTPError as error:
        raise _PassingError("the connection broke") from error


def _session(url: str) -> requests.Session:
    session = requests.Session()
    if is_loopback(url):  # a proxy is for other machines
        session.trust_env = False
        session.verify = os.environ.get("REQUESTS_CA_BUNDLE") or True
    session.max_redirects = 5
    if urlsplit(url).scheme == "https":
        del session.adapters["http://"]
    else:
        session.mount("http://", _LoopbackAdapter())
    return session


def _check_status(response: requests.Response, what: str) -> None:
    status = response.status_code
    if status >= 500 or status in SLOW_DOWN:
        raise _PassingError(f"the server answers {status}")
    if status == 416:
        raise _PassingError("the server has no more bytes to send")
    if status not in (200, 206):
        hint = (
            "it asks for permission; for hf:// sign in with `hf auth login`"
            if status in (401, 403)
            else "check the registry's address, or `pae download --list` for the names"
        )
        raise RegistryError(
            f"cannot fetch {what}: {without_secrets(response.url)} answers {status}; {hint}"
        )
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise RegistryError(f"the server sends {what} compressed, which was not asked for")


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


def _pause_or_give_up(failures: int, url: str, error: _PassingError, attempts: int) -> None:
    if failures >= attempts:
        raise RegistryError(
            f"cannot fetch {without_secrets(url)}: {error}; check the connection and try again"
        ) from error
    time.sleep(PAUSE * 2 ** (failures - 1))


def _reason(error: requests.RequestException) -> str:
    if isinstance(error, requests.Timeout):
        return "the server does not answer"
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke"
    return "no connection"


def _show(task: Task, before: int, after: int) -> None:
    task.advance(after // SIZE_UNIT - before // SIZE_UNIT)


def _length(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0
