# The service with its bundled weights, for CUDA (default) or the CPU, whose image has no torch:
#   docker build --tag expofuse:1.0.0 .
#   docker build --tag expofuse:1.0.0-cpu --build-arg DEVICE=cpu .
# A private package index comes in as a secret and leaves no trace in the image:
#   docker build --secret id=pip_conf,src=$HOME/.config/pip/pip.conf .
# For amd64 and arm64: nothing here names a processor.

FROM debian:bookworm-slim AS build

# cuda: with torch; cpu: without it, a tenth of the size.
ARG DEVICE=cuda
# More of the package's extras, separated by commas: otel for traces, heic, jxl.
ARG EXTRAS=

# What builds, and then the image's root: Python and what it stands on, without a shell, as a layer of
# its own. Versions are those of Debian 12 as it stands, so that a build has its security updates.
# binutils: see deploy/image/without_video.py.
ARG DEBIAN_FRONTEND=noninteractive
COPY deploy/image/make_root.sh /build/deploy/image/
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
        binutils ca-certificates python3 python3-pip python3-venv \
    && sh /build/deploy/image/make_root.sh /root-of-image \
    && rm -rf /var/lib/apt/lists/*

# pip installs into the virtual environment from outside, so that the image's own has none. It compiles
# nothing, which 0 says: pip reads the values of options that begin with "no-" the other way round.
ENV PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_PYTHON=/opt/venv/bin/python
WORKDIR /build
RUN python3.11 -m venv --without-pip /opt/venv && python3.11 -m venv --without-pip /opt/sbom

# The dependencies are layers of their own, here and in the image: they are large, the code is not.
COPY pyproject.toml constraints.txt ./
RUN case "$DEVICE" in cpu | cuda) ;; *) echo "DEVICE is cpu or cuda, not $DEVICE" >&2; exit 1 ;; esac \
    && python3 -c "import sys, tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
extras = project['optional-dependencies']; cuda = ['cuda'] if sys.argv[1] == 'cuda' else []; \
names = ['service', 'raw', *cuda, *filter(None, sys.argv[2].split(','))]; \
print(*project['dependencies'], *(one for name in names for one in extras[name]), sep='\n')" "$DEVICE" "$EXTRAS" > requirements.txt
# hadolint ignore=DL3013
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf \
    pip install --constraint constraints.txt --requirement requirements.txt \
    && pip --python /opt/sbom/bin/python install --constraint constraints.txt cyclonedx-bom

# What no service uses goes; what stays is compiled once, as no process can write it later.
COPY deploy/image deploy/image
RUN packages=/opt/venv/lib/python3.11/site-packages \
    && python3 deploy/image/trim.py $packages \
    && python3 deploy/image/without_video.py $packages \
    && /opt/sbom/bin/python deploy/image/sbom.py /opt/venv /root-of-image pyproject.toml > sbom.cdx.json \
    && python3 -m compileall -q -f --invalidation-mode unchecked-hash /opt/venv \
    && python3 -m compileall -q -f --invalidation-mode unchecked-hash -s /root-of-image /root-of-image/usr/lib/python3.11

COPY README.md LICENSE NOTICE setup.py ./
COPY expofuse expofuse
COPY model model
COPY service service
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf \
    pip install --no-deps --target /opt/expofuse .

# Every version, small as they are: which of them are served is a setting, not another image.
COPY weights /opt/expofuse/weights
# Whatever the modes in the working tree: the service's user reads everything, and owns nothing.
RUN mkdir /opt/expofuse/share \
    && cp LICENSE NOTICE sbom.cdx.json /opt/expofuse/share/ \
    && python3 -m compileall -q -f --invalidation-mode unchecked-hash /opt/expofuse \
    && chmod -R a+rX /opt/expofuse


FROM scratch

# What is served unless the setting says otherwise; several are separated by commas.
ARG WEIGHTS=pyramid-blend-2.1.0

# What this is a build of; deploy/build_image.sh fills them in.
ARG VERSION=1.0.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="expofuse" \
      org.opencontainers.image.description="Multi-exposure image fusion over HTTP" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="${SOURCE}"

# Nothing runs in this stage: a build's mounts and caches leave no trace.
COPY --from=build /root-of-image /
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/expofuse /opt/expofuse

# The NVIDIA_ variables ask the NVIDIA runtime for the devices and for what CUDA and nvidia-smi need;
# other runtimes ignore them. Nothing is written at run time but to /tmp and /dev/shm.
ENV PATH=/opt/expofuse/bin:/opt/venv/bin:/usr/bin \
    PYTHONPATH=/opt/expofuse \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    LANG=C.UTF-8 \
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
