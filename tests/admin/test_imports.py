"""Importing event types in the admin: look at what would change, then agree to it."""

from __future__ import annotations

import itertools
import json
import re
from html import unescape
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin.conftest import NASTY, Person
from stafett import errors
from stafett.web.admin.multipart import Part, parts

PATH = "event-types/-/import"
SCHEMA = {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}
_numbers = itertools.count()


def a_name() -> str:
    return f"brought_{next(_numbers)}"


def an_operation(schema: Any = SCHEMA, **given: Any) -> dict[str, Any]:
    return {"post": {"requestBody": {"content": {"application/json": {"schema": schema}}}} | given}


def a_document(**webhooks: Any) -> str:
    return json.dumps({"openapi": "3.1.0", "webhooks": webhooks}, indent=2)


def send(person: Person, *, file: bytes = b"", **fields: Any) -> httpx.Response:
    """Send the form as a browser does; without a file, its field is there and empty."""
    fields = {"csrf": person.token(), **fields}
    chosen = ("openapi.json" if file else "", file, "application/octet-stream")
    return person.client.post(PATH, data=fields, files={"file": chosen})


def look(person: Person, document: str, **fields: Any) -> str:
    """The page that shows what would change."""
    answer = send(person, document=document, **fields)
    assert answer.status_code == 200, answer.text
    return answer.text


def agreed(html: str) -> dict[str, Any]:
    """What the preview's own form would send."""
    main = html.partition("<main")[2].partition("</main>")[0]
    form = main.partition("<form")[2].partition("</form>")[0]
    found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form)
    return {name: unescape(value) for name, value in found if name != "csrf"}


def row(html: str, name: str) -> str:
    """What the preview says about one event type."""
    found = [each for each in html.split("<tr>") if f"<code>{name}</code>" in each]
    assert len(found) == 1, html
    return unescape(found[0])


def test_what_would_change_is_shown_and_done_once_agreed_to(owner: Person) -> None:
    old, new = a_name(), a_name()
    first = look(owner, a_document(**{old: an_operation(summary="Old label")}))
    assert "is added" in row(first, old)
    owner.see(f"event-types/{old}", status=404)
    answer = send(owner, **agreed(first))
    assert (answer.status_code, answer.headers["location"]) == (
        303,
        "/admin/event-types?notice=event-types-imported",
    )
    assert "Event types imported." in owner.see("event-types?notice=event-types-imported")

    operation = an_operation(SCHEMA | {"title": "Other"}, summary="New label", deprecated=True)
    second = look(owner, a_document(**{old: operation, new: an_operation(description="Fresh.")}))
    told = row(second, old)
    assert "is changed" in told
    assert "Old label → New label" in told
    assert "<b>Deprecated</b>: yes" in told
    assert '"title": "Other"' in told
    assert "Fresh." in row(second, new)
    assert "Added: 1. Changed: 1. Out of the archive: 0. Archived: 0. Left alone: 0." in second
    send(owner, **agreed(second))
    assert "<h1>New label</h1>" in owner.see(f"event-types/{old}")


def test_what_stays_is_named_and_there_may_be_nothing_to_do(owner: Person) -> None:
    name = a_name()
    document = a_document(**{name: an_operation()})
    send(owner, **agreed(look(owner, document)))
    html = look(owner, document)
    assert "There is nothing to change" in html
    assert "Left alone: 1" in html
    assert f"<code>{name}</code>" in html
    assert agreed(html) == {}


def test_a_file_goes_before_what_is_pasted(owner: Person) -> None:
    filed, pasted = a_name(), a_name()
    file = a_document(**{filed: an_operation()}).encode("utf-8-sig")
    answer = send(owner, document=a_document(**{pasted: {}}), file=file)
    assert "is added" in row(answer.text, filed)
    assert pasted not in answer.text
    assert json.loads(agreed(answer.text)["document"])["webhooks"].keys() == {filed}


def test_the_form_works_without_a_file_field_too(owner: Person) -> None:
    name = a_name()
    answer = owner.send(PATH, document=a_document(**{name: an_operation()}))
    assert "is added" in row(answer.text, name)


def test_archived_ones_come_back_and_others_go_only_when_asked(owner: Person) -> None:
    name = a_name()
    document = a_document(**{name: an_operation()})
    send(owner, **agreed(look(owner, document)))
    owner.do(f"event-types/{name}/archive")
    html = look(owner, document, replace_all="yes")
    assert "comes out of the archive" in row(html, name)
    assert "goes into the archive" in row(html, "payment_received")
    assert agreed(html)["replace_all"] == "yes"
    html = look(owner, document)
    assert "payment_received" not in html
    assert "replace_all" not in agreed(html)


def test_a_sample_that_has_to_go_is_told(owner: Person) -> None:
    name = a_name()
    operation = an_operation()
    operation["post"]["requestBody"]["content"]["application/json"]["example"] = {"id": 1}
    send(owner, **agreed(look(owner, a_document(**{name: operation}))))
    html = look(owner, a_document(**{name: an_operation(SCHEMA | {"required": ["other"]})}))
    assert "made of the schema" in row(html, name)


def test_another_change_in_between_shows_it_all_again(owner: Person) -> None:
    name = a_name()
    html = look(owner, a_document(**{name: an_operation(summary="Brought")}))
    owner.do("event-types", name=name, label="Mine", description="x", check="warn")
    answer = send(owner, **agreed(html))
    assert answer.status_code == 409
    assert "The catalogue has changed meanwhile" in answer.text
    assert "Mine → Brought" in row(answer.text, name)
    assert "<h1>Mine</h1>" in owner.see(f"event-types/{name}")
    assert send(owner, **agreed(answer.text)).status_code == 303
    assert "<h1>Brought</h1>" in owner.see(f"event-types/{name}")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "Choose a file, or paste a document"),
        ({"document": "openapi: 3.1.0"}, "YAML is not read"),
        ({"document": a_document(bad={"$ref": "x.json"})}, "leads to 'x.json'"),
        ({"document": a_document(bad={})}, '<code class="example">#/webhooks/bad</code>'),
        ({"document": a_document(bad={}), "shown": "x"}, "has no operation post"),
        ({"file": b"\xff"}, "is not JSON"),
    ],
)
def test_what_cannot_be_imported_comes_back_with_the_place(
    owner: Person, fields: dict[str, Any], said: str
) -> None:
    answer = send(owner, **fields)
    assert answer.status_code == 422
    assert said in answer.text.replace("&#39;", "'")
    area = re.search(r"<textarea[^>]*>([^<]*)</textarea>", answer.text)
    assert area is not None
    if "document" in fields:
        assert unescape(area[1]) == fields["document"]


def test_the_largest_document_goes_through_both_steps(owner: Person) -> None:
    name = a_name()
    document = a_document(**{name: an_operation(description="é" * 60_000)})
    document += " " * (1_048_576 - len(document.encode()))
    answer = send(owner, file=document.encode())
    assert answer.status_code == 200
    assert send(owner, **agreed(answer.text)).status_code == 303


def test_whatever_the_document_says_is_shown_as_text(owner: Person) -> None:
    name = a_name()
    operation = an_operation({"title": NASTY}, description=NASTY)
    html = look(owner, a_document(**{name: operation | {"post": operation["post"]}}))
    assert "<script>alert" not in html
    assert "\u202e" not in html.partition("<form")[0]
    answer = send(owner, document=a_document(**{NASTY: {}}))
    assert "<script>alert" not in answer.text


def test_a_viewer_neither_looks_nor_imports(viewer: Person) -> None:
    viewer.see(PATH, status=403)
    assert send(viewer, document="{}").status_code == 403
    assert PATH not in viewer.see("event-types")


def test_an_import_is_in_the_audit_log(owner: Person) -> None:
    send(owner, **agreed(look(owner, a_document(**{a_name(): an_operation()}))))
    log = owner.see("settings/audit")
    told = log.partition("event_types.imported</code>")[2].partition("</tr>")[0]
    assert "1 added" in told


def test_a_form_from_another_session_is_refused(owner: Person) -> None:
    files = {"file": ("", b"")}
    answer = owner.client.post(PATH, data={"csrf": "0" * 32, "document": "{}"}, files=files)
    assert answer.status_code == 403


def test_it_speaks_norwegian(owner: Person) -> None:
    owner.do("-/language", language="nb", back="/admin/")
    try:
        assert "Importer hendelsestyper" in owner.see(PATH)
        answer = send(owner, document=a_document(bad={"$ref": "x.json"}))
        assert "bare det som står i selve dokumentet, leses" in answer.text
    finally:
        owner.do("-/language", language="en", back="/admin/")


# --- the form itself --------------------------------------------------------------------------

KIND = "multipart/form-data; boundary=XX"


def a_part(name: str, content: bytes, more: str = "") -> bytes:
    head = f'--XX\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'
    return head.encode() + content + b"\r\n"


def test_fields_and_files_are_told_apart() -> None:
    body = a_part("a", b"1\r\n--X") + a_part("f", b"\xff\r\n\r\n", '; filename="x"') + b"--XX--\r\n"
    assert parts(body, KIND) == [
        Part(name="a", is_file=False, content=b"1\r\n--X"),
        Part(name="f", is_file=True, content=b"\xff\r\n\r\n"),
    ]


@given(st.lists(st.tuples(st.text("abc", min_size=1), st.binary())))
def test_what_was_put_in_comes_out(fields: list[tuple[str, bytes]]) -> None:
    body = b"".join(a_part(name, content) for name, content in fields) + b"--XX--"
    if any(b"\r\n--XX" in b"\r\n" + content for _, content in fields):
        return
    assert [(each.name, each.content) for each in parts(body, KIND)] == fields


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", KIND),
        (a_part("a", b"1"), KIND),
        (a_part("a", b"1") + b"--XX--", "multipart/form-data"),
        (a_part("a", b"1") + b"--XX--", "multipart/form-data; boundary=YY"),
        (a_part("a", b"1") + b"--XX--", 'multipart/form-data; boundary=""'),
        (a_part("a", b"1") + b"--XX--", "multipart/form-data; boundary*=utf-7''+2AA-"),
        (a_part("a", b"1") + b"--XX--", "multipart/form-data; boundary*=idna''%ff"),
        (b"--XX\r\n\r\nno name\r\n--XX--", KIND),
        (b"--XX\r\nContent-Disposition: form-data; name=a\r\n--XX--", KIND),
        (a_part("a", b"") * 101 + b"--XX--", KIND),
    ],
)
def test_a_form_that_is_none_is_refused(body: bytes, kind: str) -> None:
    with pytest.raises(errors.BadRequest):
        parts(body, kind)


def test_a_form_cut_short_is_a_bad_request(owner: Person) -> None:
    answer = owner.client.post(PATH, content=b"--XX", headers={"content-type": KIND})
    assert answer.status_code == 400
