"""Who may ask the page for something, and what browsers may do with its answers."""

import secrets
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

NAMES = ("127.0.0.1", "localhost")  # by which a browser on this machine, or a tunnel, calls it
TOKEN_HEADER = "x-pae-token"
OWN_SITES = ("same-origin", "none")  # `none`: typed, or opened by another program
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",  # it would carry the token
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}


class Guard:
    """Lets only the page itself through, and only with the token.

    Other web sites in the same browser can send requests to this machine, and other users of
    the machine can connect: the first are refused by the headers that browsers add, and both for
    want of the token.
    """

    def __init__(self, app: ASGIApp, *, token: str) -> None:
        """Takes what answers and the token."""
        self._app, self._token = app, token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or refuses it in one line."""
        if scope["type"] == "lifespan":  # the server itself: that it begins, and that it ends
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return None  # no other protocol is spoken

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refused = self._refusal(scope)
        return await (refused or self._app)(scope, receive, send_guarded)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if host.rpartition(":")[0] not in NAMES and host not in NAMES:
            return refusal(scope["path"], 421, "this page answers only to 127.0.0.1")
        origin = headers.get("origin", f"http://{host}")
        if origin != f"http://{host}" or headers.get("sec-fetch-site", "none") not in OWN_SITES:
            line = "requests of other sites are refused; copy the address from the terminal"
            return refusal(scope["path"], 403, line)
        if not self._has_token(scope, headers):
            line = "the token is missing or old; open the address that `pae serve` printed"
            return refusal(scope["path"], 401, line)
        return None

    def _has_token(self, scope: Scope, headers: Headers) -> bool:
        given = headers.get(TOKEN_HEADER)
        if given is None and scope["method"] in ("GET", "HEAD"):
            query = parse_qs(scope["query_string"].decode("latin-1"))
            given = query.get("token", [""])[0]
        return secrets.compare_digest((given or "").encode(), self._token)


def refusal(path: str, status: int, line: str) -> Response:
    """Returns an answer that says in one line why there is none."""
    kind = JSONResponse({"error": line}) if path.startswith("/api/") else PlainTextResponse(line)
    kind.status_code = status
    kind.headers["connection"] = "close"  # what is left of an upload is not read
    return kind
