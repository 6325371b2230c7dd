"""Tables of a SQL trace store, as queries see them; `sql_migrations` makes them.

Outcomes carry no foreign key to traces: feedback may come before its trace, under the trace's id or an alias;
an alias' outcomes move to the trace in the transaction that registers it. Their order is their own clock
(``recorded_at_s``, then the feedback id), so that it does not depend on the order in which they arrived.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    Column,
    Dialect,
    Double,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    TypeDecorator,
    cast,
    type_coerce,
)
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.types import TEXT, TypeEngine, UserDefinedType

Row = dict[str, Any]

_ESCAPE = "\ue000"  # private to its user, so nobody's text is longer for it in practice
_TO_ESCAPE = re.compile(f"[\0{_ESCAPE}]")
_ESCAPED = re.compile(f"{_ESCAPE}([01])")
_NUL_IN_JSON = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
_MAYBE_LARGE = re.compile(r"e\+?[123]\d{1,2}[,\]}]")
_STRING_OR_LARGE = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?e\+?\d+')


def escape(text: str) -> str:
    """The same text without NUL, which PostgreSQL holds nowhere: U+E000 and a digit stand for it, and for itself."""
    return _TO_ESCAPE.sub(lambda found: _ESCAPE + ("0" if found[0] == "\0" else "1"), text)


def unescape(text: str) -> str:
    """What `escape` was given."""
    return _ESCAPED.sub(lambda found: "\0" if found[1] == "0" else _ESCAPE, text)


def escape_json(document: str) -> str:
    """As `escape`, for the strings of a JSON document, where NUL is written ``\\u0000``; numbers keep their kind.

    JSONB keeps ``1e16`` as an integer, and of ``1e23`` all digits but not the float that was meant, so floats of that
    size are spelt out with a fraction.
    """
    if r"\u0000" in document or _ESCAPE in document:
        document = document.replace(_ESCAPE, _ESCAPE + "1")
        document = _NUL_IN_JSON.sub(lambda found: f"{found[1]}{_ESCAPE}0", document)
    if _MAYBE_LARGE.search(document):
        document = _STRING_OR_LARGE.sub(_spell_out, document)
    return document


def _spell_out(found: re.Match[str]) -> str:
    return found[0] if found[0].startswith('"') else f"{Decimal(found[0]):f}.0"


def unescape_json(document: str) -> str:
    """A document that means what `escape_json` was given."""
    return _ESCAPED.sub(lambda found: r"\u0000" if found[1] == "0" else _ESCAPE, document)


class _AnyText(TypeDecorator[str]):
    """Text of any characters, on every database; NUL included."""

    impl = TEXT
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Escape what the database would refuse."""
        if value is None or dialect.name == "sqlite" or not ("\0" in value or _ESCAPE in value):
            return value
        return escape(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """As it was given."""
        if value is None or dialect.name == "sqlite" or _ESCAPE not in value:
            return value
        return unescape(value)


class _Jsonb(UserDefinedType[str]):
    """JSONB that is given and returned as text: `codec` alone writes and reads trajectories."""

    cache_ok = True
    render_bind_cast = True

    def get_col_spec(self, **_: object) -> str:
        """Its name in PostgreSQL."""
        return "JSONB"


class Document(TypeDecorator[str]):
    """A JSON document as text: TEXT in SQLite, JSONB in PostgreSQL."""

    impl = TEXT
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """What the database keeps it in."""
        return dialect.type_descriptor(TEXT() if dialect.name == "sqlite" else _Jsonb())

    def column_expression(self, column: ColumnElement[str]) -> ColumnElement[str]:
        """Read as text."""
        return type_coerce(cast(column, TEXT), self)

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Escape what the database would refuse."""
        return value if value is None or dialect.name == "sqlite" else escape_json(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """As it was given, but for the order of keys and white space."""
        if value is None or dialect.name == "sqlite" or _ESCAPE not in value:
            return value
        return unescape_json(value)


Text = _AnyText()
metadata = MetaData()

traces = Table(
    "traces",
    metadata,
    Column("trace_id", Text, primary_key=True),
    Column("arrived_at_s", Double),
    Column("status", Text),
    Column("topology", Text),
    Column("latency_s", Double),
    Column("budget_s", Double),
    Column("domain", Text),
    Column("question_id", Text),
    Column("question", Text),
    Column("record_version", Integer),
    Column("payload", Document()),
    Column("decisions", LargeBinary),
)

outcomes = Table(
    "outcomes",
    metadata,
    Column("trace_id", Text, primary_key=True),
    Column("feedback_id", Text, primary_key=True),
    Column("key", Text),
    Column("score", Double),
    Column("value", Text),
    Column("comment", Text),
    Column("source", Text),
    Column("recorded_at_s", Double),
)

aliases = Table("aliases", metadata, Column("alias", Text, primary_key=True), Column("trace_id", Text))

lessons = Table(
    "lessons",
    metadata,
    Column("trace_id", Text, primary_key=True),
    Column("arrived_at_s", Double),  # never NULL in what is committed, see `Statements.hear`
    Column("heard_at_s", Double),
    Column("learned_at_s", Double),
    Column("learned_by", Text),
)
"""Traces of runs that have ended, as a learner sees them: when the first score came, and when it was learned."""
