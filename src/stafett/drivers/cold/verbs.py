"""All cold verbs together: what a driver adds its hot ones to."""

from __future__ import annotations

from stafett.drivers.cold.applications import ApplicationVerbs
from stafett.drivers.cold.attempts import AttemptVerbs
from stafett.drivers.cold.bins import BinVerbs
from stafett.drivers.cold.deliveries import DeliveryVerbs
from stafett.drivers.cold.endpoints import EndpointVerbs
from stafett.drivers.cold.event_types import EventTypeVerbs
from stafett.drivers.cold.messages import MessageVerbs
from stafett.drivers.cold.replies import ReplyVerbs
from stafett.drivers.cold.searches import SearchVerbs
from stafett.drivers.cold.tasks import TaskVerbs
from stafett.drivers.cold.tokens import TokenVerbs
from stafett.drivers.cold.upkeep import UpkeepVerbs
from stafett.drivers.cold.users import UserVerbs


class ColdVerbs(
    ApplicationVerbs,
    EndpointVerbs,
    EventTypeVerbs,
    MessageVerbs,
    DeliveryVerbs,
    AttemptVerbs,
    SearchVerbs,
    TaskVerbs,
    ReplyVerbs,
    TokenVerbs,
    UserVerbs,
    BinVerbs,
    UpkeepVerbs,
):
    """Every noun of `stafett.store.Store`; `read` and `write` are still missing."""
