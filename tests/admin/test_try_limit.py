"""A URL that is tried is a request to wherever somebody says: nobody sends many of them."""

from __future__ import annotations

from admin.conftest import Person

FORM = {"name": "", "event_types": "payment_received", "active": "on", "sure": "yes"}


def test_who_tries_many_urls_is_told_when_to_go_on(owner: Person, developer: Person) -> None:
    _, catches = owner.bin()
    form = FORM | {"url": catches}
    answers = [developer.send("webhooks/-/try", **form)]
    while answers[-1].status_code == 200 and len(answers) < 100:
        answers.append(developer.send("webhooks/-/try", **form))
    refused = answers.pop()
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) in {1, 2}
    assert "Too many URLs were tried; try again in" in refused.text
    assert len(answers) >= 10
    assert owner.send("webhooks/-/try", **form).status_code == 200  # somebody else's count
