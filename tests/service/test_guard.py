"""Host names and origins that a server accepts."""

import socket

import pytest

from caan_hf.service.guard import Hosts, is_local

OWN = "https://demo.example"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "photos.example", "192.168.1.5"])
def test_the_address_that_is_listened_on_is_served(host):
    shown = f"[{host}]" if ":" in host else host
    hosts = Hosts(host)
    assert hosts.is_served(f"{shown}:7860")
    assert hosts.is_served("localhost:9000")
    assert not hosts.is_served("evil.example:7860")
    assert hosts.is_own_origin(f"http://{shown}:7860", f"{shown}:7860")


def test_open_to_the_network_the_names_of_the_machine_are_served():
    machine = socket.gethostname()
    assert Hosts("0.0.0.0").is_served(f"{machine}:7860")
    assert Hosts("::").is_served(f"{machine.partition('.')[0]}.LOCAL")
    assert Hosts("0.0.0.0").is_served("192.168.1.5:7860")
    assert not Hosts("0.0.0.0").is_served("evil.example")


def test_a_space_is_served_under_its_names(monkeypatch):
    assert not Hosts("0.0.0.0").is_served("draw.example")
    monkeypatch.setenv("SPACE_HOST", "someone-draw.hf.space,draw.example")
    hosts = Hosts("0.0.0.0")
    for name in ("someone-draw.hf.space", "draw.example"):
        assert hosts.is_served(name)
        assert hosts.is_own_origin(f"https://{name}", name)
        assert hosts.is_own_origin(f"https://{name}", "10.0.0.7:7860")  # replaced by the proxy
    assert hosts.is_served("10.0.0.7:7860")  # whether the Space is alive
    assert not hosts.is_own_origin("https://other.hf.space", "someone-draw.hf.space")


def test_names_of_a_reverse_proxy_can_be_allowed():
    hosts = Hosts("127.0.0.1", ["Demo.example"])
    assert hosts.is_served("demo.example")
    assert hosts.is_own_origin(OWN, "demo.example")
    assert hosts.is_own_origin(OWN, "127.0.0.1:7860")
    assert not Hosts("127.0.0.1").is_own_origin(OWN, "127.0.0.1:7860")
    assert not hosts.is_served("other.example")


def test_only_loopback_addresses_are_local():
    assert all(map(is_local, ("127.0.0.1", "::1", "localhost")))
    assert not any(map(is_local, ("0.0.0.0", "::", "192.168.1.5", "pc")))
