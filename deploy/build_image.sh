#!/usr/bin/env bash
# Builds the image with buildah: no engine, no daemon, no container runtime.
#
#   deploy/build_image.sh [--stand-in-base] [TAG]
#
# --stand-in-base  where no registry of images is to be had: a Debian bookworm of mmdebstrap takes the
#                  name of the base, which nothing in the finished image comes from (needs root)
# TAG              expofuse:1.0.0 unless given
#
# Environment: DEVICE=cuda|cpu, WEIGHTS=name-version[,...] and SOURCE=URL (see the Dockerfile's
# arguments); PLATFORM=linux/amd64|linux/arm64, this machine's own unless given: programs of the other
# one run in an emulator that binfmt_misc knows (Debian: qemu-user-static, and arch-test for the base);
# SOURCE_DATE_EPOCH, the time of every file in the image, which is that of the commit unless given;
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

# ARCHITECTURE, as Debian and images name it
make_stand_in_base() {
    local architecture=$1 mirror container
    # shellcheck disable=SC2016
    mirror=$(apt-get indextargets --format '$(SITE)' "Codename: $SUITE" | head -n 1)
    mmdebstrap --quiet --variant=minbase --architectures="$architecture" \
        "$SUITE" "$work/base" ${mirror:+"$mirror"}
    container=$(buildah from --arch "$architecture" scratch)
    buildah add --quiet "$container" "$work/base" /
    buildah commit --quiet --rm "$container" "$BASE"
    rm -rf "$work/base"
}

if [[ $stand_in ]]; then
    wanted=${PLATFORM:-linux/$(dpkg --print-architecture)}
    wanted=${wanted#linux/}
    found=$(buildah inspect --type image --format '{{.OCIv1.Architecture}}' "$BASE" 2>/dev/null || true)
    [[ $found == "$wanted" ]] || make_stand_in_base "$wanted"
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

# In the build they lie below another folder, as their own may be one that the build writes to.
AT = "/registry"
PATH = re.compile(r"(?<!\S)(file://)?(/\S+)")
paths = {
    path
    for value in settings.values()
    for _, name in PATH.findall(value)
    if (path := pathlib.Path(name)).exists()
}
config = configparser.RawConfigParser()
config["global"] = {
    name: PATH.sub(
        lambda found: f"{found[1] or ''}{AT if pathlib.Path(found[2]) in paths else ''}{found[2]}",
        value.replace("\n", "\n "),
    )
    for name, value in settings.items()
}
with open(sys.argv[1], "w") as file:
    config.write(file)

# The pages of an index link to files beside it (PEP 503).
for path in sorted({path.parent if path.name == "simple" else path for path in paths}):
    print(f"{path}:{AT}{path}:ro")
PYTHON

# What this is a build of. Equal commits, packages and versions of buildah give equal layers.
export VERSION REVISION CREATED
VERSION=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
REVISION=$(git rev-parse HEAD 2>/dev/null || echo unknown)
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
CREATED=$(date --utc --date "@$epoch" +%Y-%m-%dT%H:%M:%SZ)

options=(--format docker --tag "$tag" --timestamp "$epoch" --secret "id=pip_conf,src=$work/pip.conf")
while read -r mount; do
    options+=(--volume "$mount")
done <"$work/mounts"
for argument in DEVICE EXTRAS WEIGHTS VERSION REVISION CREATED SOURCE; do
    [[ ${!argument:-} ]] && options+=(--build-arg "$argument=${!argument}")
done
[[ $stand_in ]] && options+=(--pull-never)
[[ ${PLATFORM:-} ]] && options+=(--platform "$PLATFORM")

buildah build "${options[@]}" .
