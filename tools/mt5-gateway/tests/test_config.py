"""The configuration file."""

import sys
from pathlib import Path
from typing import Any

import pytest

from sentinel_gateway.cli import main
from sentinel_gateway.clock import DstRule
from sentinel_gateway.config import BadConfig, Config

GOOD: dict[str, Any] = {
    "gateway": {"bind": "tcp://127.0.0.1:5555", "state": "state"},
    "terminal": {"path": "C:/MT5/terminal64.exe", "login": 5012345, "server": "Broker-Demo", "allow_real": False},
    "time": {"winter_s": 7200, "dst": "us"},
    "settle": {"absent_after_s": 300},
}


def changed(table: str, **keys: Any) -> dict[str, Any]:
    return {**GOOD, table: {**GOOD.get(table, {}), **keys}}


def test_the_specifications_example_is_read() -> None:
    config = Config.of(GOOD, Path("/base"))
    assert config.state == Path("/base/state")
    assert (config.expected.login, config.expected.allow_real) == (5012345, False)
    assert config.rule == DstRule(7200, "us")
    assert config.absent_after_s == 300


@pytest.mark.parametrize(
    "said",
    [
        changed("gateway", more=1),
        changed("more", key=1),
        {"gateway": {}},
        changed("gateway", bind="tcp://0.0.0.0:5555"),
        changed("gateway", bind="tcp://*:5555"),
        changed("gateway", bind="tcp://93.184.216.34:5555"),
        changed("gateway", curve={"server_secret": "s"}),
        changed("gateway", curve={"server_secret": "s", "clients": "c", "more": 1}),
        changed("time", winter_s=7201),
        changed("time", dst="mars"),
        changed("settle", absent_after_s=5),
        changed("settle", absent_after_s="300"),
    ],
)
def test_what_is_wrong_in_it_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(BadConfig):
        Config.of(said, Path("/base"))


@pytest.mark.parametrize("bind", ["tcp://127.0.0.1:5555", "tcp://10.8.0.2:5555", "tcp://[fd00::2]:5555", "tcp://localhost:*"])
def test_loopback_and_tunnel_need_no_keys(bind: str) -> None:
    assert Config.of(changed("gateway", bind=bind), Path("/base")).bind == bind


def test_with_keys_any_address_may_be_bound() -> None:
    curve = {"server_secret": "server.key_secret", "clients": "clients"}
    config = Config.of(changed("gateway", bind="tcp://0.0.0.0:5555", curve=curve), Path("/base"))
    assert config.server_secret == Path("/base/server.key_secret")


def test_waits_are_not_shortened_beside_a_real_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert main(["serve", "--config", "none.toml", "--time-factor", "0.01"]) == 78
    assert "for tests" in capsys.readouterr().err
