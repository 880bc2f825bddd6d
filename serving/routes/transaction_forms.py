"""Transactions as callers give them: JSON, or a CSV file; every error names its row."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Any

from fastapi.exceptions import RequestValidationError
from pydantic import AllowInfNan, BaseModel, ConfigDict, Field, Strict, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from pipeline.store.transactions import PORTFOLIO_TRANSACTION, Kind
from serving.answers import Resource, Row, described_by
from serving.inputs import IsoDate, Symbol

MOST_TRANSACTIONS = 5_000
CSV = "text/csv"
COLUMNS = ("kind", "trade_date", "symbol", "quantity", "price", "fee", "amount", "short")
_NUMBERS = ("quantity", "price", "fee", "amount")
_TRUTHS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_NO_NUMBER = "Input should be a number such as 12.5"

Money = Annotated[float, Strict(), AllowInfNan(False), Field(ge=0, le=1e15)]
Positive = Annotated[float, Strict(), AllowInfNan(False), Field(gt=0, le=1e12)]


class TransactionIn(BaseModel):
    """A trade, with a symbol and a quantity, or cash, with an amount."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind = Field(description="buy, sell, deposit or withdrawal; dividends are reinvested without one.")
    trade_date: IsoDate = Field(description="Day on which it was made; counted on the next session if it is none.")
    symbol: Symbol | None = Field(None, description="What was traded, by its symbol of now.")
    quantity: Positive | None = Field(None, description="Units traded, as units were on that day.")
    price: Positive | None = Field(
        None, description="Paid for one unit, in the instrument's currency; null for the close of that session."
    )
    fee: Money = Field(0.0, description="In the instrument's currency; of cash in the base currency.")
    amount: Positive | None = Field(None, description="Of a deposit or a withdrawal, in the base currency.")
    short: Annotated[bool, Strict()] = Field(False, description="Whether a sale may leave less than nothing.")

    @model_validator(mode="after")
    def _require_parts(self) -> TransactionIn:
        is_trade = self.kind in ("buy", "sell")
        needed, unused = (("symbol", "quantity"), ("amount",)) if is_trade else (("amount",), ("symbol", "quantity"))
        for name in needed:
            if getattr(self, name) is None:
                raise _refused(f"{name}: a {self.kind} needs one")
        for name in (*unused, *(() if is_trade else ("price",))):
            if getattr(self, name) is not None:
                raise _refused(f"{name}: a {self.kind} has none; leave it out")
        if self.short and self.kind != "sell":
            raise _refused(f"short: a {self.kind} cannot be one; leave it out")
        return self


def _refused(message: str) -> PydanticCustomError:
    return PydanticCustomError("transaction_parts", "{message}", {"message": message})


class TransactionsIn(BaseModel):
    """Transactions to record: all of them, or none if one is refused."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "transactions": [
                        {"kind": "deposit", "trade_date": "2022-01-03", "amount": 10000},
                        {"kind": "buy", "trade_date": "2022-01-03", "symbol": "AAPL", "quantity": 20, "fee": 1},
                        {"kind": "sell", "trade_date": "2022-06-01", "symbol": "AAPL", "quantity": 5, "price": 148.7},
                    ]
                }
            ]
        },
    )

    transactions: list[TransactionIn] = Field(min_length=1, max_length=MOST_TRANSACTIONS)


@described_by(PORTFOLIO_TRANSACTION)
class TransactionOut(Row):
    """A stored transaction."""

    id: int
    kind: Kind
    trade_date: date
    symbol: str | None = Field(description="What was traded, by its symbol of now; null for cash.")
    quantity: float | None
    price: float | None
    fee: float
    amount: float | None
    is_short: bool
    recorded_at: datetime


class HoldingOut(Row):
    """A position that follows from the transactions."""

    symbol: str
    quantity: float | None = Field(description="Units held, as units were on the day of the last trade.")


class RecordedOut(Resource):
    """What was recorded, and what is held now."""

    portfolio_id: int
    recorded: list[int] = Field(description="Numbers of the transactions, in the order given.")
    positions: list[HoldingOut]


REQUEST_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": TransactionsIn.model_json_schema(ref_template="#/components/schemas/{model}")
            },
            CSV: {
                "schema": {"type": "string"},
                "example": ",".join(COLUMNS) + "\nbuy,2022-01-03,AAPL,20,,1,,\ndeposit,2022-02-01,,,,,500,\n",
            },
        },
    }
}
"""Documentation of a body that is JSON or CSV."""
REQUEST_BODY["requestBody"]["content"]["application/json"]["schema"].pop("$defs", None)
REQUEST_BODY["requestBody"]["content"]["application/json"]["schema"]["properties"]["transactions"]["items"] = (
    TransactionIn.model_json_schema()
)


def parsed(body: bytes, media_type: str) -> list[TransactionIn]:
    """The transactions of a body.

    Raises
    ------
    RequestValidationError
        Naming every row and field that cannot be used.
    """
    if media_type.partition(";")[0].strip().lower() == CSV:
        return _parsed_csv(body)
    try:
        return TransactionsIn.model_validate_json(body or b"null").transactions
    except ValidationError as error:
        raise _invalid(error.errors(include_url=False, include_input=False), ("body",)) from error


def refuse_rows(errors: Mapping[int, str]) -> None:
    """Refuse rows, by their place among those given.

    Raises
    ------
    RequestValidationError
        If there are any.
    """
    if errors:
        found = [{"type": "transaction", "loc": ("transactions", row), "msg": said} for row, said in errors.items()]
        raise _invalid(found, ("body",))


def _invalid(errors: Any, before: tuple[str, ...]) -> RequestValidationError:
    return RequestValidationError([{**error, "loc": (*before, *error["loc"])} for error in errors])


def _parsed_csv(body: bytes) -> list[TransactionIn]:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _refused_file("no UTF-8 text; save the file as UTF-8") from error
    try:
        lines = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        names, rows = list(lines.fieldnames or ()), list(lines)
    except csv.Error as error:
        raise _refused_file(f"no CSV that can be read ({error})") from error
    unknown = [name for name in names if name not in COLUMNS]
    if unknown or not {"kind", "trade_date"} <= set(names):
        said = f"unknown column {unknown[0][:64]!r}" if unknown else "no column kind or trade_date"
        raise _refused_file(f"{said}; the first line names columns of {', '.join(COLUMNS)}")
    if not rows or len(rows) > MOST_TRANSACTIONS:
        raise _refused_file(f"{len(rows)} transactions; send from 1 to {MOST_TRANSACTIONS:,}")
    made: list[TransactionIn] = []
    errors: list[Any] = []
    for place, row in enumerate(rows):
        try:
            made.append(TransactionIn.model_validate(_typed(row)))
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)
            errors += [{**one, "loc": ("transactions", place, *one["loc"])} for one in found]
    if errors:
        raise _invalid(errors, ("body",))
    return made


def _typed(row: Mapping[str | None, Any]) -> dict[str, Any]:
    """A line with numbers and truths in the place of their texts; what is none stays, and is refused by its name."""
    typed: dict[str, Any] = {}
    for name, value in row.items():
        if name is None:
            typed["more fields than columns"] = value
        elif value is None or value.strip() == "":
            continue
        elif name in _NUMBERS:
            typed[name] = _number(value)
        elif name == "short":
            typed[name] = _TRUTHS.get(value.strip().lower(), value)
        else:
            typed[name] = value.strip()
    return typed


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _refused_file(said: str) -> RequestValidationError:
    return _invalid([{"type": "csv", "loc": (), "msg": said}], ("body",))
