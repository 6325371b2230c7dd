"""Judge a policy of your own against built-in contenders, in virtual time on a simulated fleet.

Run: python examples/05_judge_your_policy.py
The same from the command line: inframind evaluate -c my_module:LeastBusy,just-enough,oracle
"""

import numpy as np
from rich.console import Console

from inframind.arena.contenders.contender import Contender
from inframind.arena.evaluation import evaluate
from inframind.arena.report.text import print_summary
from inframind.arena.scenario import Scenario, models_of_fleet
from inframind.router.policy import JustEnoughPolicy, Proposal
from inframind.router.views import StepView
from inframind.simulator.items import generate_items


class LeastBusy(JustEnoughPolicy):
    """Whatever is predicted to be fastest now, with the plain prompt; plans like `JustEnoughPolicy`."""

    def step(self, view: StepView) -> Proposal:
        """The fastest candidate among those that are allowed and leave the prompt alone."""
        plain = np.array([action.strategy == "Plain" for action in view.actions])
        pool = view.allowed & plain if (view.allowed & plain).any() else view.allowed
        fastest = int(np.argmin(np.where(pool, view.q50_s, np.inf)))
        return Proposal(np.eye(len(view.actions))[fastest], "fastest with the plain prompt")


LEAST_BUSY = Contender(
    name="least-busy",
    family="heuristic",
    summary="the fastest call with the plain prompt",
    make=lambda setting: LeastBusy(),
)


def main() -> None:
    items, models = generate_items(200, seed=1), models_of_fleet("reference")
    scenario = Scenario(
        profiles=models.profiles,
        parameters=models.parameters,
        items=items[:120],
        training_items=items[120:],
        questions=40,
        rates_per_min=(60.0, 300.0),
        seeds=(0, 1),
    )
    contenders = (f"{__name__}:LEAST_BUSY", "just-enough", "best-constant", "oracle")
    evaluation = evaluate(scenario, contenders, facts={"why": "an example"})
    print_summary(Console(width=80), evaluation)


if __name__ == "__main__":
    main()
