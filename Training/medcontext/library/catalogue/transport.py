"""One answer from a web server, block by block; nothing else in the package opens an address.

Proxies are those of the environment (``https_proxy``, ``no_proxy``), certificates are checked, redirects are few and
never leave an encrypted connection.
"""

from __future__ import annotations

import http.client
import queue
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Any, Self
from urllib import request as web
from urllib.error import HTTPError, URLError
from urllib.parse import urljoin, urlsplit

import medcontext
from medcontext.errors import InputError, MedContextError, ResourceError
from medcontext.events import Reporter
from medcontext.library.catalogue.places import WEB, checked, shown

MAXIMUM_REDIRECTS = 5
_BLOCK = 2**18
_WAITING_BLOCKS = 16
_LOOK_EVERY_S = 0.1
_PASSING = (408, 425, 429, 500, 502, 503, 504)
"""Status codes of servers that may answer when asked again."""


class NetworkError(ResourceError):
    """Something between here and the server failed that may work when it is tried again."""


class NoSuchPartError(NetworkError):
    """The server's file ends before the part that was asked for."""


@dataclass(frozen=True)
class Head:
    """What a server says before the content.

    Attributes:
        status: 200 for the whole, 206 for a part.
        url: address that answered, after redirects.
        headers: by name in small letters.
    """

    status: int
    url: str
    headers: Mapping[str, str]

    def number(self, name: str) -> int | None:
        """The whole number in a header, or None."""
        text = self.headers.get(name, "").strip()
        return int(text) if text.isascii() and text.isdigit() else None


class Transfer:
    """One request, answered in a thread of its own, so that whoever waits can be stopped within a moment.

    Args:
        url: http or https.
        headers: of the request.
        stall_s: seconds without a byte after which the server is given up.
        reporter: asked whether to go on.
    """

    def __init__(self, url: str, headers: Mapping[str, str], stall_s: float, reporter: Reporter) -> None:
        self._url, self._headers, self._stall_s = url, headers, stall_s
        self._reporter = reporter
        self._items: queue.Queue[Any] = queue.Queue(_WAITING_BLOCKS)
        self._left = threading.Event()

    def __enter__(self) -> Self:
        threading.Thread(target=self._run, name="download", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()  # the thread ends with the next byte, or when it has waited long enough for one

    def head(self) -> Head:
        """What the server says first.

        Raises:
            NetworkError, InputError: see :func:`explained`.
            CancelledError: someone asked to stop.
        """
        head: Head = self._next()
        return head

    def blocks(self) -> Iterator[bytes]:
        """The content, as it comes; an end that came too early looks like any other.

        Raises:
            NetworkError, InputError: see :func:`explained`.
            CancelledError: someone asked to stop.
        """
        while (block := self._next()) is not None:
            yield block

    def _next(self) -> Any:
        # A byte of the head now and then would keep the socket's own clock from ending, so the wait is timed here too.
        end = time.monotonic() + self._stall_s
        while True:
            self._reporter.check_cancelled()
            try:
                item = self._items.get(timeout=_LOOK_EVERY_S)
            except queue.Empty:
                if time.monotonic() < end:
                    continue
                item = TimeoutError()
            if isinstance(item, Exception):
                raise explained(item, self._url, self._stall_s) from item
            return item

    def _run(self) -> None:
        try:
            asked = web.Request(self._url, headers=dict(self._headers))
            with _opener().open(asked, timeout=self._stall_s) as answer:
                headers = {name.lower(): value for name, value in answer.headers.items()}
                self._give(Head(answer.status, answer.url, headers))
                while (block := answer.read1(_BLOCK)) and self._give(block):
                    pass
            self._give(None)
        except Exception as error:  # it is raised where somebody waits
            self._give(error)

    def _give(self, item: Any) -> bool:
        """Hand over an item; False once nobody wants it any more."""
        while not self._left.is_set():
            try:
                self._items.put(item, timeout=_LOOK_EVERY_S)
                return True
            except queue.Full:
                continue
        return False


class _Redirects(web.HTTPRedirectHandler):
    """Few redirects, to the web only, and never from https to http."""

    max_redirections = MAXIMUM_REDIRECTS
    max_repeats = MAXIMUM_REDIRECTS

    def http_error_302(
        self, req: web.Request, fp: IO[bytes], code: int, msg: str, headers: http.client.HTTPMessage
    ) -> Any:
        target = checked(urljoin(req.full_url, headers.get("location", "")), "The redirect")
        schemes = urlsplit(req.full_url).scheme, urlsplit(target).scheme
        if schemes[1] not in WEB or schemes == ("https", "http"):
            raise InputError(
                f"{shown(req.full_url)} leads on to {shown(target)}, which is not allowed: "
                f"{schemes[0]} leads to {'https' if schemes[0] == 'https' else 'http or https'} only.",
                "Tell whoever keeps the catalogue.",
            )
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _opener() -> web.OpenerDirector:
    """Opens http and https, and no other kind of address."""
    opener = web.OpenerDirector()
    opener.addheaders = [("User-Agent", f"MedContext/{medcontext.__version__}")]
    for handler in (
        web.ProxyHandler(),
        web.HTTPHandler(),
        web.HTTPSHandler(context=ssl.create_default_context()),
        _Redirects(),
        web.HTTPDefaultErrorHandler(),
        web.HTTPErrorProcessor(),
        web.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def explained(error: Exception, url: str, stall_s: float) -> Exception:
    """What went wrong, for a person: ``NetworkError`` where another try may help, else ``InputError``."""
    if isinstance(error, MedContextError):
        return error
    if isinstance(error, HTTPError):
        return _refused(error, shown(url))
    reason = error.reason if isinstance(error, URLError) and isinstance(error.reason, Exception) else error
    host = urlsplit(url).hostname or url
    if isinstance(reason, ssl.SSLCertVerificationError):
        return InputError(
            f"{host} cannot show that it is who it says it is ({reason.verify_message}).",
            "Check the clock of this computer and its certificates; else do not download from there.",
        )
    if isinstance(reason, TimeoutError):
        return NetworkError(f"{host} sent nothing for {stall_s:.0f} seconds.", "Try again later.")
    if isinstance(reason, OSError | http.client.HTTPException):
        said = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
        return NetworkError(
            f"The connection to {host} failed: {said}.", "Check the network and the address, then try again."
        )
    if isinstance(reason, UnicodeError):
        return InputError(f"'{host}' is no name of a computer.", "Check the address.")
    return error


def _refused(error: HTTPError, place: str) -> MedContextError:
    """The sentence about an answer that is no content."""
    error.close()
    if 300 <= error.code < 400:
        return InputError(
            f"{place} leads on and on: more than {MAXIMUM_REDIRECTS} redirects, or in a circle.",
            "Tell whoever keeps the catalogue.",
        )
    if error.code in (404, 410):
        return InputError(f"{place} is not there (status {error.code}).", "Ask for the new address.")
    if error.code == 416:
        return NoSuchPartError(f"{place} is shorter than it was (status 416).", "Try again.")
    if error.code in (401, 403, 407):
        return InputError(
            f"{place} may not be read without permission (status {error.code}).",
            "Download it in a browser, then give the file to 'medcontext model import'.",
        )
    if error.code in _PASSING:
        return NetworkError(f"{place} cannot be had just now (status {error.code}).", "Try again later.")
    return InputError(f"{place} was refused (status {error.code}).", "Check the address.")
