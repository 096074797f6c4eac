"""Answers over HTTP: opened in bounded time, from secure addresses only; errors are one line."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from paecli import __version__
from paecli.store.sources import is_loopback
from paecli.store.waiting import within
from paecli.system.errors import RegistryError

TIMEOUT = (10.0, 30.0)  # seconds to connect, and between two pieces of the answer
LONGEST_START = 60.0  # seconds until an answer begins, redirects included
SLOW_DOWN = (408, 425, 429)  # client errors that pass with time


class PassingError(Exception):
    """A failure that may not happen again."""


class _LoopbackAdapter(HTTPAdapter):  # type: ignore[misc]
    """Plain HTTP, but only to this machine; checked at every redirect too."""

    def send(self, request: Any, *args: Any, **options: Any) -> Any:
        if not is_loopback(request.url):
            raise requests.exceptions.InvalidSchema("plain http:// to another machine")
        return super().send(request, *args, **options)


@contextmanager
def open_answer(url: str, headers: Mapping[str, str], what: str) -> Iterator[requests.Response]:
    """Opens a connection and yields a good answer, its body still to be read.

    Args:
        url: `https://`, or `http://` on this machine.
        headers: sent with the request.
        what: what is fetched, for messages.

    Raises:
        PassingError: unreachable, or a status that may change.
        RegistryError: another error status, an address that is not followed, or too slow.
    """
    # identity: a compressed body could unpack into far more than was agreed, and breaks ranges
    sent = {"User-Agent": f"pae/{__version__}", **headers, "Accept-Encoding": "identity"}
    try:
        with _session(url) as session, _begin(session, url, sent) as response:
            _check_status(response, what)
            yield response
    except TimeoutError as error:
        raise too_slow(what) from error
    except (
        requests.exceptions.InvalidSchema,
        requests.exceptions.InvalidURL,
        requests.exceptions.TooManyRedirects,
    ) as error:
        raise _not_followed(url, error) from error
    except requests.RequestException as error:
        raise PassingError(_reason(error)) from error
    except ValueError as error:  # of urllib, for an address such as http://[::1
        raise _not_followed(url, error) from error


def without_secrets(url: str) -> str:
    """Returns a URL without its query, which may hold a signature or token."""
    return urlsplit(url)._replace(query="", fragment="").geturl()


def too_slow(what: str) -> RegistryError:
    """Returns the error for an answer that would take without end."""
    return RegistryError(f"{what} arrives too slowly; try again later")


def _begin(session: requests.Session, url: str, headers: Mapping[str, str]) -> requests.Response:
    """Waits for the headers of an answer.

    Raises:
        TimeoutError: a server, perhaps by redirecting, lets them drip.
    """
    return within(
        LONGEST_START,
        lambda: session.get(url, headers=headers, stream=True, timeout=TIMEOUT),
        discard=requests.Response.close,
    )


def _not_followed(url: str, error: Exception) -> RegistryError:
    return RegistryError(
        f"{without_secrets(url)} leads to an address that pae does not follow "
        f"({error!s:.200}); tell the registry's owner"
    )


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
        raise PassingError(f"the server answers {status}")
    if status == 416:
        raise PassingError("the server has no more bytes to send")
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


def _reason(error: requests.RequestException) -> str:
    if isinstance(error, requests.Timeout):
        return "the server does not answer"
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke"
    return "no connection"
