#!/bin/sh
# `make demo`: process real recordings with the whole pipeline, then search twice and ask once.
# A second run computes nothing: every result exists already.
set -eu

echo "== Adding recordings from $SPEECH (sources and licences in its MANIFEST.tsv)"
playhead add --kind lecture --title "Kennedy: inaugural address" "$SPEECH/en_jfk.flac"
playhead add --kind book --title "Austen: Sense and Sensibility" "$SPEECH"/en_austen_*.flac
playhead add --title "Common Voice" "$SPEECH"/*_cv_*.flac

echo
echo "== Processing pending recordings with Dagster"
playhead process

echo
echo "== playhead list"
playhead list

for query in \
    "what can I do for my country" \
    "married to somebody kinder"
do
    echo
    echo "== playhead search \"$query\" --limit 1"
    playhead search "$query" --limit 1
done

echo "== playhead ask \"How might he have been more respectable?\""
playhead ask "How might he have been more respectable?"

echo
echo "== The same in Dagster's UI: make dev, then open http://127.0.0.1:3000"
