"""Makes the training grid: every single call answers every training question once, without any server.

The prompt, the seed and the grading are those of a run of topology IO with one agent, so that the grid is what a
fleet of simulated servers would have answered, had each question been sent to each of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from inframind.arena.contenders.contender import TrainingGrid
from inframind.arena.grading import RememberingGrader
from inframind.fleet.context import StepContext
from inframind.graphs.agent import THINKING_TOKENS
from inframind.graphs.prompts import PromptBuilder
from inframind.router.actions import ActionSpace, ExecutorAction
from inframind.simulator.items import Item
from inframind.simulator.model import LanguageModel, SimReply, SimRequest
from inframind.simulator.seeds import reply_seed
from inframind.simulator.tokens import count_tokens, split_tokens


def record_grid(
    items: Sequence[Item],
    actions: ActionSpace,
    outcomes: LanguageModel,
    *,
    prompts: PromptBuilder,
    grader: RememberingGrader,
    seed: int,
) -> TrainingGrid:
    """One graded answer per question and executor action.

    Args:
        items: training questions (Q); keep them apart from those of the evaluation.
        actions: what may be chosen; its executor actions are the columns (A).
        outcomes: the simulated models.
        prompts: as in the routed graph.
        grader: says whether a text answers an item.
        seed: seed of the simulated servers.
    """
    recorder = _GridRecorder(actions, outcomes, prompts, grader, seed)
    cells = [[recorder.record(item, action) for action in actions.executor_actions] for item in items]
    shape = (len(items), len(actions.executor_actions))
    return TrainingGrid(
        items=tuple(items),
        solved=np.array([[solved for solved, _ in row] for row in cells], dtype=np.bool_).reshape(shape),
        output_tokens=np.array([[n for _, n in row] for row in cells], dtype=np.int64).reshape(shape),
    )


class _GridRecorder:
    """Asks and grades."""

    def __init__(
        self,
        actions: ActionSpace,
        outcomes: LanguageModel,
        prompts: PromptBuilder,
        grader: RememberingGrader,
        seed: int,
    ) -> None:
        self._actions, self._outcomes, self._prompts = actions, outcomes, prompts
        self._grader, self._seed = grader, seed

    def record(self, item: Item, action: ExecutorAction) -> tuple[bool, int]:
        """Whether the answer is right, and its output tokens, thinking included."""
        reply = self._outcomes.reply(self._request(item, action))
        text, n_tokens = _cut(reply, self._max_tokens(action))
        return self._grader.is_right(text, item), n_tokens

    def _request(self, item: Item, action: ExecutorAction) -> SimRequest:
        role = self._actions.roles_for(item.domain)[0]
        messages = self._prompts.messages(
            question=item.question,
            domain=item.domain,
            role=role,
            task="alone",
            strategy=self._actions.strategies[action.strategy],
        )
        context = StepContext(question_id=item.item_id, topology="IO", role=role, strategy=action.strategy)
        return SimRequest(
            model=action.model,
            messages=tuple(messages),
            context=context,
            seed=reply_seed(self._seed, action.model, messages, None, context),
        )

    def _max_tokens(self, action: ExecutorAction) -> int:
        thinks = "reasoning" in self._actions.models[action.model].capabilities
        return self._actions.strategies[action.strategy].max_tokens + (THINKING_TOKENS if thinks else 0)


def _cut(reply: SimReply, max_tokens: int) -> tuple[str, int]:
    """The text as far as it comes within the limit, or the thinking when nothing else does; tokens in all."""
    thinking = count_tokens(reply.reasoning)
    pieces = split_tokens(reply.text)
    room = max(0, max_tokens - thinking)
    text = reply.text if len(pieces) <= room else "".join(pieces[:room])
    return text or reply.reasoning, min(max_tokens, thinking + len(pieces))
