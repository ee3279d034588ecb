"""One visit to a page: who comes, what they ask and send, and how they are answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from stafett import errors
from stafett.app import Scope, Stafett
from stafett.model import EventType, Role, Session, User
from stafett.services.messages import DEFAULT_APP
from stafett.services.users import may
from stafett.web.admin import guard, multipart, render, told
from stafett.web.admin.languages import Language, names
from stafett.web.admin.schema_fields import Field
from stafett.web.calls import Call, Reply, Stream

_HTML: Final = (b"content-type", b"text/html; charset=utf-8")


class Visit(Call):
    """What a page's function gets."""

    def __init__(
        self, stafett: Stafett, scope: Scope, *, params: Mapping[str, str], language: Language
    ) -> None:
        super().__init__(stafett, scope, params=params)
        self.language = language
        self.session: Session | None = None
        self.session_text = ""
        self.user: User | None = None
        self.form: list[tuple[str, str]] = []
        self.files: dict[str, bytes] = {}
        """What was chosen in the form's file fields; empty where nothing was."""

    # --- who ----------------------------------------------------------------------------------

    @property
    def signed_in(self) -> tuple[Session, User]:
        """Errors: Unauthenticated."""
        if self.session is None or self.user is None:
            message = "sign in first"
            raise errors.Unauthenticated(message)
        return self.session, self.user

    def may(self, role: str) -> bool:
        """Whether the visitor may do what needs `role`."""
        return self.user is not None and may(self.user, Role(role))

    @property
    def address(self) -> str:
        """Where the visitor comes from."""
        client = self.scope.get("client")
        return client[0] if client else ""

    async def note(self, action: str, *, target: str = "", detail: str = "") -> None:
        """Have it in the audit log that the visitor did this."""
        actor = self.user.email if self.user is not None else ""
        await self.stafett.audit.note(
            action, actor=actor, target=target, detail=detail, address=self.address
        )

    # --- what they sent -----------------------------------------------------------------------

    def read_form(self) -> None:
        """The form in the body. Errors: BadRequest."""
        kind = self.header(b"content-type") or ""
        if kind.lower().startswith(multipart.KIND):
            found = multipart.parts(self.body, kind)
            self.files = {each.name: each.content for each in found if each.is_file}
            self.form = [
                (each.name, each.content.decode(errors="replace"))
                for each in found
                if not each.is_file
            ]
            return
        text = self.body.decode("latin-1")
        self.form = parse_qsl(text, keep_blank_values=True, encoding="utf-8", errors="replace")

    def field(self, name: str, default: str = "") -> str:
        """A field of the form, without space around it."""
        found = [value for each, value in self.form if each == name]
        return found[-1].strip() if found else default

    def fields(self, name: str) -> list[str]:
        """All values of a field that may come several times."""
        return [value for each, value in self.form if each == name]

    def ticked(self, name: str) -> bool:
        """Whether a box was ticked."""
        return any(each == name for each, _ in self.form)

    @property
    def app_ref(self) -> str:
        """The application that is looked at."""
        return self.one("app") or self.field("app") or DEFAULT_APP

    # --- how they are answered ----------------------------------------------------------------

    def t(self, english: str, /, **values: Any) -> str:
        """`english` in the visitor's language."""
        return self.language.text(english, **values)

    def told(self, known: EventType) -> EventType:
        """An event type as the visitor reads it."""
        return told.event_type(known, self.language)

    def fields_of(self, known: EventType) -> list[Field]:
        """The fields of its payload, as the visitor reads them."""
        return told.fields(known, self.language)

    async def event_types(self) -> list[EventType]:
        """All, as the visitor reads them."""
        return told.event_types(await self.stafett.event_types.all(), self.language)

    def url(self, path: str, /, **query: str | int | None) -> str:
        """A path below the admin, for links and forms."""
        kept = {name: value for name, value in query.items() if value not in {None, ""}}
        if self.app_ref != DEFAULT_APP and not path.startswith("-/"):
            kept.setdefault("app", self.app_ref)  # whose webhooks are looked at stays so
        asked = f"?{urlencode(kept)}" if kept else ""
        return f"{self.scope.get('root_path', '')}/admin/{path}{asked}"

    def page(self, template: str, /, *, status: int = 200, **values: Any) -> Reply:
        """A page with the usual things around it."""
        body = render.page(
            template,
            **values,
            t=self.t,
            said=self.language.said,
            url=self.url,
            visit=self,
            user=self.user,
            language=self.language.code,
            languages=names(),
            csrf=guard.form_token(self.session_text) if self.session_text else "",
            notice=self.t(_NOTICES.get(self.one("notice") or "", "")),
            here=self.scope["path"],
        )
        return Reply(status, body, [_HTML])

    def go(self, path: str, /, **query: str | int | None) -> Reply:
        """Answer a form: show that page next."""
        return Reply(303, b"", [(b"location", self.url(path, **query).encode())])


_NOTICES: Final = {
    "webhook-added": "Webhook added.",
    "webhook-saved": "Webhook saved.",
    "webhook-deleted": "Webhook deleted.",
    "webhooks-changed": "Done.",
    "none-chosen": "Nothing was done: tick the webhooks first.",
    "no-action": "Nothing was done: choose what to do with them.",
    "bin-deleted": "Request bin deleted.",
    "bin-cleared": "Request bin cleared.",
    "reply-saved": "Reply saved.",
    "request-deleted": "Request deleted.",
    "resent": "It is sent again.",
    "canceled": "Delivery canceled.",
    "recovering": "What failed is being sent again.",
    "emitted": "Event emitted.",
    "event-type-saved": "Event type saved.",
    "event-type-archived": "Event type archived.",
    "event-types-imported": "Event types imported.",
    "password-changed": "Password changed. All other sessions have ended.",
    "session-ended": "Session ended.",
    "user-saved": "User saved.",
    "user-deleted": "User deleted.",
    "token-revoked": "Token revoked.",
    "application-saved": "Application saved.",
    "event-type-restored": "Event type is offered again.",
    "resent-several": "They are sent again.",
}
"""What a page says once, after a form; the address names it, so that nobody can put words there."""

Handler = Callable[[Visit], Awaitable[Reply | Stream]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page, or one form that it sends."""

    method: str
    path: str
    """Below the admin; segments in braces vary."""
    show: Handler
    role: Role | None
    """Who may; None: anybody, signed in or not."""
