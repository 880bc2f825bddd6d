"""Cut off what no running program reads from the compiled modules below a folder: their symbol and section tables.

    usage: cut-symbols.py FOLDER

Some wheels come unstripped: a tenth of libllvmlite and nine tenths of uvloop are names for debuggers. The loader finds
all that it needs by the program headers and the dynamic symbols (System V ABI, chapter 5), which stay; what lies behind
the last segment goes, and the header says that there are no sections. Not `strip`: it comes with a package that the
base image does not have, and moves the segments of files that patchelf has changed.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path

ELF64_LITTLE_ENDIAN = b"\x7fELF\x02\x01"
HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")


def main(folder: Path) -> None:
    """Cut every compiled module, and say what that has saved."""
    saved = sum(cut(path) for path in folder.rglob("*.so*") if path.is_file() and not path.is_symlink())
    print(f"{saved / 1e6:.1f} MB of symbols cut off")


def cut(path: Path) -> int:
    """The bytes cut off; 0 of a file that is no such module, or was cut before: it is not touched."""
    with path.open("rb") as file:
        start = file.read(HEADER.size)
        if len(start) < HEADER.size or not start.startswith(ELF64_LITTLE_ENDIAN):
            return 0
        (*head, sections, flags, size, part_size, parts, section_size, _, _) = HEADER.unpack(start)
        if not sections or part_size != PROGRAM_HEADER.size:
            return 0
        table = head[-1]
        file.seek(table)
        read = file.read(parts * part_size)
    ends = [offset + length for _, _, offset, _, _, length, _, _ in PROGRAM_HEADER.iter_unpack(read)]
    end: int = max(HEADER.size, table + len(read), *ends)
    before = path.stat().st_size
    if end >= before:
        return 0
    with path.open("r+b") as file:
        file.write(HEADER.pack(*head, 0, flags, size, part_size, parts, section_size, 0, 0))
        file.truncate(end)
    return before - end


if __name__ == "__main__":
    main(Path(sys.argv[1]))
