#!/usr/bin/env bash
# Train in slices of a few minutes that each resume from the last checkpoint, for machines with a time limit.
#
#   bench/train_slices.sh RECIPE [KEY=VALUE]...     one slice of at most $SLICE_MINUTES (8) minutes; repeat until finished
#   SLICES=20 bench/train_slices.sh RECIPE ...      20 slices in a row
#   WHEELS=wheels bench/train_slices.sh RECIPE ...  on a machine with torch but without network: install the other
#                                                   requirements from that folder (see docs/training.md)
#
# Each call first reports the speed of a training step (bench/train_speed.py); SPEED=0 skips this.
# Exit status: 0 if training is finished, 75 if steps are left.
set -euo pipefail
if [ $# -eq 0 ]; then
    echo "no recipe given. Usage: bench/train_slices.sh RECIPE [KEY=VALUE]..." >&2
    exit 2
fi
recipe=$1
shift
slices=${SLICES:-1}
if ! [[ $slices =~ ^[1-9][0-9]*$ ]]; then
    echo "SLICES=$slices: must be a positive integer" >&2
    exit 2
fi
python=${PYTHON:-python}
here=$(cd "$(dirname "$0")" && pwd)
if [ -n "${WHEELS:-}" ]; then
    if ! compgen -G "$WHEELS/*.whl" > /dev/null; then
        echo "$WHEELS: no wheels in this folder. Build them as in docs/training.md." >&2
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
