"""OpenAI's Realtime API on Trio, with structured concurrency from top to bottom."""

from ._version import __version__ as __version__
