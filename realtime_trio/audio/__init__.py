"""Sound: arithmetic on PCM, files, and the devices that a session can be given.

The protocols that these devices fulfil stand in `realtime_trio.device`; nothing in the session imports this package.
"""
