"""``make docs``: write the pages that are made from the code; a test fails while a committed one differs."""

from __future__ import annotations

from tests.docs.measures import PAGE, measures_page

PAGE.write_text(measures_page())
