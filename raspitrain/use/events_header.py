"""What `output.events` of a model file must be."""

from raspitrain.errors import InputError
from raspitrain.use.network import is_number


def check_events(given: object, classes: list[str]) -> None:
    """Check every value that is used later on.

    Raises
    ------
    InputError
        A value is not what docs/model-file.md says.
    """
    if not isinstance(given, dict):
        raise InputError("output.events is not an object")
    for key in ("average", "hop"):
        if type(given.get(key)) is not int or not 1 <= given[key] < 1 << 40:
            raise InputError(f"output.events.{key} is not a whole number of 1 or more")
    if not is_number(given.get("suppress_seconds"), least=0, most=1e9):
        raise InputError("output.events.suppress_seconds is not a number of 0 or more")
    for key in ("thresholds", "releases"):
        values = given.get(key)
        if (
            not isinstance(values, dict)
            or not values
            or not set(values) <= set(classes)
            or not all(is_number(value, least=0, most=1) for value in values.values())
        ):
            raise InputError(f"output.events.{key} does not have a share for each of its classes")
    if set(given["thresholds"]) != set(given["releases"]):
        raise InputError("output.events.releases are of other classes than its thresholds")
    if not isinstance(given.get("calibration"), dict | None):
        raise InputError("output.events.calibration is not an object")
