"""BentoML with a batchable API, a worker a core.

`max_latency_ms` is both its deadline (503 beyond it) and what its batch optimizer starts its guesses from: the default
of a minute makes the first batches wait for seconds, a small one refuses callers under load. Five seconds do neither.
"""

import bentoml
from plain_model import CORES, PlainModel


@bentoml.service(workers=CORES, threads=1, traffic={"timeout": 30})
class Bench:
    def __init__(self) -> None:
        self.model = PlainModel(threads=1)

    @bentoml.api(route="/predict", batchable=True, max_batch_size=32, max_latency_ms=5_000)
    def predict(self, inputs: list[str]) -> list[dict[str, object]]:
        return self.model.predict(inputs)
