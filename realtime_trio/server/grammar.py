"""What the recogniser can understand: a grammar (JSGF) of what the rules brain can answer.

Small on purpose: every word more makes all others harder to tell apart.
"""

import functools
import re

__all__ = ["CITIES", "GRAMMAR", "SO_FAR", "in_grammar"]

CITIES = (
    "amsterdam",
    "berlin",
    "cairo",
    "chicago",
    "lima",
    "lisbon",
    "london",
    "madrid",
    "new york",
    "oslo",
    "paris",
    "rome",
    "sydney",
    "tokyo",
    "toronto",
    "vienna",
)
"""The cities that it knows."""

GRAMMAR = f"""#JSGF V1.0;
grammar turn;
public <turn> = [please] <question> | <remark>;
<question> = <time> | <date> | <weather> | <count> | <sum> | <repeat> | <story>;
<remark> = hello [there] | hi [there] | good morning | good afternoon | good evening | goodbye | good night
  | thank you [very much] | thanks | how are you [today] | who are you | what are you | what is your name
  | what can you do | help | [please] stop | be quiet | never mind | yes | no;
<what> = what is | what's;
<time> = what time is it [now] | <what> the time | tell me the time;
<date> = what day is it [today] | <what> the date [today] | <what> today's date;
<weather> = (<what> | how is | how's | tell me) the weather [like] in <city> [today | tomorrow]
  | <what> the temperature in <city> | how (warm | hot | cold) is it in <city> [today];
<city> = {" | ".join(CITIES)};
<count> = count [up] to <number> | count from <number> to <number> | count down from <number>;
<sum> = (<what> | how much is | calculate) <number> <sign> <number> [<sign> <number>];
<sign> = plus | minus | times | multiplied by | divided by;
<repeat> = repeat after me <phrase>;
<phrase> = hello world | good morning | one two three | testing one two three | the quick brown fox
  | the rain in spain | i am a stand in;
<story> = tell me a [long] story;
<number> = <digit> | <teen> | <tens> [<digit>] | one hundred;
<digit> = zero | one | two | three | four | five | six | seven | eight | nine;
<teen> = ten | eleven | twelve | thirteen | fourteen | fifteen | sixteen | seventeen | eighteen | nineteen;
<tens> = twenty | thirty | forty | fifty | sixty | seventy | eighty | ninety;
"""


_BEGINNINGS = """
<beginning> = (<what> | how is | how's | tell me) [the [weather [like] [in]]] | tell me a [long]
  | <what> [the] temperature [in] | (<what> | how much is | calculate) <number> [<sign> [<number> <sign>]]
  | how much [is] | calculate | count [up] [to] | count from [<number> [to]] | count down [from]
  | how (warm | hot | cold) is it in | repeat [after [me]]
  | what time | what day | can you | could you [please] | i would like to | um | uh;
"""

SO_FAR = GRAMMAR.replace("| <remark>;", "| <remark> | [please] <beginning>;") + _BEGINNINGS
"""The grammar and the beginnings of its sentences: what may have been said when somebody pauses."""


@functools.cache
def _pattern() -> re.Pattern[str]:
    """Translate the grammar to a regular expression over words that each have a space behind them."""
    rules = dict(re.findall(r"<(\w+)> = ([^;]+);", GRAMMAR))

    def expression(rule: str) -> str:
        return "".join(translate(sign) for sign in re.findall(r"<\w+>|[\[\]()|]|[^\s<>\[\]()|]+", rule))

    def translate(sign: str) -> str:
        if sign.startswith("<"):
            return f"(?:{expression(rules[sign[1:-1]])})"
        return {"[": "(?:", "]": ")?", "(": "(?:", ")": ")", "|": "|"}.get(sign, re.escape(sign) + " ")

    return re.compile(expression(rules["turn"]))


def in_grammar(text: str) -> bool:
    """Tell whether lower case words are a whole sentence of the grammar: a decoder may also give the start of one."""
    return _pattern().fullmatch(" ".join(text.split()) + " ") is not None
