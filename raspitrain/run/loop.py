"""A run's way through its evaluations: until its epochs are done, or patience is at its end."""

from collections.abc import Callable, Sequence

from omegaconf import DictConfig

from raspitrain.run.observers import Observer
from raspitrain.run.prepare import Prepared
from raspitrain.run.strength import settle_strength
from raspitrain.training.training import Evaluation, Step


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


def train_to_the_end(
    prepared: Prepared,
    cfg: DictConfig,
    *,
    on_step: Callable[[], None] = lambda: None,
    on_batch: Callable[[], None] = lambda: None,
) -> Evaluation:
    """All of a training without a folder: trials beforehand, and cycles that follow, included; the
    evaluation at its end is the only one looked at.

    Parameters
    ----------
    cfg : that was prepared
    on_step, on_batch : called after every step and before every batch of an evaluation
    """
    if prepared.strength_is_open:
        settle_strength(prepared, cfg, on_step=on_step, on_batch=on_batch)
    while True:
        *_, last = prepared.training.evaluations(
            prepared.epochs,
            eval_every=prepared.epochs,
            on_step=lambda _: on_step(),
            on_batch=on_batch,
        )
        if not prepared.should_go_on:
            return last
        prepared.go_on()
