"""What the recogniser can understand: a grammar (JSGF) of what the rules brain can answer.

Small on purpose: every word more makes all others harder to tell apart.
"""

__all__ = ["CITIES", "GRAMMAR"]

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
public <turn> = [<lead>] <question> [<tail>] | <remark>;
<lead> = please | okay | hello | hey;
<tail> = please;
<question> = <time> | <date> | <weather> | <count> | <sum> | <repeat>;
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
<number> = <digit> | <teen> | <tens> [<digit>] | (a | one) hundred;
<digit> = zero | one | two | three | four | five | six | seven | eight | nine;
<teen> = ten | eleven | twelve | thirteen | fourteen | fifteen | sixteen | seventeen | eighteen | nineteen;
<tens> = twenty | thirty | forty | fifty | sixty | seventy | eighty | ninety;
"""
