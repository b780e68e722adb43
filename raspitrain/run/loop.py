"""The run's way through its evaluations: until its epochs are done, or patience is at its end."""

from collections.abc import Callable, Sequence

from raspitrain.run.observers import Observer
from raspitrain.run.prepare import Prepared
from raspitrain.training.training import Step


def train(
    prepared: Prepared,
    observers: Sequence[Observer],
    *,
    has_patience: Callable[[], bool],
    should_go_on: Callable[[], bool],
    on_batch: Callable[[], None] | None,
    say: Callable[[str], object],
) -> None:
    """Train to the end, the observers told of each step and evaluation in their order.

    Parameters
    ----------
    has_patience : whether another evaluation may come
    should_go_on : whether another cycle of the schedule follows the last epoch
    on_batch : called before every batch of an evaluation
    say : takes a sentence where another cycle does
    """

    def on_step(step: Step) -> None:
        for observer in observers:
            observer.step(step)

    while has_patience():
        evaluations = prepared.training.evaluations(
            prepared.epochs, eval_every=prepared.eval_every, on_step=on_step, on_batch=on_batch
        )
        while has_patience() and (evaluation := next(evaluations, None)) is not None:
            for observer in observers:
                observer.evaluation(evaluation)
        if not has_patience() or not should_go_on():
            break
        say(prepared.go_on())
