"""How loud must sound be to count as the user, while the assistant speaks?

A canceller leaves residue, and turn detection takes residue for speech. But people near a microphone are louder than
what is left of an echo. So while something is played, sound passes only when it is loud *for this user*, for long
enough; what is not let through is sent as silence by the caller, who keeps some 300 ms to send the beginning of what
then passes.

Where the rule comes from: in simulated rooms, with nothing but a canceller and a detector of speech, 8 % of the
stretches of 5 s in which the assistant spoke alone were interrupted, in bad rooms 40 %. With speech counted only above
-40 dBFS (10 to 14 dB under the users there, for 160 of 240 ms) it was 1 % and 3 %, and no more turns were missed.
docs/echo.md has what this gate reaches.
"""

import math

import attrs

__all__ = ["LevelGate"]

_START_DBFS = -40.0  # the threshold of somebody who was not heard yet
_LOWEST_DBFS, _HIGHEST_DBFS = -52.0, -34.0  # nobody teaches a threshold beyond these
_UNDER_USER_DB = 12.0  # how far the threshold lies under the mean level of the user's speech
_OVER_NOISE_DB = 12.0  # how far over the noise of the room, and what is taken for speech when nothing is played
_NOISIEST_DBFS = -28.0  # no noise raises the threshold over this
_OPEN_MS = 160.0  # so much loud sound opens ...
_FORGET = 0.15  # ... and each quiet millisecond takes back so much of it
_HANG_MS = 500.0  # it stays open so long after loud sound: a pause between words
_LEARNING_MS = 2_000.0  # of speech, in which the estimate moves by two thirds
_NOISE_RISE_DB_PER_S = 2.0
_RESIDUE_DB_PER_S = 30.0  # nine tenths of it upwards, one tenth downwards: it settles where a tenth is louder
_OPEN_SHARE = 0.1  # how much slower while the gate is open
_LEAST_RESIDUE_DBFS = -55.0
_OVER_RESIDUE_DB = 1.0
_SILENCE_DBFS = -85.0  # below one step of dither: a muted microphone, not a room
_LONGEST_MS = 100.0  # a longer block counts as this much: its level says little of its parts


@attrs.define(eq=False)
class LevelGate:
    """Lets the user's voice through while something is played, by its level; everything while nothing is.

    The threshold follows the user: 12 dB under the mean level of their speech while nothing was played, between -52 and
    -34 dBFS, so that after somebody with a loud voice a quiet one gets through at once, or after some words said in a
    pause. It stands 12 dB over the noise of the room (up to -28 dBFS), and, as far as that does not shut out the user's
    mean level, over nine tenths of what was heard lately while something played: that is residue. So what is heard over
    the assistant never lowers it, or residue would in the end let itself pass.

    Attributes:
        open: Whether the last block passed.
        threshold_dbfs: What is louder than this counts, while something is played.
    """

    open: bool = attrs.field(default=True, init=False)
    threshold_dbfs: float = attrs.field(default=_START_DBFS, init=False)
    _learnt: float = attrs.field(default=_START_DBFS, init=False)  # the threshold, while there is no residue
    _user: float = attrs.field(default=_START_DBFS + _UNDER_USER_DB, init=False)
    _noise: float | None = attrs.field(default=None, init=False)  # of the room, None until it was heard
    _residue: float = attrs.field(default=_LEAST_RESIDUE_DBFS, init=False)
    _loud_ms: float = attrs.field(default=0.0, init=False)
    _hang_ms: float = attrs.field(default=0.0, init=False)  # how long a voice that was heard is still believed

    def feed(self, level_dbfs: float, playing: bool, ms: float) -> bool:  # noqa: FBT001 - the field of a CleanBlock
        """Judge the next block. Every block is fed, in order, whether something is played or not.

        Args:
            level_dbfs: How loud it is (root mean square, 0 is full scale), after echo cancellation; -inf is silence.
            playing: Whether echo may be in it.
            ms: How long it is. Blocks of 10 to 100 ms are judged alike.

        Returns:
            Whether it may be heard as the user.
        """
        level = -120.0 if math.isnan(level_dbfs) else min(max(level_dbfs, -120.0), 0.0)
        if not playing:
            self._learn(level, ms)
        else:
            # An open gate looks, too, but slowly: a voice must not raise it much, and residue must not keep it open.
            self._note_residue(level, ms * (_OPEN_SHARE if self.open else 1.0))
        self.threshold_dbfs = (
            max(self._learnt, min(self._residue + _OVER_RESIDUE_DB, self._user)) if playing else self._learnt
        )
        self.open = self._hears_a_voice(level, ms) or not playing
        return self.open

    def _hears_a_voice(self, level: float, ms: float) -> bool:
        self._hang_ms -= ms
        if level > self.threshold_dbfs:
            self._loud_ms = min(self._loud_ms + min(ms, _LONGEST_MS), _OPEN_MS)
            if self._loud_ms >= _OPEN_MS or self._hang_ms > 0:
                self._hang_ms = _HANG_MS
        else:
            self._loud_ms = max(self._loud_ms - ms * _FORGET, 0.0)
        return self._hang_ms > 0

    def _note_residue(self, level: float, ms: float) -> None:
        step = _RESIDUE_DB_PER_S * ms / 1000
        self._residue += 0.9 * step if level > self._residue else -0.1 * step
        self._residue = max(self._residue, _LEAST_RESIDUE_DBFS)

    def _learn(self, level: float, ms: float) -> None:
        if level < _SILENCE_DBFS:
            return
        # the noise of the room is what sound falls back to: known at once when it is lower, slowly when it is higher
        risen = level if self._noise is None else self._noise + _NOISE_RISE_DB_PER_S * ms / 1000
        self._noise = min(level, risen)
        if level >= self._noise + _OVER_NOISE_DB:
            # in dB, not in power: a door that slams for 50 ms moves this by 1 dB and not by 15
            step = 1 - math.exp(-ms / _LEARNING_MS)
            lowest, highest = _LOWEST_DBFS + _UNDER_USER_DB, _HIGHEST_DBFS + _UNDER_USER_DB
            self._user = min(max(self._user + (level - self._user) * step, lowest), highest)
        self._learnt = max(self._user - _UNDER_USER_DB, min(self._noise + _OVER_NOISE_DB, _NOISIEST_DBFS))
