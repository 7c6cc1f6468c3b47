"""`python -m realtime_trio.demo`: a talk with the Realtime API, or with the offline stand-in, to see and to hear.

It uses what every program can use: `open_session`, the devices of `realtime_trio.audio`, `open_server`. Its parts:

- `arguments`, `devices`, `running`: what is asked for, what there is, and which kind of talk that makes; `stage`: what
  every kind has
- `sound_card`: the talk with a person; `keys`, `display`, `screen`, `watch`, `view_state`, `stderr_log`: its terminal
- `headless`: the talk without hardware; `talk`, `voices`: its simulated user; `typed`: lines from a terminal
- `follower`, `lines`, `record`, `recording`, `summary`: what becomes of all that is said
- `weather`: the one tool
"""

__all__: list[str] = []
