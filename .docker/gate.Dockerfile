# Untried: no container engine was at hand when this was written. What is tried is the same content as layers, built by
# `python -m examples.local_cluster images`. Build it from the repository's root:
#
#   docker build -f .docker/gate.Dockerfile -t deepseek-operator.io/gate:dev .
FROM python:3.11-slim

# Four of the operator's libraries, in the versions of pyproject.toml.
COPY requirements.lock /tmp/
RUN pip install --no-cache-dir -c /tmp/requirements.lock aiohttp orjson prometheus-client uvloop

COPY operator/deepseek_gate /opt/deepseek/deepseek_gate
ENV PYTHONPATH=/opt/deepseek HOME=/tmp LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65532:65532
ENTRYPOINT ["python3", "-m", "deepseek_gate"]
