"""What strangers wrote is text on every page: nothing of it runs, loads, leads away or shows wide.

The pages are those of the table, so that a new one is opened without anybody thinking of it, and
every place that a stranger can write to is shown to be seen on one of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from admin.conftest import PASSWORD, Site, start, stop
from browser import filled, strange
from browser.answering import receiving
from browser.conftest import Tab, watch
from browser.reading import LOCALES
from stafett.web.admin.pages import PAGES

pytestmark = pytest.mark.slow

_LOADED = ("/live", "/export.json", "/export.har", "/body", "/payload")
"""What is read by scripts or saved to disk, and no page."""
GETS = [each.path for each in PAGES if each.method == "GET"]
FROM_TABLE = [path for path in GETS if not path.endswith(_LOADED)]
ASKED = [
    "{said}",
    "?notice={said}",
    "?app={said}",
    "?app=another",
    "webhooks?text={said}&event={said}&integration={said}&sort={said}",
    "webhooks/{said}",
    "webhooks/-/new?url={said}&event={said}",
    "webhooks/-/new?event={name}",
    "webhooks/{failing}",
    "deliveries?endpoint={said}&event={said}&after={said}",
    "deliveries/{event}/{failing}",
    "events?text={said}&event={said}&before={said}",
    "event-types?text={said}",
    "event-types/{said}",
    "event-types/-/card?event_types={name}&style=legacy",
    "emit?event={said}",
    "emit?event={name}",
    "bins/{bin}?reply={said}&after={said}",
    "bins/{bin}/captures/{form}",
    "bins/{bin}/captures/{sent}",
    "bins/{bin}/compare?a={sent}&b={capture}",
    "bins/{bin}/compare?a={said}&b={said}",
    "setup?token={said}",
    "sign-in?then={said}",
    "settings/audit?after={said}",
    "../docs",
    "../catalog",
]
"""Addresses that somebody may be made to open, and pages that look otherwise."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("strange") / "data"
    process, made = start(folder, STAFETT_PUBLIC_CATALOG="on", STAFETT_RETRY_SCHEDULE="1h")
    yield made
    stop(process)


@pytest.fixture(scope="module")
def known(site: Site) -> Iterator[dict[str, str]]:
    owner = filled.first_owner(site)
    with receiving((302, {"location": strange.from_("error")})) as elsewhere:
        said = {"said": quote(strange.MARKUP, safe="")}
        yield said | strange.fill(owner, elsewhere.url())
    owner.client.close()


@pytest.fixture(scope="module", params=LOCALES)
def signed_in(
    browser: Browser, site: Site, known: dict[str, str], request: pytest.FixtureRequest
) -> Iterator[Tab]:
    assert known
    context = browser.new_context(locale=request.param, base_url=f"{site.url}/admin/")
    tab = Tab(context.new_page(), site.url, locale=request.param)
    watch(tab)
    tab.open("sign-in")
    tab.reader.field("E-mail address").fill("kari@example.com")
    tab.reader.field("Password").fill(PASSWORD)
    tab.reader.button("Sign in").click()
    tab.reader.heading("Overview").wait_for()
    yield tab
    context.close()


@pytest.fixture
def tab(signed_in: Tab) -> Iterator[Tab]:
    """The same for all tests, but each answers for what is odd while it goes."""
    signed_in.odd.clear()
    signed_in.page.set_viewport_size({"width": 1280, "height": 900})
    yield signed_in
    assert signed_in.odd == []


def open_page(tab: Tab, path: str, known: dict[str, str]) -> Page:
    """As somebody does who wants to see all of it."""
    tab.open(re.sub(r"\{(\w+)\}", lambda found: known[found[1]], path))
    unfold(tab.page)
    return tab.page


def unfold(page: Page) -> None:
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")


_HARM = """mark => {
  const all = [...document.querySelectorAll("*")];
  const leads = ["href", "src", "action", "formaction", "data", "hx-get", "hx-post"];
  const away = text => !["data:", location.protocol + location.host].some(
    good => new URL(text, location.href).href.replace("//", "").startsWith(good));
  return all.filter(each => each.hasAttribute(mark)
    || [...each.attributes].some(own => /^(on|hx-on)/.test(own.name)
      || ((leads.includes(own.name) || own.name.endsWith(":connect")) && away(own.value)))
  ).map(each => each.outerHTML.slice(0, 300));
}"""


def harm_on(page: Page) -> list[str]:
    """Elements that a stranger made, that would run something, or that lead to anybody else."""
    return page.evaluate(_HARM, strange.MARK)


@pytest.mark.parametrize("path", [*FROM_TABLE, *ASKED])
def test_nothing_of_a_stranger_works_on(tab: Tab, known: dict[str, str], path: str) -> None:
    page = open_page(tab, path, known)
    assert page.get_by_role("main").or_(page.locator("body > h1")).count() == 1
    assert harm_on(page) == []


FORMS = [
    ("webhooks/-/new", "Add New Webhook"),
    ("webhooks/{webhook}", "Save webhook"),
    ("event-types/-/new", "Save event type"),
    ("event-types/{name}/edit", "Save event type"),
    ("event-types/-/import", "Show what would change"),
    ("emit?event={name}", "Emit event"),
    ("bins/{bin}?reply=drip", "Save reply"),
    ("settings/applications", "Add application"),
    ("settings/users", "Add user"),
]
"""Forms, by the button that sends them; none of them takes what a stranger writes everywhere."""


@pytest.mark.parametrize(("path", "button"), FORMS)
def test_a_form_gives_back_as_text_what_it_does_not_take(
    tab: Tab, known: dict[str, str], path: str, button: str
) -> None:
    page = open_page(tab, path, known)
    page.evaluate("for (const each of document.forms) each.noValidate = true")
    form = page.locator("form").filter(has=tab.reader.button(button, within=page))
    fields = form.get_by_role("textbox").filter(visible=True)
    assert fields.count()
    for each in fields.all():
        each.fill(strange.MARKUP)
    with page.expect_event("framenavigated"):
        tab.reader.button(button).click()
    page.get_by_role("main").locator("[aria-invalid], [role=alert]").first.wait_for()
    unfold(page)
    assert harm_on(page) == []


ANSWERS: list[tuple[str, str, dict[str, str]]] = [
    ("webhooks", "Delete {name}", {"name": strange.from_("webhook name")}),
    ("webhooks/{webhook}", "Delete webhook", {}),
    ("bins/{bin}", "Delete bin", {}),
    ("deliveries", "Send all that match again…", {}),
    ("settings/users", "Delete {name}", {"name": strange.from_("user name")}),
]
"""Pages, and a button that leads to a page that asks first."""


@pytest.mark.parametrize(("path", "button", "named"), ANSWERS)
def test_nothing_of_a_stranger_works_where_a_page_asks(
    tab: Tab, known: dict[str, str], path: str, button: str, named: dict[str, str]
) -> None:
    page = open_page(tab, path, known)
    before = page.url
    named_button(tab, button, named).first.click()
    page.wait_for_url(lambda url: url != before)
    unfold(page)
    assert harm_on(page) == []


def named_button(tab: Tab, name: str, values: dict[str, str]) -> Locator:
    label = tab.reader.say(name, **values)
    return tab.reader.main.get_by_role("button", name=label, exact=True)


DIALOGS: list[tuple[str, str, dict[str, str]]] = [
    ("webhooks", "Send Test Event to {name}", {"name": strange.from_("webhook name")}),
    ("webhooks/{webhook}", "Show secret", {}),
    ("webhooks/-/new?event={name}", "Try this URL", {}),
]


@pytest.mark.parametrize(("path", "button", "named"), DIALOGS)
def test_nothing_of_a_stranger_works_in_a_dialog(
    tab: Tab, known: dict[str, str], path: str, button: str, named: dict[str, str]
) -> None:
    page = open_page(tab, path, known)
    named_button(tab, button, named).last.click()
    page.get_by_role("dialog").get_by_role("heading").first.wait_for()
    unfold(page)
    assert harm_on(page) == []


def test_nothing_of_a_stranger_works_in_what_script_puts_on_a_page(
    tab: Tab, known: dict[str, str]
) -> None:
    page = open_page(tab, "webhooks/-/new", known)
    page.get_by_role("checkbox", name=re.compile(r" strange$")).check()
    page.get_by_text(strange.from_("event moment")).wait_for()
    assert harm_on(page) == []

    open_page(tab, "bins/{bin}", known)
    catches = page.get_by_role("code").filter(has_text="/in/").first.inner_text()
    requests = (
        page.get_by_role("main").get_by_role("listitem").filter(has_text=re.compile("#[0-9]"))
    )
    before = requests.count()
    strange.write_to(catches)
    expect(requests).to_have_count(before + 2)
    assert harm_on(page) == []


def test_what_is_saved_to_disk_is_never_shown_as_a_page(tab: Tab, known: dict[str, str]) -> None:
    for path in GETS:
        if path.endswith(_LOADED) and not path.endswith("/live"):
            filled_in = re.sub(r"\{(\w+)\}", lambda found: known[found[1]], path)
            answer = tab.page.request.get(f"{tab.base}/admin/{filled_in}")
            assert answer.ok, path
            assert answer.headers["content-disposition"].startswith("attachment"), path
            assert answer.headers["x-content-type-options"] == "nosniff", path


def test_the_watch_sees_what_a_stranger_would_do(tab: Tab) -> None:
    tab.open("")
    asked = "document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.1:9/'}))"
    tab.page.evaluate(asked)
    tab.page.evaluate("html => document.body.insertAdjacentHTML('beforeend', html)", strange.MARKUP)
    tab.page.evaluate("alert(1)")
    assert len(harm_on(tab.page)) > 5
    seen = " ".join(tab.odd)
    assert "dialog 1" in seen
    assert "Content Security Policy" in seen
    tab.odd.clear()


@pytest.mark.parametrize("path", FROM_TABLE)
@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_screen_on(
    tab: Tab, known: dict[str, str], path: str, width: int
) -> None:
    tab.page.set_viewport_size({"width": width, "height": 740})
    page = open_page(tab, path, known)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(("place", "path"), strange.PLACES.items())
def test_it_is_seen_as_it_was_written(
    tab: Tab, known: dict[str, str], place: str, path: str
) -> None:
    page = open_page(tab, path, known)
    assert strange.from_(place) in seen_on(page), place


def seen_on(page: Page) -> str:
    """The texts of a page and what stands in its fields; quotes in JSON as if they were none."""
    seen: str = page.evaluate("""() => [
      document.body.textContent,
      ...[...document.querySelectorAll("input, textarea, select")].map(each => each.value),
    ].join("\\n")""")
    return seen.replace('\\"', '"')
