#!/usr/bin/env bash
# Builds the image with buildah: no engine, no daemon, no container runtime.
#
#   deploy/build_image.sh [--stand-in-base] [TAG]
#
# --stand-in-base  where no registry of images is to be had: a Debian bookworm of mmdebstrap with
#                  Debian's own Python 3.11 takes the base's name (needs root)
# TAG              expofuse:1.0.0 unless given
#
# Environment: DEVICE=cuda|cpu, WEIGHTS=name-version[,...] (see the Dockerfile's arguments), and
# buildah's own, such as STORAGE_DRIVER. The package registry's settings of this machine (pip config)
# go in as a secret, and local folders and certificates that they name as read-only mounts of the
# build.
set -euo pipefail
cd "$(dirname "$0")/.."

BASE=docker.io/library/$(sed -n 's/^FROM \(\S*\) AS build$/\1/p' Dockerfile)
SUITE=bookworm

stand_in=
if [[ ${1:-} == --stand-in-base ]]; then
    stand_in=yes
    shift
fi
tag=${1:-expofuse:1.0.0}

export BUILDAH_ISOLATION=${BUILDAH_ISOLATION:-chroot}
export STORAGE_DRIVER=${STORAGE_DRIVER:-vfs}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# What the official base offers of Python: `python` and `pip` on the path, venv, certificates.
make_stand_in_base() {
    local mirror container
    # shellcheck disable=SC2016
    mirror=$(apt-get indextargets --format '$(SITE)' "Codename: $SUITE" | head -n 1)
    mmdebstrap --quiet --variant=minbase --include=python3,python3-venv,python3-pip,ca-certificates \
        "$SUITE" "$work/base" ${mirror:+"$mirror"}
    ln -s /usr/bin/python3 "$work/base/usr/local/bin/python"
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$work/base" /
    buildah config --cmd python3 "$container"
    buildah commit --quiet --rm "$container" "$BASE"
    rm -rf "$work/base"
}

if [[ $stand_in ]] && ! buildah inspect --type image "$BASE" >/dev/null 2>&1; then
    make_stand_in_base
fi

# pip's settings of every level, environment included, as one file; then the local paths they name.
python3 - "$work/pip.conf" >"$work/mounts" <<'PYTHON'
import ast
import configparser
import pathlib
import re
import subprocess
import sys

listing = subprocess.run(
    [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
).stdout
levels = {"global": {}, "install": {}, ":env:": {}}
for line in listing.splitlines():
    key, _, value = line.partition("=")
    level, _, name = key.rpartition(".")
    if level in levels:
        levels[level][name] = ast.literal_eval(value)
settings = levels["global"] | levels["install"] | levels[":env:"]

config = configparser.RawConfigParser()
config["global"] = {name: value.replace("\n", "\n ") for name, value in settings.items()}
with open(sys.argv[1], "w") as file:
    config.write(file)

named = re.findall(r"(?<!\S)(?:file://)?(/\S+)", "\n".join(settings.values()))
paths = {path for path in map(pathlib.Path, named) if path.exists()}
# The pages of an index link to files beside it (PEP 503).
print(*sorted({path.parent if path.name == "simple" else path for path in paths}), sep="\n")
PYTHON

options=(--format docker --tag "$tag" --secret "id=pip_conf,src=$work/pip.conf")
while read -r path; do
    [[ $path ]] && options+=(--volume "$path:$path:ro")
done <"$work/mounts"
for argument in DEVICE WEIGHTS; do
    [[ ${!argument:-} ]] && options+=(--build-arg "$argument=${!argument}")
done
[[ $stand_in ]] && options+=(--pull-never)

buildah build "${options[@]}" .
