"""Laws of where the page is served."""

import socket

import pytest

from orefield.errors import OrefieldError
from orefield.viewer import ports
from orefield.viewer.ports import address_lines, check_installed, choose_port


def test_a_port_in_use_is_refused_by_name_and_passed_over_otherwise() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        with pytest.raises(OrefieldError, match=f"port {taken} on 127.0.0.1 is in use"):
            choose_port("127.0.0.1", taken)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ports, "FIRST_PORT", taken)
            assert choose_port() > taken
    assert choose_port("127.0.0.1", taken) == taken


@pytest.mark.parametrize("port", [-1, 65_536])
def test_ports_end_somewhere(port: int) -> None:
    with pytest.raises(OrefieldError, match="from 0 to 65535"):
        choose_port(port=port)


@pytest.mark.parametrize("host", ["203.0.113.7", "no such host", "a" * 300])
def test_a_host_is_this_machine(host: str) -> None:
    with pytest.raises(OrefieldError, match="no address of this machine"):
        choose_port(host)


def test_the_tunnel_is_for_pages_of_this_machine_alone() -> None:
    assert "ssh -N -L 7007:127.0.0.1:7007 USER@HOST" in address_lines("127.0.0.1", 7007)
    assert "ssh" not in address_lines("0.0.0.0", 7007)
    assert "http://[::1]:7007" in address_lines("::1", 7007)


def test_without_the_packages_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check_installed()
    monkeypatch.setattr(ports, "find_spec", lambda name: None)
    with pytest.raises(OrefieldError, match=r"viser and scipy: pip install 'orefield\[viewer\]'"):
        check_installed()
