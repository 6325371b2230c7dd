"""Which names stand for secrets: what is called so is kept out of traces and configurations."""

from __future__ import annotations

import re

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SECRET_WORDS = frozenset({"auth", "bearer", "cookie", "key", "keys", "pwd", "secret", "secrets", "token"})
"""As a word of its own only: ``api_key`` and ``accessToken``, but not ``keyword`` or ``max_tokens``."""
_SECRET_PARTS = ("apikey", "authorization", "credential", "passphrase", "passwd", "password")
"""Wherever they stand in a name."""


def names_secret(name: str) -> bool:
    """Whether a value of that name is likely to be one, such as ``db_password``, ``apiKey`` or ``X-Auth-Token``."""
    lowered = name.lower()
    if any(part in lowered for part in _SECRET_PARTS):
        return True
    return any(word.lower() in _SECRET_WORDS for word in _WORD.findall(name))
