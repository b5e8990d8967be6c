"""Real processes: keys, hangs, restarts, the parent, the self-test. Every wait is a hundredth of its true length."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import zmq
import zmq.auth

from processes import (
    FACTOR,
    PATIENCE_S,
    ROOT,
    Client,
    environment,
    settled,
    start_fake,
    start_gateway,
    tell_fake,
    write_config,
)
from sentinel_gateway.log import Log
from sentinel_gateway.run import run
from sentinel_gateway.waits import Waits
from simulated import open_payload


def serve_with_keys(directory: Path) -> tuple[bytes, bytes]:
    """A configuration with CURVE on a TCP port; the server's public key, and the secret key of a client it knows."""
    (directory / "clients").mkdir()
    zmq.auth.create_certificates(directory, "server")
    zmq.auth.create_certificates(directory / "clients", "node")
    write_config(directory, "tcp://127.0.0.1:*", 'curve = { server_secret = "server.key_secret", clients = "clients" }')
    server_public, _ = zmq.auth.load_certificate(directory / "server.key")
    _, secret = zmq.auth.load_certificate(directory / "clients" / "node.key_secret")
    assert secret is not None
    return server_public, secret


def ask_with_key(address: str, server: bytes | None, secret: bytes | None, timeout_ms: int) -> bytes | None:
    """A HEARTBEAT over CURVE; `None` where no reply comes."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.REQ)
    try:
        socket.linger = 0
        if server is not None and secret is not None:
            socket.curve_serverkey = server
            socket.curve_secretkey = secret
            socket.curve_publickey = zmq.curve_public(secret)
        socket.connect(address)
        socket.send(json.dumps({"v": "sentinel/1", "id": "h", "action": "HEARTBEAT"}).encode())
        return socket.recv() if socket.poll(timeout_ms) else None
    finally:
        socket.close()
        context.term()


def requests_heard(directory: Path) -> int:
    """The gateway dies at its first request, if it hears one."""
    return sum(1 for line in (directory / "sentinel_gateway.err").read_text().splitlines() if "unknown key" in line)


def test_an_unknown_key_gets_no_byte_through_and_a_known_one_does(directory: Path) -> None:
    server, known = serve_with_keys(directory)
    fake = start_fake(directory)
    # It would die over the first byte that comes through.
    gateway = start_gateway(directory, kill_at="received")
    _, unknown = zmq.curve_keypair()
    assert ask_with_key(gateway.address, server, unknown, 700) is None
    assert ask_with_key(gateway.address, None, None, 700) is None
    wrong_server, _ = zmq.curve_keypair()
    assert ask_with_key(gateway.address, wrong_server, known, 700) is None
    assert gateway.alive
    assert requests_heard(directory) > 0
    assert ask_with_key(gateway.address, server, known, 5000) is None
    assert gateway.end() == -signal.SIGKILL
    gateway = start_gateway(directory)
    reply = ask_with_key(gateway.address, server, known, 10_000)
    assert reply is not None
    assert json.loads(reply)["ok"] is True
    gateway.kill()
    fake.kill()


def test_a_key_that_is_taken_away_is_unknown_from_then_on(directory: Path) -> None:
    server, known = serve_with_keys(directory)
    fake = start_fake(directory)
    gateway = start_gateway(directory)
    assert ask_with_key(gateway.address, server, known, 10_000) is not None
    (directory / "clients" / "node.key").unlink()
    assert ask_with_key(gateway.address, server, known, 700) is None
    gateway.kill()
    fake.kill()


def test_a_key_file_that_cannot_be_read_lets_nobody_in_and_ends_nothing(directory: Path) -> None:
    server, known = serve_with_keys(directory)
    fake = start_fake(directory)
    gateway = start_gateway(directory)
    (directory / "clients" / "a.key").write_text("half written")
    (directory / "clients" / "b.key").write_bytes(b"\xff\xfe")
    assert ask_with_key(gateway.address, server, known, 10_000) is not None
    _, unknown = zmq.curve_keypair()
    assert ask_with_key(gateway.address, server, unknown, 700) is None
    assert gateway.alive
    gateway.kill()
    fake.kill()


def test_a_message_of_two_frames_is_refused_and_ends_nothing(directory: Path) -> None:
    write_config(directory)
    fake = start_fake(directory)
    gateway = start_gateway(directory)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.REQ)
    socket.linger = 0
    socket.connect(gateway.address)
    socket.send_multipart([json.dumps({"v": "sentinel/1", "id": "h", "action": "HEARTBEAT"}).encode(), b"more"])
    assert socket.poll(10_000)
    assert json.loads(socket.recv())["error"]["code"] == "bad_request"
    assert gateway.alive
    context.destroy(linger=0)
    gateway.kill()
    fake.kill()


@pytest.mark.skipif(shutil.which("strace") is None and "SENTINEL_MUST_RUN" not in os.environ, reason="needs strace")
def test_what_is_being_sent_is_on_the_disk_before_it_leaves(directory: Path) -> None:
    write_config(directory)
    fake = start_fake(directory)
    trace = directory / "trace"
    under = ("strace", "-f", "-qq", "-s", "64", "-e", "trace=fdatasync,fsync,sendto", "-o", str(trace))
    gateway = start_gateway(directory, kill_at="sent", under=under)
    client = Client(gateway.address)
    client.peer = gateway
    assert client.hello(20) is not None
    assert client.ask(client.effect("OPEN", open_payload(), expires_s=20), timeout_s=20) is None
    gateway.end()
    lines = trace.read_text().splitlines()
    sent = next(n for n, line in enumerate(lines) if "order_send" in line)
    # Whatever the order depends on was asked for before the commit, and only the guard is asked after it.
    listed = max(n for n in range(sent) if "history_orders_get" in lines[n])
    between = [line for line in lines[listed:sent] if "sync(" in line]
    assert between, "\n".join(lines[listed : sent + 1])
    assert all(line.endswith("= 0") for line in between)
    client.close()
    fake.kill()


def test_a_hung_order_send_ends_the_process_and_is_settled_by_the_next(directory: Path) -> None:
    write_config(directory)
    fake = start_fake(directory)
    gateway = start_gateway(directory)
    client = Client(gateway.address)
    assert client.hello() is not None
    tell_fake(directory, "_plan", {"plans": [{"pipe": "hang_after"}]})
    message = client.effect("OPEN", open_payload())
    assert client.ask(message, timeout_s=0.2) is None
    # Every Python thread is frozen, and the watchdog in C is not.
    assert gateway.end() == 1
    assert "Timeout" in (directory / "sentinel_gateway.err").read_text()
    gateway = start_gateway(directory)
    assert settled(client, message)["state"] == "done"
    client.close()
    gateway.kill()
    fake.kill()


def test_a_lost_pipe_is_opened_again_without_a_restart(directory: Path) -> None:
    write_config(directory)
    fake = start_fake(directory)
    gateway = start_gateway(directory)
    client = Client(gateway.address)
    assert client.hello() is not None
    tell_fake(directory, "_plan", {"plans": [{"pipe": "pipe_before"}]})
    message = client.effect("OPEN", open_payload())
    reply = client.ask(message)
    assert reply is not None
    assert (reply["data"]["state"], reply["data"]["retcode"]) == ("unknown", -10002)
    assert settled(client, message)["proof"] == "history"
    fake.kill()
    fake = start_fake(directory)
    again = client.effect("OPEN", open_payload(), expires_s=30)
    until = time.monotonic() + PATIENCE_S
    reply = client.ask(again)
    while time.monotonic() < until and (reply is None or not reply["ok"]):
        assert gateway.alive
        reply = client.ask(again)
    assert reply is not None
    assert reply["data"]["state"] == "done"
    client.close()
    gateway.kill()
    fake.kill()


def test_serve_ends_with_its_parent(directory: Path) -> None:
    write_config(directory)
    fake = start_fake(directory)
    config = str(directory / "gateway.toml")
    command = [sys.executable, "-m", "sentinel_gateway", "run", "--config", config, "--time-factor", str(FACTOR)]
    parent = subprocess.Popen(command, env=environment(directory), stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    address = parent.stdout.readline().removeprefix("listening on ").strip()
    client = Client(address)
    assert client.hello(10) is not None
    child = int(subprocess.check_output(["pgrep", "-P", str(parent.pid)], text=True))
    parent.kill()
    parent.wait()
    until = time.monotonic() + PATIENCE_S
    while Path(f"/proc/{child}").exists() and time.monotonic() < until:
        time.sleep(0.02)
    assert not Path(f"/proc/{child}").exists()
    parent.stdout.close()
    client.close()
    fake.kill()


def test_run_starts_serve_again_after_a_kill(directory: Path) -> None:
    began_ms = int(time.time() * 1000)
    write_config(directory)
    fake = start_fake(directory)
    config = str(directory / "gateway.toml")
    command = [sys.executable, "-m", "sentinel_gateway", "run", "--config", config, "--time-factor", str(FACTOR)]
    parent = subprocess.Popen(command, env=environment(directory), stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    client = Client(parent.stdout.readline().removeprefix("listening on ").strip())
    boots: list[int] = []
    for _ in range(3):
        reply = None
        until = time.monotonic() + PATIENCE_S
        while reply is None and time.monotonic() < until:
            reply = client.hello()
        assert reply is not None
        boots.append(reply["boot"])
        os.kill(int(subprocess.check_output(["pgrep", "-P", str(parent.pid)], text=True)), signal.SIGKILL)
        assert parent.stdout.readline().startswith("listening on ")
    assert boots[0] >= began_ms
    assert boots == sorted(set(boots))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    client.close()
    fake.kill()


def test_run_kills_a_call_that_outlasts_twice_its_limit(directory: Path) -> None:
    hang = "import json,time; print(json.dumps({'call': 'positions_get', 'limit_s': 0.1}), flush=True); time.sleep(60)"
    began = time.monotonic()
    run([sys.executable, "-c", hang], Waits.scaled(FACTOR), Log(directory, to_stderr=False), lives=1)
    assert time.monotonic() - began < 50
    assert '"hung_in": "positions_get"' in (directory / "gateway.log").read_text()


def test_run_is_not_disturbed_by_a_line_that_its_child_could_not_end(directory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    half = "print('{\"call\": \"order_se', end='', flush=True)"
    assert run([sys.executable, "-c", half], Waits.scaled(FACTOR), Log(directory, to_stderr=False), lives=2) == 0
    assert "Traceback" not in capfd.readouterr().err


def test_run_starts_nothing_again_that_only_its_configuration_can_help(directory: Path) -> None:
    write_config(directory)
    with (directory / "gateway.toml").open("a") as file:
        file.write('[curve]\nserver_secret = "none"\nclients = "none"\n')
    command = [sys.executable, "-m", "sentinel_gateway", "run", "--config", str(directory / "gateway.toml")]
    done = subprocess.run(command, env=environment(directory), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 78, done
    serve = [sys.executable, "-c", "import sys; sys.exit(78)"]
    assert run(serve, Waits.scaled(FACTOR), Log(directory, to_stderr=False)) == 78


def test_a_refused_order_is_in_the_log(directory: Path) -> None:
    write_config(directory)
    fake, gateway = start_fake(directory), start_gateway(directory)
    client = Client(gateway.address)
    reply = client.ask({"v": "sentinel/1", "id": "a" * 32, "action": "OPEN"})
    assert reply is not None and not reply["ok"], reply
    assert "an order is refused and did nothing" in (directory / "state" / "log" / "gateway.log").read_text()
    client.close()
    gateway.kill()
    fake.kill()


def test_a_second_gateway_on_one_ledger_is_refused(directory: Path) -> None:
    write_config(directory)
    fake = start_fake(directory)
    gateway = start_gateway(directory)
    second = start_gateway(directory)
    assert second.end() == 75
    assert "is locked" in (directory / "sentinel_gateway.err").read_text()
    gateway.kill()
    fake.kill()


def selftest(directory: Path, kills: int) -> tuple[int, str]:
    command = [sys.executable, "-m", "sentinel_gateway", "selftest", "--config", str(directory / "gateway.toml")]
    command += ["--time-factor", str(FACTOR), "--kills", str(kills)]
    done = subprocess.run(command, env=environment(directory), capture_output=True, text=True, timeout=100, check=False)
    return done.returncode, done.stdout


def test_the_selftest_proves_carriers_and_settles_its_kills(directory: Path) -> None:
    write_config(directory)
    fake = start_fake(directory)
    code, told = selftest(directory, kills=2)
    assert code == 0, told
    assert "kill 1 of 2: " in told and "kill 2 of 2: " in told
    report = json.loads((directory / "state" / "selftest.json").read_text())
    assert (report["carriers"]["magic"], report["carriers"]["comment"]) == ("intact", "intact")
    assert report["time"]["offset_s"] == 7200
    assert [kill["state"] in ("done", "absent") for kill in report["kills"]] == [True, True]
    gateway = start_gateway(directory)
    client = Client(gateway.address)
    hello = client.hello()
    assert hello is not None
    assert hello["data"]["carriers"] == {"magic": "intact", "comment": "intact"}
    client.close()
    gateway.kill()
    fake.kill()


@pytest.mark.parametrize(
    ("faults", "magic", "comment"), [("magic_32", "rewritten", "intact"), ("comment_cut", "intact", "rewritten")]
)
def test_the_selftest_tells_rewritten_carriers(directory: Path, faults: str, magic: str, comment: str) -> None:
    write_config(directory)
    fake = start_fake(directory, faults=faults)
    code, told = selftest(directory, kills=0)
    report = json.loads((directory / "state" / "selftest.json").read_text())
    assert (report["carriers"]["magic"], report["carriers"]["comment"]) == (magic, comment), told
    assert code == (0 if magic == "intact" else 1)
    fake.kill()


def test_the_selftest_does_not_trade_on_a_real_account(directory: Path) -> None:
    write_config(directory)
    fake = start_fake(directory)
    tell_fake(directory, "_set", {"trade_mode": 2})
    code, told = selftest(directory, kills=0)
    assert code == 1
    assert "demo accounts only" in told
    fake.kill()


def test_the_package_names_no_module_beyond_its_dependencies() -> None:
    allowed = {*sys.stdlib_module_names, "zmq", "sentinel_gateway"}
    for file in (ROOT / "sentinel_gateway").glob("*.py"):
        for line in file.read_text().splitlines():
            if line.startswith(("import ", "from ")):
                assert line.split()[1].split(".")[0] in allowed, f"{file.name}: {line}"
