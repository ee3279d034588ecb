"""A real delivery is verified by the package `standardwebhooks`; an asymmetric one by our own."""

from __future__ import annotations

import base64
import json

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from standardwebhooks import Webhook, WebhookVerificationError

from web.conftest import Arrived, Recorder


def delivered(api: httpx.Client, app: str, receiver: Recorder, **more: str) -> tuple[str, Arrived]:
    """The endpoint's secret, and a request that it got."""
    path = f"/standard/{app}"
    made = api.post(f"app/{app}/endpoint", json={"url": receiver.url(path)} | more)
    assert made.status_code == 201, made.text
    payload = b'{ "a":\t1.0e5, "b": "\xc3\xa9" }'
    sent = api.post(
        f"app/{app}/msg", content=b'{"eventType":"payment_received","payload":%b}' % payload
    )
    assert sent.status_code == 202, sent.text
    secret = api.get(f"app/{app}/endpoint/{made.json()['id']}/secret").json()["key"]
    return secret, receiver.next(path)


def test_standardwebhooks_accepts_a_delivery_and_no_other_body(
    api: httpx.Client, app: str, receiver: Recorder
) -> None:
    secret, arrived = delivered(api, app, receiver)
    assert Webhook(secret).verify(arrived.body, arrived.headers) == json.loads(arrived.body)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(arrived.body + b" ", arrived.headers)


def test_an_ed25519_signature_fits_the_public_key(
    api: httpx.Client, app: str, receiver: Recorder
) -> None:
    key = Ed25519PrivateKey.generate()
    public = key.public_key()
    pair = key.private_bytes_raw() + public.public_bytes_raw()
    given = "whsk_" + base64.b64encode(pair).decode()
    _, arrived = delivered(api, app, receiver, secret=given)
    version, _, signature = arrived.headers["webhook-signature"].partition(",")
    assert version == "v1a"
    signed = f"{arrived.headers['webhook-id']}.{arrived.headers['webhook-timestamp']}.".encode()
    public.verify(base64.b64decode(signature), signed + arrived.body)
