"""Ray Serve with `@serve.batch`, a replica a core, started with RAY_SERVE_THROUGHPUT_OPTIMIZED=1 (see roster.py)."""

import asyncio
import os
import signal
import sys

import ray
from in_one_batch import predict_requests
from plain_model import CORES, PlainModel
from ray import serve
from starlette.requests import Request


@serve.deployment(
    num_replicas=CORES,
    max_ongoing_requests=256,  # the default of 5 would keep batches small
    ray_actor_options={"num_cpus": 1},
)
class Bench:
    def __init__(self) -> None:
        self.model = PlainModel(threads=1)

    @serve.batch(max_batch_size=32, batch_wait_timeout_s=0.002)  # as for LitServe: a long wait only costs
    async def predict_batch(self, requests: list[list[str]]) -> list[list[dict[str, object]]]:
        # Off the event loop, so that the next batch gathers while this one runs.
        return await asyncio.to_thread(predict_requests, self.model, requests)

    async def __call__(self, request: Request) -> dict[str, object]:
        body = await request.json()
        return {"predictions": await self.predict_batch(body["inputs"])}


if __name__ == "__main__":
    stop = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)
    ray.init(
        include_dashboard=False,
        num_cpus=CORES,
        object_store_memory=200_000_000,
        log_to_driver=False,
        logging_level="error",
        _temp_dir=os.environ["BENCH_RAY_TEMP"],
        # the replicas import this folder's modules
        runtime_env={"env_vars": {"PYTHONPATH": os.path.dirname(os.path.abspath(__file__))}},
    )
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Bench.bind(), route_prefix="/predict")
    signal.sigwait(stop)
    ray.shutdown()
