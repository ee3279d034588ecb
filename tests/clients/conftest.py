"""Foreign clients talk to the same server and receiver as the tests of the API."""

from web.conftest import api, app, database_url, receiver, server

__all__ = ["api", "app", "database_url", "receiver", "server"]
