"""LitServe as its guide recommends: batching on, a worker a core, `fast_queue` (ZeroMQ) for many small requests."""

import sys

import litserve
from in_one_batch import predict_requests
from plain_model import CORES, PlainModel


class TextApi(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.model = PlainModel(threads=1)  # one of `workers_per_device` processes, each with a core of its own

    def decode_request(self, request: dict[str, list[str]]) -> list[str]:
        return request["inputs"]

    def batch(self, inputs: list[list[str]]) -> list[list[str]]:
        return inputs  # the default stacks arrays; texts are padded in predict

    def predict(self, requests: list[list[str]]) -> list[list[dict[str, object]]]:
        return predict_requests(self.model, requests)

    def unbatch(self, output: list[list[dict[str, object]]]) -> list[list[dict[str, object]]]:
        return output

    def encode_response(self, output: list[dict[str, object]]) -> dict[str, object]:
        return {"predictions": output}


if __name__ == "__main__":
    # A long wait for a full batch would only cost a lone caller: 2 ms. `enable_async` is for endpoints that await
    # something; LitServe's guide keeps it off for a model that computes.
    api = TextApi(max_batch_size=32, batch_timeout=0.002)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=CORES, fast_queue=True)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
