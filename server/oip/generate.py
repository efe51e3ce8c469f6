"""Makes the Python code of inference.proto anew: `make proto`. Needs grpcio-tools; nothing that serves imports this."""

from importlib.resources import files
from pathlib import Path

_PROTO = "server/oip/inference.proto"
_MESSAGES = "server/oip/inference_pb2.py"
GENERATED = (_MESSAGES, "server/oip/inference_pb2.pyi")
"""Messages only: the service is registered by its description, without generated stubs."""


def generate(root: Path, into: Path) -> None:
    """Write GENERATED below `into`, for the proto below `root`."""
    from grpc_tools import protoc  # not there where driftgate only serves

    arguments = [f"-I{root}", f"-I{files('grpc_tools') / '_proto'}"]
    arguments += [f"--{kind}_out={into}" for kind in ("python", "pyi")]
    if protoc.main(["protoc", *arguments, _PROTO]) != 0:
        raise SystemExit(f"{_PROTO} was not understood; see above")
    # Every client of the protocol registers the same names (`inference.ModelInferRequest`) in protobuf's one global
    # pool, and the second to come fails. A pool of our own lets them live beside us in one process.
    messages = into / _MESSAGES
    code = messages.read_text("utf-8")
    private = code.replace("_descriptor_pool.Default()", "_descriptor_pool.DescriptorPool()")
    if private == code:
        raise SystemExit(f"{_MESSAGES} no longer names the pool as it did; look at {__file__}")
    messages.write_text(private, "utf-8")


if __name__ == "__main__":
    here = Path(__file__).parents[2]
    generate(here, here)
