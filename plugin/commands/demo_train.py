"""``inframind demo --train``: a policy learns to route from nothing, and meets the others on questions it never saw."""

from __future__ import annotations

import sys
import webbrowser
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from rich.console import Console
from rich.text import Text

from inframind.arena.training.run_folder import CONFIG
from inframind.plugin.commands.evaluate import REPORT, EvaluateOptions, Scale, run_evaluation
from inframind.plugin.commands.train import train
from inframind.plugin.commands.train_options import TrainOptions

RIVALS = ("knn-on-time", "just-enough", "best-constant", "random")
JUDGED = Scale(rates_per_min=(30.0, 100.0, 300.0), seeds=1, questions=250)


@dataclass(frozen=True, kw_only=True)
class DemoTraining:
    """What the demo trains and judges."""

    out: Path
    """Folder of the run folder and of the evaluation."""
    items_file: Path | None = None
    """JSONL file of questions, half of which are learned from; None generates them."""
    seed: int = 0
    """Of the training."""
    epochs: int = 9
    """Passes over the arrival rates; 9 are about 3,000 runs."""
    scale: float = 1.0
    """Times the usual questions of a sweep."""
    judged: Scale = JUDGED
    """How much is evaluated."""


def demo_training(options: DemoTraining, console: Console, *, opens: bool) -> tuple[Path, Path]:
    """Train, evaluate, and say where the reports are.

    Args:
        options: what is trained and judged.
        console: where to.
        opens: whether to show the reports in the browser.

    Returns:
        The pages: of the evaluation, and of the training.

    Raises:
        ConfigError, InvalidItems: an option, or the file, is wrong.
    """
    console.print(Text("1. learning to route, from nothing", "bold"))
    folder = train(
        TrainOptions(
            out=_new_folder(options.out),
            items_file=options.items_file,
            epochs=options.epochs,
            scale=options.scale,
            seed=options.seed,
        ),
        console,
    )
    console.print(Text("\n2. against others, on questions that none of them learned from", "bold"))
    evaluation = options.out / "evaluation"
    run_evaluation(
        EvaluateOptions(
            contenders=(f"trained:{folder.path}", *RIVALS),
            items_file=options.items_file,
            scale=options.judged,
            out=evaluation,
            command=" ".join(["inframind", *sys.argv[1:]]),
        ),
        console,
    )
    pages = (evaluation / REPORT, folder.report)
    console.print(f"how it was learned: {pages[1]}")
    if opens:
        for page in pages:
            webbrowser.open(page.resolve().as_uri())
    return pages


def _new_folder(out: Path) -> Path:
    """The first one without a training: no demo overwrites another's."""
    names = (out / f"training-{number}" for number in count(1))
    return next(path for path in names if not (path / CONFIG).exists())
