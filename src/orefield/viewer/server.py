"""The web server of the page."""

from collections.abc import Iterator
from contextlib import contextmanager

import rich
import viser

from orefield.errors import OrefieldError


class _Server(viser.ViserServer):
    def request_share_url(self, verbose: bool = True) -> str | None:
        """Never: it would lead through a machine of somebody else."""
        return None


@contextmanager
def open_server(host: str, port: int) -> Iterator[viser.ViserServer]:
    """Serve the page on a free port (see `choose_port`) while the block lasts.

    Raises OrefieldError where the port has been taken meanwhile.
    """
    console = rich.get_console()
    quiet, console.quiet = console.quiet, True  # viser prints boxes of its own
    try:
        server = _Server(host=host, port=port, verbose=False)
        try:
            if server.get_port() != port:
                raise OrefieldError(f"port {port} on {host} is in use; choose another")
            server.gui.configure_theme(
                show_logo=False,
                show_share_button=False,
                brand_color=(179, 84, 30),
            )
            server.gui.main_panel.dock_right()
            server.gui.set_panel_label("Orefield")
            yield server
        finally:
            server.stop()
    finally:
        console.quiet = quiet
