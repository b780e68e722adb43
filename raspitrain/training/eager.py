"""torch's optimizers without torch's compiler.

The first optimizer of a process imports torch._dynamo, only to keep itself out of compiled code:
the time of `import torch` once more, and 70 MB. No optimizer is compiled here.
"""

import inspect
from collections.abc import Callable
from types import MethodType
from typing import Any

import torch
from torch.optim import Optimizer


def without_compiler(make: Callable[..., Optimizer]) -> Callable[..., Optimizer]:
    """Make an optimizer as `make` does, whose steps are the same bit for bit.

    Another torch may look different inside: then the import is not spared, and nothing else
    changes. Optimizers that are not torch's own step as they are.
    """

    def make_without(*args: Any, **kwargs: Any) -> Optimizer:
        for method in vars(Optimizer).values():
            if inspect.isfunction(bare := getattr(method, "__wrapped__", None)):
                # Where torch._compile keeps what a method became, from its first call on.
                vars(bare).setdefault("__dynamo_disable", bare)
        optimizer = make(*args, **kwargs)
        kind = type(optimizer)
        is_torchs = kind.__module__.startswith("torch.optim.")
        if is_torchs and not optimizer.defaults.get("differentiable"):
            step = torch.no_grad()(inspect.unwrap(kind.step))
            hooked = Optimizer.profile_hook_step(step)
            vars(optimizer)["step"] = MethodType(hooked, optimizer)
        return optimizer

    return make_without
