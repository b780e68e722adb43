"""From the folder of a run or of a sweep to an answer: tables, pictures, one page of HTML.

Plain Python beside numpy and matplotlib, both imported where something is drawn.
"""

from raspitrain.report.run import report_run
from raspitrain.report.sweep import report_sweep, report_sweep_or_warn
from raspitrain.report.terminal import print_sweep

__all__ = [
    "print_sweep",
    "report_run",
    "report_sweep",
    "report_sweep_or_warn",
]
