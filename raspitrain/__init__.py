"""raspitrain: train, measure and ship 1-D CNNs for signals on the Raspberry Pi itself.

    import raspitrain

    result = raspitrain.train(X, y, model="mobilenetv3_small")
    result.metrics["test_accuracy"]
    result.save("model.rpt")
    raspitrain.load("model.rpt").predict(X_new)

docs/python.md has more. Neither torch nor numpy is imported before they are used.
"""

__version__ = "0.1.0"
__all__ = ["InputError", "Model", "Result", "load", "resume", "train"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'raspitrain' has no attribute {name!r}")
    from importlib import import_module

    home = "raspitrain.errors" if name == "InputError" else "raspitrain.api"
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
