"""Best is what held-out prompts say, then held-out loss, then training loss."""

from deepseek_runtime.checkpoint.ranking import best
from tests.unit.pods.manifests import checkpoint


def test_accuracy_outranks_every_loss() -> None:
    found = best([checkpoint("a", 1, accuracy=0.5, loss=0.1), checkpoint("a", 2, accuracy=0.6, loss=9.0)])
    assert found is not None
    assert (found.manifest.step, found.metric, found.value) == (2, "accuracy", 0.6)


def test_checkpoint_without_the_measure_never_competes() -> None:
    found = best([checkpoint("a", 1, eval_loss=2.0), checkpoint("a", 2, loss=0.0)])
    assert found is not None
    assert (found.manifest.step, found.metric, found.value) == (1, "evalLoss", 2.0)


def test_lower_loss_is_better() -> None:
    found = best([checkpoint("a", 1, loss=2.0), checkpoint("a", 2, loss=1.0), checkpoint("a", 3, loss=1.5)])
    assert found is not None
    assert found.manifest.step == 2


def test_equal_accuracy_falls_to_the_lower_held_out_loss_then_the_later_step() -> None:
    equal = [checkpoint("a", step, accuracy=1.0, eval_loss=loss) for step, loss in ((1, 0.2), (2, 0.1), (3, 0.1))]
    found = best(equal)
    assert found is not None
    assert found.manifest.step == 3


def test_unhealthy_checkpoint_is_never_best() -> None:
    assert best([checkpoint("a", 1, accuracy=1.0, healthy=False)]) is None
