"""Model cards: what a model is, what it was fitted on, how it did and where it fails, as Markdown or a page.

The sections follow Mitchell et al. (2019), "Model cards for model reporting".
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.forecast.models.catalogue import note_of
from pipeline.risk.measures.statistic import Statistic
from pipeline.store.forecast_models import Champion, Model
from serving.evaluations import Evaluated

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}"
    "div{overflow-x:auto}table{border-collapse:collapse}th,td{padding:.2rem .7rem;text-align:right;"
    "border-bottom:1px solid #8886}th:first-child,td:first-child{text-align:left}"
)
CARD_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"
"""A card carries its style sheet, so that it can be kept as a file."""

Section = tuple[str, Sequence[str], Sequence[Sequence[str]]]
"""Heading, paragraphs, and the rows of a table of which the first is its head."""


def card_sections(
    model: Model, evaluated: Sequence[Evaluated], champions: Sequence[Champion], notice: str | None
) -> Iterator[Section]:
    """The parts of a card.

    Parameters
    ----------
    evaluated
        Of this model, over all months.
    champions
        Log of its target, the newest first.
    """
    note = note_of(model.name)
    standing = "Champion of" if model.is_champion else "Registered for"
    lead = [f"{note.summary} {standing} {model.target}."]
    yield f"{model.name} {model.version}", lead if notice is None else [*lead, notice], ()
    yield "What it is for", [note.use], ()
    yield "What it cannot do", [note.limits], ()
    yield "How it was made", [f"Source: {note.source}"], _made(model)
    yield "How it did", [_SCORES], _scores(evaluated)
    if any(one.found.coverage is not None for one in evaluated):
        yield "How often returns fell below", [_COVERAGE], _coverage(evaluated)
    yield "Champions", ["Who was champion of this target, the newest first."], _champions(champions)


_SCORES = (
    "Mean losses of all scored forecasts, lower is better: QLIKE of variances, tick loss of quantiles, Fissler-Ziegel"
    " loss of the expected shortfall. Diebold and Mariano's statistic is below 0 where the model did better than the"
    " naive forecast; its error allows for dependence (Newey-West)."
)
_COVERAGE = (
    "A right 1 % quantile lies above 1 % of the returns. The tests count the instruments that they do not reject at"
    " 5 %: the number of hits (Kupiec), their number and independence (Christoffersen), and whether hits foretell hits"
    " (Engle and Manganelli)."
)


def card_markdown(sections: Iterator[Section]) -> str:
    """A card as Markdown."""
    lines: list[str] = []
    for number, (heading, paragraphs, rows) in enumerate(sections):
        lines += [f"{'#' if number == 0 else '##'} {_escaped(heading)}", ""]
        for paragraph in paragraphs:
            lines += [_escaped(paragraph), ""]
        if rows:
            lines += [_line(rows[0]), _line(["---", *["---:"] * (len(rows[0]) - 1)])]
            lines += [*(_line([_escaped(cell) for cell in row]) for row in rows[1:]), ""]
    return "\n".join(lines)


def card_page(sections: Iterator[Section]) -> str:
    """A card as a page that stands by itself."""
    parts: list[str] = []
    title = ""
    for number, (heading, paragraphs, rows) in enumerate(sections):
        title = title or heading
        tag = "h1" if number == 0 else "h2"
        parts.append(f"<{tag}>{html.escape(heading)}</{tag}>")
        parts += [f"<p>{html.escape(paragraph)}</p>" for paragraph in paragraphs]
        if rows:
            parts.append(_table(rows))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style><main>{''.join(parts)}</main></html>"
    )


def _table(rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows[1:])
    return f"<div><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    """The text without what Markdown or HTML would make of it: notes are written by people."""
    return re.sub(r"([\\`*\[\]<>|#])", r"\\\1", " ".join(text.split()))


def _made(model: Model) -> list[list[str]]:
    fitted = f"{model.trained_from} to {model.trained_through}" if model.trained_through else "no forecast yet"
    parameters = [[name, str(value)] for name, value in _flat(model.hyperparameters)]
    return [
        ["What", "Value"],
        ["Version", model.version],
        ["Data", fitted],
        ["Run", model.run_id or "none"],
        ["Code", model.code_version or "none"],
        ["Registered", f"{model.registered_at:%Y-%m-%d}"],
        *parameters,
    ]


def _flat(parameters: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    """Parameters by name, those of a part as ``volatility.decay``."""
    for name, value in sorted(parameters.items()):
        if isinstance(value, Mapping):
            yield from _flat(value, f"{within}{name}.")
        else:
            yield f"{within}{name}", value


def _scores(evaluated: Sequence[Evaluated]) -> list[list[str]]:
    head = ["Kind", "Sessions", "Forecasts", "Months", "Loss", "Naive", "Of it", "Over naive", "DM", "p"]
    return [head] + [
        [
            one.kind,
            str(one.horizon_sessions),
            f"{one.found.forecasts:,}",
            f"{one.found.first_month:%Y-%m} to {one.found.last_month:%Y-%m}",
            _number(one.found.loss),
            _number(one.found.baseline_loss),
            one.baseline,
            _number(one.found.relative_loss),
            _number(one.found.diebold_mariano.value),
            _p_value(one.found.diebold_mariano),
        ]
        for one in evaluated
    ]


def _coverage(evaluated: Sequence[Evaluated]) -> list[list[str]]:
    rows = [["Kind", "Level", "Below", "Kupiec", "Christoffersen", "Engle-Manganelli"]]
    for one in evaluated:
        passed = one.found.passed
        if passed is not None and one.found.coverage is not None:
            counts = (passed.kupiec, passed.conditional_coverage, passed.dynamic_quantile)
            tests = [f"{count} of {passed.instruments}" for count in counts]
            rows.append([one.kind, f"{one.found.level:.1%}", f"{one.found.coverage:.2%}", *tests])
    return rows


def _champions(champions: Sequence[Champion]) -> list[list[str]]:
    if not champions:
        return []
    return [["Since", "Model", "Reason", "Over naive", "By", "Note"]] + [
        [f"{c.at:%Y-%m-%d %H:%M}", f"{c.name} {c.version}", c.reason, _number(c.relative_loss), c.actor, c.note]
        for c in champions
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _p_value(statistic: Statistic) -> str:
    return statistic.undefined_because or "" if statistic.p_value is None else f"{statistic.p_value:.3g}"
