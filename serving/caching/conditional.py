"""Validators: what says that a caller has the newest answer already (RFC 9110, sections 8.8.3 and 13.1.2)."""

from __future__ import annotations

import re
from hashlib import blake2b

_TAGS = re.compile(rb'(?:W/)?("[^"]*")')


def entity_tag(body: bytes) -> bytes:
    """The strong validator of an answer: equal for equal bytes only."""
    return b'"' + blake2b(body, digest_size=16).hexdigest().encode() + b'"'


def is_current(if_none_match: bytes, tag: bytes) -> bool:
    """Whether the header names the tag, or any by ``*``. Weak comparison, as the header demands."""
    return if_none_match.strip() == b"*" or tag.removeprefix(b"W/") in _TAGS.findall(if_none_match)
