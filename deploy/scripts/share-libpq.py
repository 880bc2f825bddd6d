"""Let psycopg2 load the libpq that psycopg brings, with its OpenSSL and Kerberos, instead of another of its own.

    usage: share-libpq.py PACKAGES

Our own code speaks through psycopg, Dagster through psycopg2; each wheel has the same fifteen libraries, 10 MB. A
newer libpq serves programs that were linked to an older one: of its interface, ``libpq.so.5``, functions are added and
none taken. psycopg2 is linked to libpq alone, by a name with a digest of the file, which becomes a link.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

HAS = "psycopg2_binary.libs"
SHARED = "psycopg_binary.libs"
LIBPQ = "libpq-*.so.5.*"


def main(packages: Path) -> None:
    """Share, unless one of the two is not there or they share already."""
    own, shared = packages / HAS, packages / SHARED
    if own.is_symlink() or not own.is_dir() or not shared.is_dir():
        return
    [old] = own.glob(LIBPQ)
    [new] = shared.glob(LIBPQ)
    if minor(old) > minor(new):
        raise SystemExit(f"{old.name} is newer than {new.name}: psycopg is to be shared by psycopg2 once it is as new")
    (shared / old.name).symlink_to(new.name)
    saved = sum(file.stat().st_size for file in own.iterdir())
    shutil.rmtree(own)
    own.symlink_to(SHARED)
    print(f"{saved / 1e6:.1f} MB of libraries shared")


def minor(libpq: Path) -> int:
    """The release of Postgres that a libpq is of."""
    return int(libpq.name.rpartition(".")[2])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
