"""The text of a PDF as typst writes it: plain objects, deflated streams, glyphs of two bytes with a ToUnicode map."""

from __future__ import annotations

import re
import zlib

_OBJECT = re.compile(rb"\n(\d+) 0 obj(.*?)endobj", re.DOTALL)
_ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}
_RUN = re.compile(rb"/(f\d+) [\d.]+ Tf(.*?)(\[.*?\]TJ|\(.*?\)Tj)\s+ET", re.DOTALL)


def objects_of(pdf: bytes) -> dict[int, bytes]:
    """Number → object."""
    return {int(number): body for number, body in _OBJECT.findall(pdf)}


def text_of(pdf: bytes) -> str:
    """The text of every page, a line for each run of glyphs."""
    objects = objects_of(pdf)
    lines = []
    for page in (body for body in objects.values() if b"/Type/Page/" in body or b"/Type/Page\n" in body):
        resources = objects[_reference(page, b"Resources")]
        fonts = {name: _glyphs(objects, int(number)) for name, number in re.findall(rb"/(f\d+) (\d+) 0 R", resources)}
        content = _stream(objects[_reference(page, b"Contents")])
        for font, _, glyphs in _RUN.findall(content):
            raw = b"".join(_unescaped(text) for text in re.findall(rb"\(((?:\\.|[^\\)])*)\)", glyphs, re.DOTALL))
            codes = [int.from_bytes(raw[place : place + 2]) for place in range(0, len(raw), 2)]
            lines.append("".join(fonts[font].get(code, "�") for code in codes))
    return "\n".join(lines)


def _reference(body: bytes, name: bytes) -> int:
    found = re.search(rb"/" + name + rb" (\d+) 0 R", body)
    assert found is not None, name
    return int(found[1])


def _stream(body: bytes) -> bytes:
    start = body.index(b"stream") + len(b"stream")
    return zlib.decompressobj().decompress(body[start:].lstrip(b"\r\n"))


def _glyphs(objects: dict[int, bytes], font: int) -> dict[int, str]:
    body = objects[_reference(objects[font], b"ToUnicode")]
    text = _stream(body) if b"FlateDecode" in body else body
    pairs = re.findall(rb"<([0-9A-F]{4})> <([0-9A-F]+)>", text)
    return {int(code, 16): bytes.fromhex(found.decode()).decode("utf-16-be") for code, found in pairs}


def _unescaped(text: bytes) -> bytes:
    def plain(found: re.Match[bytes]) -> bytes:
        told = found[1]
        return bytes([int(told, 8)]) if told[:1].isdigit() else _ESCAPES.get(told, told)

    return re.sub(rb"\\([0-7]{1,3}|.)", plain, text, flags=re.DOTALL)
