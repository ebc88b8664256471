#!/bin/sh
# Keeps nginx's list of replicas to those that are ready: asks `/readyz` of each every second, and
# reloads nginx when the answer has changed. Runs beside nginx, by the same user.
#
#   follow_readiness.sh HOST:PORT...
#
# A round, of two seconds at most, must be shorter than EXPOFUSE_DRAIN_PAUSE_S: then no replica that ends
# is sent anything it would refuse. Where none is ready the list stays as it is, and the replicas
# themselves say why.
set -eu
servers=/tmp/replicas.conf
# What nginx runs with: a list that it could not read, for a name in it was gone already, is tried again.
told=/tmp/replicas.told

ask() {
    if timeout 1 wget -q -O /dev/null "http://$1/readyz" 2>/dev/null; then
        echo "server $1 max_fails=1 fail_timeout=5s;"
    fi
}

while :; do
    # Side by side, so that one which does not answer delays no other.
    answers=$(mktemp -d)
    for replica in "$@"; do
        ask "$replica" >"$answers/$replica" &
    done
    wait
    cat "$answers"/* >"$servers.new"
    rm -r "$answers"
    if [ -s "$servers.new" ] && ! cmp -s "$servers.new" "$told"; then
        cp "$servers.new" "$servers"
        if [ ! -s /tmp/nginx.pid ] || nginx -s reload; then mv "$servers.new" "$told"; fi
    fi
    sleep 1
done
