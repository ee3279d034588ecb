"""`stafett demo`: the whole way of one event, on this machine, over the real API.

It may be run again and again in the same folder: what is there already is used.
"""

from __future__ import annotations

import base64
import ipaddress
import shutil
import sys
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import click

from stafett import settings, signing
from stafett.cli import client, listening, messages, options, printing, serving, webhooks
from stafett.cli.client import Client, path_of
from stafett.engine.clock import SystemClock
from stafett.model import Json

BIN: Final = "demo"
WEBHOOK: Final = "Demo webhook"
EVENT: Final = "payment_received"
_LOOPBACK: Final = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
_SHOWN: Final = (
    "content-type",
    "user-agent",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
)


@click.command()
@serving.server_options
def demo(**flags: Any) -> None:
    """Start the server and watch one event arrive, signed, in a request bin.

    Webhooks may reach this machine meanwhile, as the request bin is here. Goes on serving until
    Ctrl-C.
    """
    loaded = serving.load(**flags)
    listener = _listen(loaded)
    chosen = serving.with_networks(loaded.settings, *_LOOPBACK)
    # Where webhooks may go is not as it was set: this machine is added.
    sources = {**loaded.sources, "allow_networks": "stafett demo"}
    sys.exit(serving.run(chosen, listener, say=_greet, story=_story, sources=sources))


def _listen(loaded: settings.Loaded) -> Any:
    """The usual port, or a free one where it is taken and nobody asked for it."""
    chosen = loaded.settings
    try:
        return listening.listen(chosen.host, chosen.port)
    except listening.PortInUse:
        if loaded.sources["port"] != "default":
            raise
        printing.line(f"Port {chosen.port} is in use, so the demo takes a free one.")
        return listening.listen(chosen.host, 0)


def _greet(running: serving.Running) -> None:
    _print(f"Stafett serves at {running.url}  (data in {running.data})\n")


def _print(text: str = "") -> None:
    """At once, also into a pipe."""
    printing.line(text)
    sys.stdout.flush()


# --- the story --------------------------------------------------------------------------------


def _story(running: serving.Running) -> None:
    """Errors: Failure."""
    server = Client(client.Server(url=running.url, token=running.token, found="the demo's own"))
    _must_know_event(server)
    found_bin = _bin(server)
    url = f"{running.url}/in/{found_bin['url'].rpartition('/in/')[2]}"
    hook = _webhook(server, url)
    _print(f"Request bin  {found_bin['id']}  {url}")
    _print(f"Webhook      {hook['id']}  {WEBHOOK!r} wants {EVENT}\n")
    message_id = _send(server, hook)
    capture = _caught(server, found_bin["id"], message_id)
    _show(capture)
    _verify(server, hook["id"], capture)
    _say_next(running, found_bin["id"])


def _must_know_event(server: Client) -> None:
    """Errors: Failure, where the catalogue was left out."""
    try:
        server.get(path_of("event-type", EVENT))
    except client.NotThere:
        message = (
            f"the demo sends the event {EVENT}, and the catalogue here does not have it: start the"
            " demo with STAFETT_CATALOG=multisite, or in a folder of its own (--data)"
        )
        raise client.Failure(message) from None


def _bin(server: Client) -> dict[str, Json]:
    path = path_of("bin")
    try:
        return client.resolve(server, path, BIN, kind="bin")
    except client.NotThere:
        return server.post(path, {"name": BIN}).json


def _webhook(server: Client, url: str) -> dict[str, Json]:
    """The demo's webhook, joined to the bin: its port may be another than last time."""
    path = path_of("app", options.DEFAULT_APP, "endpoint")
    wanted = {"url": url, "disabled": False, "eventTypes": [EVENT]}
    try:
        found = webhooks.find(server, options.DEFAULT_APP, WEBHOOK)
    except client.NotThere:
        return server.post(path, {"name": WEBHOOK, **wanted}).json
    if any(found.get(name) != value for name, value in wanted.items()):
        return server.patch(f"{path}/{found['id']}", wanted).json
    return found


def _send(server: Client, hook: dict[str, Json]) -> str:
    app = options.DEFAULT_APP
    sent = messages.send(server, app, EVENT, messages.sample_of(server, EVENT)).json
    _print(f"Sent         {sent['id']}  {EVENT}, with its sample as payload")
    messages.first_attempts(server, app, sent["id"], timeout=30)
    attempts = server.get(path_of("app", app, "attempt", "msg", sent["id"])).json["data"]
    attempt = next(each for each in attempts if each["endpointId"] == hook["id"])
    if attempt["statusText"] != "success":
        message = f"the demo's event did not arrive: {attempt['detail']}"
        raise client.Failure(message)
    _print(
        f"Delivered    {attempt['id']}  {attempt['responseStatusCode']}"
        f" in {attempt['responseDurationMs']} ms\n"
    )
    return sent["id"]


def _caught(server: Client, bin_id: str, message_id: str) -> dict[str, Json]:
    for capture in server.every(path_of("bin", bin_id, "capture")):
        if capture["messageId"] == message_id:
            return capture
    message = "the bin answered, but shows no such request"
    raise client.Failure(message)


def _show(capture: dict[str, Json]) -> None:
    _print("The bin caught:")
    _print(f"  {capture['method']} {printing.safe(capture['target'])}")
    for name, value in capture["headers"]:
        if name.lower() in _SHOWN:
            _print(f"  {name}: {printing.safe(value)}")
    body = printing.safe(capture["body"])
    _print(f"  {body[:100]}{'…' if len(body) > 100 else ''}  ({capture['bodySize']} bytes)")


def _verify(server: Client, endpoint_id: str, capture: dict[str, Json]) -> None:
    path = path_of("app", options.DEFAULT_APP, "endpoint", endpoint_id, "secret")
    verdict = signing.verify(
        [server.get(path).json["key"]],
        dict(capture["headers"]),
        base64.b64decode(capture["bodyBase64"]),
        now=SystemClock().now(),
    )
    if not verdict.ok:
        message = f"the signature does not hold: {verdict.reason}"
        raise client.Failure(message)
    _print("  The signature was verified with the webhook's secret: it holds.\n")


def _say_next(running: serving.Running, bin_id: str) -> None:
    command = _command()
    host = urlsplit(running.url).netloc
    _print(
        f"Open         {running.admin_url}\n"
        f"                 {_what_admin_is(running)}\n"
        f"             {running.url}/docs       the API\n"
        f"             {running.url}/health     whether it runs\n"
        f"             {running.url}/api/v1/bin/{bin_id}/capture\n"
        f"                 what the bin caught (with a token: {command} token create me)\n"
        f"\n"
        f"Try, in another terminal in this folder:\n"
        f"  {command} bin tail {BIN}\n"
        f"  {command} emit {EVENT} --wait\n"
        f"  {command} webhook test {WEBHOOK!r}\n"
        f"  {command} event-type list\n"
        f"\n"
        f"{host} goes on serving; Ctrl-C stops it."
    )


def _what_admin_is(running: serving.Running) -> str:
    if running.setup_token is None:
        return "the admin: webhooks, deliveries, events, request bins"
    return "makes the owner of the admin: webhooks, deliveries, events, request bins"


def _command() -> str:
    """How the command is typed here: set up by `make`, it is not on the path."""
    if shutil.which("stafett"):
        return "stafett"
    typed = Path(sys.argv[0])
    return f"{sys.executable} -m stafett" if typed.name == "__main__.py" else str(typed)
