"""What we need of MLflow's REST API, version 2.0 (https://mlflow.org/docs/latest/api_reference/rest-api.html).

Spoken with httpx, which is here anyway, since seven requests are all that is needed (docs/decisions/0022).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import Any, TypeVar

import httpx

from store.errors import Broken

T = TypeVar("T")

TIMEOUT_S = 30.0
"""For each request; whoever must not wait so long leaves the thread that asks."""
MOST_METRICS, MOST_OTHERS = 1000, 100
"""In one request, as MLflow allows."""
LONGEST_VALUE = 5000
"""Letters of a tag or parameter; what is longer is cut."""


class MlflowUnavailable(Broken):
    kind = "mlflow-unavailable"
    title = "MLflow does not answer as it should"


@dataclass(frozen=True, slots=True)
class Metric:
    key: str
    value: float
    step: int
    at_ms: int
    """MLflow keeps one of equal metrics with equal times, so the same said twice is there once."""


class MlflowApi:
    """Every method raises MlflowUnavailable."""

    def __init__(self, uri: str) -> None:
        """uri: http(s)://host[:port][/path], with user:password@ where the server asks for them."""
        self._http = httpx.Client(base_url=uri, timeout=TIMEOUT_S)

    def __enter__(self) -> "MlflowApi":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._http.close()

    def experiment(self, name: str) -> str:
        """The id of the experiment `name`, made if it is new."""
        try:
            return str(self._ask("POST", "experiments/create", {"name": name})["experiment_id"])
        except _AlreadyThere:
            found = self._ask("GET", "experiments/get-by-name", {"experiment_name": name})
            return str(found["experiment"]["experiment_id"])

    def experiments_like(self, pattern: str) -> list[str]:
        """Ids of the experiments whose names are like `pattern`, in SQL's sense; the newest 1,000."""
        found = self._ask("POST", "experiments/search", {"filter": f"name LIKE '{pattern}'", "max_results": 1000})
        return [str(experiment["experiment_id"]) for experiment in found.get("experiments", [])]

    def find_runs(self, experiments: Sequence[str], condition: str) -> list[Mapping[str, Any]]:
        """Runs that meet `condition`, in MLflow's search language; the newest 1,000."""
        asked = {"experiment_ids": list(experiments), "filter": condition, "max_results": 1000}
        runs: list[Mapping[str, Any]] = self._ask("POST", "runs/search", asked).get("runs", [])
        return runs

    def create_run(self, experiment: str, name: str, *, start_ms: int, tags: Mapping[str, object]) -> str:
        asked = {"experiment_id": experiment, "run_name": name, "start_time": start_ms, "tags": _pairs(tags)}
        return str(self._ask("POST", "runs/create", asked)["run"]["info"]["run_id"])

    def log(
        self,
        run: str,
        *,
        metrics: Sequence[Metric] = (),
        parameters: Mapping[str, object] | None = None,
        tags: Mapping[str, object] | None = None,
    ) -> None:
        """All of it, in as many requests as it takes. A parameter may be said again, not changed."""
        for some in _chunks(metrics, MOST_METRICS):
            told = [{"key": m.key, "value": m.value, "step": m.step, "timestamp": m.at_ms} for m in some]
            self._ask("POST", "runs/log-batch", {"run_id": run, "metrics": told})
        for name, pairs in (("params", _pairs(parameters or {})), ("tags", _pairs(tags or {}))):
            for others in _chunks(pairs, MOST_OTHERS):
                self._ask("POST", "runs/log-batch", {"run_id": run, name: others})

    def update_run(self, run: str, *, status: str, end_ms: int | None) -> None:
        """status: RUNNING, FINISHED or FAILED."""
        ended = {} if end_ms is None else {"end_time": end_ms}
        self._ask("POST", "runs/update", {"run_id": run, "status": status, **ended})

    def _ask(self, method: str, path: str, values: Mapping[str, Any]) -> Mapping[str, Any]:
        how = {"params": values} if method == "GET" else {"json": values}
        try:
            answer = self._http.request(method, f"/api/2.0/mlflow/{path}", **how)  # type: ignore[arg-type]  # of both
            told = answer.json() if answer.content else {}
        except (httpx.HTTPError, ValueError) as error:
            raise MlflowUnavailable(f"MLflow did not answer {path}: {type(error).__name__}: {error}") from error
        if answer.status_code == httpx.codes.OK:
            return dict(told)
        code, message = told.get("error_code", "no code"), str(told.get("message", ""))
        kind = _AlreadyThere if code == "RESOURCE_ALREADY_EXISTS" else MlflowUnavailable
        raise kind(f"MLflow answered {path} with {answer.status_code} {code}: {message[:300]}")


class _AlreadyThere(MlflowUnavailable):
    kind = "mlflow-already-there"
    title = "MLflow has it already"


def _pairs(values: Mapping[str, object]) -> list[dict[str, str]]:
    return [{"key": name, "value": str(value)[:LONGEST_VALUE]} for name, value in values.items()]


def _chunks(values: Sequence[T], most: int) -> Iterator[list[T]]:
    rest = iter(values)
    while some := list(islice(rest, most)):
        yield some
