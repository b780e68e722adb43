"""Count the memory that torch's operations take, without a profiler."""

import weakref
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Watch(TorchDispatchMode):
    """Notes after every operation how many bytes are alive that were made within the block.

        with Watch() as watch:
            loss(model(signals), labels).backward()
        max(watch.live)

    What an operation takes and gives back while it runs is not seen.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live: list[int] = [0]
        self._now = 0
        self._known: dict[int, Any] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {_storage(leaf)._cdata for leaf in tree_leaves(args) if isinstance(leaf, Tensor)}
        made = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(made):
            if isinstance(leaf, Tensor):
                storage = _storage(leaf)
                if storage._cdata not in given and storage._cdata not in self._known:
                    self._note(storage)
        self.live.append(self._now)
        return made

    def _note(self, storage: torch.UntypedStorage) -> None:
        size, key = storage.nbytes(), storage._cdata

        def forget(_: Any) -> None:
            self._now -= size
            del self._known[key]

        self._now += size
        self._known[key] = weakref.ref(storage, forget)


def _storage(tensor: Tensor) -> torch.UntypedStorage:
    return tensor.untyped_storage()
