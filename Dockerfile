# syntax=docker/dockerfile:1
# docker build -t driftgate-serve .                  answers predictions, with neither torch nor evidently
# docker build -t driftgate-work --target work .     monitor and worker

FROM python:3.11-slim AS wheel
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY cli cli
COPY engine engine
COPY monitor monitor
COPY retrain retrain
COPY server server
COPY store store
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /dist .

FROM python:3.11-slim AS serve-libraries
# Exactly one build of ONNX Runtime: cpu, openvino or gpu.
ARG RUNTIME=cpu
ARG STORES=postgres,s3
ENV PATH=/opt/driftgate/bin:$PATH
WORKDIR /src
COPY pyproject.toml README.md LICENSE constraints.txt ./
# No source lies here yet, so this installs an empty driftgate and every library, and a change of the code keeps it.
RUN python -m venv /opt/driftgate \
    && pip install --no-cache-dir -c constraints.txt ".[${RUNTIME},${STORES}]"

FROM serve-libraries AS work-libraries
# PyPI's torch brings CUDA, gigabytes of it. For workers without a GPU, build with PyTorch's index of CPU wheels here.
ARG PIP_EXTRA_INDEX_URL=""
RUN pip install --no-cache-dir -c constraints.txt ".[monitor,retrain]"

FROM serve-libraries AS serve-build
COPY --from=wheel /dist /dist
RUN pip install --no-cache-dir --no-deps --force-reinstall /dist/*.whl

FROM work-libraries AS work-build
COPY --from=wheel /dist /dist
RUN pip install --no-cache-dir --no-deps --force-reinstall /dist/*.whl

FROM python:3.11-slim AS runtime
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/driftgate driftgate \
    && install -d -o 10001 -g 10001 /var/lib/driftgate
ENV PATH=/opt/driftgate/bin:$PATH \
    HOME=/var/lib/driftgate \
    DRIFTGATE_HOME=/var/lib/driftgate
# By number: Kubernetes cannot tell from a name that it is not root.
USER 10001:10001
VOLUME /var/lib/driftgate
ENTRYPOINT ["driftgate"]

FROM runtime AS work
COPY --from=work-build /opt/driftgate /opt/driftgate
# Evidently reports its use to its makers unless told not to.
ENV DO_NOT_TRACK=1
EXPOSE 8082 8083
CMD ["worker"]

# Last, so that it is what `docker build .` makes.
FROM runtime AS serve
COPY --from=serve-build /opt/driftgate /opt/driftgate
EXPOSE 8080 8081
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f\"http://127.0.0.1:{os.environ.get('DRIFTGATE_PORT', 8080)}/healthz\", timeout=2)"]
# Refuses to start while no API key exists: make one first with `driftgate keys create --scope predict,feedback`.
CMD ["serve", "--host", "0.0.0.0"]
