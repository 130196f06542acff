"""Whether the viewer's packages are there, and at which address its page can be served."""

import socket
from importlib.util import find_spec

from orefield.errors import OrefieldError

HOST = "127.0.0.1"
FIRST_PORT = 7007
_TRIED = 100
"""Ports looked at from the first on."""
_INSTALL = "pip install 'orefield[viewer]'"


def check_installed() -> None:
    """Raise OrefieldError, naming the command that installs them, where packages are missing."""
    missing = [name for name in ("viser", "scipy") if find_spec(name) is None]
    if missing:
        raise OrefieldError(f"the viewer needs {' and '.join(missing)}: {_INSTALL}")


def choose_port(host: str = HOST, port: int = 0) -> int:
    """The port itself if it is free; for 0 the first free one from 7007 on.

    Raises OrefieldError for a port in use, one outside of 0 to 65535, and a host that is none of
    this machine's addresses.
    """
    if not 0 <= port <= 65_535:
        raise OrefieldError(f"the viewer's port must be from 0 to 65535, got {port}")
    try:
        family, *_, (address, *_) = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as any_port:
            any_port.bind((address, 0))
    except (OSError, UnicodeError) as error:
        raise OrefieldError(
            f"the viewer's host {host!r} is no address of this machine: {error}"
        ) from None
    if port:
        if not _is_free(family, str(address), port):
            raise OrefieldError(
                f"port {port} on {host} is in use or not allowed; choose another for the viewer, "
                f"or 0 for the first free one from {FIRST_PORT} on"
            )
        return port
    for candidate in range(FIRST_PORT, FIRST_PORT + _TRIED):
        if _is_free(family, str(address), candidate):
            return candidate
    last = FIRST_PORT + _TRIED - 1
    raise OrefieldError(f"ports {FIRST_PORT} to {last} on {host} are all in use")


def address_lines(host: str, port: int) -> str:
    """Where the page is, and how to see it from another machine."""
    name = f"[{host}]" if ":" in host else host
    tunnel = host in (HOST, "localhost", "::1")
    line = f"viewer: http://{name}:{port}"
    return f"{line}\nfrom afar: ssh -N -L {port}:{name}:{port} USER@HOST" if tunnel else line


def _is_free(family: int, address: str, port: int) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        # As servers do: a port whose last connections are still fading away is free.
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((address, port))
        except OSError:
            return False
    return True
