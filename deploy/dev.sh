#!/usr/bin/env bash
# Dagster with its UI, sensors and schedules, and beside it the warm worker, which is started again
# when it dies. Ctrl-C ends all; what is under way is handed back.

set -m # each in a process group of its own, so that each is told once
bin=$(dirname "$0")/../.venv/bin

keep_worker() {
    until "$bin/playhead" process --watch; do
        [ $? -ge 128 ] || sleep 5 # it was not killed: what ails it may last
        echo "The worker ended and is started again." >&2
    done
}

keep_worker &
worker=$!
"$bin/dagster" dev --port "${PORT:-3000}" &
dagster=$!
trap : INT TERM # ends the waiting
wait "$dagster"
kill -INT -- "-$worker" "-$dagster" 2>/dev/null
trap 'kill -KILL -- "-$worker" "-$dagster"' INT TERM
wait
