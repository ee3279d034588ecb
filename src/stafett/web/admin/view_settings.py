"""Settings: as they are in force; tokens, users, applications, and the audit log."""

from __future__ import annotations

from typing import Final

from stafett import errors, settings
from stafett.ids import TokenId
from stafett.model import PageQuery, Role
from stafett.services.applications import NewApplication
from stafett.services.users import MIN_PASSWORD, may
from stafett.web.admin.visits import Page, Visit
from stafett.web.calls import Reply

_MANY: Final = 250
_SHOWN: Final = 50


async def show(visit: Visit) -> Reply:
    """Every setting with its value; secrets are masked."""
    rows = [
        (spec, settings.show(getattr(visit.stafett.settings, spec.name)))
        for spec in settings.SPECS
        if spec.name not in {"url", "token"}  # the command line's own
    ]
    return visit.page("settings.html", rows=rows)


# --- tokens -----------------------------------------------------------------------------------


async def show_tokens(visit: Visit) -> Reply:
    """Every token, without its text."""
    return await _tokens(visit)


async def _tokens(
    visit: Visit, *, problems: tuple[errors.Problem, ...] = (), text: str = ""
) -> Reply:
    page = await visit.stafett.tokens.list(PageQuery(limit=_MANY))
    return visit.page(
        "tokens.html",
        status=422 if problems else 200,
        tokens=page.items,
        problems=problems,
        text=text,
        typed=visit.field("name") if problems else "",
    )


async def create_token(visit: Visit) -> Reply:
    """An owner token; its text is on the answer and nowhere else."""
    try:
        token, text = await visit.stafett.tokens.create(visit.field("name"))
    except errors.Invalid as error:
        return await _tokens(visit, problems=error.problems)
    await visit.note("token.created", target=token.id, detail=token.name)
    return await _tokens(visit, text=text)


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


async def _users(visit: Visit, *, problems: tuple[errors.Problem, ...] = ()) -> Reply:
    return visit.page(
        "users.html",
        status=422 if problems else 200,
        users=await visit.stafett.users.list(),
        roles=list(Role),
        problems=problems,
        typed={name: visit.field(name) for name in ("email", "name", "role")} if problems else {},
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
        return await _users(visit, problems=error.problems)
    except errors.Conflict as error:
        problem = errors.Problem(("body", "email"), error.detail)
        return await _users(visit, problems=(problem,))
    await visit.note("user.created", target=user.id, detail=f"{user.email} {role.value}")
    return visit.go("settings/users", notice="user-saved")


async def change_user(visit: Visit) -> Reply:
    """Another role, in or out, a new password, or gone."""
    users, ref = visit.stafett.users, visit.params["user"]
    await _check_reach(visit, ref)
    match visit.field("action"):
        case "role":
            await users.change(ref, role=_role(visit))
        case "disable":
            await users.change(ref, disabled=True)
        case "enable":
            await users.change(ref, disabled=False)
        case "password":
            await users.set_password(ref, visit.field("password"))
        case "delete":
            await users.delete(ref)
            await visit.note("user.deleted", target=ref)
            return visit.go("settings/users", notice="user-deleted")
        case _:
            message = "choose what to do with the user"
            raise errors.BadRequest(message)
    await visit.note(f"user.{visit.field('action')}_changed", target=ref)
    return visit.go("settings/users", notice="user-saved")


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
    if may(user, Role.OWNER) and not visit.may(Role.OWNER):
        message = "only an owner can change an owner"
        raise errors.Forbidden(message)


# --- applications -----------------------------------------------------------------------------


async def show_applications(visit: Visit) -> Reply:
    """Every application: for those who have several customers."""
    return await _applications(visit)


async def _applications(visit: Visit, *, problems: tuple[errors.Problem, ...] = ()) -> Reply:
    page = await visit.stafett.applications.list(PageQuery(limit=_MANY, ascending=True))
    return visit.page(
        "applications.html",
        status=422 if problems else 200,
        applications=page.items,
        problems=problems,
        typed={name: visit.field(name) for name in ("name", "uid")},
    )


async def create_application(visit: Visit) -> Reply:
    """One more."""
    try:
        made = await visit.stafett.applications.create(
            NewApplication(name=visit.field("name"), uid=visit.field("uid") or None)
        )
    except errors.Invalid as error:
        return await _applications(visit, problems=error.problems)
    except errors.Conflict as error:
        problem = errors.Problem(("body", "uid"), error.detail)
        return await _applications(visit, problems=(problem,))
    await visit.note("application.created", target=made.id, detail=made.name)
    return visit.go("settings/applications", notice="application-saved")


# --- who did what -----------------------------------------------------------------------------


async def show_audit(visit: Visit) -> Reply:
    """The audit log, newest first."""
    page = await visit.stafett.audit.list(PageQuery(limit=_SHOWN, after=visit.one("from")))
    return visit.page("audit.html", entries=page.items, done=page.done)


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
    Page(method="GET", path="settings/audit", show=show_audit, role=Role.ADMIN),
)
