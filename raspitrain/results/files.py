"""What a run leaves in its folder, by name."""

CLAIM = ".raspitrain-run"  # in the folder of every run
SWEEP_CLAIM = ".raspitrain-sweep"  # in that of every sweep
LAST, PREVIOUS, BEST = "last.pt", "last.previous.pt", "best.pt"
METRICS, SUMMARY, CONFIG, REPORT = "metrics.csv", "summary.json", "config.yaml", "report.html"
CONFUSION, DATA, MODEL = "confusion_matrix.png", "data.csv", "model.rpt"
MISCLASSIFIED = "misclassified.csv"

# A folder that holds one of these holds a run.
OF_A_RUN = (METRICS, LAST, PREVIOUS, BEST, SUMMARY)
# Every run that is complete has these; CONFUSION, DATA, MODEL and MISCLASSIFIED where there was
# reason to.
COMPLETE = (
    METRICS, BEST, "accuracy.png", "loss.png", REPORT, "telemetry.csv", "run.log", CONFIG,
    "environment.json",
)  # fmt: skip
# What a run writes as well: in a folder without a claim these are somebody else's.
OTHERS = (
    *(name for name in COMPLETE if name not in OF_A_RUN), "overrides.yaml", DATA, "run.log.1",
    "telemetry.png", CONFUSION, MODEL, MISCLASSIFIED,
)  # fmt: skip
# What a page is made from: one of them will do.
OF_A_REPORT = (SUMMARY, METRICS, CONFIG)
