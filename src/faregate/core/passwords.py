"""Which passwords are good enough: long ones that are not the e-mail address. There are no rules on
letters, digits and signs, which make passwords worse to remember and no harder to guess
(NIST SP 800-63B, section 3.1.1.2).
"""

from __future__ import annotations

import unicodedata
from typing import Final

from faregate.core.problems import Problem, invalid

MIN_PASSWORD: Final = 10
MAX_PASSWORD: Final = 128
"""In characters. The longest is there because hashing takes time that others wait for."""


def normal_password(password: str) -> str:
    """Return the one spelling of a password: keyboards differ in how they send `é`."""
    return unicodedata.normalize("NFC", password)


def check_password(password: str, email: str) -> Problem | None:
    """Return what is wrong with a new password of somebody with this e-mail address, under the
    field `password`; the password itself is not in it."""
    length = len(normal_password(password))
    if length < MIN_PASSWORD:
        have = f"has {length} characters"
        return invalid("password", f"{have}: use at least {MIN_PASSWORD}, e.g. four words")
    if length > MAX_PASSWORD:
        return invalid("password", f"has {length} characters: use at most {MAX_PASSWORD}")
    if password.strip().casefold() == email.casefold():
        return invalid("password", "is the e-mail address: use something that others cannot know")
    if len(set(password)) == 1:
        return invalid("password", "is one character again and again: use something less regular")
    return None
