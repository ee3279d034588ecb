"""Generated from the table of pages: who may, and that none breaks."""

from __future__ import annotations

import re

import pytest

from admin.conftest import Person, Site
from stafett.model import Role
from stafett.web.admin.pages import PAGES
from stafett.web.admin.visits import Page

ROLES = list(Role)
GET = [each for each in PAGES if each.method == "GET" and not each.path.endswith("/live")]
"""Without the stream, which `test_bins` reads."""
POST = [each for each in PAGES if each.method == "POST"]
CLOSED_POST = [each for each in POST if each.role is not None]
_MISSING = {
    "webhook": "ep_2ZnPx9cLKTtZhQCGZ7Xa0Qkm6Rk",
    "bin": "bin_2ZnPx9cLKTtZhQCGZ7Xa0Qkm6Rk",
    "capture": "cap_2ZnPx9cLKTtZhQCGZ7Xa0Qkm6Rk",
    "message": "msg_2ZnPx9cLKTtZhQCGZ7Xa0Qkm6Rk",
    "endpoint": "ep_2ZnPx9cLKTtZhQCGZ7Xa0Qkm6Rk",
    "name": "no_such_event",
    "user": "usr_2ZnPx9cLKTtZhQCGZ7Xa0Qkm6Rk",
}


def missing(page: Page) -> str:
    """The page's path, for things that do not exist."""
    return re.sub(r"\{(\w+)\}", lambda found: _MISSING[found[1]], page.path)


def name(page: Page) -> str:
    return f"{page.method} {page.path}"


@pytest.fixture(scope="module")
def known(owner: Person) -> dict[str, str]:
    """Things that exist, for each place that varies."""
    bin_id, catches = owner.bin()
    endpoint = owner.webhook(url=catches)
    tested = owner.send(f"webhooks/{endpoint}/test")
    assert "Test event sent" in tested.text
    capture = re.search(r"captures/(cap_\w+)", owner.see(f"bins/{bin_id}"))
    message = re.search(r"deliveries/(msg_\w+)", tested.text)
    assert capture is not None
    assert message is not None
    return {
        "webhook": endpoint,
        "endpoint": endpoint,
        "bin": bin_id,
        "capture": capture[1],
        "message": message[1],
        "name": "payment_received",
    }


@pytest.mark.parametrize("page", GET, ids=name)
def test_a_page_shows_what_is_there(owner: Person, known: dict[str, str], page: Page) -> None:
    path = re.sub(r"\{(\w+)\}", lambda found: known[found[1]], page.path)
    query = "?event_types=payment_received" if path.endswith("/-/card") else ""
    answer = owner.client.get(path + query)
    assert answer.status_code in {200, 303}, answer.text
    if answer.headers.get("content-type", "").startswith("text/html"):
        assert answer.text.count("<h1") <= 1
        assert "<script>" not in answer.text
        assert not re.search(r"\son\w+=", answer.text)
        assert " style=" not in answer.text


@pytest.mark.parametrize("page", [e for e in PAGES if "{" in e.path], ids=name)
def test_what_is_not_there_is_told_as_missing(owner: Person, page: Page) -> None:
    path = missing(page)
    if page.method == "GET":
        answer = owner.client.get(path)
    else:
        answer = owner.send(path, action="delete", sure="yes", hours="1", name="xx", check="warn")
    assert answer.status_code == 404, answer.text


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_stranger_is_asked_to_sign_in(site: Site, owner: Person, page: Page) -> None:
    if page.role is None:
        return
    answer = Person(site).client.request(page.method, missing(page))
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/admin/sign-in")


@pytest.mark.parametrize("page", CLOSED_POST, ids=name)
def test_a_form_without_its_token_changes_nothing(owner: Person, page: Page) -> None:
    for token in ("", "0" * 32):
        answer = owner.client.post(missing(page), data={"csrf": token})
        assert answer.status_code == 403


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_role_reaches_its_pages_and_no_others(
    viewer: Person, developer: Person, admin: Person, page: Page
) -> None:
    if page.role is None or page.path in {"sign-out", "profile/session", "profile/password"}:
        return
    people = {Role.VIEWER: viewer, Role.DEVELOPER: developer, Role.ADMIN: admin}
    for role, person in people.items():
        may = ROLES.index(role) <= ROLES.index(page.role)
        if page.method == "POST":
            if may:
                continue  # what it does is tested where it belongs
            answer = person.send(missing(page))
        else:
            answer = person.client.get(missing(page))
        assert (answer.status_code != 403) == may, (role, page.path)


def test_a_viewer_is_shown_no_form_that_changes_anything(
    viewer: Person, known: dict[str, str]
) -> None:
    for page in GET:
        if page.role is not Role.VIEWER or page.path.endswith("/body"):
            continue
        html = viewer.client.get(
            re.sub(r"\{(\w+)\}", lambda found: known[found[1]], page.path)
        ).text
        main = html.partition("<main")[2].partition("</main>")[0]
        forms = re.findall(r'<form[^>]*method="post"[^>]*>', main)
        assert all("inert" in each or "/profile/" in each for each in forms), (page.path, forms)
