"""Foreign clients talk to the same server and receiver as the tests of the API."""

from web.conftest import api, app, receiver, server

__all__ = ["api", "app", "receiver", "server"]
