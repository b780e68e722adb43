"""Keep a board from overheating: pause between steps, or compute with fewer threads."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from raspitrain.run.monitor import Monitor

log = logging.getLogger(__name__)

POLL_SECONDS = 0.05  # a signal during a pause is answered so soon
DROP_SECONDS = 30.0  # what a thread fewer takes to show


class ThermalGuard:
    """Hold training back while the processor is too hot.

        guard = ThermalGuard(hardware.thermal, monitor, should_stop)
        guard.check()  # between two steps

    Above `pause_above_c` the policy `pause` waits until the temperature is at or below
    `resume_below_c`, until `max_wait_minutes` are over, or until `should_stop` says so; after a
    wait in vain it waits again only once `resume_below_c` was seen. The policy `drop_thread` takes
    one thread fewer instead, and another one if that does not help.

    Parameters
    ----------
    thermal : policy, pause_above_c, resume_below_c, max_wait_minutes
    monitor : knows the temperature; is told of pauses
    should_stop : asked during a pause whether the run is to end

    Attributes
    ----------
    paused_seconds : so far
    """

    def __init__(
        self,
        thermal: Mapping[str, Any],
        monitor: Monitor,
        should_stop: Callable[[], bool] = lambda: False,
        *,
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.policy = thermal["policy"]
        self.pause_above_c = thermal["pause_above_c"]
        self.resume_below_c = thermal["resume_below_c"]
        self.max_wait_seconds = 60 * thermal["max_wait_minutes"]
        self.monitor = monitor
        self.should_stop = should_stop
        self.clock = clock
        self.sleep = sleep
        self.paused_seconds = 0.0
        self.is_armed = True
        self.last_drop = -DROP_SECONDS

    @property
    def wants_pause(self) -> bool:
        """Whether `check` would pause training now."""
        temperature = self.monitor.temperature_c
        return (
            self.policy == "pause"
            and self.is_armed
            and temperature is not None
            and temperature > self.pause_above_c
        )

    def check(self, *, may_pause: bool = True) -> None:
        """To be called between steps; costs a comparison as long as nothing is too hot."""
        temperature = self.monitor.temperature_c
        if temperature is None or self.policy == "none":
            return
        if temperature <= self.pause_above_c:
            self.is_armed = self.is_armed or temperature <= self.resume_below_c
        elif self.policy == "drop_thread":
            self._drop_thread(temperature)
        elif self.is_armed and may_pause:
            self._pause(temperature)

    def _pause(self, temperature: float) -> None:
        log.warning(
            "%.1f °C is above hardware.thermal.pause_above_c=%g: training pauses until it is %g "
            "or %g minutes are over.",
            temperature, self.pause_above_c, self.resume_below_c, self.max_wait_seconds / 60,
        )  # fmt: skip
        began = self.clock()
        self.monitor.begin_pause()
        try:
            while not self.should_stop():
                waited = self.clock() - began
                now = self.monitor.temperature_c
                if now is None:  # the firmware has its own limits; to wait for nothing has none
                    log.warning(
                        "no temperature can be read any more, the last was %.1f °C: training goes "
                        "on without this guard.",
                        temperature,
                    )
                    break
                temperature = now
                if temperature <= self.resume_below_c:
                    log.info("training goes on at %.1f °C after %.0f s.", temperature, waited)
                    break
                if waited >= self.max_wait_seconds:
                    self.is_armed = False
                    log.warning(
                        "still %.1f °C after %.0f s: training goes on; see to the cooling.",
                        temperature, waited,
                    )  # fmt: skip
                    break
                self.sleep(POLL_SECONDS)
        finally:
            self.paused_seconds += self.clock() - began
            self.monitor.end_pause()

    def _drop_thread(self, temperature: float) -> None:
        import torch

        now = self.clock()
        num_threads = torch.get_num_threads()
        if now - self.last_drop < DROP_SECONDS or num_threads == 1:
            return
        self.last_drop = now
        torch.set_num_threads(num_threads - 1)
        self.monitor.dropped_threads += 1
        log.warning(
            "%.1f °C is above hardware.thermal.pause_above_c=%g: training goes on with %d of %d "
            "threads, and is not bit-reproducible any more.",
            temperature, self.pause_above_c, num_threads - 1, num_threads,
        )  # fmt: skip
