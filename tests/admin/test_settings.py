"""Settings in the admin: in force, tokens, users, applications, the audit log, the patterns."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import httpx
import pytest

from admin.conftest import NASTY, PASSWORD, Person, problem_of

_numbers = iter(range(10_000))


def row(html: str, words: str) -> str:
    """The row of a table that has `words` in it."""
    for each in re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL):
        if words in each:
            return each
    raise AssertionError((words, html))


def a_user(owner: Person, role: str = "viewer", **fields: Any) -> tuple[str, str]:
    """Somebody new: their id and address."""
    email = f"person{next(_numbers)}@example.com"
    usual = {"email": email, "name": "Somebody", "password": PASSWORD, "role": role}
    owner.do("settings/users", **usual | fields)
    return user_id(owner, email), email


def user_id(owner: Person, email: str) -> str:
    found = re.search(r"settings/users/(usr_\w+)", row(owner.see("settings/users"), email))
    assert found is not None
    return found[1]


def problem_beside(html: str, field: str) -> str:
    """What is said beside a field, which says that it is wrong."""
    found = re.search(rf'id="{field}"[^>]*aria-invalid="true"', html)
    assert found is not None, html
    return problem_of(html, field)


# --- in force ---------------------------------------------------------------------------------


def test_settings_are_shown_with_secrets_masked(owner: Person) -> None:
    html = owner.see("settings")
    assert "127.0.0.0/8" in row(html, "STAFETT_ALLOW_NETWORKS")
    assert "****" not in row(html, "STAFETT_PORT")
    assert "STAFETT_TOKEN" not in html
    assert str(owner.site.data) in row(html, "<code>STAFETT_DATA</code>")


def test_settings_say_where_they_came_from(owner: Person) -> None:
    html = owner.see("settings")
    for variable, source in (
        ("STAFETT_PORT", "flag"),
        ("STAFETT_ALLOW_NETWORKS", "environment"),
        ("STAFETT_CATALOG", "default"),
    ):
        assert f">{source}</td>" in row(html, f"<code>{variable}</code>")


@pytest.mark.parametrize("path", ["", "/tokens", "/users", "/applications", "/audit"])
def test_settings_are_not_for_developers(developer: Person, admin: Person, path: str) -> None:
    developer.see(f"settings{path}", status=403)
    html = admin.see(f"settings{path}")
    assert f'<a href="/admin/settings{path}" aria-current="page">' in html


@pytest.mark.parametrize(
    "path",
    ["tokens", "tokens/revoke", "users", "applications", "applications/rename"],
)
def test_who_may_only_look_changes_nothing(viewer: Person, developer: Person, path: str) -> None:
    for person in (viewer, developer):
        assert person.send(f"settings/{path}", name="x", role="viewer").status_code == 403


# --- tokens -----------------------------------------------------------------------------------


def token_in(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    found = re.search(r"<code>(st_\w+)</code>", answer.text)
    assert found is not None
    return found[1]


def works(owner: Person, token: str, path: str = "app") -> int:
    url = f"{owner.site.url}/api/v1/{path}"
    return httpx.get(url, headers={"authorization": f"Bearer {token}"}).status_code


def test_a_token_is_shown_once_works_and_is_revoked(owner: Person) -> None:
    token = token_in(owner.send("settings/tokens", name="Shop"))
    assert works(owner, token) == 200
    html = owner.see("settings/tokens")
    assert token not in html
    found = re.search(r'value="(tok_\w+)"', row(html, "Shop"))
    assert found is not None
    owner.do("settings/tokens/revoke", token=found[1])
    assert works(owner, token) == 401
    assert "revoked" in row(owner.see("settings/tokens"), "Shop")
    log = owner.see("settings/audit")
    assert found[1] in row(log, "token.revoked")
    assert token not in log


def test_a_token_may_be_good_for_one_application_and_end(owner: Person) -> None:
    owner.do("settings/applications", name="Narrow", uid="narrow")
    app = re.search(r"app_\w+", row(owner.see("settings/applications"), "narrow"))
    assert app is not None
    token = token_in(owner.send("settings/tokens", name="Narrowly", for_app=app[0], life="30"))
    assert works(owner, token, "app/narrow/endpoint") == 200
    assert works(owner, token, "app/default/endpoint") == 404
    shown = row(owner.see("settings/tokens"), "Narrowly")
    assert "Narrow" in shown
    assert shown.count("<time") == 2  # made, ends


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("name", " ", "must not be empty"),
        ("name", "bootstrap", "kept for the token"),
        ("for_app", "app_2ZnPx9cLKTtZhQCGZ7Xa0Qkm6Rk", "one of the choices"),
        ("life", "31", "one of the choices"),
    ],
)
def test_a_token_that_cannot_be_made_says_why(
    owner: Person, field: str, value: str, said: str
) -> None:
    answer = owner.send("settings/tokens", **{"name": "Kept", "life": "90", field: value})
    assert answer.status_code == 422
    assert said in problem_beside(answer.text, field).lower()
    if field != "name":
        assert 'value="Kept"' in answer.text
    if field != "life":
        assert '<option value="90" selected>' in answer.text
    assert "<code>st_" not in answer.text


def test_a_token_that_is_not_there_cannot_be_revoked(owner: Person) -> None:
    missing = owner.send("settings/tokens/revoke", token="tok_2ZnPx9cLKTtZhQCGZ7Xa0Qkm6Rk")
    assert missing.status_code == 404


# --- users ------------------------------------------------------------------------------------


def test_a_user_is_added_and_signs_in(owner: Person) -> None:
    _, email = a_user(owner, "developer")
    person = Person(owner.site)
    assert person.sign_in(email).status_code == 303
    assert "developer" in person.see("profile")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("email", "nowhere", "e-mail address"),
        ("email", "kari@example.com", "already"),
        ("name", "", "must not be empty"),
        ("password", "short", "12 or more"),
    ],
)
def test_a_user_who_cannot_be_added_is_told_why(
    owner: Person, field: str, value: str, said: str
) -> None:
    form = {"email": "new@example.com", "name": "Per", "password": PASSWORD, "role": "admin"}
    answer = owner.send("settings/users", **form | {field: value})
    assert answer.status_code == 422
    assert said in problem_beside(answer.text, field).lower()
    for name in {"email", "name"} - {field}:
        assert f'value="{form[name]}"' in answer.text
    assert '<option value="admin" selected>' in answer.text.partition("Add user")[2]
    assert PASSWORD not in answer.text


def test_a_role_is_changed_at_once(owner: Person) -> None:
    ref, email = a_user(owner)
    person = Person(owner.site)
    person.sign_in(email)
    person.see("event-types/-/new", status=403)
    owner.do(f"settings/users/{ref}", action="role", role="developer")
    person.see("event-types/-/new")
    assert "developer" in row(owner.see("settings/audit"), "user.role_changed")


def test_somebody_who_is_locked_out_is_out_until_let_in(owner: Person) -> None:
    ref, email = a_user(owner)
    person = Person(owner.site)
    person.sign_in(email)
    owner.do(f"settings/users/{ref}", action="disable")
    person.see("", status=303)
    assert person.sign_in(email).status_code == 422
    assert "disabled" in row(owner.see("settings/users"), email)
    owner.do(f"settings/users/{ref}", action="enable")
    assert person.sign_in(email).status_code == 303


def test_a_password_is_set_and_the_old_one_ends(owner: Person) -> None:
    ref, email = a_user(owner)
    owner.do(f"settings/users/{ref}", action="password", password="a whole new sentence")
    assert Person(owner.site).sign_in(email).status_code == 422
    assert Person(owner.site).sign_in(email, "a whole new sentence").status_code == 303


def test_a_password_that_is_too_short_is_refused_beside_its_field(owner: Person) -> None:
    ref, _ = a_user(owner)
    answer = owner.send(f"settings/users/{ref}", action="password", password="short")
    assert answer.status_code == 422
    assert "12 or more" in problem_beside(answer.text, f"password-{ref}")
    assert answer.text.count("12 or more characters</p>") == 2  # with the hint of the other form


def test_deleting_a_user_is_asked_for_once_more(owner: Person) -> None:
    ref, email = a_user(owner)
    assert 'value="ask_delete"' in row(owner.see("settings/users"), email)
    asked = owner.send(f"settings/users/{ref}", action="ask_delete")
    assert asked.status_code == 200
    assert email in asked.text
    assert 'name="action" value="delete"' in asked.text
    assert email in owner.see("settings/users")
    owner.do(f"settings/users/{ref}", action="delete")
    assert email not in owner.see("settings/users")
    assert email in row(owner.see("settings/audit"), "user.deleted")


@pytest.mark.parametrize(
    "form",
    [
        {"action": "role", "role": "viewer"},
        {"action": "disable"},
        {"action": "delete"},
    ],
)
def test_the_last_owner_stays_one(owner: Person, form: dict[str, str]) -> None:
    ref = user_id(owner, "kari@example.com")
    answer = owner.send(f"settings/users/{ref}", **form)
    assert answer.status_code == 409
    assert "Somebody has to be owner" in answer.text
    owner.see("settings/users")


@pytest.mark.parametrize("disabled", [False, True])
def test_an_admin_cannot_touch_an_owner_not_even_one_who_is_locked_out(
    owner: Person, admin: Person, disabled: bool
) -> None:
    ref, email = a_user(owner, "owner")
    if disabled:
        owner.do(f"settings/users/{ref}", action="disable")
    for form in (
        {"action": "role", "role": "viewer"},
        {"action": "enable"},
        {"action": "disable"},
        {"action": "password", "password": "a whole new sentence"},
        {"action": "delete"},
    ):
        assert admin.send(f"settings/users/{ref}", **form).status_code == 403, form
    assert "<form" not in row(admin.see("settings/users"), email)
    owner.do(f"settings/users/{ref}", action="delete")


def test_an_admin_makes_nobody_owner(owner: Person, admin: Person) -> None:
    ref, _ = a_user(owner)
    answer = admin.send(f"settings/users/{ref}", action="role", role="owner")
    assert answer.status_code == 403
    form = {"email": "up@example.com", "name": "Up", "password": PASSWORD, "role": "owner"}
    assert admin.send("settings/users", **form).status_code == 403
    assert '<option value="owner"' not in admin.see("settings/users").partition("Add user")[2]


@pytest.mark.parametrize("form", [{"action": "role", "role": "king"}, {"action": "crown"}, {}])
def test_what_cannot_be_done_with_a_user_is_refused(owner: Person, form: dict[str, str]) -> None:
    ref, _ = a_user(owner)
    assert owner.send(f"settings/users/{ref}", **form).status_code == 400


# --- applications -----------------------------------------------------------------------------


def test_an_application_is_added_renamed_and_looked_at(owner: Person) -> None:
    owner.do("settings/applications", name="Acme", uid="acme-sons")
    shown = row(owner.see("settings/applications"), "acme-sons")
    app = re.search(r"app_\w+", shown)
    assert app is not None
    owner.do("settings/applications/rename", application=app[0], name="Acme & sons")
    shown = row(owner.see("settings/applications"), app[0])
    assert "<b>Acme &amp; sons</b>" in shown
    assert f'href="/admin/webhooks?app={app[0]}"' in shown
    assert "No webhooks yet" in owner.see(f"webhooks?app={app[0]}")
    assert app[0] in row(owner.see("settings/audit"), "application.renamed")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("name", "", "must not be empty"),
        ("uid", "a b", "only letters"),
        ("uid", "app_1", "must not start with"),
        ("uid", "default", "exists already"),
    ],
)
def test_an_application_that_cannot_be_added_says_why(
    owner: Person, field: str, value: str, said: str
) -> None:
    form = {"name": "Kept name", "uid": "kept-uid"} | {field: value}
    answer = owner.send("settings/applications", **form)
    assert answer.status_code == 422
    assert said in problem_beside(answer.text, field).lower()
    for text in form.values():
        assert f'value="{text}"' in answer.text


def test_a_name_that_an_application_cannot_have_is_kept_beside_the_problem(owner: Person) -> None:
    owner.do("settings/applications", name="Stays", uid="stays")
    app = re.search(r"app_\w+", row(owner.see("settings/applications"), "<b>Stays</b>"))
    assert app is not None
    long = "x" * 513
    answer = owner.send("settings/applications/rename", application=app[0], name=long)
    assert answer.status_code == 422
    assert "at most 512" in problem_beside(answer.text, f"name-{app[0]}")
    assert f'value="{long}"' in answer.text
    assert "<b>Stays</b>" in answer.text


def test_an_application_that_is_not_there_is_not_renamed(owner: Person) -> None:
    answer = owner.send("settings/applications/rename", application="nobody", name="x")
    assert answer.status_code == 404


# --- the audit log, and the patterns ----------------------------------------------------------


def test_the_audit_log_is_read_page_by_page(owner: Person) -> None:
    for number in range(55):
        owner.do("settings/applications", name=f"Noted {number}", uid=f"noted-{number}")
    first = owner.see("settings/audit")
    names = re.findall(r"Noted (\d+)", first)
    assert names == [str(number) for number in range(54, 4, -1)]
    older = re.search(r'href="/admin/(settings/audit\?after=aud_\w+)"', first)
    assert older is not None
    assert re.findall(r"Noted (\d+)", owner.see(older[1])) == ["4", "3", "2", "1", "0"]
    assert "kari@example.com" in row(first, "Noted 54")
    assert "127.0.0.1" in row(first, "Noted 54")
    owner.see("settings/audit?after=aud_0")


def test_the_list_of_applications_is_read_page_by_page(owner: Person) -> None:
    for number in range(51):
        owner.do("settings/applications", name=f"Many {number}", uid=f"many-{number}")
    path, seen = "settings/applications", list[str]()
    while path:
        html = owner.see(path)
        seen += re.findall(r"<b>Many (\d+)</b>", html)
        older = re.search(r'href="/admin/(settings/applications\?after=app_\w+)"', html)
        path = older[1] if older is not None else ""
    assert seen == [str(number) for number in range(50, -1, -1)]


def test_the_patterns_show_every_state_to_everybody(viewer: Person) -> None:
    html = viewer.see("-/patterns")
    for state in ("pending", "sending", "succeeded", "failed", "canceled"):
        assert f'class="state {state}"' in html
    assert problem_beside(html, "wrong") == "Must begin with http:// or https://"
    assert '<b>"bold"' not in html
    assert '<b>"bold"</b> & \\u202e' in unescape(html)
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))


def test_whatever_somebody_wrote_is_shown_as_text(owner: Person) -> None:
    owner.do("settings/applications", name=NASTY, uid="nasty-text")
    token_in(owner.send("settings/tokens", name=NASTY))
    a_user(owner, name=NASTY)
    for path in ("applications", "tokens", "users", "audit"):
        html = owner.see(f"settings/{path}")
        assert "<script>alert" not in html
        assert "&lt;script&gt;alert(1)&lt;/script&gt;\\u202e" in html, path
    kept = owner.send("settings/applications", name=NASTY, uid=NASTY)
    assert kept.status_code == 422
    assert "<script>alert" not in kept.text


@pytest.mark.parametrize("path", ["tokens", "users", "applications"])
def test_no_two_fields_of_a_page_have_one_id(owner: Person, path: str) -> None:
    html = owner.see(f"settings/{path}")
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    labelled = set(re.findall(r'<label for="([^"]+)"', html))
    assert labelled <= set(ids)
