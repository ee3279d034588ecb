"""The document in the page about the catalogue can be imported, and the page names what is read."""

from __future__ import annotations

from docs.conftest import DOCS, blocks, flat, text_of
from stafett.services import openapi_import

PAGE = DOCS / "catalogue.md"


def test_the_document_on_the_page_becomes_what_the_page_says() -> None:
    (block,) = blocks("json", pages=(PAGE,))
    (found,) = openapi_import.read(block.text.encode())
    assert (found.new.name, found.new.label, found.new.group) == (
        "order.paid",
        "Order paid",
        "Orders",
    )
    assert found.new.sample == {"id": 7, "total": 100.5}
    assert found.new.schemas is not None
    assert found.new.schemas["1"]["required"] == ["id"]


def test_every_word_of_ours_and_every_limit_is_on_the_page() -> None:
    text = flat(text_of(PAGE))
    words = (
        openapi_import.FIRES_WHEN,
        openapi_import.SENSITIVE_FIELDS,
        openapi_import.GROUP,
        openapi_import.FEATURE_FLAGS,
    )
    for word in words:
        assert f"`{word}`" in text
    assert f"{openapi_import.MAX_BYTES >> 20} MiB" in text
    assert f"{openapi_import.MAX_WEBHOOKS:,} webhooks" in text
    assert f"{openapi_import.MAX_DEPTH} levels" in text
