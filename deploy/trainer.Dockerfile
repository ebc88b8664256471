# The trainer with torch, for k8s/jobs/training; the service's image has neither.
#   docker build --tag expofuse-trainer:1.0.0 --file deploy/trainer.Dockerfile .
# A private package index comes in as a secret and leaves no trace in the image:
#   docker build --secret id=pip_conf,src=$HOME/.config/pip/pip.conf --file deploy/trainer.Dockerfile .

FROM python:3.11-slim-bookworm AS build

# pip installs into the virtual environment from outside, so that the image's own has none.
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_PYTHON=/opt/venv/bin/python
WORKDIR /build
RUN python -m venv --without-pip /opt/venv

# The dependencies are a layer of their own: they are gigabytes, the code is not.
COPY pyproject.toml constraints.txt ./
RUN python -c "import tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
print(*project['dependencies'], *project['optional-dependencies']['trainer'], sep='\n')" > requirements.txt
# hadolint ignore=DL3013
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf \
    pip install --constraint constraints.txt --requirement requirements.txt

COPY README.md LICENSE NOTICE setup.py ./
COPY expofuse expofuse
COPY model model
COPY service service
COPY trainer trainer
COPY weights weights
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf \
    pip install --no-deps --target /opt/expofuse .
# A config names the run that it goes on from by its path in the repository.
COPY docs/runs /opt/expofuse/docs/runs
RUN chmod -R a+rX /opt/expofuse


FROM python:3.11-slim-bookworm

LABEL org.opencontainers.image.title="expofuse-trainer" \
      org.opencontainers.image.description="Trains the weights of expofuse" \
      org.opencontainers.image.licenses="Apache-2.0"

COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/expofuse /opt/expofuse

# Caches of libraries go where the root is not read-only.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/opt/expofuse \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

WORKDIR /opt/expofuse
USER 10001:10001
CMD ["python", "-m", "trainer", "--help"]
