"""An MLflow server's REST interface, spoken by urllib: MLflow itself takes 111 MB on a card.

Calls as MLflow's documentation of its REST API (2.0) gives them: experiments/get-by-name, create,
runs/create, runs/log-batch, runs/update.
"""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

from raspitrain.errors import InputError
from raspitrain.track import RunFacts

MOST_PARAMS = 100  # that one call may carry
MOST_METRICS = 1000
LONGEST_VALUE = 500  # letters of a parameter
STATUS = {"completed": "FINISHED", "stopped_early": "FINISHED", "pruned": "KILLED",
          "interrupted": "KILLED"}  # fmt: skip


class MLflow:
    """Sends runs to an MLflow server.

    Parameters
    ----------
    url : of the server, http://host:5000
    experiment : made on the server where there is none of that name
    timeout_seconds : that an answer may take
    """

    def __init__(self, url: str, experiment: str, timeout_seconds: float) -> None:
        if not url.startswith(("http://", "https://")):
            raise InputError(f"tracker.url must begin with http:// or https://, not {url!r}.")
        self.url = url.rstrip("/")
        self.experiment = experiment
        self.timeout_seconds = timeout_seconds
        self.run_id = ""

    def begin(self, run: RunFacts, known: str | None) -> str:
        if known is not None:
            self.run_id = known
            return known
        tags = {
            "mlflow.runName": run.name,
            "mlflow.source.name": "raspitrain",
            "raspitrain.folder": run.folder,
            "raspitrain.overrides": " ".join(run.overrides),
        }
        if run.parent is not None:
            tags["mlflow.parentRunId"] = run.parent
        answer = self._call("runs/create", {
            "experiment_id": self._experiment_id(),
            "start_time": int(run.began * 1000),
            "run_name": run.name,
            "tags": [{"key": key, "value": value[:5000]} for key, value in tags.items()],
        })  # fmt: skip
        self.run_id = answer["run"]["info"]["run_id"]
        params = [
            {"key": key[:250], "value": str(value)[:LONGEST_VALUE]}
            for key, value in run.config.items()
        ]
        for start in range(0, len(params), MOST_PARAMS):
            self._call("runs/log-batch", {
                "run_id": self.run_id, "params": params[start : start + MOST_PARAMS],
            })  # fmt: skip
        return self.run_id

    def evaluation(self, rows: Sequence[Mapping[str, float]]) -> None:
        metrics = [
            {"key": name, "value": value, "step": int(row["step"]),
             "timestamp": int(1000 * row.get("seconds", 0))}
            for row in rows
            for name, value in row.items()
            if name != "step"
        ]  # fmt: skip
        for start in range(0, len(metrics), MOST_METRICS):
            self._call("runs/log-batch", {
                "run_id": self.run_id, "metrics": metrics[start : start + MOST_METRICS],
            })  # fmt: skip

    def end(self, summary: Mapping[str, Any]) -> None:
        figures = [
            {"key": f"summary.{name}", "value": value, "step": int(summary.get("steps") or 0),
             "timestamp": int(1000 * (summary.get("training_seconds") or 0))}
            for name, value in summary.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        ]  # fmt: skip
        if figures:
            self._call("runs/log-batch", {"run_id": self.run_id, "metrics": figures})
        status = STATUS.get(str(summary.get("status")), "FAILED")
        self._call("runs/update", {"run_id": self.run_id, "status": status})

    def _experiment_id(self) -> str:
        try:
            answer = self._call("experiments/create", {"name": self.experiment})
            return str(answer["experiment_id"])
        except FileExistsError:
            name = urllib.parse.quote(self.experiment)
            answer = self._call(f"experiments/get-by-name?experiment_name={name}", None)
            return str(answer["experiment"]["experiment_id"])

    def _call(self, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        """One request; FileExistsError where the server has it, another OSError where it fails."""
        request = urllib.request.Request(
            f"{self.url}/api/2.0/mlflow/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=self.timeout_seconds) as answer:
                content: dict[str, Any] = json.loads(answer.read() or b"{}")
                return content
        except urllib.error.HTTPError as error:
            said = error.read(10_000).decode("utf-8", "replace")
            if "RESOURCE_ALREADY_EXISTS" in said:
                raise FileExistsError(said) from error
            raise OSError(f"{self.url} refuses {path.split('?')[0]}: {said[:200]}") from error
        except urllib.error.URLError as error:
            raise OSError(f"{self.url} cannot be reached ({error.reason})") from error
        except (ValueError, KeyError) as error:
            raise OSError(f"{self.url} does not answer as an MLflow server does") from error
