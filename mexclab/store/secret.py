"""A text that nothing shows."""

from __future__ import annotations

import hmac
from typing import Any, NoReturn, final

MASK = "********"


@final
class Secret:
    """A key, a passphrase: printing, formatting, logging, pickling or serialising it never shows it.

    Only :meth:`reveal` gives the text; call it where the text is used, and give it no name of its own, since
    a traceback may print names. Python cannot wipe a ``str``: what was revealed stays in memory until it is
    collected and written over.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):
            raise TypeError("a Secret is made of text")  # and the value is not told
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def hint(self) -> str:
        """Enough of it to tell two long ones apart: the first four characters."""
        return f"{self._text[:4]}{MASK}" if len(self._text) >= 16 else MASK

    def __repr__(self) -> str:
        return f"Secret({MASK})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, _spec: str) -> str:
        return MASK

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        mine, others = (text.encode("utf-8", "surrogatepass") for text in (self._text, other._text))
        return hmac.compare_digest(mine, others)

    __hash__ = None  # type: ignore[assignment]  # a hash table would keep a fingerprint of it

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, _memo: dict[int, Any]) -> Secret:
        return self

    def __reduce_ex__(self, _protocol: Any) -> NoReturn:
        raise TypeError("a Secret is never pickled")

    def __setattr__(self, name: str, value: object) -> None:
        if hasattr(self, "_text"):
            raise AttributeError("a Secret does not change")
        object.__setattr__(self, name, value)
