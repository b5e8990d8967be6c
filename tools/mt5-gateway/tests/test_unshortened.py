"""Two orders with every wait at its true length: a night's work, and what the factor of all other tests leaves out."""

import os
import time
from pathlib import Path

import pytest

from processes import Client, start_fake, start_gateway, tell_fake, write_config
from simulated import open_payload

ABSENT_AFTER_S = 300


@pytest.mark.skipif("SENTINEL_UNSHORTENED" not in os.environ, reason="takes six minutes: set SENTINEL_UNSHORTENED")
def test_an_executed_and_a_lost_order_are_settled_at_true_length(directory: Path) -> None:
    write_config(directory)
    fake = start_fake(directory, factor=1.0)
    messages = []
    for pipe in ("kill_executed", "kill_before"):
        gateway = start_gateway(directory, factor=1.0)
        client = Client(gateway.address)
        assert client.hello(10) is not None
        tell_fake(directory, "plan", {"plans": [{"pipe": pipe}]})
        messages.append(client.effect("OPEN", open_payload(), expires_s=10))
        client.peer = gateway
        assert client.ask(messages[-1], timeout_s=10) is None
        gateway.end()
        client.close()
    gateway = start_gateway(directory, factor=1.0)
    client = Client(gateway.address)
    began = time.monotonic()
    states = ["", ""]
    while states != ["done", "absent"]:
        assert time.monotonic() - began < ABSENT_AFTER_S + 120, states
        if client.hello(10) is not None:
            replies = [client.status(message, "buy") for message in messages]
            states = [reply["data"]["state"] if reply and reply["ok"] else "" for reply in replies]
            assert states[1] != "absent" or time.monotonic() - began >= ABSENT_AFTER_S - 20
        time.sleep(1)
    print(f"\nboth settled after {time.monotonic() - began:.0f} s")
    client.close()
    gateway.kill()
    fake.kill()
