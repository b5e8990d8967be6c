"""`kill -9` of a real gateway at every named place, judged by the fake terminal's own record."""

import contextlib
import re
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from judge import Findings, judge, read_truth
from processes import PATIENCE_S, ROOT, Client, Process, settled, start_fake, start_gateway, write_config
from sentinel_gateway.killpoints import POINTS
from simulated import open_payload, verdict_of

AT_ONCE = 4
ACTIONS = ("OPEN", "CLOSE")


@dataclass(frozen=True)
class Place:
    """What a death there leaves behind: whether the broker has the order, and what proves it to the client."""

    executed: bool
    proof: str
    # Whether a question passes it too, so that HELLO is the first passing and the order the second.
    of_every_message: bool = False
    # Whether the gateway dies over a question about an order that it never heard of. The order comes later.
    of_a_question: bool = False


PLACES = {
    "received": Place(executed=False, proof="barred", of_every_message=True),
    "checked": Place(executed=False, proof="barred"),
    "sending": Place(executed=False, proof="history"),
    "guarded": Place(executed=False, proof="history"),
    "sent": Place(executed=True, proof="deals"),
    "result": Place(executed=True, proof="deals"),
    "completed": Place(executed=True, proof="deals"),
    "barred": Place(executed=False, proof="barred", of_a_question=True),
    "replying": Place(executed=True, proof="deals", of_every_message=True),
    "replied": Place(executed=True, proof="deals", of_every_message=True),
}


@dataclass(frozen=True)
class Told:
    """One death, and how it was settled."""

    died: bool
    record: dict[str, Any]
    # The reply to the same message, sent again.
    again: dict[str, Any]
    findings: Findings


class Life:
    """One fake terminal, and gateways on one ledger, one after the other."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        write_config(directory)
        self.fake = start_fake(directory)
        self._gateway: Process | None = None
        self._client: Client | None = None

    def end(self) -> None:
        self._end_gateway()
        self.fake.kill()

    def gateway(self, kill_at: str = "") -> tuple[Process, Client]:
        """The next gateway, whatever became of the one before, and a client that said HELLO."""
        self._end_gateway()
        self._gateway = start_gateway(self._directory, kill_at)
        self._client = Client(self._gateway.address)
        self._client.peer = self._gateway
        assert self._client.hello(10) is not None
        return self._gateway, self._client

    def judged(self, messages: list[tuple[dict[str, Any], str, dict[str, Any]]]) -> Findings:
        verdicts = [verdict_of({**message, "side": side}, record) for message, side, record in messages]
        return judge(read_truth(self._directory / "truth.db"), verdicts)

    def _end_gateway(self) -> None:
        if self._client is not None:
            self._client.close()
        if self._gateway is not None:
            self._gateway.kill()


def die_at(place: str, action: str) -> Told:
    with tempfile.TemporaryDirectory(prefix="sg-", dir="/tmp") as directory:
        life = Life(Path(directory))
        try:
            return _die_at(life, place, action)
        finally:
            life.end()


def _die_at(life: Life, place: str, action: str) -> Told:
    messages: list[tuple[dict[str, Any], str, dict[str, Any]]] = []
    payload, side = open_payload(), "buy"
    if action == "CLOSE":
        _, client = life.gateway()
        opening = client.effect("OPEN", payload)
        opened = client.ask(opening)
        assert opened is not None
        messages.append((opening, side, opened["data"]))
        payload = {name: payload[name] for name in ("symbol", "volume", "magic", "max_deviation_points")}
        payload, side = {**payload, "ticket": opened["data"]["position"]}, "sell"
    gateway, client = life.gateway(f"{place}:{2 if PLACES[place].of_every_message else 1}")
    message = client.effect(action, payload)
    reply = client.status(message, side) if PLACES[place].of_a_question else client.ask(message)
    # Only the last place lies behind the reply, which may or may not have left the process.
    assert reply is None or place == "replied", reply
    with contextlib.suppress(subprocess.TimeoutExpired):
        gateway.popen.wait(PATIENCE_S)
    died = not gateway.alive
    _, client = life.gateway()
    late = {**message, "ledger": client.ledger, "seen": 0}
    # The bar outlived its gateway: the order that comes now is refused, before anybody asks again.
    early = client.ask(late) if PLACES[place].of_a_question else None
    record = settled(client, message, side)
    again = early or client.ask(late)
    assert again is not None
    messages.append((message, side, record))
    return Told(died, record, again, life.judged(messages))


@pytest.fixture(scope="module")
def deaths() -> Iterator[dict[tuple[str, str], "Future[Told]"]]:
    """All of them, some at once: they mostly wait."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {(place, action): pool.submit(die_at, place, action) for place in PLACES for action in ACTIONS}


def test_every_place_in_the_code_is_died_at_here() -> None:
    passed = set()
    for file in (ROOT / "sentinel_gateway").glob("*.py"):
        passed |= set(re.findall(r'kill\("(\w+)"\)', file.read_text()))
    assert passed == set(POINTS)
    assert set(PLACES) == passed, "a place is new or gone: say in PLACES what a death there leaves behind"


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("place", PLACES)
def test_a_kill_at_this_place_is_settled_as_the_terminal_knows_it(
    deaths: dict[tuple[str, str], "Future[Told]"], place: str, action: str
) -> None:
    told, expected = deaths[place, action].result(), PLACES[place]
    assert told.died
    assert told.findings.clean, vars(told.findings)
    assert told.findings.executed == expected.executed + (action == "CLOSE")
    assert (told.record["state"], told.record["proof"]) == ("done" if expected.executed else "absent", expected.proof)
    # The same message again changes nothing: it is answered by the ledger, or barred.
    if expected.proof == "barred":
        assert (told.again["data"]["state"], told.again["data"]["proof"]) == ("refused", "barred")
    else:
        assert told.again["data"] == told.record | {"replayed": True}


@pytest.mark.parametrize(("place", "closed"), [("sending:1", 0), ("sent:1", 1), ("sending:2", 1), ("sent:2", 2)])
def test_a_flatten_that_died_is_told_as_the_terminal_knows_it_and_tries_nothing_again(
    directory: Path, place: str, closed: int
) -> None:
    life = Life(directory)
    _, client = life.gateway()
    messages = []
    for _ in range(2):
        opening = client.effect("OPEN", open_payload())
        opened = client.ask(opening)
        assert opened is not None
        messages.append((opening, "buy", opened["data"]))
    gateway, client = life.gateway(place)
    message = client.effect("FLATTEN", {"magics": [2017], "symbols": None})
    assert client.ask(message) is None
    gateway.popen.wait(PATIENCE_S)
    _, client = life.gateway()
    late = {**message, "ledger": client.ledger, "seen": 0}
    told = client.ask(late)
    assert told is not None
    for item in told["data"]["items"]:
        child = {**message, "id": item["id"], "action": "CLOSE", "payload": open_payload(side="sell", ticket=item["ticket"])}
        never: dict[str, Any] = {"state": "never_left"}
        messages.append((child, "sell", never if item["state"] == "not_tried" else settled(client, child, "sell")))
    findings = life.judged(messages)
    assert findings.clean, vars(findings)
    assert findings.executed == 2 + closed
    told = client.ask(late)
    assert told is not None
    assert (told["data"]["state"], told["data"]["final"], told["data"]["replayed"]) == ("done", True, True)
    life.end()
