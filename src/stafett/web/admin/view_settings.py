"""Settings: as they are in force; tokens, users, applications, the audit log, and the patterns."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from stafett import errors, settings
from stafett.ids import AppId, TokenId
from stafett.model import (
    Application,
    ApplicationChanges,
    DeliveryState,
    PageQuery,
    Role,
)
from stafett.model import Page as Slice
from stafett.services.applications import NewApplication
from stafett.services.users import MIN_PASSWORD
from stafett.web.admin import charts
from stafett.web.admin.visits import Page, Visit
from stafett.web.calls import Reply

_SHOWN: Final = 50
_CHOICES: Final = 250
"""Applications among which a token's one can be chosen."""
_LIVES: Final = ("30", "90", "365")
"""Days after which a token may end."""
_OF_THE_COMMAND_LINE: Final = frozenset({"url", "token"})

Problems = tuple[errors.Problem, ...]


async def show(visit: Visit) -> Reply:
    """Every setting with its value and where it came from; secrets are masked."""
    stafett = visit.stafett
    loaded = settings.Loaded(settings=stafett.settings, sources=stafett.sources)
    rows = [
        (spec, value, source)
        for spec, value, source in settings.describe(loaded)
        if spec.name not in _OF_THE_COMMAND_LINE
    ]
    return visit.page("settings.html", rows=rows)


def _asked(visit: Visit, *, ascending: bool = False) -> PageQuery:
    return PageQuery(limit=_SHOWN, after=visit.one("after") or None, ascending=ascending)


# --- tokens -----------------------------------------------------------------------------------


async def show_tokens(visit: Visit) -> Reply:
    """Every token, without its text."""
    return await _tokens(visit)


async def _tokens(visit: Visit, *, problems: Problems = (), text: str = "") -> Reply:
    typed = {name: visit.field(name) for name in ("name", "for_app", "life")}
    return visit.page(
        "tokens.html",
        status=422 if problems else 200,
        tokens=await visit.stafett.tokens.list(_asked(visit)),
        applications=await _all_applications(visit),
        lives=_LIVES,
        problems=problems,
        text=text,
        typed=typed if problems else dict.fromkeys(typed, ""),
        now=visit.stafett.now(),
    )


async def _all_applications(visit: Visit) -> dict[AppId, Application]:
    page = await visit.stafett.applications.list(PageQuery(limit=_CHOICES, ascending=True))
    return {each.id: each for each in page.items}


async def create_token(visit: Visit) -> Reply:
    """Make one; its text is on the answer and nowhere else."""
    life, ref = visit.field("life"), visit.field("for_app")
    try:
        if life and life not in _LIVES:
            raise _not_a_choice("life")
        token, text = await visit.stafett.tokens.create(
            visit.field("name"),
            app_id=(await visit.stafett.applications.get(ref)).id if ref else None,
            expires_at=visit.stafett.now() + timedelta(days=int(life)) if life else None,
        )
    except errors.Invalid as error:
        return await _tokens(visit, problems=tuple(error.problems))
    except errors.NotFound:
        return await _tokens(visit, problems=tuple(_not_a_choice("for_app").problems))
    await visit.note("token.created", target=token.id, detail=token.name)
    return await _tokens(visit, text=text)


def _not_a_choice(field: str) -> errors.Invalid:
    return errors.Invalid([errors.Problem(("body", field), "is not one of the choices")])


async def revoke_token(visit: Visit) -> Reply:
    """Refused from now on."""
    token_id = TokenId(visit.field("token"))
    await visit.stafett.tokens.revoke(token_id)
    await visit.note("token.revoked", target=token_id)
    return visit.go("settings/tokens", notice="token-revoked")


# --- users ------------------------------------------------------------------------------------


async def show_users(visit: Visit) -> Reply:
    """Everybody who can sign in."""
    return await _users(visit)


async def _users(
    visit: Visit,
    *,
    status: int = 200,
    problems: Problems = (),
    wrong: str = "",
    trouble: str = "",
) -> Reply:
    """The list; `problems` are those of the new user, or of the one that is `wrong`."""
    typed = {name: visit.field(name) for name in ("email", "name", "role")}
    adding = bool(problems) and not wrong
    return visit.page(
        "users.html",
        status=status,
        users=await visit.stafett.users.list(),
        roles=list(Role),
        problems=() if wrong else problems,
        wrong=wrong,
        wrong_with=problems if wrong else (),
        trouble=trouble,
        typed=typed if adding else {"email": "", "name": "", "role": Role.VIEWER.value},
        least=MIN_PASSWORD,
    )


async def create_user(visit: Visit) -> Reply:
    """One more."""
    role = _role(visit)
    try:
        user = await visit.stafett.users.create(
            email=visit.field("email"),
            name=visit.field("name"),
            password=visit.field("password"),
            role=role,
        )
    except errors.Invalid as error:
        return await _users(visit, status=422, problems=tuple(error.problems))
    except errors.Conflict as error:
        problem = errors.Problem(("body", "email"), error.detail)
        return await _users(visit, status=422, problems=(problem,))
    await visit.note("user.created", target=user.id, detail=f"{user.email} {role.value}")
    return visit.go("settings/users", notice="user-saved")


async def change_user(visit: Visit) -> Reply:
    """Another role, in or out, a new password, or gone; `ask_delete` asks once more."""
    ref = visit.params["user"]
    await _check_reach(visit, ref)
    if visit.field("action") == "ask_delete":
        user = await visit.stafett.users.get(ref)
        return visit.page("users_delete.html", person=user)
    try:
        done, detail = await _changed(visit, ref)
    except errors.Invalid as error:
        return await _users(visit, status=422, problems=tuple(error.problems), wrong=ref)
    except errors.Conflict as error:
        return await _users(visit, status=409, trouble=error.detail)
    await visit.note(f"user.{done}", target=ref, detail=detail)
    return visit.go("settings/users", notice="user-deleted" if done == "deleted" else "user-saved")


async def _changed(visit: Visit, ref: str) -> tuple[str, str]:
    """What was done, for the audit log. Errors: Invalid, Conflict, BadRequest, Forbidden."""
    users = visit.stafett.users
    match visit.field("action"):
        case "role":
            user = await users.change(ref, role=_role(visit))
            return "role_changed", user.role.value
        case "disable":
            return "disabled", (await users.change(ref, disabled=True)).email
        case "enable":
            return "enabled", (await users.change(ref, disabled=False)).email
        case "password":
            return "password_set", (await users.set_password(ref, visit.field("password"))).email
        case "delete":
            return "deleted", (await users.delete(ref)).email
        case _:
            message = "choose what to do with the user"
            raise errors.BadRequest(message)


def _role(visit: Visit) -> Role:
    """The role in the form. Errors: Forbidden, BadRequest."""
    text = visit.field("role")
    if text not in set(Role):
        message = "choose a role"
        raise errors.BadRequest(message)
    role = Role(text)
    if role is Role.OWNER and not visit.may(Role.OWNER):
        message = "only an owner can make another user owner"
        raise errors.Forbidden(message)
    return role


async def _check_reach(visit: Visit, ref: str) -> None:
    """Errors: Forbidden (an owner, and the visitor is none), NotFound."""
    user = await visit.stafett.users.get(ref)
    if user.role is Role.OWNER and not visit.may(Role.OWNER):
        message = "only an owner can change an owner"
        raise errors.Forbidden(message)


# --- applications -----------------------------------------------------------------------------


async def show_applications(visit: Visit) -> Reply:
    """Every application: for those who have several customers."""
    return await _applications(visit)


async def _applications(visit: Visit, *, problems: Problems = (), wrong: str = "") -> Reply:
    """The list; `problems` are those of the new one, or of the one that is `wrong`."""
    typed = {name: visit.field(name) for name in ("name", "uid")}
    adding = bool(problems) and not wrong
    return visit.page(
        "applications.html",
        status=422 if problems else 200,
        applications=await visit.stafett.applications.list(_asked(visit)),
        problems=() if wrong else problems,
        wrong=wrong,
        wrong_with=problems if wrong else (),
        wrong_name=typed["name"],
        typed=typed if adding else dict.fromkeys(typed, ""),
    )


async def create_application(visit: Visit) -> Reply:
    """One more."""
    try:
        made = await visit.stafett.applications.create(
            NewApplication(name=visit.field("name"), uid=visit.field("uid") or None)
        )
    except errors.Invalid as error:
        return await _applications(visit, problems=tuple(error.problems))
    except errors.Conflict as error:
        problem = errors.Problem(("body", "uid"), error.detail)
        return await _applications(visit, problems=(problem,))
    await visit.note("application.created", target=made.id, detail=made.name)
    return visit.go("settings/applications", notice="application-saved")


async def rename_application(visit: Visit) -> Reply:
    """Another name; id and uid stay."""
    ref, name = visit.field("application"), visit.field("name")
    try:
        changed = await visit.stafett.applications.update(ref, ApplicationChanges(name=name))
    except errors.Invalid as error:
        return await _applications(visit, problems=tuple(error.problems), wrong=ref)
    await visit.note("application.renamed", target=changed.id, detail=changed.name)
    return visit.go("settings/applications", notice="application-saved")


# --- who did what -----------------------------------------------------------------------------


async def show_audit(visit: Visit) -> Reply:
    """The audit log, newest first."""
    return visit.page("audit.html", page=await visit.stafett.audit.list(_asked(visit)))


# --- what pages are made of -------------------------------------------------------------------


async def show_patterns(visit: Visit) -> Reply:
    """Every part and every state, once: to look at when one of them is changed."""
    return visit.page(
        "patterns.html",
        problems=(errors.Problem(("body", "wrong"), "must begin with http:// or https://"),),
        states=list(DeliveryState),
        now=visit.stafett.now(),
        more=Slice((), done=False),
        odd='<b>"bold"</b> & \u202eturned round\x07',
        span=timedelta(minutes=5),
        charts=charts.examples(visit.t, now=visit.stafett.now()),
    )


PAGES: Final = (
    Page(method="GET", path="settings", show=show, role=Role.ADMIN),
    Page(method="GET", path="settings/tokens", show=show_tokens, role=Role.ADMIN),
    Page(method="POST", path="settings/tokens", show=create_token, role=Role.ADMIN),
    Page(method="POST", path="settings/tokens/revoke", show=revoke_token, role=Role.ADMIN),
    Page(method="GET", path="settings/users", show=show_users, role=Role.ADMIN),
    Page(method="POST", path="settings/users", show=create_user, role=Role.ADMIN),
    Page(method="POST", path="settings/users/{user}", show=change_user, role=Role.ADMIN),
    Page(method="GET", path="settings/applications", show=show_applications, role=Role.ADMIN),
    Page(method="POST", path="settings/applications", show=create_application, role=Role.ADMIN),
    Page(
        method="POST",
        path="settings/applications/rename",
        show=rename_application,
        role=Role.ADMIN,
    ),
    Page(method="GET", path="settings/audit", show=show_audit, role=Role.ADMIN),
    Page(method="GET", path="-/patterns", show=show_patterns, role=Role.VIEWER),
)
