"""Run with svix 1.99.1 in an environment of its own: SERVER TOKEN RECEIVER as arguments."""

# pyright: basic, reportAttributeAccessIssue=false, reportCallIssue=false
# The checker sees svix 2.x, the script gets 1.99.1.

import sys

from svix.api import (
    ApplicationIn,
    ApplicationPatch,
    EndpointHeadersIn,
    EndpointIn,
    EndpointPatch,
    EndpointSecretRotateIn,
    EndpointUpdate,
    EventExampleIn,
    EventTypeIn,
    MessageAttemptListByEndpointOptions,
    MessageIn,
    MessageListOptions,
    RecoverIn,
    Svix,
    SvixOptions,
)

server, token, url = sys.argv[1:]
svix = Svix(token, SvixOptions(server_url=server))

app = svix.application.create(ApplicationIn(name="Old", uid="svix-1"))
assert svix.application.get("svix-1").id == app.id
assert svix.application.get_or_create(ApplicationIn(name="X", uid="svix-1")).id == app.id
assert svix.application.patch("svix-1", ApplicationPatch(name="Older")).name == "Older"
assert svix.application.list().data

svix.event_type.create(EventTypeIn(name="svix.1", description="One"))
assert svix.event_type.get("svix.1").description == "One"
assert svix.event_type.list().data

wish = EndpointIn(url=url, uid="hook", filter_types=["svix.1"], rate_limit=99, version=1)
hook = svix.endpoint.create("svix-1", wish)
assert hook.filter_types == ["svix.1"], hook
assert hook.rate_limit == 99, hook
assert svix.endpoint.update("svix-1", "hook", EndpointUpdate(url=url)).id == hook.id
assert svix.endpoint.patch("svix-1", "hook", EndpointPatch(description="D")).description == "D"
svix.endpoint.update_headers("svix-1", "hook", EndpointHeadersIn(headers={"x-a": "1"}))
assert svix.endpoint.get_headers("svix-1", "hook").headers == {"x-a": "1"}
old = svix.endpoint.get_secret("svix-1", "hook").key
svix.endpoint.rotate_secret("svix-1", "hook", EndpointSecretRotateIn())
assert svix.endpoint.get_secret("svix-1", "hook").key != old
assert svix.endpoint.list("svix-1").data[0].id == hook.id

made = svix.message.create("svix-1", MessageIn(event_type="svix.1", payload={"n": 1}))
assert svix.message.get("svix-1", made.id).payload == {"n": 1}
assert svix.message.list("svix-1", MessageListOptions(event_types=["svix.1"])).data
assert svix.endpoint.send_example("svix-1", "hook", EventExampleIn(event_type="svix.1")).id
assert svix.endpoint.get_stats("svix-1", "hook").fail == 0
svix.endpoint.recover("svix-1", "hook", RecoverIn(since=made.timestamp))
limits = MessageAttemptListByEndpointOptions(limit=250)
while not svix.message_attempt.list_by_endpoint("svix-1", "hook", limits).data:
    pass  # the test's time limit ends it
attempt = svix.message_attempt.list_by_endpoint("svix-1", "hook", limits).data[-1]
found = svix.message_attempt.get("svix-1", attempt.msg_id, attempt.id)
assert found.response_status_code == 200
assert svix.message_attempt.list_by_msg("svix-1", attempt.msg_id).data
assert svix.message_attempt.list_attempted_messages("svix-1", "hook").data
assert svix.message_attempt.list_attempted_destinations("svix-1", made.id).data
svix.message_attempt.expunge_content("svix-1", attempt.msg_id, attempt.id)
svix.message.expunge_content("svix-1", made.id)

svix.endpoint.delete("svix-1", "hook")
svix.event_type.delete("svix.1")
svix.application.delete("svix-1")
