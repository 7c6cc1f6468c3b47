"""The response arbiter against a model of the server, under thousands of random schedules.

A schedule is a list of moves: of the program, of the user, of the two ends of a slow link, and of time. A failure
prints one that is as short as it can be; `play(seed, moves)` plays it again.
"""

import itertools
import math
import os
import random
from collections import Counter, deque

import attrs
import pytest

from realtime_trio.core.arbiter import Arbiter, Ask, CancelResponse, GivenUp, OwedAgain, Settled
from realtime_trio.events import (
    AudioInput,
    ConversationItemAdded,
    Error,
    InputAudioBufferCleared,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    RealtimeSession,
    ResponseCreated,
    ResponseDone,
    ServerVad,
    SessionAudio,
    SessionUpdated,
    user_message,
)

from .arbiter_events import ACTIVE, created, done, error

SCHEDULES = 20 * int(os.environ.get("SCHEDULES", "300"))


@attrs.define
class ModelServer:
    """The default conversation's slot and the input buffer, as the API has them. Knows what each response saw."""

    echoes: bool
    create_response: bool
    interrupt_response: bool
    out: deque = attrs.Factory(deque)
    items: set = attrs.Factory(set)
    active: str | None = None
    speaking: bool = False
    saw: dict = attrs.Factory(dict)  # response id -> the items that were there when it was made
    tags: dict = attrs.Factory(dict)  # response id -> our request, None for turn detection's
    statuses: dict = attrs.Factory(dict)
    counter: itertools.count = attrs.Factory(itertools.count)

    def create(self, tag, *, out_of_band=False):
        response_id = f"r{next(self.counter)}"
        self.saw[response_id] = set() if out_of_band else set(self.items)
        self.tags[response_id] = tag
        if not out_of_band:
            self.active = response_id
        self.out.append(
            created(response_id, tag if self.echoes else None, conversation_id=None if out_of_band else "conv")
        )
        if out_of_band:
            self.out.append(done(response_id, conversation_id=None))

    def end(self, status):
        response_id, self.active = self.active, None
        self.statuses[response_id] = status
        self.out.append(done(response_id, status))

    def receive(self, message):
        match message:
            case ("item", item_id):
                self.items.add(item_id)
                self.out.append(ConversationItemAdded(event_id="e", item=user_message("x", id=item_id)))
            case ("clear",):
                self.out.append(InputAudioBufferCleared(event_id="e"))
            case ("commit",):
                self.out.append(InputAudioBufferCommitted(event_id="e", item_id="u"))
            case ("create", request_id, event_id):
                if self.active is not None:
                    self.out.append(error(ACTIVE, event_id))
                else:
                    self.create(request_id)
            case ("cancel", response_id):
                if self.active == response_id:
                    self.end("cancelled")
                else:
                    self.out.append(error("response_cancel_not_active"))

    def speech(self):
        self.speaking = not self.speaking
        if self.speaking:
            self.out.append(InputAudioBufferSpeechStarted(event_id="e", item_id="u", audio_start_ms=0))
            if self.active is not None and self.interrupt_response:
                self.end("cancelled")
            return
        self.out.append(InputAudioBufferSpeechStopped(event_id="e", item_id="u", audio_end_ms=0))
        self.out.append(InputAudioBufferCommitted(event_id="e", item_id="u"))
        if self.create_response and self.active is None:
            self.create(None)


NATURES = [
    # echoes metadata, creates responses, interrupts them; no turn detection where that is None
    (True, True, True),
    (True, True, False),
    (True, False, True),
    (True, False, False),
    (True, None, None),
    (False, None, None),  # without metadata, only the order tells: no turn detection beside it
]

MOVES = {  # how often each is made
    "owe": 6,
    "owe with an item": 6,
    "owe with two items": 2,
    "owe with overrides": 3,
    "forget": 2,
    "hear": 4,
    "be interrupted": 3,
    "stop": 1,
    "recall": 2,
    "give the word back": 2,
    "the server reads": 16,
    "the client reads": 16,
    "all is read": 3,
    "the user begins or stops": 8,
    "the key": 6,
    "a response completes": 8,
    "a response is incomplete": 1,
    "a response fails": 3,
    "out of band": 2,
    "a create is lost": 1,
    "an event is lost": 0.3,
    "a created is lost": 2,
    "the link is lost": 0.6,
    "a new link": 3,
    "a moment": 6,
    "a while": 3,
    "a long time": 3,
}


class Schedule:
    """One schedule, played; what holds all the time is asserted on the way."""

    def __init__(self, seed: int) -> None:
        self.echoes, creates, interrupts = NATURES[seed % len(NATURES)]
        self.manual = creates is None
        self.creates, self.interrupts = bool(creates), bool(interrupts)
        self.chance = random.Random(seed)
        self.server = self.a_server()
        self.arbiter = Arbiter()
        self.to_server = deque()
        self.linked = True
        self.has_device = self.chance.random() < 0.5  # without one, what was delivered of a response is no reply
        self.now = 0.0
        self.names = itertools.count()
        self.requests = {}  # id -> (items, overrides)
        self.fate = {}  # id -> the response that settles it, or "given up", or "forgotten"
        self.stopped_responses = set()
        self.stopped = set()  # the program said so; then a failed response is the end of it
        self.tries = Counter()  # how often a response to it came to nothing
        self.open = self.open_event = None
        self.open_at = -math.inf
        self.users = self.promise = self.key = self.cut_off = False
        self.turn_at = -math.inf  # committed, to be answered by turn detection, and no response was created since
        self.users_at = self.promised_at = self.seen_at = -math.inf
        self.rejected_at = -math.inf  # by a response of which nothing is known; then the next try may take a while
        self.seen_active = None
        self.known = set()  # the responses that the client knows to be done
        self.heard = set()
        self.cut = set()
        detection = None if self.manual else ServerVad(create_response=creates, interrupt_response=interrupts)
        audio = SessionAudio(input=AudioInput(turn_detection=detection))
        self.arbiter.handle(SessionUpdated(event_id="e", session=RealtimeSession(audio=audio)), self.now)
        if self.echoes:  # as seen before; without this knowledge the two kinds cannot always be told apart
            self.arbiter.handle(created("first", "an earlier request"), self.now)
            self.arbiter.handle(done("first"), self.now)

    def a_server(self, before=None):
        server = ModelServer(self.echoes, self.creates, self.interrupts)
        if before is not None:  # what is to be known of responses at the end
            server.counter, server.items = before.counter, before.items
            server.saw, server.tags, server.statuses = before.saw, before.tags, before.statuses
        return server

    # the program

    def owe(self, items=0, *, overrides=False):
        name = f"q{next(self.names)}"
        ids = [f"{name}.{n}" for n in range(items)]
        self.to_server.extend(("item", item_id) for item_id in ids)
        self.requests[name] = (set(ids), overrides)
        self.arbiter.owe(name, items=ids, overrides=overrides)
        self.act()

    def owe_with_an_item(self):
        self.owe(1)

    def owe_with_two_items(self):
        self.owe(2)

    def owe_with_overrides(self):
        self.owe(overrides=True)

    def forget(self):
        if self.requests:
            name = self.chance.choice(sorted(self.requests))
            self.arbiter.forget(name)
            self.fate[name] = "forgotten"
            self.act()

    def hear(self):
        if self.seen_active is not None:
            self.arbiter.heard(self.seen_active)
            self.heard.add(self.seen_active)

    def be_interrupted(self):
        if self.seen_active is not None:
            self.arbiter.interrupted(self.seen_active)
            self.cut.add(self.seen_active)
            self.to_server.append(("cancel", self.seen_active))
            self.act()

    def stop(self):
        if self.seen_active is not None:
            self.arbiter.stop(self.seen_active)
            self.stopped_responses.add(self.seen_active)
            self.to_server.append(("cancel", self.seen_active))
            self.stopped.update(name for name, fate in self.fate.items() if fate == self.seen_active)
            self.act()

    def recall(self):
        name = self.arbiter.recall(again=False)
        self.stopped.add(name)

    def give_the_word_back(self):
        self.arbiter.recall(again=True)

    # the user

    def the_user_begins_or_stops(self):
        if self.linked and not self.manual:
            self.server.speech()

    def the_key(self):
        """Pressed, then released: what a turn by key sends, and when it owes a reply."""
        if not self.manual:
            return
        self.key = not self.key
        if self.key:
            self.arbiter.take_floor(self.now)
            self.give_the_word_back()
            self.to_server.append(("clear",))
        else:
            self.arbiter.hold_floor(self.now)
            self.users, self.users_at = True, self.now
            self.owe()
            self.to_server.append(("commit",))

    # the server and the link

    def the_server_reads(self):
        if self.linked and self.to_server:
            self.server.receive(self.to_server.popleft())

    def the_client_reads(self):
        if self.linked and self.server.out:
            self.read()

    def all_is_read(self):
        while self.linked and (self.to_server or self.server.out):
            self.the_server_reads()
            self.the_client_reads()

    def a_response_completes(self, status="completed"):
        if self.server.active is not None:
            self.server.end(status)

    def a_response_is_incomplete(self):
        self.a_response_completes("incomplete")

    def a_response_fails(self):
        self.a_response_completes("failed")

    def out_of_band(self):
        if self.echoes:
            self.server.create(None, out_of_band=True)

    def a_create_is_lost(self):
        if self.to_server and self.to_server[0][0] == "create":
            self.to_server.popleft()

    def an_event_is_lost(self):
        if self.server.out and self.echoes:
            self.server.out.popleft()

    def a_created_is_lost(self):
        found = next((event for event in self.server.out if isinstance(event, ResponseCreated)), None)
        if found is not None and self.echoes:
            self.server.out.remove(found)

    def the_link_is_lost(self):
        """Everything on the way is lost, but what whoever connects again brings along: items, and turns by key."""
        if not self.linked:
            return
        self.linked = False
        kept = [message for message in self.to_server if message[0] in ("item", "clear", "commit")]
        acknowledged = [event for event in self.server.out if isinstance(event, ConversationItemAdded)]
        alive = self.seen_active
        answered = self.heard & {alive} if self.has_device else set()
        over = self.known | answered | (self.cut & self.heard)
        wanted = {
            name
            for name, fate in self.fate.items()
            if fate in self.server.tags and fate not in over and name not in self.stopped
        }
        others = {name: fate for name, fate in self.fate.items() if name not in wanted}
        settled = alive in self.fate.values()
        is_turns = alive is not None and self.server.tags[alive] is None and not settled
        unanswered = is_turns and alive not in answered | self.cut | self.stopped_responses
        promised = self.promise and self.now < self.promised_at + 2.0
        unanswered = unanswered or promised or self.now < self.turn_at + 10.0
        asked, self.turn_at = self.open, -math.inf

        assert self.arbiter.lose_link(self.now, answered) == unanswered

        self.server = self.a_server(self.server)
        self.server.out.extend(acknowledged)
        self.to_server = deque(kept)
        self.open, self.seen_active = None, None
        self.cut_off = self.users and self.now < self.users_at + 60.0
        self.users = self.promise = False
        self.rejected_at = -math.inf
        self.act()

        assert not wanted & self.fate.keys()
        assert others.items() <= self.fate.items()
        if unanswered:
            self.owe()
        if asked is not None and asked not in self.fate:
            assert asked in self.arbiter.owed

    def a_new_link(self):
        if self.linked:
            return
        self.linked = True
        self.arbiter.regain_link(self.now)
        if self.cut_off and not (self.manual or self.key or self.users):
            self.promise, self.promised_at = True, self.now
        if self.users:
            self.users_at = self.now
        self.act()

    # time

    def a_moment(self, seconds=0.01):
        # without metadata, an answer that is late by more than 10 s cannot be told from the answer to the next request
        if self.echoes or not (self.to_server or self.server.out):
            self.now += seconds
            self.act()

    def a_while(self):
        self.a_moment(0.3)

    def a_long_time(self):
        self.a_moment(5.0)

    # what holds all the time

    def read(self):
        event = self.server.out.popleft()
        match event:
            case InputAudioBufferSpeechStarted():
                self.users, self.promise, self.users_at = True, False, self.now
            case InputAudioBufferSpeechStopped():
                self.users, self.promise = False, self.server.create_response
                self.promised_at = self.now
            case InputAudioBufferCleared():
                self.users = False
            case InputAudioBufferCommitted():
                self.users, self.turn_at = False, self.now if self.creates else -math.inf
            case ResponseCreated(response=response) if response.conversation_id is not None:
                self.turn_at = -math.inf
                self.seen_active, self.seen_at = response.id, self.now
                self.promise = self.promise and self.server.tags[response.id] is not None
                self.open = None if self.open == self.server.tags[response.id] else self.open
            case ResponseDone(response=response):
                if response.conversation_id is not None:
                    self.rejected_at = -math.inf
                self.known.add(response.id)
                if response.id == self.seen_active:
                    self.seen_active = None
        self.note_refusal(event)
        self.arbiter.handle(event, self.now)
        self.act()

    def note_refusal(self, event):
        if isinstance(event, Error) and self.open_event is not None and event.error.event_id == self.open_event:
            self.open = None
            if self.seen_active is None or self.now >= self.seen_at + 30.0:
                self.rejected_at = self.now
            else:
                self.seen_at = self.now  # it lives

    def act(self):
        for action in self.arbiter.poll(self.now):
            match action:
                case Ask(name):
                    self.check_asking(name)
                    self.open, self.open_at, self.open_event = name, self.now, f"ev_{next(self.names)}"
                    self.to_server.append(("create", name, self.open_event))
                    self.arbiter.sent(name, self.open_event, self.now)
                case Settled(name, response_id):
                    self.check_settling(name, response_id)
                    self.fate[name] = response_id
                    if response_id in self.stopped_responses:
                        self.stopped.add(name)
                case OwedAgain(name, response_id, reason):
                    assert self.fate[name] == response_id
                    assert name not in self.stopped
                    if reason != "link lost":
                        assert reason in ("failed", "cancelled")
                        self.tries[name] += 1
                        assert self.tries[name] == 1
                    del self.fate[name]
                case GivenUp(name):
                    self.check_giving_up(action)
                    self.fate[name] = "given up"
                    self.open = None if self.open == name else self.open
                case CancelResponse(response_id):
                    assert self.server.tags[response_id] is not None
                    self.to_server.append(("cancel", response_id))
        assert self.arbiter.poll(self.now) == []
        assert not self.arbiter._replies.impossible
        assert self.linked or self.arbiter.deadline == math.inf
        assert not self.arbiter.owed or self.now < self.rejected_at + 4.0 or any(self.reasons_to_wait())

    def reasons_to_wait(self):
        """One at a time, never into the user's turn, a promise or a known response, and not without a link."""
        yield not self.linked
        yield self.open is not None and self.now < self.open_at + 10.0
        yield self.users and self.now < self.users_at + 60.0
        yield self.key
        yield self.promise and self.now < self.promised_at + 2.0
        yield self.seen_active is not None and self.now < self.seen_at + 30.0

    def check_asking(self, name):
        """Not when there is a reason to wait, and never what is over."""
        assert not any(self.reasons_to_wait())
        assert name in self.requests
        assert name not in self.fate

    def check_settling(self, name, response_id):
        """The response knew all the items, and is the request's own if it has overrides; it is no known failure."""
        items, overrides = self.requests[name]

        assert items <= self.server.saw[response_id]
        assert not overrides or self.server.tags[response_id] == name
        assert name not in self.fate
        assert response_id not in self.known or self.server.statuses[response_id] != "failed"

    def check_giving_up(self, action):
        """For a reason that is true. A rejection is none."""
        name = action.request_id

        assert self.fate.get(name) != "forgotten"
        match action.reason:
            case "unanswered":
                assert self.open == name
                assert self.now >= self.open_at + 10.0
            case "interrupted":
                assert name in self.stopped
            case reason:
                assert reason in ("failed", "cancelled")
                assert self.tries[name] == 1

    def end(self):
        """When everybody behaves and time goes on, every owed reply is settled or given up, soon: no deadlock."""
        begun = self.now
        self.a_new_link()
        if self.server.speaking:
            self.server.speech()
        if self.key:
            self.the_key()
        for _ in range(2000):
            while self.to_server or self.server.out or self.server.active:
                if self.to_server:
                    self.server.receive(self.to_server.popleft())
                elif self.server.out:
                    self.read()
                else:
                    self.arbiter.heard(self.server.active)
                    self.server.end("completed")
            deadline = self.arbiter.deadline
            if deadline == math.inf:
                break
            self.now = max(self.now, deadline)
            self.act()

        assert self.now < begun + 150
        assert self.arbiter.idle
        assert set(self.fate) == set(self.requests)
        for name, fate in self.fate.items():
            if name not in self.stopped and fate in self.known:
                assert self.server.statuses[fate] != "failed"


def play(seed, moves):
    """Play a schedule and its end."""
    schedule = Schedule(seed)
    for move in moves:
        getattr(schedule, move.replace(" ", "_"))()
    schedule.end()


def fails(seed, moves):
    try:
        play(seed, moves)
    except Exception:  # noqa: BLE001 whatever it is
        return True
    return False


def shortest(seed, moves):
    """Leave moves out for as long as something goes wrong."""
    for index in reversed(range(len(moves))):
        shorter = moves[:index] + moves[index + 1 :]
        if fails(seed, shorter):
            return shortest(seed, shorter)
    return moves


@pytest.mark.parametrize("nature", range(len(NATURES)))
def test_any_schedule(nature):
    for seed in range(nature, SCHEDULES, len(NATURES)):
        chance = random.Random(seed)
        moves = chance.choices(list(MOVES), list(MOVES.values()), k=chance.randint(5, 100))
        if fails(seed, moves):
            moves = shortest(seed, moves)
            try:
                play(seed, moves)
            except Exception as problem:
                problem.add_note(f"play({seed}, {moves})")
                raise
