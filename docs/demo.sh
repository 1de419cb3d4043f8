#!/bin/sh
# `make demo`: real recordings through the whole pipeline, then three searches.
# A second run does no model work: everything is found in the ledger.
set -eu

echo "== Taking in the recordings of $SPEECH (sources and licences: MANIFEST.tsv there)"
for file in "$SPEECH"/*.flac; do
    playhead add "$file"
done

echo
echo "== Running what waits through Dagster"
playhead process

echo
playhead list

for question in \
    "what can I do for my country" \
    "why would he have been more respectable" \
    "キャンプの外れの電柱"
do
    echo
    echo "== playhead search \"$question\" --limit 1"
    playhead search "$question" --limit 1
done

echo "The pipeline in Dagster's UI: make dev, then open http://127.0.0.1:3000"
