#!/usr/bin/env bash
# Builds the image twice, from nothing each time, and compares the layers.
#
#   deploy/check_reproducible.sh [--stand-in-base]
#
# Environment: as of deploy/build_image.sh. Ends with 1 where a layer differs.
set -euo pipefail
cd "$(dirname "$0")/.."

export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export STORAGE_DRIVER=${STORAGE_DRIVER:-vfs}
digests=()
for turn in first second; do
    tag=localhost/expofuse:$turn
    deploy/build_image.sh "$@" "$tag" >&2
    digests+=("$(buildah inspect --type image --format '{{range .OCIv1.RootFS.DiffIDs}}{{.}} {{end}}' "$tag")")
    echo "$turn: ${digests[-1]}"
done
[[ ${digests[0]} == "${digests[1]}" ]]
