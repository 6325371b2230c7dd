"""Which call made which decision: read by another thread while the run goes on."""

from __future__ import annotations

from inframind.graphs.ledger import Call, CallLedger


class Noting:
    """A decision that is read just while the next one is noted, as by the thread of the run."""

    def __init__(self, ledger: CallLedger, name: str) -> None:
        self._ledger, self._name = ledger, name

    @property
    def decision_id(self) -> str:
        self._ledger.note(Call(f"after {self._name}", None), self)  # type: ignore[arg-type]
        return self._name


def test_decisions_may_be_noted_while_the_ledger_is_read() -> None:
    ledger = CallLedger()
    for name in ("a", "b"):
        ledger.note(Call(name, None), Noting(ledger, name))  # type: ignore[arg-type]
    assert ledger.keys() == {"a": "a", "b": "b"}
    assert list(ledger.made) == ["a", "b", "after a", "after b"]
