"""The rules brain answers what it can, with the right words or tool calls, and is honest about the rest."""

import json
import operator
from datetime import datetime
from fractions import Fraction

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_trio.server.arithmetic import calculate, figures
from realtime_trio.server.brain import SUGGESTIONS, RulesBrain
from realtime_trio.server.number_words import LARGEST, in_words, read_number
from realtime_trio.server.seams import BrainRequest, Said, ToolAnswered, ToolCall, ToolCalled, ToolSpec
from realtime_trio.server.tool_talk import asked_calls, fill_arguments

WEATHER = ToolSpec(
    name="get_weather",
    description="Tell the current weather.",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)


def user(text, **kwargs):
    return Said(role="user", text=text, **kwargs)


def assistant(text):
    return Said(role="assistant", text=text)


def call(name, call_id, arguments="{}"):
    return ToolCalled(call_id=call_id, name=name, arguments=arguments)


def output(name, call_id, text):
    return ToolAnswered(call_id=call_id, name=name, output=text)


def pieces(*history, **request):
    async def main():
        brain = RulesBrain(lambda: datetime(2026, 11, 22, 14, 5))  # noqa: DTZ001 - a wall clock has no zone
        items = tuple(user(item) if isinstance(item, str) else item for item in history)
        return [piece async for piece in brain(BrainRequest(history=items, **request))]

    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def answer(*history, **request):
    return "".join(pieces(*history, **request))


# ---- numbers ----


@given(st.integers(-LARGEST, LARGEST))
def test_number_words_round_trip(number):
    words = in_words(number).replace("-", " ").split()
    sign = words[0] == "minus"

    assert read_number(words, int(sign)) == (abs(number), len(words))


def test_numbers_without_words_are_refused():
    with pytest.raises(ValueError, match="no words"):
        in_words(LARGEST + 1)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("a hundred and five", (105, 4)),
        ("twelve hundred", (1200, 2)),
        ("two thousand and five", (2005, 4)),
        ("seven eight", (7, 1)),
        ("five and six", (5, 1)),
        ("a dog", None),
        ("hundred", None),
        ("", None),
    ],
)
def test_numbers_as_people_say_them(words, expected):
    assert read_number(words.split()) == expected


# ---- arithmetic ----


@st.composite
def expressions(draw, depth=4):
    """Give an expression and its parts in three spellings: ours in signs, ours in words, Python's over fractions."""
    if depth == 0 or draw(st.booleans()):
        number = draw(st.integers(0, 999))
        return str(number), in_words(number), f"Fraction({number})"
    kind = draw(st.sampled_from(["+", "-", "*", "/", "()", "neg", "squared"]))
    left = draw(expressions(depth=depth - 1))
    if kind == "()":
        return tuple(f"({spelling})" for spelling in left)
    if kind == "neg":
        return f"-{left[0]}", f"minus {left[1]}", f"-{left[2]}"
    if kind == "squared":
        return f"({left[0]})**2", f"({left[1]}) squared", f"({left[2]})**2"
    right = draw(expressions(depth=depth - 1))
    word = {"+": "plus", "-": "minus", "*": "times", "/": "divided by"}[kind]
    return f"{left[0]}{kind}{right[0]}", f"{left[1]} {word} {right[1]}", f"{left[2]} {kind} {right[2]}"


@given(expressions())
@settings(deadline=None)
def test_arithmetic_agrees_with_python(spellings):
    """Precedence, signs and brackets, typed and in words."""
    typed, spoken, python = spellings
    try:
        expected = eval(python, {"Fraction": Fraction})  # noqa: S307 - generated above
    except ZeroDivisionError:
        expected = None
    for text in (f"0+{typed}", f"What is zero plus {spoken}?"):
        calculation = calculate(text)
        assert calculation is not None
        assert calculation.value == (None if expected is None else expected)


@given(st.text(alphabet="0123456789+-*/^().% xtimesplu one²", max_size=40))
def test_no_text_upsets_arithmetic(text):
    calculation = calculate(text)

    assert calculation is None or calculation.value is None or figures(calculation.value)


@pytest.mark.parametrize(
    "text", ["42", "hello", "", "what is the weather", "(" * 1000 + "1+1", "9**9**9", "1+" * 500, "5 4", "+"]
)
def test_what_is_no_sum(text):
    assert calculate(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("what is twelve times three", "12 times 3 is 36."),
        ("12*3+4", "12 times 3 plus 4 is 40."),
        ("How much is 15% of 80?", "15 percent of 80 is 12."),
        ("2^10", "2 to the power of 10 is 1024."),
        ("three point one four times two", "3.14 times 2 is 6.28."),
        ("1,000 / 8", "1000 divided by 8 is 125."),
        ("1/3", "1 divided by 3 is about 0.333333."),
        ("ten divided by zero", "Nobody can divide by zero, and neither can I."),
    ],
)
def test_sums(text, expected):
    assert answer(text) == expected


# ---- what it knows ----


@pytest.mark.parametrize(
    "text", ["what time is it", "What's the time?", "Tell me the time, please.", "hey, what time is it now?"]
)
def test_time(text):
    assert answer(text) == "It is 14:05."


@pytest.mark.parametrize("text", ["what day is it", "What's the date today?", "what is today's date"])
def test_date(text):
    assert answer(text) == "Today is Sunday, the 22nd of November 2026."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("count to three", "One, two, three."),
        ("Please count to 7 for me!", "One, two, three, four, five, six, seven."),
        ("count from five to two", "Five, four, three, two."),
        ("count down from 3", "Three, two, one."),
        ("count from minus one to 1", "Minus one, zero, one."),
        ("count to bananas", "I did not get how far. Say, for example: count to twenty."),
        ("count to a million", "That is too far for me: I count 1000 numbers at most."),
    ],
)
def test_counting(text, expected):
    assert answer(text) == expected


def test_counting_comes_in_pieces():
    """So that speech can begin, and be interrupted, before all is said."""
    assert len(pieces("count to twenty")) == 4
    assert answer("count to twenty").endswith("eighteen, nineteen, twenty.")


@pytest.mark.parametrize(
    "text", ["repeat after me: The cat SAT", "Please repeat after me, The cat SAT.", "say The cat SAT"]
)
def test_repeating(text):
    assert answer(text) == "The cat SAT."


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("Hello!", "Hello"),
        ("good morning", "Hello"),
        ("Thanks!", "welcome"),
        ("bye bye", "Goodbye"),
        ("How are you?", "well"),
        ("Who are you?", "stand-in"),
        ("stop", "All right"),
        ("what can you do", "arithmetic"),
        ("", "nothing"),
    ],
)
def test_small_talk(text, word):
    assert word in answer(text)


@pytest.mark.parametrize("suggestion", SUGGESTIONS)
def test_suggestions_work(suggestion):
    """What it tells people to try is not met by the answer that tells them what to try."""
    given_pieces = pieces(suggestion, tools=(WEATHER,))

    assert not any(isinstance(piece, str) and "Try saying" in piece for piece in given_pieces)


def test_everything_else_gets_an_honest_line():
    text = answer("Tell me a story about ducks.")

    assert "not the real model" in text
    assert all(suggestion in text for suggestion in SUGGESTIONS)


def test_an_uncertain_turn_is_not_acted_on():
    assert 'something like "count to twenty"' in answer(user("count to twenty", certain=False, seconds=2.0))
    assert "1.5 seconds" in answer(user("", certain=False, seconds=1.5))


def test_a_turn_that_nobody_could_hear():
    text = answer(user(None, seconds=2.13))

    assert "2.1 seconds" in text
    assert "realtime_trio[offline]" in text


def test_every_message_that_has_no_answer_is_answered():
    """Also what was typed while the user spoke: one response answers both."""
    assert answer("what time is it", assistant("It is 14:04."), "2+2") == "2 plus 2 is 4."
    assert answer("count to three", "2+2") == "One, two, three. 2 plus 2 is 4."


# ---- tools ----


@pytest.mark.parametrize(
    ("text", "city"),
    [
        ("What is the weather in Paris?", "Paris"),
        ("what's the weather like in new york today", "New York"),
        ("How warm is it in Lima?", "Lima"),
        ("weather for Toronto, please", "Toronto"),
        ("what is the weather at the moment in Oslo", "Oslo"),
    ],
)
def test_weather_is_asked_of_the_clients_tool(text, city):
    assert pieces(text, tools=(WEATHER,)) == [ToolCall("get_weather", {"city": city})]


def test_weather_without_a_tool_or_a_city():
    assert "no weather tool" in answer("What is the weather in Paris?")
    assert "no weather tool" in answer("What is the weather in Paris?", tools=(WEATHER,), tool_choice="none")
    assert "which city" in answer("What is the weather?", tools=(WEATHER,))


def test_arguments_fit_the_schema():
    """A place goes where one belongs; other required arguments get some value that is allowed."""
    tool = ToolSpec(
        name="weather",
        parameters={
            "properties": {
                "unit": {"type": "string", "enum": ["celsius", "kelvin"]},
                "days": {"type": ["integer", "null"]},
                "where": {"type": "string"},
                "comment": {"type": "string"},
            },
            "required": ["unit", "days", "where"],
        },
    )

    assert fill_arguments(tool, "Rome") == {"unit": "celsius", "days": 1, "where": "Rome"}


def test_call_phrases_become_parallel_calls():
    text = 'please call add {"a": {"b": [1, "}"]}} and then call get_weather {"city": "Lima"}'
    calls = pieces(text, tools=(WEATHER,))

    assert [made.name for made in calls] == ["add", "get_weather"]
    assert [json.loads(made.arguments) for made in calls] == [{"a": {"b": [1, "}"]}}, {"city": "Lima"}]


def test_bad_json_is_passed_on_as_it_is():
    """What the client does with it is what a test wants to see."""
    assert asked_calls('call a {bad and call b {"x": 1}') == [ToolCall("a", "{bad and"), ToolCall("b", '{"x": 1}')]


def test_call_phrases_need_to_be_certain_and_allowed():
    assert all(isinstance(piece, str) for piece in pieces(user('call a {"b": 1}', certain=False), tools=(WEATHER,)))
    assert all(isinstance(piece, str) for piece in pieces('call a {"b": 1}', tools=(WEATHER,), tool_choice="none"))
    assert all(isinstance(piece, str) for piece in pieces('call a {"b": 1}'))


@pytest.mark.parametrize("choice", ["required", "get_weather"])
def test_a_demanded_tool_is_called(choice):
    made = pieces("Rome is nice", tools=(ToolSpec(name="other"), WEATHER), tool_choice=choice)

    assert [piece.name for piece in made] == ["get_weather"]
    assert "city" in made[0].arguments


def test_tool_outputs_are_mentioned():
    history = ("x", call("get_weather", "1", '{"city": "Paris"}'), output("get_weather", "1", '{"celsius": 21.5}'))

    assert answer(*history) == "It is 21.5 degrees Celsius in Paris."


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("3", "3"),
        ('"sunny"', "sunny"),
        ("plain words", "plain words"),
        ('{"a_b": [1, true, null], "c": {"d": "e"}}', "a b 1, yes, nothing, c d e"),
        ('{"error": "no such city"}', "failed: no such city"),
        ("", "look"),
    ],
)
def test_any_output_can_be_said(text, words):
    assert words in answer("x", call("look", "1"), output("look", "1", text))


def test_several_outputs_are_all_mentioned():
    text = answer("x", call("add", "1"), call("sub", "2"), output("add", "1", "33"), output("sub", "2", "44"))

    assert "33" in text
    assert "44" in text


def test_an_output_that_comes_late_is_mentioned_and_the_question_between_answered():
    """The user went on talking while the tool was at work."""
    late = answer("x", call("look", "1"), "2+2", output("look", "1", "ready"))

    assert "ready" in late
    assert "2 plus 2 is 4." in late
    assert "ready" in answer("x", call("look", "1"), assistant("wait"), output("look", "1", "ready"))


def test_outputs_are_mentioned_once():
    history = ("x", call("look", "1"), output("look", "1", "ready"), assistant("ready"), "2+2")

    assert answer(*history) == "2 plus 2 is 4."


def test_a_missing_output_is_waited_for():
    assert answer("x", call("look", "1")) == "I am still waiting for the output of look."


# ---- instructions, and nothing at all ----


@pytest.mark.parametrize(
    ("instructions", "expected"),
    [
        ("Say hello.", "Hello."),
        ("Say exactly: Foo, bar.", "Foo, bar."),
        ('Please say exactly "Foo, bar".', "Foo, bar"),
        ("Greet the user warmly.", "Hello! What can I do for you?"),
        ("Welcome the user.", "Hello! What can I do for you?"),
        ("You are a pirate.\n\nSay hello.", "Hello."),
        ('Say this word for word.\n"""\nOne.\n\nGreet """two""".\n"""', 'One.\n\nGreet """two""".'),
        ("Answer in German.", "2 plus 2 is 4."),
        ("Answer in German.\n\nNever say hello.", "2 plus 2 is 4."),
    ],
)
def test_a_responses_own_instructions(instructions, expected):
    assert answer("2+2", response_instructions=instructions) == expected


def test_a_sessions_instructions_change_nothing():
    assert answer("2+2", instructions="Say exactly: no.") == "2 plus 2 is 4."


def test_nothing_was_said():
    assert "stand-in" in answer()
    assert "nothing to add" in answer("hello", assistant("Hello!"))
    assert "stand-in" in answer(Said(role="system", text="Be brief."))


def line(text):
    return Said(role="assistant", text=text, instructions=f'Say exactly: "{text}"')


def test_a_question_before_a_line_that_was_to_be_said_still_waits():
    """The line answers nobody. What was answered before is not answered again."""
    assert answer("2+2", line("One moment.")) == "2 plus 2 is 4."
    assert answer("hello", assistant("Hello!"), "2+2", line("One."), line("Two.")) == "2 plus 2 is 4."
    assert answer("2+2", line("One moment."), "3+3") == "3 plus 3 is 6."
    assert "nothing to add" in answer("2+2", assistant("4."), line("Anything else?"))
    assert "nothing to add" in answer("2+2", Said(role="assistant", text="4.", instructions="Be brief."))


def test_what_the_user_is_to_be_told_of_is_told():
    """The result of a tool in the background comes as a system message; a question of the user's comes first."""
    news = Said(role="system", text="f is over. Tell the user what matters of it.\nthe report\nis printed")

    assert answer("hello", assistant("Hello!"), news) == "The report\nis printed."
    assert answer("hello", assistant("Hello!"), "2+2", news) == "2 plus 2 is 4."
    assert "nothing to add" in answer(news, assistant("Hello!"))
    assert "stand-in" in answer(Said(role="system", text="Tell the user nothing."))


@given(st.text(max_size=80))
@settings(deadline=None)
def test_every_text_gets_some_answer(text):
    assert pieces(text, tools=(WEATHER,))


def test_the_clock_is_the_wall_clock_by_default():
    async def main():
        return [piece async for piece in RulesBrain()(BrainRequest(history=(user("what time is it"),)))]

    before = datetime.now()  # noqa: DTZ005 - as the brain tells it
    text = trio.run(main)[0]
    after = datetime.now()  # noqa: DTZ005

    assert text in {f"It is {moment:%H:%M}." for moment in (before, after)}
    assert operator.le(before, after)


@pytest.mark.parametrize("audio", [b"", bytes(48_000), b"\x05\0" * 24_000], ids=["nothing", "zeros", "a quiet room"])
@pytest.mark.parametrize(("text", "certain"), [(None, True), ("", False)], ids=["nobody hears", "nothing heard"])
def test_silence_is_asked_whether_somebody_is_there(audio, text, certain):
    """What an idle timeout commits is no speech that was not understood."""
    said = user(text, certain=certain, audio=audio, seconds=len(audio) / 48_000)
    assert answer(said).startswith("Are you still there?")


def test_speech_that_nobody_understood_is_not_silence():
    assert "1.0 seconds" in answer(user("", certain=False, audio=b"\0\x20\0\xe0" * 12_000, seconds=1.0))


@pytest.mark.parametrize("question", ["Tell me a long story.", "tell me a story", "a story please", "Story"])
def test_a_story_is_told_at_length(question):
    assert len(answer(user(question)).split()) > 250


def test_a_story_in_another_sentence_is_none():
    assert "lamp" not in answer(user("that is a long story"))
