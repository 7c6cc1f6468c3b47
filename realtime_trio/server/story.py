"""A story of about a minute and a half: what the rules brain tells when somebody wants to hear it talk for long."""

__all__ = ["STORY"]

STORY = (
    "This is the story of a lamp by the sea. ",
    "On a long grey coast stood a small house, and in its only window stood a lamp. ",
    "Every evening an old woman lit it, sat down beside it, and mended nets until the oil was gone. ",
    "The fishermen knew that light, and whoever came home late steered for it and found the harbour. ",
    "One autumn the woman fell ill, and for the first time in forty years the window stayed dark. ",
    "That night the wind turned, and three boats were still out on the water. ",
    "In the house next door lived a boy who could not sleep when the wind was loud. ",
    "He looked for the light as he did every night, and it was not there. ",
    "So he put on his father's coat, ran across the wet stones, and knocked, and nobody answered. ",
    "The door was open, the woman was asleep, and the lamp stood in the window with no oil in it. ",
    "The boy looked in every cupboard, and behind the last door he found half a bottle. ",
    "He filled the lamp, struck a match, and the wind blew it out. ",
    "He struck another, and the wind blew it out again. ",
    "He held the third one in both hands, close to his chest, and the wick caught, and the window was bright. ",
    "Far out on the water a man said: there it is, and three boats turned their bows to the land. ",
    "When the woman woke in the morning, the boy was asleep in her chair with a net over his knees. ",
    "The fishermen came with bread and fish, and thanked her for the light. ",
    "She looked at the boy, and at the empty bottle, and she said: it was not me this time. ",
    "From then on there were two who lit the lamp, one evening she, and one evening he. ",
    "And if nobody has put it out, it burns there to this day.",
)
"""Its sentences; joined they are the text."""
