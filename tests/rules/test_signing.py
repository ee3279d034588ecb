"""Oracles: the vectors of the specification, and the `standardwebhooks` and `svix` packages."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import standardwebhooks
import svix.webhooks
from hypothesis import given
from hypothesis import strategies as st

from stafett import errors, signing
from stafett.model import EndpointSecret, Secret

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent.parent / "data" / "signature-vectors.json").read_text()
)
PRIVATE = next(each["private_key"] for each in VECTORS if each["scheme"] == "v1a")
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
STAMP = int(NOW.timestamp())
BODY = b'{"n":"h\xc3\xa9"}'


def in_force(secret: str, expires_at: datetime | None = None) -> EndpointSecret:
    return EndpointSecret(secret=Secret(secret), expires_at=expires_at)


def signature(*secrets: EndpointSecret, timestamp: int = STAMP, now: datetime = NOW) -> str:
    return signing.sign(secrets, message_id="msg_1", timestamp=timestamp, body=BODY, now=now)


def headers(*, family: str = "webhook", **changed: str) -> dict[str, str]:
    parts = {"id": "msg_1", "timestamp": str(STAMP), "signature": signature(in_force(SECRET))}
    return {f"{family}-{name}": value for name, value in (parts | changed).items()}


def packed(prefix: str, size: int) -> str:
    return prefix + base64.b64encode(bytes(size)).decode()


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_signs_as_the_specification_does(vector: dict[str, Any]) -> None:
    secret = vector.get("secret") or vector["private_key"]
    content = signing.signed_text(vector["id"], vector["timestamp"], vector["body_utf8"].encode())
    assert signing.signer(secret)(content) == vector["signature"]
    assert signing.public_key(secret) == vector.get("public_key")


@given(body=st.binary(), entropy=st.binary(min_size=24, max_size=75))
def test_a_symmetric_signature_is_the_one_standardwebhooks_makes(
    body: bytes, entropy: bytes
) -> None:
    text = body.decode("latin-1")
    secret = signing.new_secret(entropy)
    ours = signing.sign(
        [in_force(secret)], message_id="msg_1", timestamp=STAMP, body=text.encode(), now=NOW
    )
    assert ours == standardwebhooks.Webhook(secret).sign("msg_1", NOW, text)


def test_svix_signs_the_same() -> None:
    theirs = svix.webhooks.Webhook(SECRET).sign("msg_1", NOW, BODY.decode())
    assert signature(in_force(SECRET)) == theirs


def test_the_packages_verify_what_we_sign_under_either_family() -> None:
    at = datetime.now(UTC)  # noqa: TID251 - the packages read the clock themselves
    stamp = int(at.timestamp())
    signed = signature(in_force(SECRET), timestamp=stamp, now=at)
    for family, package in (
        ("webhook", standardwebhooks.Webhook),
        ("webhook", svix.webhooks.Webhook),
        ("svix", svix.webhooks.Webhook),
    ):
        given_headers = headers(family=family, timestamp=str(stamp), signature=signed)
        package(SECRET).verify(BODY, given_headers)
        with pytest.raises(Exception, match=r"(?i)signature"):
            package(OTHER).verify(BODY, given_headers)


def test_old_secrets_sign_too_until_they_expire() -> None:
    second = timedelta(seconds=1)
    old = [in_force(OTHER, NOW + second), in_force(PRIVATE, NOW)]
    assert signature(in_force(SECRET), *old) == " ".join(
        signature(in_force(each)) for each in (SECRET, OTHER)
    )


@pytest.mark.parametrize(
    "secret",
    [SECRET, SECRET.removeprefix("whsec_"), PRIVATE, packed("whsec_", 24), packed("whsec_", 75)],
)
def test_good_secrets_pass(secret: str) -> None:
    signing.check_secret(secret)


@pytest.mark.parametrize(
    ("secret", "reason"),
    [
        ("", "24 to 75 bytes"),
        (packed("whsec_", 23), "holds 23"),
        (packed("whsec_", 76), "holds 76"),
        ("whsec_not base64!", "base64"),
        ("whsec_æøå", "base64"),
        (packed("whsk_", 31), "Ed25519"),
        (packed("whsk_", 64), "not the one"),
        (packed("whsk_whsec_", 32), "base64"),
    ],
)
def test_bad_secrets_are_refused_in_words(secret: str, reason: str) -> None:
    with pytest.raises(errors.Invalid) as caught:
        signing.check_secret(secret)
    (problem,) = caught.value.problems
    assert problem.loc == ("body", "key")
    assert reason in problem.msg


@pytest.mark.parametrize("family", ["webhook", "svix", "Webhook", "SVIX"])
@pytest.mark.parametrize("secret", [SECRET, PRIVATE])
def test_verifies_either_family_and_version(family: str, secret: str) -> None:
    signed = "v9,unknown v1, " + signature(in_force(secret))
    given_headers = headers(family=family, signature=signed)
    assert signing.verify([OTHER, secret], given_headers, BODY, now=NOW).ok


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"timestamp": str(STAMP - 301)}, "too old"),
        ({"timestamp": str(STAMP + 301)}, "far in the future"),
        ({"timestamp": "soon"}, "whole number"),
        ({"timestamp": "²"}, "whole number"),
        ({"timestamp": "9" * 5000}, "whole number"),
        ({"timestamp": str(STAMP - 300)}, "no signature matches"),
        ({"id": "msg_2"}, "no signature matches"),
        ({"id": "msg_\udce6"}, "no signature matches"),
        ({"signature": "v1,æ v1a,æ v1a,AAAA v1"}, "no signature matches"),
        ({"signature": ""}, "no signature matches"),
    ],
)
@pytest.mark.parametrize("secret", [SECRET, PRIVATE])
def test_a_refusal_names_the_mistake(secret: str, changed: dict[str, str], reason: str) -> None:
    verdict = signing.verify([secret], headers(**changed), BODY, now=NOW)
    assert not verdict.ok
    assert reason in verdict.reason


@pytest.mark.parametrize("name", ["id", "timestamp", "signature"])
def test_a_missing_header_is_named(name: str) -> None:
    given_headers = headers()
    del given_headers[f"webhook-{name}"]
    verdict = signing.verify([SECRET], given_headers, BODY, now=NOW)
    assert not verdict.ok
    assert f"webhook-{name}" in verdict.reason


def test_a_malformed_secret_is_a_verdict_not_an_exception() -> None:
    verdict = signing.verify(["whsec_short"], headers(), BODY, now=NOW)
    assert not verdict.ok
    assert verdict.reason.startswith("a secret must")


def test_a_changed_body_does_not_verify() -> None:
    assert not signing.verify([SECRET], headers(), BODY + b" ", now=NOW).ok
