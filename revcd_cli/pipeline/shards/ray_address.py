"""Check that a Ray cluster answers at an address, within seconds: Ray itself tries for minutes before it says no."""

from __future__ import annotations

import os
import re
import socket

from ...errors import RevcdError, UsageError, brief

SECONDS = 5.0  # to connect, and as many for an answer
_CLIENT_PORT = 10001  # of Ray Client, whose addresses may lack it
_ADDRESS = re.compile(
    r"(?P<client>ray://)?(?:\[(?P<literal>[^\]]+)\]|(?P<host>[^\[\]:/@\s]+))(?::(?P<port>\d{1,5}))?/?"
)
# Ray's servers speak gRPC, which is HTTP/2. RFC 9113, section 3.4: each side begins with a SETTINGS frame, which is
# nine bytes if empty: three of length, one of the type 4, flags and stream.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


def check_cluster(address: str) -> None:
    """Raise `RevcdError` if nothing answers at HOST:PORT or ray://HOST:PORT, or something that is not Ray.

    "auto" is checked where Ray would look. Addresses with other schemes are left to Ray. Raises `UsageError` for a text
    that is no address.
    """
    place = _found() if address == "auto" else address
    if place in (None, "local") or ("://" in place and not place.startswith("ray://")):
        return
    shown = place if place == address else f"{address} is {place}"
    match = _ADDRESS.fullmatch(place)
    port = int(match["port"] or (_CLIENT_PORT if match["client"] else 0)) if match else 0
    if match is None or not 0 < port < 1 << 16:
        raise UsageError(f'"{place}" is no address of a Ray cluster.', hint="Write auto, HOST:PORT or ray://HOST:PORT.")
    host = match["literal"] or match["host"]
    try:
        is_ray = _speaks_grpc(host, port)
    except (OSError, UnicodeError) as error:  # UnicodeError: of a host name that cannot be encoded
        raise RevcdError(
            f"{shown}: no Ray cluster answers there ({brief(error)}).",
            hint="Check --address, and that the cluster runs (ray status). On a node of the cluster it is auto.",
        ) from error
    if not is_ray:
        raise RevcdError(
            f"{shown}: what answers there is no Ray cluster.",
            hint="Use the port of ray start --head (6379), not that of the dashboard (8265).",
        )


def _found() -> str | None:
    """Return what Ray takes for "auto": RAY_ADDRESS, or the last cluster that this machine was a node of, if any.

    Ray remembers that cluster in a file, also after it has ended.
    """
    if place := os.environ.get("RAY_ADDRESS"):
        return place
    try:
        from ray._private.services import canonicalize_bootstrap_address as find  # no public function tells it

        return str(find("auto"))
    except Exception:  # none, of which ray.init tells, or another version of Ray
        return None


def _speaks_grpc(host: str, port: int) -> bool:
    """Return whether a server begins as HTTP/2 does. Raises `OSError` if none is reached within `SECONDS`."""
    with socket.create_connection((host, port), SECONDS) as connection:
        if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
            return True  # the answer would be encrypted
        try:
            connection.sendall(_PREFACE)
            answer = b""
            while len(answer) < 4 and (more := connection.recv(9)):
                answer += more
        except OSError:  # closed at once, or silent
            return False
        return answer[3:4] == b"\x04"
