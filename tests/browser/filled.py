"""A server with something of everything on it: what pages are looked at with."""

from __future__ import annotations

import re
from typing import Any

from admin.conftest import PASSWORD, Person, Site

LONG = "Receipts, reminders and everything else that the accounting office in Longyearbyen wants"
NOWHERE = "http://127.0.0.1:65533/nobody/listens/here/and/the/path/of/this/address/is/rather/long"


def fill(owner: Person) -> dict[str, str]:
    """Things in every state that pages tell apart; by name, what stands in paths to them."""
    bin_id, catches = owner.bin()
    webhook = owner.webhook(name="Mailing list", url=catches)
    told = owner.send(f"webhooks/{webhook}/test").text
    _reply_with(owner, bin_id, 410)
    _tested(owner, owner.webhook(name="Closed shop", url=catches))
    _reply_with(owner, bin_id, 200)
    failing = owner.webhook(name=LONG, url=NOWHERE)
    owner.do(f"webhooks/{owner.webhook(name='Resting')}/switch", to="off")
    event = owner.emit()
    owner.see_once(f"bins/{bin_id}", 'data-number="3"')
    empty, _ = owner.bin()
    owner.do(
        "settings/users", email="ola@example.com", name="Ola", password=PASSWORD, role="viewer"
    )
    owner.do("settings/applications", name="Another shop", uid="another-shop")
    assert owner.send("settings/tokens", name="The shop").status_code == 200
    captures = re.findall(r"captures/(cap_\w+)\"", owner.see(f"bins/{bin_id}"))
    delivery = re.search(r"deliveries/(msg_\w+)", told)
    assert captures
    assert delivery is not None
    return {
        "webhook": webhook,
        "endpoint": webhook,
        "failing": failing,
        "bin": bin_id,
        "empty": empty,
        "capture": captures[0],
        "earlier": captures[-1],
        "message": delivery[1],
        "event": event,
        "name": "payment_received",
    }


def _reply_with(owner: Person, bin_id: str, status: int) -> None:
    fields: dict[str, Any] = {"status_code": status, "headers": "", "body": "", "delay": 0}
    owner.do(f"bins/{bin_id}/reply", **fields)


def _tested(owner: Person, webhook: str) -> None:
    assert owner.send(f"webhooks/{webhook}/test").status_code == 200


def first_owner(site: Site) -> Person:
    """Who opened the link that the server printed."""
    person = Person(site)
    token = site.setup_link.rpartition("=")[2]
    fields = {"token": token, "email": "kari@example.com", "name": "Kari", "password": PASSWORD}
    assert person.client.post("setup", data=fields).status_code == 303
    return person
