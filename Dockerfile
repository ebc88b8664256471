# The service with its bundled weights, for CUDA (default) or the CPU, whose image has no torch:
#   docker build --tag expofuse:1.0.0 .
#   docker build --tag expofuse:1.0.0-cpu --build-arg DEVICE=cpu .
# A private package index comes in as a secret and leaves no trace in the image:
#   docker build --secret id=pip_conf,src=$HOME/.config/pip/pip.conf .

FROM python:3.11-slim-bookworm AS build

# cuda: with torch; cpu: without it, a tenth of the size.
ARG DEVICE=cuda

# pip installs into the virtual environment from outside, so that the image's own has none.
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_PYTHON=/opt/venv/bin/python
WORKDIR /build
RUN python -m venv --without-pip /opt/venv \
    && groupadd --gid 10001 expofuse \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp expofuse

# The dependencies are layers of their own, here and in the image: they are large, the code is not.
COPY pyproject.toml constraints.txt ./
RUN case "$DEVICE" in cpu | cuda) ;; *) echo "DEVICE is cpu or cuda, not $DEVICE" >&2; exit 1 ;; esac \
    && python -c "import sys, tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
extras = project['optional-dependencies']; cuda = extras['cuda'] if sys.argv[1] == 'cuda' else []; \
print(*project['dependencies'], *extras['service'], *extras['raw'], *cuda, sep='\n')" "$DEVICE" > requirements.txt
# hadolint ignore=DL3013
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf \
    pip install --constraint constraints.txt --requirement requirements.txt

COPY README.md LICENSE NOTICE setup.py ./
COPY expofuse expofuse
COPY model model
COPY service service
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf \
    pip install --no-deps --target /opt/expofuse .

# Every version, small as they are: which of them are served is a setting, not another image.
COPY weights /opt/expofuse/weights
# Whatever the modes in the working tree: the service's user reads everything, and owns nothing.
RUN chmod -R a+rX /opt/expofuse


FROM python:3.11-slim-bookworm

# What is served unless the setting says otherwise; several are separated by commas.
ARG WEIGHTS=pyramid-blend-2.1.0

LABEL org.opencontainers.image.title="expofuse" \
      org.opencontainers.image.description="Multi-exposure image fusion over HTTP" \
      org.opencontainers.image.licenses="Apache-2.0"

# Nothing runs in this stage: a build's mounts and caches leave no trace.
COPY --from=build /etc/passwd /etc/group /etc/
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/expofuse /opt/expofuse

# The NVIDIA_ variables ask the NVIDIA runtime for the devices and for what CUDA and nvidia-smi need;
# other runtimes ignore them. Nothing is written at run time but to /tmp and /dev/shm.
ENV PATH=/opt/expofuse/bin:/opt/venv/bin:$PATH \
    PYTHONPATH=/opt/expofuse \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    EXPOFUSE_HOST=0.0.0.0 \
    EXPOFUSE_PORT=8000 \
    EXPOFUSE_WEIGHTS=${WEIGHTS}

WORKDIR /tmp
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 \
    CMD ["expofuse", "health"]
CMD ["expofuse", "serve"]
