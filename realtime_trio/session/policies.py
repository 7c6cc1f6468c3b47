"""Which policy speech meets at this moment: the session's, or that of the one utterance that is to be heard.

Theory of operation. Under `"confirm"` and `"never"` it is the session that interrupts and answers, and the server has
to leave both alone. For a single utterance in a session that is `"immediate"` otherwise, the server is told so in the
message before the one that asks for the utterance, and told the opposite when it was heard. Nothing has to be
acknowledged for that: the server takes messages in order, and its events are in order too, so the configuration that
was last seen in them is the one under which it has handled the speech that they tell of.
"""

from collections.abc import Callable, Iterator, Mapping

import attrs
import msgspec

from realtime_trio import events
from realtime_trio.core.barge_in import InterruptionPolicy

from .calls import Call, Calls
from .exchanges import Request
from .inside import Inside
from .responses import Response
from .settings import under_policy

__all__ = ["Policies"]


@attrs.define(eq=False, repr=False)
class Policies(Inside):
    """The policies of one session.

    Attributes:
        own: The session's.
        live: The live responses, in the order in which they are heard.
        asked: Gives the request that is asked for and not created yet.
        send: Hands a client event to the writer and returns its event id.
        calls: Who knows which answer belongs to which update.
    """

    own: InterruptionPolicy
    live: Mapping[str, Response]
    asked: Callable[[], Request | None]
    send: Callable[[events.ClientEvent], str]
    calls: Calls
    _detection: events.ServerVad | events.SemanticVad | None = attrs.field(  # as last told
        factory=events.ServerVad, init=False
    )
    _wish: events.ServerVad | events.SemanticVad | None = attrs.field(default=None, init=False)  # what is to come back
    _taken: bool = attrs.field(default=False, init=False)  # the server was told to leave speech to the session
    _retired: bool = attrs.field(default=False, init=False)
    _is_linked: bool = attrs.field(default=True, init=False)
    _under_way: list[Call] = attrs.field(factory=list, init=False)

    @property
    def now(self) -> InterruptionPolicy:
        """What the user's speech does if it begins now."""
        for policy in self._policies():
            return policy
        return self.own

    def answers(self) -> bool:
        """Whether the session is to answer what the user says, because the server was told not to."""
        if self.own != "immediate":
            return True
        wish, told = self._wish, self._detection
        return (
            wish is not None
            and wish.create_response is not False
            and told is not None
            and told.create_response is False
        )

    def prepare(self, request: Request) -> None:
        """A response is about to be asked for: tell the server first whom its interruption is left to."""
        if self._retired:
            return
        if self.own == "immediate" and request.interruption in ("confirm", "never") and not self._taken:
            wish = self._wish or self._detection
            if wish is None:
                return  # manual turns: nothing but the program interrupts
            self._wish, self._taken = wish, True
            self._tell(msgspec.structs.replace(wish, create_response=False, interrupt_response=False))

    def settle(self) -> None:
        """Give back to the server what was taken for utterances that were heard by now."""
        if not self._is_linked:
            return
        if self._taken and self._wish is not None and all(policy == "immediate" for policy in self._policies()):
            self._taken = False
            wish = self._wish  # what is absent in an update stays as it is, so what is to come back has to be said
            creates, interrupts = wish.create_response is not False, wish.interrupt_response is not False
            self._tell(msgspec.structs.replace(wish, create_response=creates, interrupt_response=interrupts))

    def lose_link(self) -> None:
        """Note that the link is lost: what was told on it is told again on the next one, acknowledged or not."""
        self._is_linked = False

    def regain_link(self) -> None:
        """Note that there is a new link, with the configuration of the old one."""
        self._is_linked = True

    def retire(self) -> None:
        """Take nothing from the server any more and give nothing back: turn detection is being turned off for good."""
        self._retired, self._taken, self._wish = True, False, None

    def adjust(self, settings: events.RealtimeSession) -> events.RealtimeSession:
        """Fit an update of the program's to the policy in effect; call `adopt` when the server has taken it."""
        policy = "never" if self._taken else self.own
        return under_policy(settings, policy, default=events.UNSET)

    def adopt(self, settings: events.RealtimeSession) -> None:
        """Note what the program wants turn detection to be, from an update before it was fitted."""
        audio_input = settings.audio.input if settings.audio else events.UNSET
        detection = audio_input.turn_detection if audio_input else events.UNSET
        if self._wish is not None and detection is not events.UNSET:
            self._wish = detection if isinstance(detection, events.ServerVad | events.SemanticVad) else None
            self._taken = self._taken and self._wish is not None

    def handle(self, event: events.ServerEvent) -> None:
        """Follow one server event, after the calls that wait for an answer have."""
        if not isinstance(event, events.SessionCreated | events.SessionUpdated):
            return
        audio = event.session.audio if isinstance(event.session, events.RealtimeSession) else events.UNSET
        detection = audio.input.turn_detection if audio and audio.input else events.UNSET
        if detection is not events.UNSET:
            self._detection = detection if isinstance(detection, events.ServerVad | events.SemanticVad) else None
        self._under_way = [call for call in self._under_way if not call.answer.settled]
        if not (self._taken or self._under_way):
            self._wish = None

    def _policies(self) -> Iterator[InterruptionPolicy]:
        """The policies of what is to be heard, the next first."""
        for response in self.live.values():
            if not (response.out_of_band or response.interrupted or response.is_heard):
                yield response.policy or self.own
        if (request := self.asked()) is not None:
            yield request.interruption or self.own

    def _tell(self, detection: events.ServerVad | events.SemanticVad) -> None:
        audio = events.SessionAudio(input=events.AudioInput(turn_detection=detection))
        update = events.SessionUpdate(session=events.RealtimeSession(audio=audio))
        self._under_way.append(self.calls.follow("update", update, self.send(update)))
