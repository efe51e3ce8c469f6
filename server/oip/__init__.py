"""The Open Inference Protocol v2, over REST and over gRPC.

Specification: https://github.com/kserve/open-inference-protocol, with Triton's extensions binary tensor data,
classification, model repository and schedule policy. Both protocols read their bytes into the same request
(`messages`, `meaning`), ask the same core (`core`, `repository`), and write its answer in their own way (`rest` and
`routes`; `grpc_codec` and `grpc_service`).
"""
