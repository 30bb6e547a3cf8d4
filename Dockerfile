# bookloom with all that it runs with: the workers and servers of Prefect and MLflow, too.
#
#   docker build --tag bookloom:0.1.0 --build-arg GIT_COMMIT="$(git rev-parse HEAD)" .

FROM python:3.11.14-slim-bookworm AS install
# torch for processors; for graphics cards https://download.pytorch.org/whl/cu130, say.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PATH=/opt/venv/bin:$PATH \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
WORKDIR /opt/bookloom
RUN python -m venv /opt/venv
# First what seldom changes: this layer is kept while only the code is new.
COPY requirements.lock requirements-test.lock ./
RUN pip install --no-cache-dir --extra-index-url "$TORCH_INDEX" --requirement requirements.lock
COPY LICENSE README.md prefect.yaml pyproject.toml ./
COPY data data
COPY models models
COPY tasks tasks
COPY flows flows
# The lock for tests has the versions of what only a team's servers need.
RUN pip install --no-cache-dir --extra-index-url "$TORCH_INDEX" --constraint requirements.lock \
    --constraint requirements-test.lock --editable ".[team]"

FROM python:3.11.14-slim-bookworm
ARG GIT_COMMIT=unknown
LABEL org.opencontainers.image.title="bookloom" \
      org.opencontainers.image.description="Books in; a language model, sentences and a map out." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="$GIT_COMMIT" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 bookloom \
    && useradd --uid 10001 --gid 10001 --create-home bookloom \
    && install --directory --owner=bookloom --group=bookloom /var/lib/bookloom
COPY --from=install /opt/venv /opt/venv
COPY --from=install /opt/bookloom /opt/bookloom
ENV AWS_MAX_ATTEMPTS=8 \
    AWS_RETRY_MODE=standard \
    BOOKLOOM_GIT_COMMIT=$GIT_COMMIT \
    BOOKLOOM_HOME=/var/lib/bookloom \
    DO_NOT_TRACK=1 \
    MLFLOW_DISABLE_TELEMETRY=true \
    MLFLOW_HTTP_REQUEST_MAX_RETRIES=6 \
    MPLCONFIGDIR=/tmp/matplotlib \
    PATH=/opt/venv/bin:$PATH \
    PREFECT_CLIENT_MAX_RETRIES=6 \
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY=30 \
    PREFECT_HOME=/var/lib/bookloom/prefect \
    PREFECT_SERVER_ANALYTICS_ENABLED=false \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /opt/bookloom
USER 10001:10001
CMD ["bookloom", "--help"]
