"""What a machine lacks fails a test, unless it may."""

from __future__ import annotations

import pytest

from tests.lacking import VARIABLE, lacking


@pytest.mark.parametrize("allowed", [None, "", "port-3000", "chromium-browser"])
def test_what_is_missing_fails(monkeypatch: pytest.MonkeyPatch, allowed: str | None) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    if allowed is not None:
        monkeypatch.setenv(VARIABLE, allowed)
    with pytest.raises(pytest.fail.Exception, match=f"no browser. Install one; or set {VARIABLE}=chromium"):
        lacking("chromium", "no browser", "Install one")


@pytest.mark.parametrize("allowed", ["chromium", "port-3000, chromium"])
def test_what_may_be_missing_is_skipped(monkeypatch: pytest.MonkeyPatch, allowed: str) -> None:
    monkeypatch.setenv(VARIABLE, allowed)
    with pytest.raises(pytest.skip.Exception, match="no browser"):
        lacking("chromium", "no browser", "Install one")
