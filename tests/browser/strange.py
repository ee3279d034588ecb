"""A server on which everything that anybody can write has been written by somebody hostile.

`PLACES` says what they can write, and on which page of the admin it has to be seen: as text.
"""

from __future__ import annotations

import json
import re
from http.client import HTTPConnection
from urllib.parse import urlencode, urlsplit

import httpx

from admin.conftest import PASSWORD, Person

MARK = "data-stranger"
"""An attribute of everything that the markup below would put on a page."""
_ELSEWHERE = "//stranger.invalid"
_BREAKOUT = f"'\" {MARK} autofocus onfocus=alert(1) x='\">"
MARKUP = (
    f"{_BREAKOUT}</textarea></title></script></pre>"
    f"<img {MARK} src={_ELSEWHERE} onerror=alert(1)><script {MARK}>alert(1)</script>"
    f"<b {MARK} hx-get={_ELSEWHERE} hx-trigger=load hx-on::load=alert(1)>"
    f"<a {MARK} href=javascript:alert(1)><base {MARK} href={_ELSEWHERE}>"
    f"<link {MARK} rel=stylesheet href={_ELSEWHERE}><svg {MARK} onload=alert(1)>"
    "{0}{x}{{7*7}}%s"
)
"""Ways out of text, of attributes in either quote, of a text field, a title, a script, JSON."""
TOKENS = "'onfocus=alert(1)&lt;script;%22%3E%3Cscript%20data-stranger%3Ealert(1)%3C/script%3E"
"""The same as far as the path of a URL lets it."""


_BENT = {"request path": (" ", "/"), "metadata key": (":", "")}
"""What does not fit there, and what stands for it."""


def from_(place: str) -> str:
    """What a stranger wrote there."""
    if place == "webhook url":
        return TOKENS
    return f"[{place}]{MARKUP}".replace(*_BENT.get(place, ("", "")))


PLACES = {
    "payload": "events/{event}",
    "payload key": "events/{event}",
    "reply body": "deliveries/{event}/{webhook}",
    "reply header": "deliveries/{event}/{webhook}",
    "request header": "bins/{bin}/captures/{capture}",
    "request body": "bins/{bin}/captures/{capture}",
    "request query": "bins/{bin}/captures/{capture}",
    "request path": "bins/{bin}/captures/{capture}",
    "form": "bins/{bin}/captures/{form}",
    "event label": "event-types/{name}",
    "event group": "event-types",
    "event description": "webhooks",
    "event moment": "event-types/{name}",
    "field": "event-types/-/card?event_types={name}",
    "field meaning": "webhooks/-/new?event={name}",
    "field example": "event-types/{name}",
    "webhook name": "deliveries",
    "webhook description": "webhooks/{webhook}",
    "webhook url": "webhooks",
    "webhook header": "webhooks/{webhook}",
    "metadata": "webhooks/{webhook}",
    "metadata key": "webhooks/{webhook}",
    "application name": "settings/applications",
    "user name": "settings/users",
    "token name": "settings/tokens",
    "bin name": "bins",
    "bin reply": "bins/{bin}",
    "bin reply header": "bins/{bin}",
    "browser": "profile",
    "error": "deliveries/{event}/{failing}",
}


def fill(owner: Person, elsewhere: str) -> dict[str, str]:
    """Write it everywhere; by name, what stands in paths to it.

    `elsewhere` is a receiver that answers with a redirect to what `from_("error")` says.
    """
    _people(owner)
    _event_type(owner)
    bin_id, catches = _bin(owner)
    webhook = owner.webhook(
        name=from_("webhook name"),
        url=f"{catches}/{from_('webhook url')}",
        event_types="strange",
        description=from_("webhook description"),
        headers=f"x-extra: {from_('webhook header')}",
        metadata=f"kept: {from_('metadata')}\n{from_('metadata key')}: kept",
    )
    failing = owner.webhook(name=from_("webhook name"), url=elsewhere, event_types="strange")
    payload = {"strange": from_("payload"), from_("payload key"): 1}
    event = owner.emit(json.dumps(payload), event="strange")
    owner.see_once(f"bins/{bin_id}", 'data-number="1"')
    write_to(catches)
    found = re.findall(r"captures/(cap_\w+)\"", owner.see(f"bins/{bin_id}"))
    owner.see_once(f"deliveries/{event}/{failing}", "<h3>")
    return {
        "webhook": webhook,
        "endpoint": webhook,
        "failing": failing,
        "bin": bin_id,
        "form": found[0],
        "capture": found[1],
        "sent": found[2],
        "message": event,
        "event": event,
        "name": "strange",
    }


def _people(owner: Person) -> None:
    someone = {"password": PASSWORD, "role": "viewer", "email": "ola@example.com"}
    owner.do("settings/users", name=from_("user name"), **someone)
    owner.do("settings/applications", name=from_("application name"), uid="another")
    assert owner.send("settings/tokens", name=from_("token name")).status_code == 200
    again = Person(owner.site, **{"user-agent": from_("browser")})
    assert again.sign_in("kari@example.com").status_code == 303


def _event_type(owner: Person) -> None:
    name = from_("field")
    meaning = {"type": "string", "description": from_("field meaning")}
    owner.do(
        "event-types",
        name="strange",
        label=from_("event label"),
        group=from_("event group"),
        description=from_("event description"),
        fires_when=from_("event moment"),
        schema=json.dumps({"type": "object", "properties": {name: meaning}, "required": [name]}),
        sample=json.dumps({name: from_("field example")}),
        check="warn",
    )


def _bin(owner: Person) -> tuple[str, str]:
    where = owner.do("bins", name=from_("bin name"))
    reply = {"status_code": 200, "delay": 0, "body": f"{from_('reply body')}{from_('bin reply')}"}
    strange = f"x-reply: {from_('reply header')}{from_('bin reply header')}"
    owner.do(f"{where}/reply", headers=strange, **reply)
    found = re.search(r"http://[^<\s]+/in/[0-9a-f]+", owner.see(where))
    assert found is not None
    return where.removeprefix("bins/"), found[0]


def write_to(catches: str) -> None:
    """As anybody can who knows where the bin catches: as they like, then by a form."""
    where = urlsplit(catches)
    connection = HTTPConnection(where.netloc)
    connection.request(
        "POST",
        f"{where.path}/{from_('request path')}?{urlencode({'strange': from_('request query')})}",
        from_("request body"),
        {"content-type": "text/html", "x-strange": from_("request header")},
    )
    assert connection.getresponse().status == 200
    connection.close()
    httpx.post(catches, data={"strange": from_("form"), from_("form"): "kept"})
