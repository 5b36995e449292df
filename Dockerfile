# upscale-cli in a container: `docker build --target cpu .`, or `--target cuda` for NVIDIA's GPUs. See docs/containers.md.

ARG BASE=docker.io/library/debian:13-slim
ARG EXTRAS=serve,mcp,heif,dicom,vips,onnxruntime,s3,gs,spandrel

FROM ${BASE} AS base
# Debian takes older versions of packages away, so none is pinned.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3 \
    && rm -rf /var/lib/apt/lists/*

FROM base AS build
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /opt/upscale
ENV PATH=/opt/upscale/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1

# torch first: it is by far the largest, and stays in the cache when only our own files have changed.
FROM build AS build-cpu
ARG EXTRAS
ARG CPU_INDEX=https://download.pytorch.org/whl/cpu
RUN pip install --no-cache-dir --index-url "${CPU_INDEX}" "torch>=2.6"
COPY pyproject.toml README.md LICENSE /src/
COPY upscale_cli /src/upscale_cli
COPY weights /src/weights
RUN pip install --no-cache-dir "/src[${EXTRAS}]"

# What PyPI has for Linux brings CUDA's libraries with it; the driver comes from the host.
FROM build AS build-cuda
ARG EXTRAS
RUN pip install --no-cache-dir "torch>=2.6"
COPY pyproject.toml README.md LICENSE /src/
COPY upscale_cli /src/upscale_cli
COPY weights /src/weights
RUN pip install --no-cache-dir "/src[${EXTRAS}]"

FROM base AS runtime
# /models: checkpoints that are fetched, and yours. /data: the service's queue and results, settings.
RUN groupadd --gid 1000 upscale \
    && useradd --uid 1000 --gid upscale --no-create-home --home-dir /data --shell /usr/sbin/nologin upscale \
    && install --directory --owner=upscale --group=upscale /models /data
ENV PATH=/opt/upscale/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    UPSCALE_WEIGHTS=/models \
    XDG_CACHE_HOME=/models/cache \
    XDG_CONFIG_HOME=/data/config \
    XDG_DATA_HOME=/data
VOLUME ["/models", "/data"]
WORKDIR /data
EXPOSE 8477
USER 1000:1000
# Of the service; other commands switch it off (--no-healthcheck).
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
    CMD ["python3", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8477, timeout=8); c.request('GET', '/health'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["upscale"]
CMD ["serve", "--host", "0.0.0.0", "--data", "/data/service"]

FROM runtime AS cuda
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility,video
COPY --from=build-cuda /opt/upscale /opt/upscale

FROM runtime AS cpu
COPY --from=build-cpu /opt/upscale /opt/upscale
