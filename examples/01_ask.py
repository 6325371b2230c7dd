"""Ask a simulated fleet a few questions, look at how they were routed, and say how they turned out.

Run: python examples/01_ask.py
"""

from inframind import InfraMind, settings_from
from inframind.arena.playground import simulated_endpoints
from inframind.rewards.graders import MathGrader
from inframind.simulator.items import generate_items


def main() -> None:
    items = generate_items(4, seed=7)
    with simulated_endpoints(items) as endpoints:
        settings = settings_from({"endpoints": endpoints, "traces": {"url": "memory:"}})
        with InfraMind(settings) as mind:
            for item in items:
                result = mind.invoke(item.question, budget_s=20, question_id=item.item_id)
                solved = MathGrader().grade(result.text, item.answer).solved
                mind.feedback(result.trace_id, solved=solved)
                step = mind.trace(result.trace_id).steps[-1]
                print(
                    f"{item.question}\n  -> {result.answer} ({'right' if solved else f'wrong: {item.answer}'})"
                )
                print(f"     {result.topology}, {step.model} / {step.strategy}, {result.latency_s:.2f} s\n")
            print(mind.explain(result.trace_id))


if __name__ == "__main__":
    main()
