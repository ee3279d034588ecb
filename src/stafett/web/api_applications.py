"""Applications over HTTP."""

from __future__ import annotations

from msgspec import UNSET

from stafett.model import ApplicationChanges
from stafett.services.applications import NewApplication
from stafett.web import paging
from stafett.web.calls import Call, Reply
from stafett.web.wire.applications import ApplicationIn, ApplicationPatch, application_out


def new_application(body: ApplicationIn) -> NewApplication:
    """What `body` asks for; the newer spelling of a field wins over the older."""
    rate = body.throttle_rate if body.throttle_rate is not None else body.rate_limit
    return NewApplication(
        name=body.name, uid=body.uid, rate_limit=rate, metadata=body.metadata or {}
    )


async def list_applications(call: Call) -> Reply:
    """Every application, oldest first."""
    asked = paging.query(call, ascending=True)
    page = await call.stafett.applications.list(asked)
    return Reply(200, paging.answer(page, asked, key=lambda each: each.id, out=application_out))


async def create_application(call: Call) -> Reply:
    """A new application; with `get_if_exists`, the one that has the uid already."""
    new = new_application(call.read(ApplicationIn))
    if not call.flag("get_if_exists", default=False):
        return Reply(201, application_out(await call.stafett.applications.create(new)))
    application, created = await call.stafett.applications.get_or_create(new)
    return Reply(201 if created else 200, application_out(application))


async def get_application(call: Call) -> Reply:
    """One application, by id or uid."""
    return Reply(200, application_out(await call.stafett.applications.get(call.app)))


async def put_application(call: Call) -> Reply:
    """Replace one, or create it under the uid in the path."""
    new = new_application(call.read(ApplicationIn))
    application, created = await call.stafett.applications.upsert(call.app, new)
    return Reply(201 if created else 200, application_out(application))


async def patch_application(call: Call) -> Reply:
    """Change what the body names."""
    body = call.read(ApplicationPatch)
    changes = ApplicationChanges()
    if body.name is not UNSET:
        changes["name"] = body.name
    if body.uid is not UNSET:
        changes["uid"] = body.uid
    if body.rate_limit is not UNSET:
        changes["rate_limit"] = body.rate_limit
    if body.throttle_rate is not UNSET:
        changes["rate_limit"] = body.throttle_rate
    if body.metadata is not UNSET:
        changes["metadata"] = body.metadata or {}
    return Reply(200, application_out(await call.stafett.applications.update(call.app, changes)))


async def delete_application(call: Call) -> Reply:
    """Delete one, with everything it owns."""
    await call.stafett.applications.delete(call.app)
    return Reply(204)
