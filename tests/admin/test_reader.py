"""What a reader of another language reads: built-in event types, numbers, dates; a third language.

English is what programs get; nothing here may change that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin.conftest import Person, Site
from making import an_event_type
from stafett.web.admin import languages, render, told
from stafett.web.admin.languages import chosen, language, names
from stafett.web.admin.schema_fields import fields_of

OTHERS = [code for code in names() if code != "en"]
NB = language("nb")
EN = language("en")


# --- the texts of the built-in event types ----------------------------------------------------


@pytest.mark.parametrize("code", OTHERS)
def test_every_text_of_the_built_in_event_types_is_translated_and_none_is_left_over(
    code: str,
) -> None:
    said = told.built_in_groups().union(*told.built_in_texts().values()) - {""}
    own = language(code)._events
    assert said - set(own) == set()
    assert set(own) - said == set()
    assert [english for english, text in own.items() if not text.strip()] == []


@pytest.mark.parametrize("code", OTHERS)
def test_a_text_keeps_the_names_that_programs_use(code: str) -> None:
    for english, own in language(code)._events.items():
        code_words = r"\b[a-z]+(?:_[a-z]+)+\b|\bYYYY\S*|\bISO \d+|\bWooCommerce|\bWordPress|\bUTC"
        assert re.findall(code_words, english) == re.findall(code_words, own), english


def test_an_event_type_is_read_in_the_readers_language_and_the_rest_is_as_it_was() -> None:
    known = next(each for each in told._built_in() if each.name == "payment_received")
    read = told.event_type(known, NB)
    assert (read.label, read.group) == ("Betaling mottatt", "Betalinger")
    assert read.description.startswith("En betaling ble behandlet")
    assert read.fires_when.startswith("Til slutt i kassen")
    assert (read.name, read.schemas, read.sample) == (known.name, known.schemas, known.sample)
    meanings = {each.path: each.meaning for each in told.fields(known, NB)}
    assert meanings["payment_id"] == "Betalingens nummer."
    assert told.event_type(known, EN) == known
    assert told.fields(known, EN) == fields_of(known)


def test_the_owners_own_words_stay() -> None:
    built_in = {each.name: each for each in told._built_in()}
    known = built_in["payment_received"]
    edited = an_event_type(
        name=known.name,
        label="Ka-ching",
        group="Money",
        description=known.description,
        fires_when="Whenever.",
        schemas={"1": {"properties": {"payment_id": {"description": "Ours."}}}},
    )
    read = told.event_type(edited, NB)
    assert (read.label, read.group, read.fires_when) == ("Ka-ching", "Money", "Whenever.")
    assert read.description != known.description  # nobody has touched that one
    assert [each.meaning for each in told.fields(edited, NB)] == ["Ours."]


def test_an_event_type_of_the_owners_own_is_not_translated_where_its_words_are_the_same() -> None:
    own = an_event_type(name="my.payment", label="Payment Received", group="Payments")
    read = told.event_type(own, NB)
    assert read.label == "Payment Received"
    assert read.group == "Betalinger"  # with the others of that group


@pytest.fixture(scope="module")
def norwegian(site: Site, owner: Person) -> Person:
    """The owner, in front of a browser that asks for Norwegian."""
    person = Person(site, **{"accept-language": "nb-NO,nb;q=0.9"})
    assert person.sign_in("kari@example.com").status_code == 303
    return person


@pytest.fixture(scope="module")
def endpoint(owner: Person) -> str:
    """A webhook that wants a built-in event."""
    return owner.webhook()


PLACES = {
    "webhooks": "Betaling mottatt",
    "webhooks/-/new": "Betalinger",
    "webhooks/-/new?event=payment_received": "En betaling ble behandlet av betalingsløsningen.",
    "webhooks/{endpoint}": "Betaling mottatt",
    "event-types": "Betalinger",
    "event-types?text=betaling+mottatt": "Betaling mottatt",
    "event-types?text=payment+received": "Betaling mottatt",
    "event-types/payment_received": "Betalingens nummer.",
    "event-types/-/card?event_types=payment_received": "Betalingens nummer.",
    "emit": "Betaling mottatt",
    "events": "Betaling mottatt",
    "deliveries": "Betaling mottatt",
}


@pytest.mark.parametrize("path", PLACES)
def test_every_page_that_names_an_event_type_names_it_in_the_readers_language(
    norwegian: Person, endpoint: str, path: str
) -> None:
    html = unescape(norwegian.see(path.format(endpoint=endpoint)))
    assert PLACES[path] in html
    samples_and_values = r'<pre.*?</pre>|<code.*?</code>|(?:value|data-copy)="[^"]*"'
    assert "Payment Received" not in re.sub(samples_and_values, "", html, flags=re.DOTALL)


def test_what_the_server_fills_in_for_others_is_in_the_readers_language(
    norwegian: Person,
) -> None:
    bin_id, catches = norwegian.bin()
    httpx.post(catches, headers={"authorization": "Bearer abc"})
    assert "<td>(skjult)</td>" in norwegian.see(f"bins/{bin_id}")
    norwegian.webhook(name="By hand")
    html = norwegian.see("webhooks?integration=manual")
    assert '<option value="manual" selected>Manuell</option>' in html
    assert ">Manuell</td>" in html


def test_the_form_has_the_words_that_are_stored_and_saving_them_changes_nothing(
    norwegian: Person,
) -> None:
    html = norwegian.see("event-types/invoice_sent/edit")
    assert 'name="label" type="text" value="Invoice Sent"' in html
    assert "Denne hendelsen er innebygd" in html
    before = norwegian.see("event-types/invoice_sent")
    fields = {
        name: unescape(re.findall(rf'name="{name}"[^>]*?(?:value="([^"]*)"|>([^<]*)<)', html)[0][0])
        for name in ("label", "group", "sensitive_fields")
    } | {
        name: unescape(re.findall(rf'<textarea[^>]*name="{name}"[^>]*>([^<]*)<', html)[0])
        for name in ("description", "fires_when", "schema", "sample")
    }
    norwegian.do("event-types/invoice_sent", name="invoice_sent", check="warn", **fields)
    assert "Faktura sendt" in norwegian.see("event-types/invoice_sent")
    assert norwegian.see("event-types/invoice_sent") == before


def test_what_an_owner_has_changed_is_shown_in_their_words(norwegian: Person) -> None:
    norwegian.do(
        "event-types/domain_removed",
        name="domain_removed",
        label="Domain gone",
        group="Sites",
        description="A domain no longer leads to a customer\u2019s site.",
        fires_when="When we say so.",
        check="warn",
    )
    html = norwegian.see("event-types/domain_removed")
    assert "Domain gone" in html
    assert "Domene fjernet" not in html
    assert "When we say so." in html
    assert "Et domene fører ikke lenger til" in html  # that one is as it was


def test_programs_get_english_whatever_language_they_ask_for(site: Site, owner: Person) -> None:
    shown = owner.send("settings/tokens", name="reader", role="developer").text
    token = re.search(r"<code>(st_\w+)</code>", shown)
    assert token is not None, shown
    answer = httpx.get(
        f"{site.url}/api/v1/event-type/payment_received",
        headers={"authorization": f"Bearer {token[1]}", "accept-language": "nb"},
    )
    assert answer.status_code == 200, answer.text
    assert "Betaling" not in answer.text


# --- numbers and dates ------------------------------------------------------------------------


NOON = datetime(2026, 3, 4, 15, 6, 7, tzinfo=UTC)


def written(template: str, code: str, **values: object) -> str:
    """What a page has of a template."""
    made = render.environment().from_string(template)
    return made.render(language=code, t=language(code).text, **values)


@pytest.mark.parametrize(
    ("template", "value", "english", "norwegian"),
    [
        ("{{ value | number }}", 0, "0", "0"),
        ("{{ value | number }}", 999, "999", "999"),
        ("{{ value | number }}", 1234567, "1,234,567", "1\u00a0234\u00a0567"),
        ("{{ value | milliseconds }}", timedelta(milliseconds=12.4), "12 ms", "12 ms"),
        ("{{ value | milliseconds }}", timedelta(seconds=9.5), "9,500 ms", "9\u00a0500 ms"),
        ("{{ value | milliseconds }}", timedelta(seconds=12), "12.0 s", "12,0 s"),
        ("{{ value | span }}", timedelta(seconds=5), "5 s", "5 s"),
        ("{{ value | span }}", timedelta(minutes=12), "12 min", "12 min"),
        ("{{ value | span }}", timedelta(hours=3), "3 h", "3 t"),
        ("{{ value | span }}", timedelta(days=2), "2 d", "2 d"),
        (
            "{{ value | moment_text }}",
            NOON,
            "4 Mar 2026, 15:06:07 UTC",
            "4. mars 2026, 15:06:07 UTC",
        ),
        ('{{ t("{size} bytes", size=value) }}', 65536, "65,536 bytes", "65\u00a0536 byte"),
        ('{{ t("{size} bytes", size=value) }}', "65536", "65536 bytes", "65536 byte"),
    ],
)
def test_numbers_and_dates_are_in_the_readers_form(
    template: str, value: object, english: str, norwegian: str
) -> None:
    assert written(template, "en", value=value) == english
    assert written(template, "nb", value=value) == norwegian


def test_a_time_has_the_moment_for_a_browser_to_show_in_its_own_zone() -> None:
    shown = written("{{ value | moment }}", "nb", value=NOON)
    assert shown == ('<time datetime="2026-03-04T15:06:07+00:00">4. mars 2026, 15:06:07 UTC</time>')
    assert "<time" not in written("{{ value | moment }}", "nb", value=None)


@pytest.mark.parametrize(
    ("sentence", "norwegian"),
    [
        ("next try in 2 h 10 min: dns failed", "nytt forsøk om 2 t 10 min: DNS feilet"),
        (
            "gave up after 12 attempts: 503; the webhook rests for 0.2 s",
            "ga opp etter 12 forsøk: 503; webhooken hviler i 0,2 s",
        ),
        (
            "this needs the role developer; ask an owner or an admin for it",
            "dette krever rollen utvikler; spør en eier eller administrator",
        ),
        # What may be a name stays: a port, an address, somebody else's words.
        (
            "has the port 12345, where no webhooks are received",
            "har porten 12345, der ingen webhooker tas imot",
        ),
        ("the endpoint answered 1.5 Strange", "mottakeren svarte 1.5 Strange"),
    ],
)
def test_what_stands_within_a_sentence_is_in_the_readers_form_where_it_is_ours(
    sentence: str, norwegian: str
) -> None:
    assert NB.said(sentence) == norwegian
    assert EN.said(sentence) == sentence


@given(st.integers(0, 10**12), st.integers(0, 999))
def test_a_number_is_read_as_it_is_written(whole: int, part: int) -> None:
    for code in names():
        own = language(code)
        text = own.number(whole + part / 1000 if whole < 10**9 else whole, places=3)
        assert own.read_number(text) == pytest.approx(
            float(whole + (part / 1000 if whole < 10**9 else 0))
        )


@pytest.mark.parametrize(
    ("code", "text", "value"),
    [
        ("en", "1.5", 1.5),
        ("en", "1,500", 1500),
        ("nb", "1,5", 1.5),
        ("nb", "1.5", 1.5),
        ("nb", "1 500", 1500),
        ("nb", " 24 ", 24),
    ],
)
def test_numbers_that_people_type(code: str, text: str, value: float) -> None:
    assert language(code).read_number(text) == value


@pytest.mark.parametrize(
    ("code", "text"), [("en", "1,5"), ("en", ""), ("nb", "1,5,5"), ("nb", "x")]
)
def test_what_is_no_number_in_the_readers_form_is_refused(code: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"number|float"):
        language(code).read_number(text)


def test_hours_are_read_as_their_reader_writes_them(norwegian: Person, endpoint: str) -> None:
    assert (
        norwegian.send(f"webhooks/{endpoint}/recover", hours="1,5", sure="yes").status_code == 303
    )
    assert norwegian.send(f"webhooks/{endpoint}/rotate", hours="0,5").status_code == 200


# --- another language is one file -------------------------------------------------------------


@pytest.fixture
def swedish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The folder of languages with one file more."""
    for each in languages._FILES.iterdir():
        if each.name.endswith(".toml"):
            (tmp_path / each.name).write_text(each.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "sv.toml").write_text(
        '[language]\nname = "Svenska"\nalso = ["fi"]\n[events]\n"Payments" = "Betalningar"\n'
        '[texts]\n"Webhooks" = "Webhookar"\n',
        encoding="utf-8",
    )
    caches = (languages.names, languages.language, languages._by_any_code)
    monkeypatch.setattr(languages, "_FILES", tmp_path)
    for each in caches:
        each.cache_clear()
    yield
    monkeypatch.undo()
    for each in caches:
        each.cache_clear()


@pytest.mark.usefixtures("swedish")
def test_a_third_language_is_one_file() -> None:
    assert names() == {"en": "English", "nb": "Norsk bokmål", "sv": "Svenska"}
    for cookie, accepted in (("", "sv-SE, en;q=0.5"), ("sv", "nb"), ("", "fi")):
        found = chosen(cookie, accepted)
        assert (found.code, found.text("Webhooks")) == ("sv", "Webhookar")
    assert chosen("", "sv").event_text("Payments") == "Betalningar"
