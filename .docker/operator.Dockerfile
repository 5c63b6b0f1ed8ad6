# Untried: no container engine was at hand when this was written. What is tried is the same content as layers, built by
# `python -m examples.local_cluster images`. Build it from the repository's root:
#
#   docker build -f .docker/operator.Dockerfile -t deepseek-operator.io/operator:dev .
FROM python:3.11-slim AS build
WORKDIR /source
COPY pyproject.toml requirements.lock README.md LICENSE ./
COPY operator operator
RUN python3 -m venv /venv && /venv/bin/pip install --no-cache-dir -c requirements.lock .

FROM python:3.11-slim
COPY --from=build /venv /venv
ENV HOME=/tmp LANG=C.UTF-8 PATH=/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65532:65532
ENTRYPOINT ["python3", "-m", "deepseek_operator"]
CMD ["run"]
