"""`python -m realtime_trio.demo`: a talk with the Realtime API, or with the offline stand-in, to see and to hear.

It uses what every program can use: `open_session`, the devices of `realtime_trio.audio`, `open_server`. Its parts:
`arguments`, `talk` (the simulated user), `voices` (the user's voice), `follower` (what goes on becomes lines and a
record), `lines`, `summary`, `typed` (lines from a terminal), `running` (all of it together).
"""

__all__: list[str] = []
