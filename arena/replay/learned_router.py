"""A learned router as it stands: it reads questions, asks an arm, and after the reply may ask another.

Q = questions, A = arms, K = prices of cost, D = columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inframind.arena.replay.contenders import ABSTAIN, Asked, best_arms
from inframind.arena.replay.desk import Desk
from inframind.router.cascade import Cascade, State
from inframind.router.outcome_model import OutcomeModel, Outlook

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class QuestionReader:
    """Questions as columns: their vector, benchmark, length and budget.

    Attributes:
        n_text: length of the vectors.
        strata: benchmarks that were learned from.
        length: mean and spread of the logarithm of the number of words.
        budget: mean and spread of the logarithm of the seconds; None when time did not count.
    """

    n_text: int
    strata: tuple[str, ...]
    length: tuple[float, float]
    budget: tuple[float, float] | None

    @classmethod
    def of(cls, asked: Asked) -> QuestionReader:
        """On the scales of these questions."""
        return cls(
            n_text=asked.vectors.shape[1],
            strata=tuple(sorted(set(asked.strata))),
            length=_scale(_lengths(asked.questions)),
            budget=None if asked.budgets_s is None else _scale(np.log(asked.budgets_s)),
        )

    def read(self, asked: Asked) -> Floats:
        """Columns (Q, D), those of the vectors first."""
        labels = np.array(asked.strata)
        is_stratum = np.stack([labels == stratum for stratum in self.strata], axis=1).astype(np.float64)
        columns = [asked.vectors.astype(np.float64), is_stratum]
        columns.append(_standard(_lengths(asked.questions), self.length))
        if self.budget is not None and asked.budgets_s is not None:
            columns.append(_standard(np.log(asked.budgets_s), self.budget))
        return np.column_stack(columns)

    def to_document(self) -> dict[str, Any]:
        """All that it is, as JSON knows it."""
        return {
            "n_text": self.n_text,
            "strata": list(self.strata),
            "length": list(self.length),
            "budget": None if self.budget is None else list(self.budget),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> QuestionReader:
        """The reader that gave this document."""
        budget = document["budget"]
        return cls(
            n_text=document["n_text"],
            strata=tuple(document["strata"]),
            length=(document["length"][0], document["length"][1]),
            budget=None if budget is None else (budget[0], budget[1]),
        )


def _lengths(questions: Sequence[str | None]) -> Floats:
    """Logarithm of the number of words (Q), NaN without text."""
    return np.array([np.log1p(len(text.split())) if text else np.nan for text in questions])


def _scale(values: Floats) -> tuple[float, float]:
    told = values[~np.isnan(values)]
    if not len(told):
        return 0.0, 1.0
    return float(told.mean()), float(told.std()) or 1.0


def _standard(values: Floats, scale: tuple[float, float]) -> Floats:
    """In units of the spread, 0 where not known."""
    return np.nan_to_num((values - scale[0]) / scale[1])


@dataclass(frozen=True, kw_only=True, eq=False)
class LearnedRouter:
    """What was learned.

    Attributes:
        arms: names (A).
        reader: of questions.
        outcomes: expectations of every arm.
        cascades: fitted shapes, all for the same prices (K).
        shape_of_price: which cascade serves each price (K).
    """

    arms: tuple[str, ...]
    reader: QuestionReader
    outcomes: OutcomeModel
    cascades: tuple[Cascade, ...]
    shape_of_price: Ints

    def consult(self, asked: Asked, desk: Desk, _: np.random.Generator) -> Ints:
        """An arm for each price and question (K, Q), everything that was asked paid for at the desk."""
        outlook = self.outcomes.predict(self.reader.read(asked))
        return np.stack(
            [
                play_cascade(self.cascades[shape], price, asked, outlook, desk)
                for price, shape in enumerate(self.shape_of_price)
            ]
        )

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """All numbers that the router is, by name; with `to_document`, all of it."""
        arrays: dict[str, NDArray[Any]] = {"shape_of_price": self.shape_of_price}
        arrays |= {f"outcomes.{name}": values for name, values in self.outcomes.to_arrays().items()}
        for number, cascade in enumerate(self.cascades):
            arrays |= {f"cascade{number}.{name}": values for name, values in cascade.to_arrays().items()}
        return arrays

    def to_document(self) -> dict[str, Any]:
        """Names and shapes, as JSON knows them."""
        return {
            "arms": list(self.arms),
            "reader": self.reader.to_document(),
            "cascades": [cascade.to_document() for cascade in self.cascades],
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], document: Mapping[str, Any]) -> LearnedRouter:
        """The router that gave these arrays and this document."""
        return cls(
            arms=tuple(document["arms"]),
            reader=QuestionReader.from_document(document["reader"]),
            outcomes=OutcomeModel.from_arrays(_under("outcomes.", arrays)),
            cascades=tuple(
                Cascade.from_arrays(_under(f"cascade{number}.", arrays), part)
                for number, part in enumerate(document["cascades"])
            ),
            shape_of_price=arrays["shape_of_price"],
        )


def _under(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}


def play_cascade(
    cascade: Cascade, price: int, asked: Asked, outlook: Outlook, desk: Desk, *, knob: int | None = None
) -> Ints:
    """Ask until the cascade stays, question by question in the same state at once (Q).

    Where none of the cascade's arms is recorded, the arm that is most likely right is asked; where no arm is, none.

    Args:
        cascade: who decides.
        price: index of the price.
        asked: the questions.
        outlook: of the questions.
        desk: where replies are paid for.
        knob: whose account pays; None takes that of the price.
    """
    account = price if knob is None else knob
    seen = desk.unseen()
    chosen = np.full(len(asked.question_ids), ABSTAIN)
    can_start = asked.allowed[:, list(cascade.arms)].any(axis=1)
    waiting: list[tuple[State, Ints]] = [((), np.flatnonzero(can_start))]
    while waiting:
        called, rows = waiting.pop()
        arms = cascade.decide(price, called, outlook.take(rows), seen.take(rows), asked.allowed[rows])
        for arm in np.unique(arms):
            group = rows[arms == arm]
            if arm in called:
                chosen[group] = arm
            else:
                desk.buy(account, group, int(arm), seen)
                waiting.append((tuple(sorted((*called, int(arm)))), group))
    strays = np.flatnonzero(~can_start)
    chosen[strays] = best_arms(outlook.chance[strays], asked.allowed[strays])
    for row in strays[chosen[strays] != ABSTAIN]:
        desk.buy(account, np.array([row]), int(chosen[row]), seen)
    return chosen
