"""The numbers that a page shows, each with the address that it leads to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser

HOLDERS = frozenset({"td", "strong", "caption", "figcaption", "dd"})
"""Elements in which numbers stand."""
_VOID = frozenset({"meta", "link", "input", "br", "hr", "img"})


@dataclass(frozen=True, slots=True)
class Shown:
    """A text with a digit.

    Parameters
    ----------
    holder
        The innermost of `HOLDERS` around it.
    near
        Heading of the section, or caption of the table.
    href
        Where it leads; empty without a link.
    """

    text: str
    holder: str
    near: str
    href: str


class _Reader(HTMLParser):
    """Texts of a page, without its pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[Shown] = []
        self._open: list[str] = []
        self._hrefs: list[str] = []
        self._near, self._heading = "", False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _VOID:
            return
        self._open.append(tag)
        if tag == "a":
            self._hrefs.append(dict(attrs).get("href") or "")
        if tag in ("h1", "h2", "caption"):
            self._near = ""

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass
        if tag == "a":
            self._hrefs.pop()

    def handle_data(self, data: str) -> None:
        text = " ".join(data.split())
        if "svg" in self._open or not text:
            return
        if any(tag in self._open for tag in ("h1", "h2", "caption")):
            self._near = f"{self._near} {text}".strip()
        holder = next((tag for tag in reversed(self._open) if tag in HOLDERS), None)
        if holder is not None and re.search(r"\d", text):
            self.shown.append(Shown(text, holder, self._near, self._hrefs[-1] if self._hrefs else ""))


def numbers_of(page: str) -> Iterator[Shown]:
    """The numbers of a page of HTML, in their order."""
    reader = _Reader()
    reader.feed(page)
    yield from reader.shown
