"""`stafett event-type import`, as typed in a shell, against a real server."""

from __future__ import annotations

import json
from typing import Any

import pytest

SCHEMA = {"type": "object", "properties": {"id": {"type": "integer"}}}


def a_file(machine: Any, **webhooks: Any) -> str:
    """An OpenAPI document in the folder; its name."""
    document = {"openapi": "3.1.0", "webhooks": webhooks}
    (machine.folder / "openapi.json").write_text(json.dumps(document))
    return "openapi.json"


def an_operation(**given: Any) -> dict[str, Any]:
    return {"post": {"requestBody": {"content": {"application/json": {"schema": SCHEMA}}}} | given}


def rows(printed: str) -> list[list[str]]:
    """The words of each row of the table, without its head."""
    return [line.split() for line in printed.partition("\n\n")[0].splitlines()[1:]]


def test_a_document_is_looked_at_first_and_then_imported(served: Any) -> None:
    first = a_file(served, bark=an_operation(summary="Bark"), meow=an_operation())
    looked = served.ok("event-type", "import", first, "--dry-run")
    assert rows(looked) == [["bark", "added"], ["meow", "added"]]
    assert looked.endswith("2 changes; nothing is done yet, without --dry-run it is\n")
    assert "bark" not in served.ok("event-type", "list")

    done = served.ok("event-type", "import", first)
    assert rows(done) == rows(looked)
    assert done.endswith("2 changes, all in force now\n")
    assert served.json("event-type", "show", "bark")["label"] == "Bark"

    second = a_file(
        served, bark=an_operation(summary="Loud bark", tags=["Dogs"]), meow={"post": {}}
    )
    said = served.ok("event-type", "import", second)
    assert rows(said) == [["bark", "changed", "label,", "groupName"], ["meow", "unchanged"]]
    assert said.endswith("\n1 change, all in force now\n")
    assert served.ok("event-type", "import", second).endswith("There is nothing to change\n")


def test_the_answer_may_be_had_as_json(served: Any) -> None:
    found = served.json("event-type", "import", a_file(served, json_thing=an_operation()))
    assert found["data"]["modified"] == ["json_thing"]


def test_what_the_file_does_not_have_is_archived_on_demand(served: Any) -> None:
    file = a_file(served, alone=an_operation())
    looked = served.ok("event-type", "import", file, "--replace-all", "--dry-run")
    assert ["payment_received", "archived", "archived"] in rows(looked)
    assert not served.json("event-type", "show", "payment_received")["archived"]


@pytest.mark.parametrize(
    ("content", "said", "code"),
    [
        ("openapi: 3.1.0", "YAML is not read", 1),
        (
            '{"openapi": "3.1.0", "webhooks": {"a": {"$ref": "b.json"}}}',
            "#/webhooks/a/$ref: leads to 'b.json'",
            1,
        ),
        ("\udcff", "cannot be read", 2),
        (None, "cannot be read", 2),
    ],
    ids=["yaml", "remote", "bytes", "missing"],
)
def test_what_cannot_be_imported_is_said_in_a_sentence(
    served: Any, content: str | None, said: str, code: int
) -> None:
    file = served.folder / "odd.json"
    file.unlink(missing_ok=True)
    if content is not None:
        file.write_bytes(content.encode(errors="surrogateescape"))
    done = served.run("event-type", "import", "odd.json")
    assert done.returncode == code
    assert said in done.stderr
    assert done.stdout == ""
