"""Where the page is: the socket it listens on, and the address with its token. Without torch."""

import os
import secrets
import socket
import sys
import webbrowser

from paecli.system.errors import UsageError

HOST = "127.0.0.1"  # nobody on the network reaches it
USUAL_PORT = 8620
TOKEN_BYTES = 32
DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")  # one is set where windows can be opened


def listen(port: int | None) -> socket.socket:
    """Opens the socket that the page is served from.

    Args:
        port: 0 is any free one; None is the usual one, or any free one if that is taken.

    Raises:
        UsageError: the port is taken, or needs rights that the user does not have.
    """
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if os.name == "posix":  # a server that has just ended leaves its port for a minute
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, USUAL_PORT if port is None else port))
    except OSError as error:
        listening.close()
        if port is None:
            return listen(0)
        raise UsageError(
            f"cannot listen on port {port}: {error.strerror}; give another by --port, or 0 for any"
        ) from error
    listening.listen()
    return listening


def new_token() -> str:
    """Returns the secret that a page's address carries; every run has its own."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def address_of(listening: socket.socket, token: str) -> str:
    """Returns the address that opens the page."""
    return f"http://{HOST}:{listening.getsockname()[1]}/?token={token}"


def open_browser(address: str) -> bool:
    """Opens the page in the user's browser, where there is a screen; tells whether it did."""
    on_a_screen = sys.platform in ("darwin", "win32") or any(map(os.environ.get, DISPLAYS))
    return bool(on_a_screen) and webbrowser.open(address)
