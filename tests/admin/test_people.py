"""Setting up, signing in, sessions, and what keeps strangers out."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest

from admin.conftest import PASSWORD, Person, Site, problem_of, start, stop


def test_before_there_is_an_owner_only_the_printed_link_makes_one(tmp_path: Path) -> None:
    process, site = start(tmp_path / "data")
    try:
        stranger = Person(site)
        for path in ("", "webhooks", "sign-in", "settings/users"):
            answer = stranger.client.get(path)
            assert answer.headers["location"].startswith("/admin/setup"), path
        assert "password" not in stranger.see("setup")
        form = {"email": "eve@example.com", "name": "Eve", "password": PASSWORD}
        for token in ("", "0" * 64):
            refused = stranger.client.post("setup", data={"token": token, **form})
            assert refused.status_code == 403

        token = site.setup_link.rpartition("=")[2]
        html = stranger.client.get(site.setup_link).text
        assert f'value="{token}"' in html
        short = stranger.client.post("setup", data={"token": token, **form, "password": "short"})
        assert short.status_code == 422
        assert "12 or more characters" in problem_of(short.text, "password")
        assert 'value="eve@example.com"' in short.text
        made = stranger.client.post("setup", data={"token": token, **form})
        assert made.status_code == 303
        assert "Eve" in stranger.see("")
        again = Person(site).client.post("setup", data={"token": token, **form})
        assert again.status_code == 403
    finally:
        stop(process)


def test_a_wrong_password_is_told_and_the_address_kept(site: Site, owner: Person) -> None:
    person = Person(site)
    answer = person.sign_in("kari@example.com", "not the right one")
    assert answer.status_code == 422
    assert "The address or the password is wrong" in answer.text
    assert 'value="kari@example.com"' in answer.text
    assert person.client.get("webhooks").headers["location"] == (
        "/admin/sign-in?then=%2Fadmin%2Fwebhooks"
    )


def test_who_is_not_signed_in_sends_small_forms_only(site: Site, owner: Person) -> None:
    assert Person(site).sign_in("x" * 20_000).status_code == 413
    assert owner.send("bins", name="x" * 20_000).status_code == 422


def test_signing_in_leads_to_the_page_that_was_asked_for_and_never_elsewhere(
    site: Site, owner: Person
) -> None:
    for then, leads_to in (
        ("/admin/webhooks", "/admin/webhooks"),
        ("https://evil.example/", "/admin/"),
        ("//evil.example/", "/admin/"),
        ("/admin///evil.example", "/admin/"),
    ):
        person = Person(site)
        form = {"email": "kari@example.com", "password": PASSWORD, "then": then}
        assert person.client.post("sign-in", data=form).headers["location"] == leads_to


@pytest.mark.parametrize(
    ("back", "leads_to"),
    [
        ("/admin/../in/token", "/admin/"),
        ("/admin/\\evil.example", "/admin/"),
        ("/admin/events?text=..//", "/admin/events?text=..//"),
        ("/admin/x\r\nSet-Cookie: a=b", "/admin/"),
    ],
)
def test_what_leads_back_leads_nowhere_else(site: Site, back: str, leads_to: str) -> None:
    form = {"language": "en", "back": back}
    answer = Person(site).client.post("-/language", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, leads_to)


def test_the_cookie_is_for_this_server_alone(site: Site, owner: Person) -> None:
    answer = Person(site).sign_in("kari@example.com")
    cookie = answer.headers["set-cookie"]
    for part in ("HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=604800"):
        assert part in cookie
    assert "Secure" not in cookie  # over plain HTTP on this machine it would not come back


def test_behind_tls_only_this_very_host_can_set_the_cookie(tmp_path: Path) -> None:
    process, site = start(tmp_path / "data", STAFETT_PUBLIC_URL="https://hooks.example.com")
    try:
        person = Person(site, host="hooks.example.com", **{"sec-fetch-site": "same-origin"})
        form = {"email": "kari@example.com", "name": "Kari", "password": PASSWORD}
        token = site.setup_link.rpartition("=")[2]
        cookie = person.client.post("setup", data={"token": token, **form}).headers["set-cookie"]
        assert cookie.startswith("__Host-stafett_session=")
        assert "Secure" in cookie
    finally:
        stop(process)


def test_signing_out_ends_the_session(site: Site, owner: Person) -> None:
    person = Person(site)
    person.sign_in("kari@example.com")
    cookies = dict(person.client.cookies)
    assert person.do("sign-out") == "sign-in"
    assert httpx.get(f"{site.url}/admin/profile", cookies=cookies).status_code == 303


def test_sessions_are_listed_and_can_be_ended(site: Site, owner: Person) -> None:
    here = Person(site, **{"user-agent": "Here/1"})
    elsewhere = Person(site, **{"user-agent": "Elsewhere/1"})
    for each in (here, elsewhere):
        each.sign_in("kari@example.com")
    html = here.see("profile")
    row = html[html.index("Elsewhere/1") :]
    found = re.search(r'name="session" value="(\w+)"', row)
    assert found is not None
    here.do("profile/session", session=found[1])
    assert elsewhere.client.get("profile").status_code == 303
    assert here.client.get("profile").status_code == 200


def test_a_password_is_changed_with_the_present_one(site: Site, owner: Person) -> None:
    email = "per@example.com"
    owner.do("settings/users", email=email, name="Per", password=PASSWORD, role="viewer")
    person = Person(site)
    person.sign_in(email)
    wrong = person.send("profile/password", old_password="no", password="another good one")
    assert "is not the present password" in problem_of(wrong.text, "old_password").lower()
    where = person.do("profile/password", old_password=PASSWORD, password="another good one")
    assert "Password changed." in person.see(where)
    assert Person(site).sign_in(email, "another good one").status_code == 303


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", {"host": "evil.example"}),
        ("GET", {"host": "[::1"}),
        ("POST", {"origin": "http://["}),
        ("POST", {"origin": "http://evil.example"}),
        ("POST", {"origin": "null"}),
        ("POST", {"origin": ""}),
        ("POST", {"sec-fetch-site": "cross-site"}),
        ("POST", {"sec-fetch-site": "same-site"}),
        ("GET", {"accept": "text/event-stream", "sec-fetch-site": "cross-site"}),
    ],
)
def test_what_comes_from_elsewhere_is_refused(
    owner: Person, method: str, headers: dict[str, str]
) -> None:
    path = "bins" if method == "POST" else "webhooks"
    data = {"csrf": owner.token()} if method == "POST" else None
    answer = owner.client.request(method, path, data=data, headers=headers)
    assert answer.status_code == 403


def test_every_page_carries_the_policy(owner: Person) -> None:
    answer = owner.client.get("webhooks")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in answer.headers


def test_a_name_that_is_no_file_is_just_not_found(owner: Person) -> None:
    for name in ("x" * 300 + ".css", "vendor", "vendor/", ".", "%00.css", "vendor/..%2fadmin.css"):
        assert owner.client.get(f"-/static/x/{name}").status_code == 404, name


def test_the_session_is_found_among_many_cookies(owner: Person) -> None:
    [(name, value)] = [
        each for each in owner.client.cookies.items() if each[0].endswith("stafett_session")
    ]
    others = "; ".join(f"{number}=x" for number in range(1_000))
    for header in (f"{others}; {name}={value}", f'"; $odd; {name}={value}; {others}'):
        with httpx.Client(base_url=owner.client.base_url, headers={"cookie": header}) as client:
            assert client.get("webhooks").status_code == 200


def test_static_files_may_be_kept_for_ever(owner: Person) -> None:
    found = re.search(r'href="/admin/(-/static/\w+/admin\.css)"', owner.see("webhooks"))
    assert found is not None
    answer = owner.client.get(found[1])
    assert answer.headers["content-type"] == "text/css; charset=utf-8"
    assert "immutable" in answer.headers["cache-control"]
    for name in ("../app.py", "..%2fapp.py", ".hidden", "nope.css"):
        assert owner.client.get(f"-/static/x/{name}").status_code in {403, 404}, name


def test_the_language_is_the_browsers_until_one_is_chosen(site: Site, owner: Person) -> None:
    person = Person(site, **{"accept-language": "fr, no;q=0.9, en;q=0.1"})
    assert "Logg inn" in person.see("sign-in")
    answer = person.client.post("-/language", data={"language": "en", "back": "/admin/sign-in"})
    assert answer.headers["location"] == "/admin/sign-in"
    assert "Sign in" in person.see("sign-in")


def test_only_an_owner_touches_owners(site: Site, owner: Person, admin: Person) -> None:
    found = re.search(r"settings/users/(usr_\w+)", owner.see("settings/users"))
    assert found is not None
    assert admin.send(f"settings/users/{found[1]}", action="delete").status_code == 403
    made = admin.send(
        "settings/users", email="x@example.com", name="X", password=PASSWORD, role="owner"
    )
    assert made.status_code == 403
    assert owner.send(f"settings/users/{found[1]}", action="delete").status_code == 409


def test_what_people_do_is_in_the_audit_log(owner: Person) -> None:
    endpoint = owner.webhook(name="Audited")
    shown = owner.send(f"webhooks/{endpoint}/secret")
    assert "whsec_" in shown.text
    log = owner.see("settings/audit")
    for action in ("webhook.created", "webhook.secret_shown"):
        assert action in log
    assert "whsec_" not in log
