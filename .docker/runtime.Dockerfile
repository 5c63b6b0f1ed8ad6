# The image of training and serving pods for NVIDIA GPUs: launcher, trainer, engine.
#
# UNTRIED: no GPU and no registry were at hand when this was written. The same packages on the same Python
# run on CPU in the tests; PyPI's torch for x86-64 Linux is the CUDA build, so the image needs no CUDA
# toolkit of its own, only the driver that the NVIDIA container runtime mounts.
#
#   docker build -f .docker/runtime.Dockerfile -t deepseek-operator.io/runtime:dev .
FROM python:3.11-slim-bookworm

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

# The versions of pyproject.toml's extra `runtime`.
COPY requirements.lock /tmp/
RUN pip install --no-cache-dir -c /tmp/requirements.lock \
    aiohttp==3.14.5 \
    llguidance==1.9.1 \
    mlflow-skinny==3.17.2 \
    obstore==0.12.1 \
    peft==0.21.2 \
    prometheus-client==0.26.0 \
    py3langid==0.4.0 \
    pyarrow==26.0.1 \
    rensa==0.5.0 \
    safetensors==0.8.0 \
    tensorboardx==2.6.5 \
    torch==2.13.0 \
    torchao==0.18.0 \
    transformers==5.23.0

COPY operator/deepseek_runtime /opt/deepseek/deepseek_runtime
ENV PYTHONPATH=/opt/deepseek HOME=/tmp

# Any uid works: nothing of the image is written to, a name for the uid is not needed.
USER 65532:65532
CMD ["python3", "-m", "deepseek_runtime.launcher"]
