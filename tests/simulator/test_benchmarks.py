import pytest

from inframind.errors import ConfigError
from inframind.simulator.benchmarks import (
    BENCHMARKS,
    Population,
    benchmark_items,
    benchmark_of,
    shipped_populations,
)
from inframind.simulator.items import Item, generate_items


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_gives_as_many_different_questions_as_asked(name: str) -> None:
    items = benchmark_items(name, 150, seed=3)
    assert len({item.item_id for item in items}) == len({item.question for item in items}) == 150
    assert {benchmark_of(item) for item in items} == {name}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_same_seed_gives_the_same_items_and_asking_for_more_keeps_them(name: str) -> None:
    assert benchmark_items(name, 40, seed=5) == benchmark_items(name, 200, seed=5)[:40]
    assert benchmark_items(name, 40, seed=5) != benchmark_items(name, 40, seed=6)


def test_math_is_what_the_generator_makes() -> None:
    assert benchmark_items("math", 30, seed=7) == generate_items(30, seed=7)


def test_answers_of_gsm_hard_are_whole_numbers() -> None:
    assert all(int(item.answer) is not None for item in benchmark_items("gsm_hard", 200, seed=1))


def test_an_id_that_names_no_benchmark_counts_as_math() -> None:
    assert benchmark_of(Item(item_id="mine/7", question="How?", answer="7", level=1)) == "math"


def test_every_benchmark_has_a_shipped_population() -> None:
    assert set(shipped_populations()) == set(BENCHMARKS)
    assert shipped_populations()["math"] == Population()


def test_an_unknown_benchmark_is_refused_with_the_choices() -> None:
    with pytest.raises(ConfigError, match="gsm_hard"):
        benchmark_items("gsm8000", 1, seed=1)


@pytest.mark.parametrize(("field", "value"), [("spread", -0.1), ("ceiling", 1.2), ("ceiling", -0.1)])
def test_an_impossible_population_is_refused(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=field):
        Population(**{field: value})
