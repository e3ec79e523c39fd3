"""An archive on this machine: serves bytes over HTTP and misbehaves on request."""

import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

Fault = tuple[str, float]


class ArchiveServer(ThreadingHTTPServer):
    """HTTP server on a free port of 127.0.0.1.

    `files` maps a path to its bytes. `faults` maps a path to what the next requests for it meet,
    one each: ``("cut", n)`` sends n bytes and hangs up; ``("stall", n)`` sends n bytes and then
    nothing until the server ends; ``("code", c)`` answers with this code; ``("wrong", 0)`` flips
    the first byte; ``("page", 0)`` sends a web page; ``("shift", 0)`` continues at a wrong place.
    """

    daemon_threads = True
    request_queue_size = 32
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list[Fault]] = defaultdict(list)
        self.ranges, self.validators, self.lengths = True, True, True
        self.retry_after = "0"
        self.version = 1
        self.seen: list[tuple[str, str]] = []  # path and Range of every request
        self.agents: set[str] = set()
        self.stalled, self.released = threading.Event(), threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def asked(self, path: str) -> list[str]:
        """Range headers of the requests for `path` (empty: the whole file)."""
        return [wanted for seen, wanted in self.seen if seen == path]

    def __enter__(self) -> "ArchiveServer":
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    server: ArchiveServer

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test output clean."""

    def do_GET(self) -> None:
        server, path = self.server, unquote(urlsplit(self.path).path)
        wanted = self.headers.get("Range", "")
        server.seen.append((path, wanted))
        server.agents.add(self.headers.get("User-Agent", ""))
        fault, amount = server.faults[path].pop(0) if server.faults[path] else ("", 0.0)
        if fault == "code":
            return self._refuse(int(amount))
        if fault == "page":
            return self._send(200, b"<html>please log in</html>", {"Content-Type": "text/html"})
        if path not in server.files:
            return self._refuse(404)
        body = server.files[path]
        if fault == "wrong":
            body = bytes([body[0] ^ 255]) + body[1:]
        tag = f'"{path}-{server.version}"'
        headers = {"Content-Type": "application/octet-stream"}
        if path.endswith("/"):
            headers["Content-Type"] = "text/html"
        if server.validators:
            headers["ETag"] = tag
        start, code = 0, 200
        same = self.headers.get("If-Range") == tag
        if wanted and server.ranges and same:
            start, code = int(wanted.removeprefix("bytes=").rstrip("-")), 206
            told = start + 1 if fault == "shift" else start
            headers["Content-Range"] = f"bytes {told}-{len(body) - 1}/{len(body)}"
        keep = len(body) if fault not in ("cut", "stall") else start + int(amount)
        return self._send(code, body[start:], headers, keep - start, stall=fault == "stall")

    def _refuse(self, code: int) -> None:
        self._send(code, b"", {"Retry-After": self.server.retry_after} if code > 428 else {})

    def _send(
        self,
        code: int,
        body: bytes,
        headers: dict[str, str],
        keep: int | None = None,
        stall: bool = False,
    ) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        if self.server.lengths:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:keep])
        self.wfile.flush()
        if stall:
            self.server.stalled.set()
            self.server.released.wait(20)
        self.close_connection = True
