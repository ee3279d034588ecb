"""A real server, and people in front of it: they keep cookies, read forms and send them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest

PASSWORD = "correct horse battery"
NASTY = "\"><script>alert(1)</script>\u202e'&"
"""What a page must only ever show as text."""


@dataclass(frozen=True)
class Site:
    """A server under way, as its first lines tell."""

    url: str
    setup_link: str
    data: Path


_clients: list[httpx.Client] = []


class Person:
    """Somebody with a browser."""

    def __init__(self, site: Site, **headers: str) -> None:
        self.site = site
        self.client = httpx.Client(
            base_url=f"{site.url}/admin/", headers={"origin": site.url, **headers}, timeout=30
        )
        _clients.append(self.client)

    def see(self, path: str, status: int = 200) -> str:
        """The HTML of a page."""
        answer = self.client.get(path)
        assert answer.status_code == status, (path, answer.status_code, answer.text)
        return answer.text

    def see_once(self, path: str, text: str) -> str:
        """The HTML of a page as soon as it has `text`: what it shows happens elsewhere."""
        html = ""
        for _ in range(1_000):
            html = self.see(path)
            if text in html:
                return html
        raise AssertionError(html)

    def send(self, path: str, **fields: Any) -> httpx.Response:
        """Send a form with the token that every page of this session carries."""
        return self.client.post(path, data={"csrf": self.token(), **fields})

    def do(self, path: str, **fields: Any) -> str:
        """Send a form that succeeds; where it leads to."""
        answer = self.send(path, **fields)
        assert answer.status_code == 303, (answer.status_code, answer.text)
        return answer.headers["location"].removeprefix("/admin/")

    def token(self) -> str:
        found = re.search(r'name="csrf" value="([0-9a-f]+)"', self.see("profile"))
        assert found is not None
        return found[1]

    def sign_in(self, email: str, password: str = PASSWORD) -> httpx.Response:
        return self.client.post("sign-in", data={"email": email, "password": password})

    def webhook(self, **fields: Any) -> str:
        """A new webhook; its id."""
        given = {
            "name": "Mailing list",
            "url": "https://example.com/hook",
            "event_types": "payment_received",
            "active": "on",
        }
        where = self.do("webhooks", **given | fields)
        found = re.search(r"new=(ep_\w+)", where)
        assert found is not None, where
        return found[1]

    def bin(self) -> tuple[str, str]:
        """A new request bin: its id, and where it catches."""
        where = self.do("bins")
        found = re.search(r"http://[^<\s]+/in/[0-9a-f]+", self.see(where))
        assert found is not None
        return where.removeprefix("bins/"), found[0]

    def emit(self, payload: str = '{"payment_id": 1}', event: str = "payment_received") -> str:
        """A real event; its id."""
        where = self.do("emit", event=event, payload=payload)
        return where.removeprefix("events/").partition("?")[0]


def problem_of(html: str, field: str) -> str:
    """What stands beside a field."""
    found = re.search(rf'id="{field}-problem">(.*?)</p>', html, re.DOTALL)
    return unescape(found[1]) if found else ""


def start(folder: Path, **environment: str) -> tuple[subprocess.Popen[str], Site]:
    """A server on a fresh folder."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("STAFETT_")}
    process = subprocess.Popen(
        (sys.executable, "-m", "stafett", "serve", "--port", "0", "--data", str(folder)),
        env=kept | {"STAFETT_ALLOW_NETWORKS": "127.0.0.0/8"} | environment,
        cwd=folder.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    first, second = process.stdout.readline(), process.stdout.readline()
    found = re.search(r"http://127\.0\.0\.1:\d+", first)
    link = re.search(r"http://\S+", second)
    assert found is not None, (first, second)
    assert link is not None, (first, second)
    return process, Site(url=found[0], setup_link=link[0], data=folder)


def stop(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    process, made = start(tmp_path_factory.mktemp("admin") / "data")
    yield made
    for each in _clients:
        each.close()
    stop(process)


@pytest.fixture(scope="module")
def owner(site: Site) -> Person:
    """Who opened the link that the server printed."""
    person = Person(site)
    token = site.setup_link.rpartition("=")[2]
    answer = person.client.post(
        "setup",
        data={"token": token, "email": "kari@example.com", "name": "Kari", "password": PASSWORD},
    )
    assert answer.status_code == 303, answer.text
    return person


@pytest.fixture(scope="module")
def viewer(site: Site, owner: Person) -> Person:
    """Who may look, and nothing else."""
    return _with_role(site, owner, "viewer")


@pytest.fixture(scope="module")
def developer(site: Site, owner: Person) -> Person:
    return _with_role(site, owner, "developer")


@pytest.fixture(scope="module")
def admin(site: Site, owner: Person) -> Person:
    return _with_role(site, owner, "admin")


def _with_role(site: Site, owner: Person, role: str) -> Person:
    email = f"{role}@example.com"
    owner.do("settings/users", email=email, name=role, password=PASSWORD, role=role)
    person = Person(site)
    assert person.sign_in(email).status_code == 303
    return person
