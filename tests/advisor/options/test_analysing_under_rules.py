"""An accepted rule that has gone bad: no run shows anything better any more, and the pattern names the rule."""

from __future__ import annotations

from tests.advisor.options.application import Application

from inframind.router.policy import policy_by_name
from inframind.router.rules import Circumstances, RoutingRule

RULE = RoutingRule(
    name="advice-5b911ba3",
    when=Circumstances(domains=frozenset({"math"})),
    only_models=frozenset({"m0"}),
    advice="5b911ba3" * 4,
)


class Ruled(Application):
    """Decides under the rule from its first run on."""

    def __init__(self) -> None:
        super().__init__(policy_by_name("uniform"), 0, exploration=0.3, bad="m0", where="math")
        self.decider = self.decider.with_rules([RULE])
        self.runs = [self._run(number) for number in range(700)]


def test_what_fails_under_a_rule_in_force_names_it_and_what_it_keeps_others_from() -> None:
    application = Ruled()
    analysis = application.analysed(rules=(RULE,))
    (about,) = [one for one in analysis.clusters if "math" in one.label or "m0" in one.label]
    (note,) = about.notes
    assert note.startswith(
        "all of these were decided under advice 5b911ba3 (use m0 alone where the domain is math)"
    )
    assert note.endswith("consider `inframind advise revert 5b911ba3`")
    (found,) = analysis.in_force
    math = sum(run.domain == "math" for run in application.runs)
    assert (found.runs, found.known, found.known_elsewhere) == (math, math, 700 - math)
    assert found.failures / found.known > 0.5 > found.failures_elsewhere / found.known_elsewhere
