"""Stages of gradual unfreezing."""

from hypothesis import given
from hypothesis import strategies as st

from retrain.strategy import TrainingPlan
from retrain.unfreeze import Stage, plan_stages, tuned_layers


def plan(strategy: str, *, gradual: bool, layers: int = 2, epochs: int = 8) -> TrainingPlan:
    return TrainingPlan(
        strategy=strategy,  # type: ignore[arg-type]
        targets=("query",),
        rank=1,
        alpha=1,
        epochs=epochs,
        seed=0,
        batch_rows=8,
        learning_rate=1e-3,
        lower_learning_rate=1e-3,
        head_learning_rate=1e-3,
        tuned_layers=layers,
        gradual=gradual,
    )


def test_without_gradual_there_is_one_stage() -> None:
    assert plan_stages(plan("full", gradual=False), layers=6) == [Stage(6, True, 8)]
    assert plan_stages(plan("partial", gradual=False), layers=6) == [Stage(2, False, 8)]


def test_gradually_the_head_learns_first_and_everything_last() -> None:
    assert plan_stages(plan("full", gradual=True), layers=6) == [
        Stage(0, False, 2),
        Stage(2, False, 2),
        Stage(4, False, 2),
        Stage(6, True, 2),
    ]


@given(layers=st.integers(1, 48), tuned=st.integers(1, 48), epochs=st.integers(1, 20), whole=st.booleans())
def test_stages_only_ever_unfreeze_and_end_where_the_plan_does(
    layers: int, tuned: int, epochs: int, whole: bool
) -> None:
    asked = plan("full" if whole else "partial", gradual=True, layers=tuned, epochs=epochs)
    stages = plan_stages(asked, layers=layers)
    depths = [stage.top_layers for stage in stages]
    assert depths == sorted(set(depths))
    assert depths[-1] == tuned_layers(asked, layers=layers)
    assert depths[0] == 0 or len(stages) == epochs, "the head learns alone first, where epochs suffice"
    assert sum(stage.epochs for stage in stages) == epochs
    assert [stage.whole for stage in stages] == [False] * (len(stages) - 1) + [whole]
    assert all(stage.epochs >= 1 for stage in stages)
