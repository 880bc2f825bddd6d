"""A web page in place of data: a maintenance notice, a login or a block page, sent as if all were well."""

from __future__ import annotations

HTML_PAYLOAD = "html_payload"

_OPENINGS = (b"<!doctype html", b"<html", b"<head", b"<body")


def refuse_html_payload(content: bytes, media_type: str) -> str | None:
    """Why the payload is no data but a web page; None if it is not one.

    Parameters
    ----------
    content
        The answer.
    media_type
        As the vendor declares it.
    """
    opening = content.removeprefix(b"\xef\xbb\xbf").lstrip()[:64].lower()
    if opening.startswith(_OPENINGS):
        return "it is a web page"
    if opening and media_type.partition(";")[0].strip().lower() in {"text/html", "application/xhtml+xml"}:
        return f"it is declared as {media_type}, a web page"
    return None
