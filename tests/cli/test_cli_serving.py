"""Starting and ending: what an operator and an init system rely on."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from typing import Any

import pytest

ADD_EVENT = ("event-type", "add", "order.paid", "--description", "Paid.", "--sample", '{"id": 1}')


def _terminate(process: subprocess.Popen[str]) -> None:
    """Signal, and wait until the server says that it has understood."""
    process.send_signal(signal.SIGTERM)
    assert process.stderr is not None
    assert process.stderr.readline().startswith("Stopping")


def test_the_file_that_leads_to_the_server_is_the_owners_alone_and_goes_with_it(machine: Any):
    process = machine.serve()
    path = machine.data / "server.json"
    found = json.loads(path.read_text())

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert set(found) == {"url", "token", "pid", "allow_networks"}
    assert found["pid"] == process.pid
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert not path.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_first_signal_lets_what_is_under_way_end(
    machine: Any, slow_receiver: Any, number: signal.Signals
):
    process = machine.serve()
    machine.ok(*ADD_EVENT)
    machine.ok("webhook", "add", "Slow", slow_receiver.url)
    machine.ok("emit", "order.paid")
    assert slow_receiver.came.wait(30)

    process.send_signal(number)
    assert process.stderr.readline().startswith("Stopping")
    slow_receiver.may_answer.set()
    process.communicate(timeout=30)

    assert process.returncode == 0
    machine.serve()
    attempts = machine.json("attempt", "list", "--webhook", "Slow")["data"]
    assert [each["responseStatusCode"] for each in attempts] == [204]
    assert slow_receiver.count == 1


@pytest.mark.parametrize("path", ["/api/v1/app/default/msg", "{bin}"])
def test_a_stop_waits_for_no_body_that_does_not_come(machine: Any, path: str):
    process = machine.serve()
    known = json.loads((machine.data / "server.json").read_text())
    where = urllib.parse.urlsplit(machine.json("bin", "create")["url"])
    head = (
        f"POST {path.format(bin=where.path)} HTTP/1.1\r\nhost: h\r\ncontent-length: 1000\r\n"
        f"authorization: Bearer {known['token']}\r\nexpect: 100-continue\r\n\r\n"
    )
    with socket.create_connection((where.hostname, where.port), timeout=30) as caller:
        caller.sendall(head.encode())
        assert caller.recv(100).startswith(b"HTTP/1.1 100")  # so the body is waited for
        caller.sendall(b"{")
        _terminate(process)
        _, errors = process.communicate(timeout=10)
        assert caller.recv(100).startswith(b"HTTP/1.1 503")
    assert process.returncode == 0
    assert "Traceback" not in errors


def test_a_closed_terminal_lets_what_is_under_way_end(machine: Any, slow_receiver: Any):
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests themselves may ignore it
    try:
        process = machine.serve()
    finally:
        signal.signal(signal.SIGHUP, before)
    machine.ok(*ADD_EVENT)
    machine.ok("webhook", "add", "Slow", slow_receiver.url)
    machine.ok("emit", "order.paid")
    assert slow_receiver.came.wait(30)

    process.send_signal(signal.SIGHUP)
    assert process.stderr.readline().startswith("Stopping")
    slow_receiver.may_answer.set()
    process.communicate(timeout=30)

    assert process.returncode == 0
    assert not (machine.data / "server.json").exists()


def test_a_signal_ends_a_server_that_nobody_listens_to_any_more(machine: Any):
    process = machine.serve()
    process.stdout.close()
    process.stderr.close()

    process.send_signal(signal.SIGTERM)

    assert process.wait(30) == 0
    assert not (machine.data / "server.json").exists()


def test_a_server_serves_where_nobody_reads_that_it_does(machine: Any):
    process = machine.start("serve", "--port", "0")
    process.stdout.close()
    process.stderr.close()
    path = machine.data / "server.json"
    deadline = time.monotonic() + 30
    while machine.run("health").returncode:
        assert time.monotonic() < deadline

    process.send_signal(signal.SIGTERM)

    assert process.wait(30) == 0
    assert not path.exists()


def test_a_second_signal_ends_at_once(machine: Any, slow_receiver: Any):
    process = machine.serve()
    machine.ok(*ADD_EVENT)
    machine.ok("webhook", "add", "Slow", slow_receiver.url)
    machine.ok("emit", "order.paid")
    assert slow_receiver.came.wait(30)

    _terminate(process)
    process.send_signal(signal.SIGTERM)

    process.communicate(timeout=30)
    assert process.returncode == 130
    assert not (machine.data / "server.json").exists()


def test_a_signal_ends_those_who_follow_a_bin(machine: Any):
    process = machine.serve()
    machine.ok("bin", "create", "b")
    follower = machine.start("bin", "tail", "b")
    assert follower.stderr.readline().startswith("Following b at http://")

    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=15)

    assert process.returncode == 0
    assert follower.stderr.readline().startswith("Lost the connection")


def test_a_signal_ends_the_wait_for_a_bin_that_hangs(machine: Any):
    process = machine.serve()
    url = machine.json("bin", "create", "b", "--reply", "hang")["url"]
    follower = machine.start("bin", "tail", "b", "--count", "1")
    assert follower.stderr.readline().startswith("Following b")
    where = urllib.parse.urlsplit(url)
    waiting = http.client.HTTPConnection(where.hostname, where.port, timeout=30)
    waiting.request("POST", where.path, b"{}")
    assert follower.wait(30) == 0

    process.send_signal(signal.SIGTERM)
    answer = waiting.getresponse()
    process.communicate(timeout=15)  # less than what answers under way are given

    assert (answer.status, process.returncode) == (503, 0)
    waiting.close()


def test_who_follows_a_bin_sees_what_came_after_the_server_was_started_again(machine: Any):
    process = machine.serve()
    port = json.loads((machine.data / "server.json").read_text())["url"].rpartition(":")[2]
    machine.ok(*ADD_EVENT)
    url = machine.json("bin", "create", "b")["url"]
    machine.ok("webhook", "add", "To bin", url)
    follower = machine.start("bin", "tail", "b", "--count", "2", "--json")
    assert follower.stderr.readline().startswith("Following b")
    machine.ok("emit", "order.paid", "--data", '{"n": 1}', "--wait")
    assert json.loads(follower.stdout.readline())["body"] == '{"n": 1}'

    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    machine.serve("--port", port)
    machine.ok("emit", "order.paid", "--data", '{"n": 2}', "--wait")

    assert json.loads(follower.stdout.readline())["body"] == '{"n": 2}'
    assert follower.wait(30) == 0


def test_who_follows_a_bin_with_the_token_of_the_last_run_takes_the_new_one(machine: Any):
    process = machine.serve()
    port = int(json.loads((machine.data / "server.json").read_text())["url"].rpartition(":")[2])
    path = "/in/" + machine.json("bin", "create", "b")["url"].rpartition("/in/")[2]
    follower = machine.start("bin", "tail", "b", "--count", "1", "--json")
    assert follower.stderr.readline().startswith("Following b")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)

    with socket.create_server(("127.0.0.1", port)) as starting:
        starting.settimeout(30)
        asked, _ = starting.accept()
        with asked:
            asked.recv(65_536)
            machine.serve()
            asked.sendall(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n")
    url = json.loads((machine.data / "server.json").read_text())["url"]
    urllib.request.urlopen(url + path, data=b"caught", timeout=30).close()

    assert json.loads(follower.stdout.readline())["body"] == "caught"
    assert follower.wait(30) == 0


def test_a_second_server_on_the_same_folder_is_refused_and_the_first_goes_on(machine: Any):
    first = machine.serve()

    second = machine.run("serve", "--port", "0")

    assert second.returncode == 1
    assert f"process {first.pid}" in second.stderr
    assert "--data" in second.stderr
    assert len(second.stderr.splitlines()) == 1
    assert "There is no webhook yet" in machine.ok("webhook", "list")


def test_a_port_in_use_is_said_so(machine: Any):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = machine.run("serve", "--port", port)

    assert done.returncode == 1
    assert f"port {port} on 127.0.0.1 is in use" in done.stderr
    assert not machine.data.exists()


def test_after_a_kill_the_next_start_revokes_the_token_left_behind(machine: Any):
    killed = machine.serve()
    killed.kill()
    killed.communicate(timeout=30)
    left = machine.run("webhook", "list")
    machine.serve()

    tokens = machine.json("token", "list")["data"]

    assert left.returncode == 4
    assert [each["name"] for each in tokens] == ["local command line"] * 2
    assert sum("revokedAt" not in each for each in tokens) == 1


def test_a_store_of_a_newer_release_is_refused(machine: Any):
    process = machine.serve()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    with sqlite3.connect(machine.data / "stafett.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'r9999'")
    connection.close()

    done = machine.run("serve", "--port", "0")

    assert done.returncode == 1
    assert "newer" in done.stderr


@pytest.mark.parametrize(
    ("words", "env", "said"),
    [
        (("serve",), {"STAFETT_PROT": "1"}, "did you mean STAFETT_PORT?"),
        (("serve", "--port", "many"), {}, "must be a port number"),
        (("serve", "--allow-network", "here"), {}, "is not a network"),
        (("config",), {"STAFETT_RETRY_SCHEDULE": "soon"}, "STAFETT_RETRY_SCHEDULE"),
        (("serve",), {"STAFETT_DATABASE_URL": "mysql://x"}, "sqlite:///PATH"),
        (("serve",), {"STAFETT_DATABASE_URL": "sqlite:///:memory:"}, "name a file"),
    ],
)
def test_a_wrong_setting_is_one_sentence_and_exit_code_2(
    machine: Any, words: tuple[str, ...], env: dict[str, str], said: str
):
    done = machine.run(*words, env=env)

    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_database_may_lie_outside_the_data_folder(machine: Any):
    (machine.folder / "elsewhere").mkdir()
    url = {"STAFETT_DATABASE_URL": "sqlite:///elsewhere/x.db"}
    process = machine.serve(env=url)

    said = machine.run("doctor", env=url).stdout

    assert f"held by the running server ({process.pid})" in said
    assert stat.S_IMODE(machine.data.stat().st_mode) == 0o700
    assert (machine.folder / "elsewhere" / "x.db").exists()


def test_the_log_can_be_json(machine: Any, slow_receiver: Any):
    process = machine.serve(env={"STAFETT_LOG_FORMAT": "json", "STAFETT_RETRY_SCHEDULE": "none"})
    machine.ok(*ADD_EVENT)
    slow_receiver.close()
    machine.ok("webhook", "add", "Closed", slow_receiver.url)

    assert machine.run("emit", "order.paid", "--wait").returncode == 5

    process.send_signal(signal.SIGTERM)
    printed = process.communicate(timeout=30)
    lines = [json.loads(line) for line in "".join(printed).splitlines()]
    assert {"at", "level", "logger", "message"} <= set.intersection(*map(set, lines))
    assert lines[-1]["message"].startswith("Stopping")
    recorded = [each for each in lines if "event=attempt.recorded" in each["message"]]
    assert len(recorded) == 1
    assert "cause=refused" in recorded[0]["message"]
    assert recorded[0]["level"] == "info"


def test_the_line_that_says_it_is_ready_has_the_setup_link_where_the_log_is_json(machine: Any):
    process = machine.start("serve", "--port", "0", env={"STAFETT_LOG_FORMAT": "json"})

    said = json.loads(process.stdout.readline())

    assert said["message"] == f"Stafett serves at {said['url']}"
    with urllib.request.urlopen(said["setup"], timeout=30) as answer:
        assert answer.status == 200


def test_why_it_cannot_start_is_json_too_where_the_log_is(machine: Any):
    machine.serve()

    second = machine.run("serve", "--port", "0", env={"STAFETT_LOG_FORMAT": "json"})

    said = json.loads(second.stdout + second.stderr)
    assert (second.returncode, said["level"]) == (1, "error")
    assert "--data" in said["message"]


def test_a_folder_that_is_gone_is_said_so_in_one_line(machine: Any):
    gone = machine.folder / "gone"
    gone.mkdir()
    command = (
        f"rmdir {gone} && exec {sys.executable} -c 'from stafett import cli; cli.main()' serve"
    )

    done = subprocess.run(
        ["sh", "-c", command], cwd=gone, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 1
    assert done.stderr.startswith("Error: the folder that this was started in is gone")
    assert len(done.stderr.splitlines()) == 1


def test_a_broken_store_ends_the_server_with_the_reason(machine: Any):
    code = (
        "from stafett import app, cli, errors\n"
        "start = app.Stafett.start\n"
        "async def break_it(self):\n"
        "    await start(self)\n"
        "    self.broken = errors.StoreBroken('an fsync failed')\n"
        "app.Stafett.start = break_it\n"
        "cli.main(['serve', '--port', '0'])\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=machine.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr == "Error: an fsync failed\n"
    assert not (machine.data / "server.json").exists()


@pytest.mark.parametrize(
    ("proxies", "forwarded", "peer"),
    [
        ("", "203.0.113.9", "127.0.0.1"),
        ("10.0.0.0/8", "203.0.113.9", "127.0.0.1"),
        ("127.0.0.1", "198.51.100.1, 203.0.113.9", "203.0.113.9"),
        ("127.0.0.0/8,10.0.0.0/8", "203.0.113.9, 10.1.2.3", "203.0.113.9"),
    ],
    ids=["none", "another", "this one", "two in a row"],
)
def test_only_a_proxy_that_is_named_is_believed_whom_it_forwards_for(
    machine: Any, proxies: str, forwarded: str, peer: str
):
    machine.serve(env={"STAFETT_TRUSTED_PROXIES": proxies})
    made = machine.json("bin", "create")
    asked = urllib.request.Request(made["url"], headers={"x-forwarded-for": forwarded})
    with urllib.request.urlopen(asked, timeout=30) as answer:
        assert answer.status == 200
    found = json.loads((machine.data / "server.json").read_text())
    captures = urllib.request.Request(
        f"{found['url']}/api/v1/bin/{made['id']}/capture",
        headers={"authorization": f"Bearer {found['token']}"},
    )
    with urllib.request.urlopen(captures, timeout=30) as answer:
        assert json.load(answer)["data"][0]["peer"] == peer
