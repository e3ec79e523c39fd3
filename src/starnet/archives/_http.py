"""Asking an archive politely: who we are, when to try again, when to wait, when to give up."""

import contextlib
import email.utils
import http.client
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version

CHUNK = 1 << 18
TRY_AGAIN = (408, 425, 429, 500, 502, 503, 504)


class FetchError(Exception):
    """This address will not give the file; the message says why, `code` is HTTP's (0: none)."""

    def __init__(self, why: str, code: int = 0) -> None:
        super().__init__(why)
        self.code = code


class AbsentError(FetchError):
    """The archive has no such file (404 or 410)."""


class UnreachableError(FetchError):
    """Nobody answers at this address."""


class StoppedError(Exception):
    """Another file met a reason to stop all of them."""


class RetryError(Exception):
    """A passing fault: worth another try after `wait` seconds (None: the usual pause)."""

    def __init__(self, why: str, wait: float | None = None, unreachable: bool = False) -> None:
        super().__init__(why)
        self.wait, self.unreachable = wait, unreachable


@dataclass(frozen=True)
class Policy:
    """How patient a session is; times in seconds."""

    timeout: float = 30.0
    retries: int = 3
    backoff: float = 1.0
    longest_wait: float = 120.0


@dataclass
class Session:
    """What the files of one download share: patience, a stop signal and the archive's requests."""

    policy: Policy = field(default_factory=Policy)
    stop: threading.Event = field(default_factory=threading.Event)
    not_before: float = 0.0

    def __post_init__(self) -> None:
        opener = urllib.request.OpenerDirector()
        # Only http(s): the usual opener also takes file: and ftp:, even in a redirect.
        for handler in (
            urllib.request.ProxyHandler,
            urllib.request.UnknownHandler,
            urllib.request.HTTPHandler,
            urllib.request.HTTPSHandler,
            urllib.request.HTTPDefaultErrorHandler,
            urllib.request.HTTPRedirectHandler,
            urllib.request.HTTPErrorProcessor,
        ):
            opener.add_handler(handler())
        self._opener = opener

    def wait_turn(self) -> None:
        """Sleep while the archive asked for a pause; raise `StoppedError` when all must stop."""
        if self.stop.wait(max(0.0, self.not_before - time.monotonic())):
            raise StoppedError

    def open(self, url: str, headers: dict[str, str]) -> http.client.HTTPResponse:
        """Open `url`; a fault becomes `AbsentError`, `FetchError` or a reason to try again."""
        agent = {
            "User-Agent": f"starnet/{_version()} (Python urllib)",
            "Accept-Encoding": "identity",
        }
        request = urllib.request.Request(url, headers=agent | headers)
        with translated():
            return self._opener.open(request, timeout=self.policy.timeout)

    def attempts(self, attempt: Callable[[], object], progress: Callable[[], int]) -> None:
        """Call `attempt` until it succeeds, pausing longer after each fault.

        An attempt that brought a good piece of the file starts the count anew, so that a large
        file arrives over a line that breaks often.
        """
        faults, before = 0, progress()
        while True:
            self.wait_turn()
            try:
                attempt()
                return
            except RetryError as error:
                now = progress()
                faults = 1 if now - before >= CHUNK else faults + 1
                before = now
                pause = self.policy.backoff * 2 ** (faults - 1) if error.wait is None else 0.0
                longest = self.policy.longest_wait
                if faults > self.policy.retries or (error.wait or 0.0) > longest:
                    kind = UnreachableError if error.unreachable else FetchError
                    raise kind(str(error)) from error
                if error.wait:  # the archive asked for a pause: every file keeps it
                    self.not_before = max(self.not_before, time.monotonic() + error.wait)
                if self.stop.wait(min(pause, longest)):
                    raise StoppedError from error

    def text(self, url: str, limit: int = 1 << 25) -> str:
        """Text of a small page (a checksum file, a directory listing)."""
        kept: list[str] = []

        def attempt() -> None:
            with self.open(url, {}) as response, translated():
                kept.append(response.read(limit).decode("utf-8", "replace"))

        self.attempts(attempt, lambda: 0)
        return kept[-1]

    def size(self, url: str) -> int | None:
        """Bytes that `url` would send, or None where the archive does not say."""
        kept: list[int | None] = []

        def attempt() -> None:
            with self.open(url, {}) as response:
                kept.append(length_of(response))

        self.attempts(attempt, lambda: 0)
        return kept[-1]


def length_of(response: http.client.HTTPResponse) -> int | None:
    """Content-Length of a response, or None where there is none."""
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdigit() else None


def _version() -> str:
    try:
        return version("starnet")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "0"


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn the many errors of a connection into `FetchError` or, if they may pass, `RetryError`."""
    try:
        yield
    except urllib.error.HTTPError as error:
        with error:
            raise _http_fault(error.code, error.headers.get("Retry-After")) from error
    except urllib.error.URLError as error:
        raise _line_fault(error.reason, unreachable=True) from error
    except (OSError, http.client.HTTPException) as error:
        raise _line_fault(error) from error
    except ValueError as error:
        raise FetchError(f"the address cannot be used ({error})") from error


def _http_fault(code: int, retry_after: str | None) -> Exception:
    if code in (404, 410):
        return AbsentError(f"the archive has no such file (HTTP {code})", code)
    if code in TRY_AGAIN:
        return RetryError(f"the archive is busy or faulty (HTTP {code})", _seconds(retry_after))
    if code in (401, 403):
        return FetchError(f"the archive does not allow it (HTTP {code})", code)
    return FetchError(f"the archive answered HTTP {code}", code)


def _line_fault(reason: object, unreachable: bool = False) -> Exception:
    if isinstance(reason, ssl.SSLCertVerificationError):
        return FetchError(f"the archive's certificate is not trusted ({reason.verify_message})")
    if isinstance(reason, TimeoutError):
        return RetryError("no answer in time (timeout)", unreachable=True)
    if isinstance(reason, socket.gaierror):
        return RetryError("the archive's name cannot be resolved (no network?)", unreachable=True)
    why = str(reason) or type(reason).__name__
    if not isinstance(reason, OSError | http.client.HTTPException):
        return FetchError(why)
    return RetryError(f"the connection failed ({why})", unreachable=unreachable)


def _seconds(retry_after: str | None) -> float | None:
    """Value of a Retry-After header, which is seconds or a date (RFC 9110, 10.2.3)."""
    if not retry_after:
        return None
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        with contextlib.suppress(ValueError, TypeError):
            return max(
                0.0, email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time()
            )
    return None
