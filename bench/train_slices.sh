#!/usr/bin/env bash
# Trains where a machine is lent for minutes at a time: in slices that each resume from the last checkpoint.
#
#   bench/train_slices.sh RECIPE [KEY=VALUE]...     one slice of at most $SLICE_MINUTES (8); give it again until it is done
#   SLICES=20 bench/train_slices.sh RECIPE ...      so many, one after the other
#
# Before the first slice it reports the speed of a training step against the machine's own matrix products. Exit status:
# 0 once the model is there, 75 while steps are left.
set -euo pipefail
recipe=${1:?give a recipe: bench/train_slices.sh RECIPE [KEY=VALUE]...}
shift
python=${PYTHON:-python}
"$python" "$(dirname "$0")/train_speed.py" "$recipe" "$@"
for ((slice = 1; slice <= ${SLICES:-1}; slice++)); do
    status=0
    "$python" -m caan_hf train "$recipe" "$@" training.resume_from_checkpoint=true \
        training.max_minutes="${SLICE_MINUTES:-8}" || status=$?
    [ "$status" = 75 ] || exit "$status"
done
exit 75
