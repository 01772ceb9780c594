"""Paper, demo and live told apart at a glance: the same words on every page, prompt and display."""

from __future__ import annotations

LIVE = "live"
_WORDS = {LIVE: "LIVE: REAL MONEY", "": "NO DESK"}


def mode_words(mode: str) -> str:
    """The desk's mode as it stands before everything else; an empty mode: no desk runs."""
    return _WORDS.get(mode, mode.upper())


def banner(mode: str) -> str:
    """The same for a terminal; real money fills a line of its own."""
    words = mode_words(mode)
    return f"{' ' + words + ' ':*^60}" if mode == LIVE else words


def before(mode: str, sentence: str) -> str:
    """A sentence with the mode in front of it, for terminals."""
    return f"{banner(mode)}{chr(10) if mode == LIVE else ': '}{sentence}" if mode else sentence
