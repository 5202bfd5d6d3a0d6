"""The web client behind downloads: urllib with a hard limit on connecting, and redirects to web addresses only."""

from __future__ import annotations

import http.client
import threading
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

_CONNECT_SECONDS = 1.5  # name resolution, TCP and TLS together: a machine without network must answer within two


class _Deadline:
    """Connect within a hard limit: name resolution and the TLS handshake obey no timeout of a socket."""

    def connect(self) -> None:
        failures: list[BaseException] = []
        late = threading.Event()

        def attempt() -> None:
            try:
                super(_Deadline, self).connect()
            except BaseException as error:
                failures.append(error)
            if late.is_set():
                self.close()

        worker = threading.Thread(target=attempt, daemon=True)
        worker.start()
        worker.join(_CONNECT_SECONDS)
        if worker.is_alive():
            late.set()
            raise TimeoutError(f"no connection within {_CONNECT_SECONDS} seconds")
        if failures:
            raise failures[0]


class _HTTPConnection(_Deadline, http.client.HTTPConnection):
    pass


class _HTTPSConnection(_Deadline, http.client.HTTPSConnection):
    pass


class _HTTPHandler(urllib.request.HTTPHandler):
    def http_open(self, request: urllib.request.Request) -> Any:
        return self.do_open(_HTTPConnection, request)


class _HTTPSHandler(urllib.request.HTTPSHandler):
    def https_open(self, request: urllib.request.Request) -> Any:
        return self.do_open(_HTTPSConnection, request)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follow redirects to web addresses only: urllib would go on to ftp, too."""

    def redirect_request(self, request: Any, stream: Any, code: int, reason: str, headers: Any, url: str) -> Any:
        if urlsplit(url).scheme.casefold() not in ("http", "https"):
            raise urllib.error.URLError(f"it redirects to {url}, which is not a web address")
        return super().redirect_request(request, stream, code, reason, headers, url)


def build_opener() -> urllib.request.OpenerDirector:
    """Return an opener for http, https and file addresses. Proxies are taken from the environment."""
    return urllib.request.build_opener(_HTTPHandler, _HTTPSHandler, _Redirects)
