"""Makes the policy that comes with the package: a trained run folder, and a pacer trained on tossed rounds.

python benchmarks/_ship_policy.py runs/learning/learned/seed-0/policy.safetensors router/reference.safetensors
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import pacing

from inframind.router.learning.pacing import PacerConfig, train_pacer
from inframind.router.learning.threads import use_one_thread
from inframind.router.pacer import LearnedPacer
from inframind.router.policy_file import load_policy, save_policy

TEAMS = (1, 3)
"""A pacer that only ever saw teams reads a single agent, whom nobody agrees with, as a disagreement."""
SEEDS = range(1_000, 1_004)


def trained_pacer() -> LearnedPacer:
    options = argparse.Namespace(items=None, seed=0, model="qwen2.5-coder-14b", rate=10.0)
    training, _ = pacing.setting_of(options)
    samples = pacing.tossed_rounds(training, SEEDS, TEAMS)
    return replace(train_pacer(samples, PacerConfig(max_rounds=2)).pacer, greedy=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trained", type=Path, help="policy.safetensors of a run folder")
    parser.add_argument("shipped", type=Path, help="file to write")
    options = parser.parse_args()
    use_one_thread()
    stored = replace(load_policy(options.trained), pacer=trained_pacer())
    print(save_policy(options.shipped, stored))


if __name__ == "__main__":
    main()
