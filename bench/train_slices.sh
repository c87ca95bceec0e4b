#!/usr/bin/env bash
# Trains where a machine is lent for minutes at a time: in slices that each resume from the last checkpoint.
#
#   bench/train_slices.sh RECIPE [KEY=VALUE]...     one slice of at most $SLICE_MINUTES (8); give it again until it is done
#   SLICES=20 bench/train_slices.sh RECIPE ...      so many, one after the other
#   WHEELS=wheels bench/train_slices.sh RECIPE ...  on a machine with a torch of its own and without a network: what caan-hf
#                                                   needs beside it comes from that folder (docs/training.md says how)
#
# Each call first reports the speed of a training step against the machine's own matrix products; SPEED=0 leaves it out.
# Exit status: 0 once the model is there, 75 while steps are left.
set -euo pipefail
if [ $# -eq 0 ]; then
    echo "give a recipe: bench/train_slices.sh RECIPE [KEY=VALUE]..." >&2
    exit 2
fi
recipe=$1
shift
slices=${SLICES:-1}
if ! [[ $slices =~ ^[1-9][0-9]*$ ]]; then
    echo "SLICES=$slices: give a whole number from 1 on" >&2
    exit 2
fi
python=${PYTHON:-python}
here=$(cd "$(dirname "$0")" && pwd)
if [ -n "${WHEELS:-}" ]; then
    if ! compgen -G "$WHEELS/*.whl" > /dev/null; then
        echo "$WHEELS: no wheels there; docs/training.md says how to make them" >&2
        exit 2
    fi
    site=$(mktemp -d)
    trap 'rm -rf "$site"' EXIT
    "$python" -m pip install -q --no-index --no-deps --no-compile --target "$site" "$WHEELS"/*.whl
    export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}"
fi
if [ "${SPEED:-1}" != 0 ]; then
    "$python" "$here/train_speed.py" "$recipe" "$@"
fi
for ((slice = 1; slice <= slices; slice++)); do
    status=0
    "$python" -m caan_hf train "$recipe" "$@" training.resume_from_checkpoint=true \
        training.max_minutes="${SLICE_MINUTES:-8}" || status=$?
    [ "$status" = 75 ] || exit "$status"
done
exit 75
