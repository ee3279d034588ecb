"""Setting up, signing in and out, one's own password, sessions and language."""

from __future__ import annotations

from typing import Final

from stafett import errors
from stafett.model import Role
from stafett.services.users import LIFE, MIN_PASSWORD
from stafett.web.admin import guard
from stafett.web.admin.languages import names
from stafett.web.admin.visits import Page, Visit
from stafett.web.calls import Reply

_YEAR: Final = 365 * 24 * 3_600


# --- the first owner --------------------------------------------------------------------------


async def show_setup(visit: Visit) -> Reply:
    """The form that the link of the first start leads to."""
    if await visit.stafett.users.somebody():
        return visit.go("sign-in")
    token = visit.one("token") or ""
    known = await visit.stafett.users.is_setup_token(token)
    return visit.page(
        "setup.html",
        token=token if known else "",
        problems=[],
        typed={"email": "", "name": ""},
        least=MIN_PASSWORD,
    )


async def set_up(visit: Visit) -> Reply:
    """Make the owner and sign them in."""
    token = visit.field("token")
    if not await visit.stafett.users.is_setup_token(token):
        raise errors.Forbidden(_NO_SETUP)
    typed = {"email": visit.field("email"), "name": visit.field("name")}
    password = visit.field("password")
    try:
        await visit.stafett.users.set_up(**typed, password=password)
    except errors.Invalid as error:
        return visit.page(
            "setup.html",
            status=422,
            token=token,
            problems=error.problems,
            typed=typed,
            least=MIN_PASSWORD,
        )
    return await _sign_in(visit, email=typed["email"], password=password)


_NO_SETUP: Final = "this link is not one that the server has printed at a start; look there again"


# --- in and out -------------------------------------------------------------------------------


async def show_sign_in(visit: Visit) -> Reply:
    """The form."""
    if not await visit.stafett.users.somebody():
        return visit.go("setup")
    return visit.page("sign_in.html", then=visit.one("then") or "", email="", problem="")


async def sign_in(visit: Visit) -> Reply:
    """Check, and begin a session."""
    try:
        return await _sign_in(visit, email=visit.field("email"), password=visit.field("password"))
    except (errors.Unauthenticated, errors.TooMany) as error:
        return visit.page(
            "sign_in.html",
            status=422 if isinstance(error, errors.Unauthenticated) else 429,
            then=visit.field("then"),
            email=visit.field("email"),
            problem=error.detail,
        )


async def _sign_in(visit: Visit, *, email: str, password: str) -> Reply:
    """Errors: Unauthenticated, TooMany."""
    user, text = await visit.stafett.users.sign_in(
        email=email,
        password=password,
        address=visit.address,
        user_agent=visit.header(b"user-agent") or "",
    )
    visit.user = user
    await visit.note("session.created")
    answer = visit.go(_inner(visit, visit.field("then")))
    answer.headers.append((b"set-cookie", _cookie(visit, text, seconds=int(LIFE.total_seconds()))))
    return answer


def _inner(visit: Visit, then: str) -> str:
    """Where to go after signing in: only ever a page of the admin."""
    start = visit.url("")
    path = then.partition("?")[0]
    leads_out = "//" in path or ".." in path or "\\" in path or not then.isprintable()
    return then.removeprefix(start) if then.startswith(start) and not leads_out else ""


def _cookie(visit: Visit, text: str, *, seconds: int) -> bytes:
    secure = guard.is_secure(visit.scope, visit.stafett.settings)
    name = guard.cookie_name(secure=secure)
    return guard.session_cookie(name, text, seconds=seconds, secure=secure)


async def sign_out(visit: Visit) -> Reply:
    """End the session."""
    session, _ = visit.signed_in
    await visit.stafett.users.sign_out(session)
    await visit.note("session.ended")
    answer = visit.go("sign-in")
    answer.headers.append((b"set-cookie", _cookie(visit, "", seconds=0)))
    return answer


async def choose_language(visit: Visit) -> Reply:
    """Remember the language in a cookie, and go back."""
    code = visit.field("language")
    answer = visit.go(_inner(visit, visit.field("back")))
    if code in names():
        secure = guard.is_secure(visit.scope, visit.stafett.settings)
        text = guard.session_cookie(guard.LANGUAGE_COOKIE, code, seconds=_YEAR, secure=secure)
        answer.headers.append((b"set-cookie", text))
    return answer


# --- oneself ----------------------------------------------------------------------------------


async def show_profile(visit: Visit) -> Reply:
    """Password and sessions."""
    return await _profile(visit, problems=())


async def _profile(
    visit: Visit, *, problems: tuple[errors.Problem, ...], status: int = 200
) -> Reply:
    session, user = visit.signed_in
    return visit.page(
        "profile.html",
        status=status,
        problems=problems,
        sessions=await visit.stafett.users.sessions(user),
        own=session,
        least=MIN_PASSWORD,
    )


async def change_password(visit: Visit) -> Reply:
    """One's own."""
    session, user = visit.signed_in
    try:
        await visit.stafett.users.change_password(
            session, user, old=visit.field("old_password"), new=visit.field("password")
        )
    except errors.Invalid as error:
        return await _profile(visit, problems=error.problems, status=422)
    await visit.note("user.password_changed", target=user.id)
    return visit.go("profile", notice="password-changed")


async def end_session(visit: Visit) -> Reply:
    """One of one's own."""
    _, user = visit.signed_in
    await visit.stafett.users.end_session(user, visit.field("session"))
    await visit.note("session.ended")
    return visit.go("profile", notice="session-ended")


PAGES: Final = (
    Page(method="GET", path="setup", show=show_setup, role=None),
    Page(method="POST", path="setup", show=set_up, role=None),
    Page(method="GET", path="sign-in", show=show_sign_in, role=None),
    Page(method="POST", path="sign-in", show=sign_in, role=None),
    Page(method="POST", path="-/language", show=choose_language, role=None),
    Page(method="POST", path="sign-out", show=sign_out, role=Role.VIEWER),
    Page(method="GET", path="profile", show=show_profile, role=Role.VIEWER),
    Page(method="POST", path="profile/password", show=change_password, role=Role.VIEWER),
    Page(method="POST", path="profile/session", show=end_session, role=Role.VIEWER),
)
