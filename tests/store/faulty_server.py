"""A loopback web server that can be told to misbehave."""

import ssl
import threading
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Fault = Callable[["Handler", bytes], None]


class Handler(BaseHTTPRequestHandler):
    """Serves a folder, ranges included; the faults of a file name are used up one a request."""

    protocol_version = "HTTP/1.1"

    def __init__(self, site: "Site", *rest: object) -> None:
        self.site = site
        super().__init__(*rest)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        name = self.path.lstrip("/")
        self.site.requests.append((name, self.headers.get("Range", "")))
        self.site.tokens.append(self.headers.get("Authorization", ""))
        faults = self.site.faults.get(name, [])
        fault = faults.pop(0) if faults else None
        path = self.site.folder / name
        content = path.read_bytes() if path.is_file() else None
        if fault is not None:
            self.close_connection = True
            fault(self, content or b"")
        elif content is None:
            self.answer(404, b"no such file")
        else:
            self.serve(content)

    def serve(self, content: bytes) -> None:
        wanted = self.headers.get("Range", "")
        if not wanted or self.site.no_ranges:
            return self.answer(200, content)
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        headers = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
        return self.answer(206, content[start:], headers)

    def answer(
        self,
        status: int,
        body: bytes,
        headers: dict[str, str] | None = None,
        length: int | None = None,
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        if self.close_connection:  # said, or the next request may be sent into the closed end
            self.send_header("Connection", "close")
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


class Site:
    """A running server."""

    def __init__(
        self, folder: Path, handler: type[Handler] = Handler, certificate: Path | None = None
    ) -> None:
        self.folder = folder
        self.faults: dict[str, list[Fault]] = {}
        self.requests: list[tuple[str, str]] = []
        self.tokens: list[str] = []  # sent with each request
        self.no_ranges = False
        self.released = threading.Event()  # ends stalls
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, self))
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()

    def stop(self) -> None:
        self.released.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def end_unannounced(count: int) -> Fault:
    """Sends a beginning without telling how much there is, as if that were all."""

    def fault(handler: Handler, content: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(content[:count])

    return fault


def drop_after(count: int) -> Fault:
    """Announces everything, sends `count` bytes and hangs up."""
    return lambda handler, content: handler.answer(200, content[:count], length=len(content))


def stall_after(count: int) -> Fault:
    def fault(handler: Handler, content: bytes) -> None:
        handler.answer(200, content[:count], length=len(content))
        handler.wfile.flush()
        handler.site.released.wait(20)

    return fault


def status(code: int) -> Fault:
    return lambda handler, content: handler.answer(code, b"sorry")


def web_page(handler: Handler, content: bytes) -> None:
    handler.answer(200, b"<html>quota exceeded</html>", {"Content-Type": "text/html"})


def same_length_garbage(handler: Handler, content: bytes) -> None:
    handler.answer(200, bytes(len(content)))


def redirect(target: str) -> Fault:
    return lambda handler, content: handler.answer(302, b"", {"Location": target})


def break_range_after(count: int) -> Fault:
    """Sends at most `count` bytes of what was asked for, ranges included, and hangs up."""

    def fault(handler: Handler, content: bytes) -> None:
        start = int(handler.headers.get("Range", "bytes=0-").removeprefix("bytes=")[:-1])
        headers = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
        part = content[start : start + count]
        handler.answer(206, part, headers, length=len(content) - start)

    return fault


def drip(pause: float) -> Fault:
    """Sends a byte, waits, sends the next."""

    def fault(handler: Handler, content: bytes) -> None:
        handler.answer(200, b"", length=len(content))
        for byte in content:
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            if handler.site.released.wait(pause):
                return

    return fault


def drip_headers(pause: float) -> Fault:
    """Begins an answer, and sends a header a byte at a time, without end."""

    def fault(handler: Handler, content: bytes) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not handler.site.released.wait(pause):
            try:
                handler.wfile.write(b"x")
            except OSError:  # the other side has given up
                return

    return fault
