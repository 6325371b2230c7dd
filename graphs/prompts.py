"""The one place where prompts are written: role x strategy x topology, without contradictions.

What is shared by the calls of a workflow (system text, question, peers' answers) comes first and what differs
(role, task, strategy) last, so that a server's prefix cache serves the shared part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from inframind.fleet.messages import Message
from inframind.graphs.domains import FORMAT_RULES
from inframind.graphs.roles import RoleSpec
from inframind.router.actions import StrategySpec

SYSTEM = "You answer questions as one member of a team."
QUESTION_HEADING = "Question:"
PEERS_HEADING = "Answers so far:"
TASK_HEADING = "Your part:"

_TASKS = {
    "alone": "Answer the question.",
    "step_by_step": "Answer the question, reasoning step by step.",
    "build_on": "Take the answers so far into account: keep what is right, correct what is wrong, and answer the "
    "question.",
    "debate": "Compare your own earlier answer with the others'. Change your mind where they are right, hold on "
    "where you are, and answer the question.",
    "reflect": "The answer so far is your own. Look for errors in it, and answer the question again: the same if "
    "it is right, corrected if it is wrong.",
    "judge": "Several members have answered. Decide which answer is right, or find the right one if none is, and "
    "answer the question.",
}
TASKS = tuple(_TASKS)
"""Names of the tasks that a step can have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerAnswer:
    """An answer that a step is shown.

    Attributes:
        author: whose it is, such as ``Mathematician 2``; the same for every reader.
        text: what they wrote.
    """

    author: str
    text: str


class PromptBuilder:
    """Builds the messages of every step.

    Args:
        roles: by name.
        max_peer_chars: longer answers of peers are cut in the middle, so that a debate cannot outgrow the
            context; the end, which holds the answer, stays.
    """

    def __init__(self, roles: Mapping[str, RoleSpec], *, max_peer_chars: int = 8000) -> None:
        self._roles = roles
        self._max_peer_chars = max_peer_chars

    def messages(
        self,
        *,
        question: str,
        domain: str,
        role: str,
        task: str,
        strategy: StrategySpec,
        peers: Sequence[PeerAnswer] = (),
        own: str = "",
        history: Sequence[Message] = (),
        instructions: str = "",
    ) -> list[Message]:
        """Messages of one step.

        Args:
            question: the question.
            domain: decides how the final answer is marked.
            role: name of the role.
            task: one of `TASKS`.
            strategy: decides how much is written.
            peers: answers that the step is shown, oldest first.
            own: author of the answer among them that is the step's own, or "".
            history: earlier turns of the conversation.
            instructions: the application's own system text.
        """
        parts = [f"{QUESTION_HEADING}\n{question}"]
        if peers:
            shown = "\n\n".join(f"[{peer.author}]\n{self._shorten(peer.text)}" for peer in peers)
            parts.append(f"{PEERS_HEADING}\n{shown}")
        parts.append(self._part(domain, role, task, strategy, own if len(peers) > 1 else ""))
        return [
            {"role": "system", "content": f"{SYSTEM}\n\n{instructions}" if instructions else SYSTEM},
            *history,
            {"role": "user", "content": "\n\n".join(parts)},
        ]

    def _part(self, domain: str, role: str, task: str, strategy: StrategySpec, own: str) -> str:
        which = f"What is marked [{own}] is your own earlier draft." if own else ""
        lines = [self._roles[role].prompt, which, _TASKS[task], strategy.instruction, FORMAT_RULES[domain]]
        return f"{TASK_HEADING}\n" + "\n".join(line for line in lines if line)

    def _shorten(self, text: str) -> str:
        limit = self._max_peer_chars
        if len(text) <= limit:
            return text
        half = limit // 2
        return f"{text[:half]}\n[...]\n{text[-half:]}"
