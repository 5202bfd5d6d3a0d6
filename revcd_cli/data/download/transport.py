"""The HTTP client of the downloads: httpx, with a time limit for connecting and redirects to web addresses only."""

from __future__ import annotations

import queue
import ssl
import threading
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

_CONNECT_SECONDS = 1.5  # name resolution, TCP and TLS together: without a network a command must fail within two
_MAX_REDIRECTS = 10


class TransportError(Exception):
    """A request failed, or the connection broke; the message is the reason in a few words."""


class Response:
    """An HTTP response whose body is read in chunks. Use it as a context manager, which closes the connection."""

    def __init__(self, client: httpx.Client, response: httpx.Response) -> None:
        self.status, self.reason = response.status_code, response.reason_phrase
        self.headers: Mapping[str, str] = response.headers  # names in any case
        self._client, self._response = client, response

    def chunks(self) -> Iterator[bytes]:
        """Yield the body as it arrives. Raises `TransportError` if it ends early or the server is silent too long."""
        import httpx

        try:
            yield from self._response.iter_raw()
        except httpx.HTTPError as error:
            raise TransportError(_reason(error)) from error

    def close(self) -> None:
        self._response.close()
        self._client.close()

    def __enter__(self) -> Response:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def get(url: str, headers: Mapping[str, str], timeout: float) -> Response:
    """Send a GET request to an http or https address, follow redirects, and return the response.

    timeout: the longest silence of a connected server, in seconds. Proxies are those of the environment, certificates
    those of the system. Raises `TransportError`.
    """
    import httpx

    try:
        client = httpx.Client(headers=dict(headers), timeout=timeout, verify=ssl.create_default_context())
    except (ImportError, ValueError) as error:  # a type of proxy that httpx does not support, or only with socksio
        raise TransportError(_reason(error)) from error
    try:
        request = client.build_request("GET", url)
        for _ in range(_MAX_REDIRECTS):
            response = _send(client, request)
            if not response.has_redirect_location:
                return Response(client, response)
            target, redirected = response.headers["Location"], response.next_request
            response.close()
            if redirected is None or redirected.url.scheme not in ("http", "https"):
                raise TransportError(f"it redirects to {target}, which is not a web address")
            request = redirected
        raise TransportError(f"it redirects more than {_MAX_REDIRECTS} times")
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        client.close()
        raise TransportError(_reason(error)) from error
    except BaseException:
        client.close()
        raise


def _send(client: httpx.Client, request: httpx.Request) -> httpx.Response:
    """Send a request; a connection that is not established in time is left to its daemon thread.

    httpx's own timeouts do not cover name resolution, and restart for each address and for TLS.
    """
    connected, late = threading.Event(), threading.Event()
    outcome: queue.SimpleQueue[httpx.Response | BaseException] = queue.SimpleQueue()

    def trace(event: str, details: Mapping[str, Any]) -> None:
        if event.endswith("send_request_headers.started"):
            connected.set()

    def run() -> None:
        try:
            outcome.put(client.send(request, stream=True))
        except BaseException as error:
            outcome.put(error)
        connected.set()
        if late.is_set():
            client.close()

    request.extensions = {**request.extensions, "trace": trace}
    threading.Thread(target=run, daemon=True, name="revcd-download").start()
    if not connected.wait(_CONNECT_SECONDS):
        late.set()
        raise TransportError(f"no connection within {_CONNECT_SECONDS} seconds")
    result = outcome.get()
    if isinstance(result, BaseException):
        raise result
    return result


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
