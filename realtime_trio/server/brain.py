"""The offline server's default brain: rules, and an honest word where they end.

It answers the last message of the user, or the tool outputs that came in. It is pure but for the clock, which is
injected: no waiting, no randomness, so the same conversation always gets the same answer. Reading numbers and sums is
the work of `number_words` and `arithmetic`; putting tool calls and outputs into words that of `tool_talk`.
"""

import re
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from datetime import datetime

import numpy as np
import trio

from realtime_trio.server.arithmetic import calculate, figures
from realtime_trio.server.number_words import in_words, read_number
from realtime_trio.server.obeying import news, obey, sentence
from realtime_trio.server.seams import BrainRequest, Said, ToolAnswered, ToolCall, ToolCalled, ToolSpec, Utterance
from realtime_trio.server.story import STORY
from realtime_trio.server.tool_talk import asked_calls, fill_arguments, say_output, takes_a_place, weather_tool

__all__ = ["SUGGESTIONS", "RulesBrain"]

SUGGESTIONS = (
    "what time is it",
    "what is the weather in Paris",
    "what is twelve times three",
    "count to twenty",
)
"""What a stranger may try, for the brain's own hints and for screens."""

_TRY = "Try saying: " + "; or ".join(SUGGESTIONS) + "."
_QUIET = 200.0  # of 32767: the level of a room in which nobody speaks
_MOST_COUNTED = 1000
_LARGEST_COUNTED = 10**12
_COUNTED_AT_A_TIME = 5  # so that speech begins early and still has the melody of counting
_LAST_WORDS = r"(?:[\s,]*(?:for )?(?:today|now|right now|tomorrow|please|at the moment|like|this \w+))*[\s?.!]*$"

_COUNT = re.compile(
    r"\bcount\b(?:\s+(?P<down>down|backwards))?(?:\s+(?:up|from\s+(?P<first>.+?)))?(?:\s+to\s+(?P<last>.+?))?"
    r"(?:[\s,]+(?:please|for me|now|again|slowly|quickly|fast|out loud|aloud))*$"
)
_TIME = re.compile(
    r"\b(?:what(?:'s| is)? (?:the )?time|what time\b|tell me the time|the time(?: please| now)?$|time is it)"
)
_DATE = re.compile(
    r"\b(?:what(?:'s| is)? (?:the |today's )?(?:date|day)\b|today's date|the date\b|what day\b|which day\b)"
)
_STORY = re.compile(  # not one about something: there is but one
    r"(?:^|\b(?:tell|read|want|hear)\b.*\b)(?:an?|another|the)\s+(?:long\s+|bedtime\s+)*story"
    r"(?:[\s,]+(?:please|now|again|to me))*$|^story$"
)
_WEATHER = re.compile(r"\b(?:weather|temperature|forecast|how (?:warm|hot|cold)\b|(?:rain|snow)(?:ing)?|sunny)\b")
_REPEAT = re.compile(
    r"^(?:please\s+|now\s+)*(?:repeat(?:\s+after\s+me)?|say(?:\s+after\s+me)?)\b[\s:,]+(?P<words>.+)$",
    re.IGNORECASE | re.DOTALL,
)
_PLACES = tuple(
    re.compile(rf"\b{word}\s+(?:the\s+)?(?P<place>[^\W\d][\w .'’-]*?)" + _LAST_WORDS, re.IGNORECASE)  # noqa: RUF001
    for word in ("in", "for", "at")
)
_SMALL_TALK = (
    (r"\b(?:who|what) are you\b|\bare you (?:real|human|a robot|an? ai|the real)|\byour name\b", (
        "I am a stand-in: offline rules on this machine, not the real model. ", _TRY)),
    (r"\bhow are you\b|\bhow do you do\b|\bhow is it going\b", ("I am well, thank you: rules do not get tired. ",)),
    (r"\bwhat can (?:you do|i say)\b|^help\b|\bwhat do you (?:know|do)\b", (
        "I can tell the time, the date and a story, do arithmetic, count, repeat after you, and ask a weather tool. ",
        _TRY)),
    (r"\bthank(?:s| you)\b|\bcheers\b", ("You are welcome.",)),
    (r"\bgood ?bye\b|\bbye\b|\bsee you\b|\bgood night\b", ("Goodbye! It was nice to talk with you.",)),
    (r"^(?:please )?(?:stop|be quiet|shut up|cancel|never ?mind|that's enough|enough)\b", ("All right.",)),
    (r"^(?:hello|hi|hey|good (?:morning|afternoon|evening|day))\b(?:[ ,]*(?:hello|hi|there|you|again|everyone))*$",
     ("Hello! ", "What can I do for you?")),
    (r"^(?:yes|yeah|yep|no|nope|ok|okay|sure|fine|good|great|nice|cool)(?: please)?$", ("All right.",)),
)  # fmt: skip


def _plain(text: str) -> str:
    """Bring typed and spoken text to one form: lower case, plain apostrophes, single spaces, no closing signs."""
    text = " ".join(text.lower().replace("’", "'").split())  # noqa: RUF001 - a typographic apostrophe
    return text.rstrip(" .!?,;")


def _ordinal(day: int) -> str:
    ending = "th" if 10 <= day % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")  # noqa: PLR2004
    return f"{day}{ending}"


def _number(text: str) -> int | None:
    """Read a whole number, in figures or words, that is all of a text."""
    text = re.sub(r"[\s,]*please$", "", text).strip()
    if re.fullmatch(r"-?[0-9]{1,15}", text):
        return int(text)
    words = text.replace("-", " ").split()
    negative = words[:1] in (["minus"], ["negative"])
    found = read_number(words, int(negative))
    if found is None or found[1] != len(words):
        return None
    return -found[0] if negative else found[0]


class RulesBrain:
    """A `Brain` of rules: time, date, arithmetic, counting, repeating, a story, weather by a client's tool, small talk.

    Args:
        now: Tells the time; a test gives its own.
    """

    def __init__(self, now: Callable[[], datetime] = datetime.now) -> None:
        self._now = now
        self._rules = (
            self._repeat,
            self._count,
            self._time,
            self._date,
            self._story,
            self._arithmetic,
            self._small_talk,
        )

    async def __call__(self, request: BrainRequest) -> AsyncGenerator[Utterance, None]:
        """Answer the conversation, piece by piece.

        Cancellation:
            Safe: nothing is kept.
        """
        await trio.lowlevel.checkpoint()
        held: str | None = None  # the last text, until it is known whether more follows the space behind it
        for piece in self._answer(request):
            if held is not None:
                yield held if isinstance(piece, str) else held.rstrip()
            held = piece if isinstance(piece, str) else None
            if held is None:
                yield piece
        if held is not None:
            yield held.rstrip()

    def _answer(self, request: BrainRequest) -> Iterator[Utterance]:
        if request.response_instructions is not None:
            obeyed = list(obey(request.response_instructions))
            if obeyed:
                yield from obeyed
                return
        fresh = _fresh(request)
        calls = {item.call_id: item for item in request.history if isinstance(item, ToolCalled)}
        outputs = [item for item in fresh if isinstance(item, ToolAnswered)]
        for output in outputs:
            call = calls.get(output.call_id)
            yield say_output(output.name, call.arguments if call else "{}", output.output)
        # what was said before a call is what the call was for
        called_at = max((index for index, item in enumerate(fresh) if isinstance(item, ToolCalled)), default=-1)
        questions = [item for item in fresh[called_at + 1 :] if isinstance(item, Said)]
        for index, question in enumerate(questions):
            if index:
                yield " "
            yield from self._reply(question, request)
        if not questions and not outputs:
            yield from _nothing_asked(request, fresh)

    def _reply(self, said: Said, request: BrainRequest) -> Iterator[Utterance]:
        """Answer one message of the user."""
        forced = _forced_tool(request)
        if _silent(said):
            yield "Are you still there? "
            yield _TRY
        elif said.text is None:
            yield f"I heard you for {said.seconds:.1f} seconds, but there is no recogniser here. "
            yield "Please type, or install realtime_trio[offline]."
        elif not said.certain:
            yield from _uncertain(said)
        elif request.tools and request.tool_choice != "none" and (calls := asked_calls(said.text)):
            yield from calls
        elif forced is not None:
            yield ToolCall(forced.name, fill_arguments(forced, _place(said.text)), forced.server_label)
        else:
            yield from self._converse(said.text, request)

    def _converse(self, text: str, request: BrainRequest) -> Iterator[Utterance]:
        plain = _plain(text)
        if not plain:
            yield "You said nothing. "
            yield _TRY
            return
        for rule in self._rules:
            answer = rule(text, plain)
            if answer:
                yield from answer
                return
        if _WEATHER.search(plain):
            yield from _weather(text, request)
            return
        yield "I am a stand-in with offline rules, not the real model, and I have no rule for that. "
        yield _TRY

    def _repeat(self, text: str, _plain: str) -> Sequence[Utterance]:
        match = _REPEAT.match(text.strip())
        return [sentence(match["words"])] if match else []

    def _count(self, _text: str, plain: str) -> Sequence[Utterance]:
        match = _COUNT.search(plain)
        if match is None:
            return []
        down = match["down"] is not None
        first = _number(match["first"] or ("10" if down else "1"))
        last = _number(match["last"] or ("1" if down else ""))
        if first is None or last is None:
            return ["I did not get how far. Say, for example: count to twenty."]
        if abs(last - first) >= _MOST_COUNTED or abs(first) > _LARGEST_COUNTED:
            return [f"That is too far for me: I count {_MOST_COUNTED} numbers at most."]
        return list(_counting(first, last))

    def _time(self, _text: str, plain: str) -> Sequence[Utterance]:
        return [f"It is {self._now():%H:%M}."] if _TIME.search(plain) else []

    def _date(self, _text: str, plain: str) -> Sequence[Utterance]:
        now = self._now()
        return [f"Today is {now:%A}, the {_ordinal(now.day)} of {now:%B} {now.year}."] if _DATE.search(plain) else []

    def _story(self, _text: str, plain: str) -> Sequence[Utterance]:
        return STORY if _STORY.search(plain) else ()

    def _arithmetic(self, text: str, _plain: str) -> Sequence[Utterance]:
        calculation = calculate(text)
        if calculation is None:
            return []
        if calculation.value is None:
            return ["Nobody can divide by zero, and neither can I."]
        exactly = calculation.value.denominator == 1 or 10**6 % calculation.value.denominator == 0
        return [f"{_capital(calculation.spoken)} is {'' if exactly else 'about '}{figures(calculation.value)}."]

    def _small_talk(self, _text: str, plain: str) -> Sequence[Utterance]:
        return next((list(answer) for pattern, answer in _SMALL_TALK if re.search(pattern, plain)), [])


def _silent(said: Said) -> bool:
    """Say whether a spoken message is nothing but a quiet room: the one that an idle timeout commits."""
    if said.text or (said.text is not None and said.certain):
        return False
    sound = np.frombuffer(said.audio, "<i2").astype(np.float64)
    return bool(np.sqrt(np.mean(sound**2)) < _QUIET) if len(sound) else said.seconds == 0


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _fresh(request: BrainRequest) -> list[Said | ToolCalled | ToolAnswered]:
    """Give what came since the assistant spoke last, without system messages.

    A line that it was told to say answers nobody: if nothing came since, what came before it still waits.
    """
    fresh: list[Said | ToolCalled | ToolAnswered] = []
    for item in reversed(request.history):
        if isinstance(item, Said) and item.role == "assistant":
            if fresh or not any(obey(item.instructions or "")):
                break
        elif not (isinstance(item, Said) and item.role == "system"):
            fresh.append(item)
    return fresh[::-1]


def _nothing_asked(request: BrainRequest, fresh: list[Said | ToolCalled | ToolAnswered]) -> Iterator[Utterance]:
    waiting = [item.name for item in fresh if isinstance(item, ToolCalled)]
    match request.history[-1:]:
        case (Said(role="system", text=str(text)),) if told := news(text):
            yield sentence(told)
            return
    if waiting:
        yield f"I am still waiting for the output of {' and '.join(waiting)}."
    elif any(isinstance(item, Said) and item.role == "assistant" for item in request.history):
        yield "I have nothing to add. "
        yield _TRY
    else:
        yield "Hello! I am a stand-in with offline rules, not the real model. "
        yield _TRY


def _uncertain(said: Said) -> Iterator[Utterance]:
    if said.text:
        yield f'I only caught something like "{said.text}". '
    else:
        yield f"I heard {said.seconds:.1f} seconds of sound, but could not make out a word. "
    yield "I am a stand-in with a small vocabulary, not the real model. "
    yield _TRY


def _counting(first: int, last: int) -> Iterator[str]:
    step = 1 if last >= first else -1
    numbers = range(first, last + step, step)
    for index in range(0, len(numbers), _COUNTED_AT_A_TIME):
        group = ", ".join(in_words(number) for number in numbers[index : index + _COUNTED_AT_A_TIME])
        is_last = index + _COUNTED_AT_A_TIME >= len(numbers)
        yield (group if index else _capital(group)) + ("." if is_last else ", ")


def _place(text: str) -> str | None:
    """Find the place that a question is about, spelled with capitals."""
    match = next(filter(None, (pattern.search(text) for pattern in _PLACES)), None)
    if match is None:
        return None
    place = match["place"].strip()
    return place.title() if place.islower() else place


def _forced_tool(request: BrainRequest) -> ToolSpec | None:
    """Give the tool that the client insists on."""
    if request.tool_choice in ("auto", "none") or not request.tools:
        return None
    if request.tool_choice == "required":
        return weather_tool(request.tools) or request.tools[0]
    return next((tool for tool in request.tools if tool.name == request.tool_choice), None)


def _weather(text: str, request: BrainRequest) -> Iterator[Utterance]:
    tool = weather_tool(request.tools) if request.tool_choice != "none" else None
    place = _place(text)
    if tool is None:
        yield "I cannot see the weather: I am an offline stand-in, and this program gives me no weather tool."
    elif place is None and takes_a_place(tool):
        yield "For which city? Ask, for example: what is the weather in Paris."
    else:
        yield ToolCall(tool.name, fill_arguments(tool, place), tool.server_label)
