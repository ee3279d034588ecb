"""Every verb once, as typed in a shell, against one real server."""

from __future__ import annotations

import contextlib
import http.server
import json
import sqlite3
import threading
import urllib.error
import urllib.request
from datetime import timedelta
from typing import Any

import pytest
from typing_extensions import override

from stafett.engine.clock import SystemClock

SAMPLE = '{"payment_id": "31", "total": 100.5}'
SCHEMA = '{"type": "object", "required": ["total"], "properties": {"total": {"type": "number"}}}'
AN_HOUR_AGO = SystemClock().now() - timedelta(hours=1)
QUIET = ("--event", "quiet")
"""A webhook that is there to be looked at wants only what no test sends."""


@pytest.fixture(scope="module")
def shop(served: Any) -> Any:
    """A machine with an event, and a webhook that posts it into a bin."""
    served.ok(
        *("event-type", "add", "shop.paid", "--description", "An order was paid. More."),
        *("--label", "Order paid", "--group", "Shop", "--sample", SAMPLE, "--schema", SCHEMA),
    )
    url = served.json("bin", "create", "shop bin")["url"]
    served.ok("webhook", "add", "Shop hook", url, "--event", "shop.paid")
    return served


def _emitted(machine: Any, *words: str) -> dict[str, Any]:
    return machine.json("emit", "shop.paid", *words)


# --- event types ------------------------------------------------------------------------------


def test_an_added_event_is_listed_shown_and_archived(served: Any):
    served.ok("event-type", "add", "site.moved", "--description", "A site moved.")

    shown = served.ok("event-type", "show", "site.moved")
    archived = served.ok("event-type", "archive", "site.moved")

    assert "A site moved." in shown
    assert archived == "Archived site.moved\n"
    assert "site.moved" not in served.ok("event-type", "list")
    assert "site.moved (archived)" in served.ok("event-type", "list", "--archived")


def test_the_list_of_events_has_label_group_and_first_sentence(shop: Any):
    line = next(each for each in shop.ok("event-type", "list").splitlines() if "shop.paid" in each)

    assert line.endswith("  An order was paid")
    assert "Order paid" in line
    assert "Shop" in line


def test_an_event_that_exists_is_replaced_only_on_demand(shop: Any):
    words = ("event-type", "add", "twice", "--description", "Once.")
    shop.ok(*words)

    again = shop.run(*words)
    replaced = shop.json(*words[:3], "--description", "Twice.", "--replace")

    assert again.returncode == 1
    assert "twice" in again.stderr
    assert replaced["description"] == "Twice."


def test_the_events_of_a_file_are_added_all_of_them_at_once(shop: Any):
    entries = [
        {"name": f"filed.{name}", "label": name, "description": "Filed.", "sample": {"n": 1}}
        for name in ("one", "two")
    ]
    (shop.folder / "events.json").write_text(json.dumps(entries))

    said = shop.ok("event-type", "add", "--file", "events.json")

    assert [line.split()[1] for line in said.splitlines()] == ["filed.one:", "filed.two:"]
    assert shop.json("event-type", "show", "filed.two")["sample"] == {"n": 1}


def test_a_file_of_events_that_is_none_is_wrong_usage_and_adds_nothing(shop: Any):
    (shop.folder / "bad.json").write_text('[{"name": "filed.good"}, {"name": "not good"}]')

    done = shop.run("event-type", "add", "--file", "bad.json")

    assert done.returncode == 2
    assert "bad.json" in done.stderr
    assert "filed.good" not in shop.ok("event-type", "list")


# --- webhooks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["id", "uid", "name"])
def test_a_webhook_is_found_by_id_uid_or_name(served: Any, by: str):
    made = served.json(
        *("webhook", "add", f"By {by}", "https://example.com/x", *QUIET, "--uid", f"our-{by}")
    )

    shown = served.json("webhook", "show", made[by])

    assert shown["id"] == made["id"]


def test_a_name_that_two_webhooks_have_is_not_guessed(served: Any):
    ids = {
        served.json("webhook", "add", "Twin", f"https://example.com/{n}", *QUIET)["id"]
        for n in (1, 2)
    }

    done = served.run("webhook", "show", "twin")

    assert done.returncode == 1
    assert all(each in done.stderr for each in ids)


def test_a_webhook_is_switched_and_deleted(served: Any):
    served.ok("webhook", "add", "Switch", "https://example.com/", *QUIET, "--header", "X-Shop: 7")

    off = served.json("webhook", "disable", "Switch")
    on = served.json("webhook", "enable", "Switch")
    kept = served.run("webhook", "delete", "Switch", typed="n\n")
    gone = served.ok("webhook", "delete", "Switch", typed="y\n")

    assert (off["disabled"], on["disabled"]) == (True, False)
    assert kept.returncode == 1
    assert gone == f"Deleted {on['id']}\n"
    assert served.run("webhook", "show", "Switch").returncode == 1


def test_its_secret_is_printed_alone(shop: Any):
    assert shop.ok("webhook", "show", "Shop hook", "--secret").startswith("whsec_")
    assert "whsec_" not in shop.ok("webhook", "show", "Shop hook")


def test_a_test_event_gets_its_verdict_and_is_not_counted(shop: Any):
    before = shop.json("webhook", "show", "Shop hook")["eventCount"]

    said = shop.ok("webhook", "test", "Shop hook")

    assert said.startswith("Test event sent: 200 in ")
    assert shop.json("webhook", "show", "Shop hook")["eventCount"] == before


def test_a_test_event_that_fails_names_the_cause_and_is_exit_code_5(shop: Any, slow_receiver: Any):
    slow_receiver.close()
    shop.ok("webhook", "add", "Closed", slow_receiver.url, "--event", "shop.paid", "--disabled")

    done = shop.run("webhook", "test", "Closed")

    assert done.returncode == 5
    assert "refused" in done.stdout + done.stderr
    shop.ok("webhook", "delete", "Closed", "--yes")


@pytest.mark.parametrize(
    ("url", "said"), [("ftp://example.com", "http"), ("https://exa mple.com", "url: ")]
)
def test_a_wrong_url_is_refused_with_its_field(served: Any, url: str, said: str):
    done = served.run("webhook", "add", "Wrong", url)

    assert done.returncode == 1
    assert "url" in done.stderr
    assert said in done.stderr


# --- emitting ---------------------------------------------------------------------------------


def test_an_event_carries_its_sample_and_arrives(shop: Any):
    said = shop.ok("emit", "shop.paid", "--wait")
    first, _, verdict = said.splitlines()
    message = shop.json("message", "show", first.split()[0])

    assert first.endswith("shop.paid accepted for 1 webhook")
    assert verdict.split()[:4] == ["Shop", "hook", "success", "200"]
    assert message["payload"] == json.loads(SAMPLE)


@pytest.mark.parametrize("how", ["given", "file", "typed"])
def test_its_data_arrives_byte_for_byte(shop: Any, how: str):
    data = f'{{"total":  1.50,\r\n "how": "{how}", "text": "bl\u00e5b\\u00e6r"}}'
    (shop.folder / "data.json").write_bytes(data.encode())
    given = {"given": data, "file": "@data.json", "typed": "-"}[how]

    shop.ok("emit", "shop.paid", "--data", given, "--wait", typed=data)

    caught = shop.ok("bin", "tail", "shop bin", "--all", "--json", "--count", _caught(shop))
    assert json.loads(caught.splitlines()[-1])["body"] == data


def _caught(machine: Any) -> str:
    bins = machine.json("bin", "list")["data"]
    return str(next(each["captureCount"] for each in bins if each["name"] == "shop bin"))


@pytest.mark.parametrize(
    "data", ["nope", "[1]", "@missing.json", '{"n": NaN}', '{"n": "\udcff"}', "@bytes", "-"]
)
def test_data_that_is_no_json_object_is_wrong_usage(shop: Any, data: str):
    (shop.folder / "bytes").write_bytes(b'{"n": "\xff"}')

    done = shop.run("emit", "shop.paid", "--data", data, typed='{"n": "\udcff"}')

    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_an_unknown_event_is_answered_with_the_nearest(shop: Any):
    done = shop.run("emit", "shop.payd")

    assert done.returncode == 1
    assert "did you mean shop.paid?" in done.stderr


def test_a_name_that_is_no_text_is_not_found(shop: Any):
    done = shop.run("emit", "shop\udcff")

    assert done.returncode == 1
    assert "there is no event" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_event_that_nobody_wants_says_so(shop: Any):
    shop.ok("event-type", "add", "lonely", "--description", "x", "--sample", "{}")

    said = shop.ok("emit", "lonely", "--wait")

    assert said.endswith("lonely accepted; no webhook wanted it\n")
    assert "no webhook wanted it" in shop.ok("message", "list")


def test_a_payload_against_the_schema_is_noted(shop: Any):
    assert "note: total: is required" in shop.ok("emit", "shop.paid", "--data", "{}")


def test_a_failed_delivery_is_exit_code_5(shop: Any, slow_receiver: Any):
    slow_receiver.close()
    shop.ok("event-type", "add", "doomed", "--description", "x", "--sample", "{}")
    shop.ok("webhook", "add", "Doomed", slow_receiver.url, "--event", "doomed")

    done = shop.run("emit", "doomed", "--wait")

    assert done.returncode == 5
    assert "refused" in done.stdout
    assert "1 of 1 deliveries failed" in done.stderr


def test_the_same_event_id_twice_is_refused(shop: Any):
    first = _emitted(shop, "--event-id", "order-1")
    again = shop.run("emit", "shop.paid", "--event-id", "order-1")

    assert first["eventId"] == "order-1"
    assert again.returncode == 1


# --- messages, attempts, again ----------------------------------------------------------------


def test_messages_and_attempts_are_listed(shop: Any):
    sent = json.loads(shop.ok("emit", "shop.paid", "--wait", "--json").splitlines()[0])

    assert sent["id"] in shop.ok("message", "list", "--event", "shop.paid", "--limit", "1")
    assert "success" in shop.ok("message", "show", sent["id"])
    by_message = shop.json("attempt", "list", "--message", sent["id"])["data"]
    by_webhook = shop.ok("attempt", "list", "--webhook", "Shop hook")
    assert by_message[0]["id"] in by_webhook
    assert shop.run("attempt", "list").returncode == 2


def test_a_long_list_says_how_to_go_on(shop: Any):
    first, second = _emitted(shop)["id"], _emitted(shop)["id"]

    said = shop.ok("message", "list", "--limit", "1")
    iterator = said.splitlines()[-1].removeprefix("There are more: --after ")

    assert second in said
    assert first in shop.ok("message", "list", "--limit", "1", "--after", iterator)


def test_a_message_is_sent_again(shop: Any):
    follower = shop.start("bin", "tail", "shop bin", "--count", "2", "--json")
    assert follower.stderr.readline().startswith("Following")
    sent = json.loads(shop.ok("emit", "shop.paid", "--wait", "--json").splitlines()[0])

    shop.ok("resend", sent["id"], "Shop hook")

    caught = [json.loads(line) for line in follower.communicate(timeout=30)[0].splitlines()]
    assert [each["messageId"] for each in caught] == [sent["id"]] * 2


@pytest.mark.parametrize(
    "since",
    ["2h", "2h ago", f"{AN_HOUR_AGO:%FT%TZ}", f"{AN_HOUR_AGO:%F %TZ}"],
    ids=["duration", "ago", "time", "with a space"],
)
def test_what_failed_is_recovered(shop: Any, since: str):
    task = shop.json("recover", "Shop hook", "--since", since)

    assert task["id"].startswith("qtask_")


# --- bins, tokens -----------------------------------------------------------------------------


def test_a_bin_is_made_cleared_and_deleted(served: Any):
    url = served.json("bin", "create", "short")["url"]
    served.ok("event-type", "add", "brief", "--description", "x", "--sample", '{"n": 1}')
    served.ok("webhook", "add", "To short", url, "--event", "brief")
    served.ok("emit", "brief", "--wait")
    served.ok("webhook", "delete", "To short", "--yes")

    shown = served.ok("bin", "tail", "short", "--all", "--count", "1")

    assert "webhook-signature: v1," in shown
    assert '"n": 1' in shown
    assert served.ok("bin", "clear", "short", "--yes") == "Deleted 1 request\n"
    assert served.ok("bin", "delete", "short", "--yes").startswith("Deleted bin_")
    assert "short" not in served.ok("bin", "list")


def test_a_bin_fails_as_often_as_told_and_then_takes_it(served: Any):
    url = served.json("bin", "create", "failing", "--reply", "503", "--times", "1")["url"]
    again = urllib.request.Request(url, data=b"{}", headers={"webhook-id": "msg_1"})

    with pytest.raises(urllib.error.HTTPError) as failed:
        urllib.request.urlopen(again, timeout=30)
    failed.value.close()
    urllib.request.urlopen(again, timeout=30).close()

    assert failed.value.code == 503
    shown = served.ok("bin", "tail", "failing", "--all", "--count", "2")
    assert ["answered 503" in shown, "answered 200" in shown] == [True, True]


def test_a_bin_answers_as_it_is_told(served: Any):
    made = served.json("bin", "create", "told", "--reply", "busy:30s")
    assert made["reply"]["statusCode"] == 429
    assert made["reply"]["headers"] == [["retry-after", "30"]]
    assert served.ok("bin", "reply", "told", "hang", "--times", "2").startswith("Set the reply")
    changed = served.json("bin", "reply", "told", "drip:20ms")["reply"]
    assert (changed["mode"], changed["dripMs"], changed["times"]) == ("drip", 20, 0)


def test_a_reply_that_no_bin_may_give_is_told_before_the_server_is_asked(machine: Any):
    wrong = machine.run("bin", "create", "--reply", "fial")
    assert wrong.returncode == 2
    assert "'fial' is no reply" in wrong.stderr


def test_a_pinned_request_stays_when_a_bin_is_cleared(served: Any):
    url = served.json("bin", "create", "pins")["url"]
    for body in (b"one", b"two"):
        urllib.request.urlopen(url, data=body, timeout=30).close()

    assert served.ok("bin", "pin", "pins", "1") == "Pinned #1\n"
    assert served.ok("bin", "clear", "pins", "--yes") == "Deleted 1 request\n"
    shown = served.ok("bin", "tail", "pins", "--all", "--count", "1")
    assert "(pinned)" in shown
    assert "one" in shown
    capture = served.json("bin", "tail", "pins", "--all", "--count", "1")["id"]
    assert served.ok("bin", "unpin", "pins", capture) == "Unpinned #1\n"
    assert served.ok("bin", "clear", "pins", "--yes") == "Deleted 1 request\n"
    assert served.run("bin", "pin", "pins", "#1").returncode == 1


def test_a_token_opens_the_api_until_it_is_revoked(served: Any):
    text = served.ok("token", "create", "mine", "--expires", "90d").strip()
    url = json.loads((served.data / "server.json").read_text())["url"]
    environment = {"STAFETT_URL": url, "STAFETT_TOKEN": text}

    let_in = served.run("webhook", "list", env=environment)
    served.ok("token", "revoke", "mine")
    refused = served.run("webhook", "list", env=environment)

    assert let_in.returncode == 0
    assert refused.returncode == 3
    assert text not in refused.stderr
    assert text not in served.ok("token", "list", "--all")
    assert "mine" not in served.ok("token", "list")


# --- finding the server -----------------------------------------------------------------------


def test_no_server_is_exit_code_4(machine: Any):
    nothing = machine.run("webhook", "list")
    gone = machine.run("webhook", "list", env={"STAFETT_URL": "http://127.0.0.1:1"})
    refused = machine.run(
        "webhook", "list", env={"STAFETT_URL": "http://127.0.0.1:1", "STAFETT_TOKEN": "st_x"}
    )

    assert (nothing.returncode, gone.returncode, refused.returncode) == (4, 3, 4)
    assert "stafett serve" in nothing.stderr
    assert "STAFETT_TOKEN" in gone.stderr
    assert "http://127.0.0.1:1" in refused.stderr


class _Stranger(http.server.BaseHTTPRequestHandler):
    """Answers everything, and is not Stafett."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<h1>It works!</h1>")

    @override
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        return


def test_another_programs_answer_is_no_server(machine: Any):
    with http.server.HTTPServer(("127.0.0.1", 0), _Stranger) as stranger:
        threading.Thread(target=stranger.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{stranger.server_port}"
        done = machine.run("webhook", "list", env={"STAFETT_URL": url, "STAFETT_TOKEN": "t"})
        stranger.shutdown()

    assert done.returncode == 4
    assert f"what answers at {url} (from STAFETT_URL) is not Stafett" in done.stderr


@pytest.mark.parametrize(
    "url",
    [
        "http://h:99999",
        "http://h:x",
        "http://a..b",
        "http://[::1",
        "http://:1",
    ],
)
def test_an_address_that_is_none_is_wrong_usage_and_not_repeated(machine: Any, url: str):
    done = machine.run("webhook", "list", env={"STAFETT_URL": url, "STAFETT_TOKEN": "t"})

    assert done.returncode == 2
    assert "STAFETT_URL must be" in done.stderr
    assert "hidden" not in done.stderr


@pytest.mark.parametrize("token", ["hidden\nx", "hidden\u00e5"])
def test_a_token_that_no_header_may_hold_is_refused_and_not_repeated(machine: Any, token: str):
    environment = {"STAFETT_URL": "http://127.0.0.1:1", "STAFETT_TOKEN": token}

    done = machine.run("webhook", "list", env=environment)

    assert done.returncode == 3
    assert "STAFETT_TOKEN" in done.stderr
    assert "hidden" not in done.stderr


def test_a_folder_that_is_named_is_meant_whatever_is_set(served: Any, machine: Any):
    environment = {"STAFETT_URL": "http://127.0.0.1:1", "STAFETT_TOKEN": "another-servers"}

    done = machine.run("token", "list", "--data", str(served.data), env=environment)

    assert done.returncode == 0
    assert "local command line" in done.stdout


def test_the_server_is_found_from_another_folder(served: Any, machine: Any):
    listed = machine.run("webhook", "list", "--data", str(served.data))
    emitted = machine.run("emit", "nothing", env={"STAFETT_DATA": str(served.data)})

    assert listed.returncode == 0
    assert "there is no event 'nothing'" in emitted.stderr


def test_doctor_finds_a_running_server_well(served: Any):
    said = served.ok("doctor")

    assert {line.split()[0] for line in said.splitlines()} <= {"OK", "WARN"}
    assert "is ready" in said
    assert {each["about"] for each in served.json("doctor")} >= {"Python", "SQLite", "space"}


def test_doctor_says_what_the_running_server_allows(served: Any):
    [egress] = [each for each in served.json("doctor") if each["about"] == "egress"]

    assert egress["level"] == "WARN"
    assert "127.0.0.0/8,::1/128" in egress["text"]


def _of_the_database(machine: Any) -> dict[str, str]:
    found = json.loads(machine.run("doctor", "--json").stdout)
    return next(each for each in found if each["about"] == "database")


def test_doctor_looks_into_the_database_and_leaves_it_as_it_is(machine: Any):
    assert "does not exist yet" in _of_the_database(machine)["text"]
    assert not machine.data.exists()
    machine.data.mkdir(mode=0o700)
    path = machine.data / "stafett.db"
    with contextlib.closing(sqlite3.connect(path)) as made:
        made.execute("PRAGMA journal_mode=WAL")
        made.execute("CREATE TABLE alembic_version (version_num TEXT)")
        made.execute("INSERT INTO alembic_version VALUES ('0001')")
        made.commit()
    path.chmod(0o600)
    before = path.read_bytes()

    found = _of_the_database(machine)

    assert found["level"] == "OK"
    assert "mode 600; schema 0001; the next start" in found["text"]
    assert (path.read_bytes(), list(machine.data.iterdir())) == (before, [path])


def test_doctor_fails_on_a_database_that_this_release_cannot_use(machine: Any):
    machine.data.mkdir(mode=0o700)
    path = machine.data / "stafett.db"
    with contextlib.closing(sqlite3.connect(path)) as made:
        made.execute("CREATE TABLE alembic_version (version_num TEXT)")
        made.execute("INSERT INTO alembic_version VALUES ('9999')")
        made.commit()
    newer = _of_the_database(machine)
    path.write_bytes(b"no database at all, " * 100)
    broken = _of_the_database(machine)

    assert (newer["level"], broken["level"]) == ("FAIL", "FAIL")
    assert "schema 9999 is a newer Stafett's" in newer["text"]
    assert f"{path.relative_to(machine.folder)} cannot be read" in broken["text"]


def test_doctor_warns_of_a_database_that_others_can_read(machine: Any):
    machine.data.mkdir()
    machine.data.chmod(0o755)
    path = machine.data / "stafett.db"
    with contextlib.closing(sqlite3.connect(path)) as made:
        made.execute("CREATE TABLE alembic_version (version_num TEXT)")
        made.execute("INSERT INTO alembic_version VALUES ('0001')")
        made.commit()
    path.chmod(0o644)

    found = _of_the_database(machine)

    assert (found["level"], "chmod 600" in found["text"]) == ("WARN", True)


@pytest.mark.parametrize("when", ["bad", "2026-01-01", "2026-01-01T12:00:00", "99999999d"])
@pytest.mark.parametrize("option", ["--since", "--until"])
def test_what_is_no_time_is_wrong_usage(machine: Any, option: str, when: str):
    given = {"--since": "2h ago", option: when}

    done = machine.run("recover", "x", *(word for pair in given.items() for word in pair))

    assert done.returncode == 2
    assert "say 2h ago, or 2026-11-24T12:00:00Z" in done.stderr


def test_doctor_fails_where_the_data_folder_cannot_be(machine: Any):
    (machine.folder / "file").write_text("")

    done = machine.run("doctor", "--data", "file")

    assert done.returncode == 1
    assert "FAIL  data folder" in done.stdout


def test_config_says_where_each_value_came_from_and_masks_secrets(machine: Any):
    (machine.folder / ".env").write_text("STAFETT_PORT=9000\n")
    (machine.folder / "stafett.toml").write_text('port = 1\nattempt_timeout = "3s"\n')
    secret = "s" * 32

    done = machine.run("config", "--json", env={"STAFETT_BOOTSTRAP_TOKEN": secret})
    found = {each["name"]: (each["value"], each["source"]) for each in json.loads(done.stdout)}

    assert found["port"] == ("9000", ".env")
    assert found["attempt_timeout"] == ("3s", "stafett.toml")
    assert found["host"] == ("127.0.0.1", "default")
    assert found["bootstrap_token"] == ("****", "environment")
    assert secret not in done.stdout + machine.ok("config")


@pytest.mark.parametrize("verb", [("config",), ("config", "--json"), ("webhook", "list")])
def test_an_address_with_a_password_is_refused_and_not_printed(machine: Any, verb: tuple[str, ...]):
    done = machine.run(*verb, env={"STAFETT_URL": "https://me:hidden@hooks.example"})

    assert done.returncode == 2
    assert "STAFETT_TOKEN" in done.stderr
    assert "hidden" not in done.stdout + done.stderr


def test_who_may_sign_in_is_made_reset_and_removed(served: Any) -> None:
    secret = ("--password", "correct horse battery")
    assert "Added kari@example.com as owner" in served.ok(
        "user", "create", "kari@example.com", *secret
    )
    served.ok("user", "create", "per@example.com", "--role", "viewer", "--name", "Per", *secret)
    assert {each["email"]: each["role"] for each in served.json("user", "list")["data"]} == {
        "kari@example.com": "owner",
        "per@example.com": "viewer",
    }
    short = served.run("user", "reset", "per@example.com", "--password", "short")
    assert (short.returncode, "12 or more characters" in short.stderr) == (1, True)
    served.ok("user", "reset", "per@example.com", "--password", "another good one")
    served.ok("user", "delete", "per@example.com")
    last = served.run("user", "delete", "kari@example.com")
    assert (last.returncode, "somebody has to be owner" in last.stderr) == (1, True)
