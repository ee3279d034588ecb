"""What intake and dispatch ask of whoever traces them; without one, nothing is asked.

A trace context travels as the text of a W3C `traceparent`: from the caller, with the message
through the store, to every attempt.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from stafett.ids import AttemptId
from stafett.model import DueDelivery, Endpoint, Message, Outcome


class Accepting(Protocol):
    """A span under way, of one request that brings messages."""

    @property
    def trace(self) -> str:
        """What is stored with the messages."""
        ...

    def accepted(self, *messages: Message) -> None:
        """These are on disk."""
        ...


class Attempting(Protocol):
    """A span under way, of one attempt."""

    @property
    def to_receiver(self) -> str | None:
        """The `traceparent` that the receiver is sent; None: it is not told."""
        ...

    def ended(self, outcome: Outcome) -> None:
        """This came of it."""
        ...


class Tracer(Protocol):
    """Opens spans. None of its verbs raises, or waits for anything."""

    def accepting(self, caller: str | None) -> AbstractContextManager[Accepting]:
        """`caller` is the `traceparent` of the request.

        None: what embeds Stafett may be within a trace of its own.
        """
        ...

    def attempting(
        self, due: DueDelivery, endpoint: Endpoint, attempt_id: AttemptId
    ) -> AbstractContextManager[Attempting]:
        """A child of the span that accepted its message, however long ago and wherever that was."""
        ...

    def close(self) -> None:
        """Hand over what has ended. Blocks, for a few seconds at most."""
        ...
