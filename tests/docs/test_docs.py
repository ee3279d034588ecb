"""What the pages say is so: made from the code where they can be, held against it where not."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from docs.conftest import DOCS, FRONT, PAGES, ROOT, Block, blocks, generator, named, prose_of
from stafett.cli import main

GENERATED: dict[str, str] = generator().pages()
WRITTEN = tuple(page for page in PAGES if page not in {DOCS / name for name in GENERATED})

# --- generated pages --------------------------------------------------------------------------


@pytest.mark.parametrize("name", GENERATED)
def test_a_generated_page_is_what_the_code_says(name: str) -> None:
    on_disk = (DOCS / name).read_text(encoding="utf-8")
    assert on_disk == GENERATED[name], "renew it: python docs/generate.py"


def test_only_what_differs_is_written_anew(tmp_path: Path) -> None:
    module = generator()
    assert module.write(tmp_path) == list(GENERATED)
    assert module.write(tmp_path) == []
    (tmp_path / "settings.md").write_text("old")
    assert module.write(tmp_path) == ["settings.md"]
    assert (tmp_path / "settings.md").read_text(encoding="utf-8") == GENERATED["settings.md"]


def test_everything_that_has_a_path_of_its_own_is_on_the_page_of_the_api() -> None:
    asgi = importlib.import_module("stafett.web.asgi")
    for path in asgi._PAGES:
        assert f"`GET {path}`" in GENERATED["reference/api.md"], path


# --- links ------------------------------------------------------------------------------------

_LINK = re.compile(r"\]\(([^()\s]+)\)")
_CODE = re.compile(r"`[^`\n]*`")
_OUTSIDE = ("http://", "https://", "mailto:")


def links(page: Path) -> list[str]:
    found = _LINK.findall(_CODE.sub("", prose_of(page)))
    return [each for each in found if not each.startswith(_OUTSIDE)]


def anchors(page: Path) -> set[str]:
    """What the headings of a page are called in links, as the usual renderers have it."""
    made: set[str] = set()
    for line in prose_of(page).splitlines():
        if line.startswith("#"):
            plain = re.sub(r"[^\w\- ]", "", line.lstrip("#").strip().lower())
            slug, count = plain.replace(" ", "-"), 0
            while f"{slug}-{count}" in made if count else slug in made:
                count += 1
            made.add(f"{slug}-{count}" if count else slug)
    return made


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        if anchor:
            assert anchor in anchors(target), link


def test_links_and_anchors_are_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# One\n\n[a](b.md#c) `[d](e)` [f](https://g)\n\n```text\n[h](i)\n```\n\n# One\n"
    )
    assert links(page) == ["b.md#c"]
    assert anchors(page) == {"one", "one-1"}


def test_every_page_can_be_found() -> None:
    """From the table of contents, or from the list of decisions."""
    lists = (DOCS / "README.md", DOCS / "decisions" / "README.md")
    listed = {
        (each.parent / link.partition("#")[0]).resolve() for each in lists for link in links(each)
    }
    assert {page for page in PAGES if page not in FRONT} - listed <= {lists[0]}


# --- commands ---------------------------------------------------------------------------------

_SPAN = re.compile(r"`(stafett(?: [^`]*)?)`")


def commands(block: Block) -> Iterator[list[str]]:
    for line in block.text.splitlines():
        words = shlex.split(line, comments=True)
        if words:
            yield words


def verb(words: list[str]) -> tuple[click.Command, click.Context, list[str]]:
    """The command that `words` call, and what they give it."""
    command: click.Command = main
    context = click.Context(main, info_name="stafett")
    left = words[1:]
    while isinstance(command, click.Group) and left and not left[0].startswith("-"):
        found = command.get_command(context, left[0])
        assert found is not None, f"there is no {' '.join(words)}"
        command, left = found, left[1:]
        context = click.Context(command, info_name=command.name, parent=context)
    return command, context, left


def parsed(words: list[str]) -> None:
    """Errors: click's own, where the command would not take `words`."""
    command, context, left = verb(words)
    assert not isinstance(command, click.Group), f"{' '.join(words)} is not a whole command"
    command.make_context(command.name, left, parent=context.parent)


def checked(words: list[str]) -> None:
    """One line of a shell block."""
    match words:
        case ["stafett", *_]:
            parsed(words)
        case ["make", target]:
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        case ["just", recipe, *_]:
            assert re.search(rf"^{recipe}\b.*:", (ROOT / "justfile").read_text(), re.MULTILINE)
        case ["python", script, *_]:
            assert (ROOT / script).is_file()
        case _:
            pytest.fail(f"nobody knows whether {shlex.join(words)} works: say how to find out")


@pytest.mark.parametrize("block", blocks("sh", pages=WRITTEN), ids=str)
def test_what_is_typed_in_a_shell_is_taken(block: Block) -> None:
    for words in commands(block):
        checked(words)


def test_a_command_that_is_not_there_or_not_whole_is_found_out() -> None:
    parsed(["stafett", "webhook", "add", "Shop", "https://example.com/", "--event", "paid"])
    for wrong in ("webhook add Shop", "webhook add Shop x --evnt y", "token create --app"):
        with pytest.raises(click.UsageError):
            parsed(["stafett", *wrong.split()])
    for wrong in ("webhok list", "webhook", "webhook lst"):
        with pytest.raises(AssertionError):
            parsed(["stafett", *wrong.split()])


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_a_command_within_a_sentence_exists_with_its_options(page: Path) -> None:
    """What it is given may be left out there: `stafett webhook test NAME`, `stafett recover`."""
    for span in _SPAN.findall(prose_of(page).replace("\n", " ")):
        command, context, left = verb(span.split())
        known = {name for param in command.get_params(context) for name in param.opts}
        assert {word for word in left if word.startswith("-")} <= known, span
        takes = [each for each in command.params if isinstance(each, click.Argument)]
        assert takes or not left or left[0].startswith("-"), span


# --- Python -----------------------------------------------------------------------------------

_CHECKED_ROOTS = {"stafett", "standardwebhooks", "svix", "cryptography"}


def imports(tree: ast.Module) -> Iterator[tuple[str, str | None]]:
    """Module, and name in it, of everything imported from a package that is here."""
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(module)):
                yield from ((module, each.name) for each in node.names)
            case ast.Import():
                yield from ((each.name, None) for each in node.names)
            case _:
                pass


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python_compiles_and_what_it_imports_is_there(block: Block) -> None:
    tree = ast.parse(block.text, str(block))
    compile(tree, str(block), "exec")
    for module, name in imports(tree):
        if module.partition(".")[0] in _CHECKED_ROOTS:
            loaded = importlib.import_module(module)
            assert name is None or hasattr(loaded, name), f"{module} has no {name}"
