#!/usr/bin/env bash
# All GPU tests and benchmarks, in under nine minutes, from a checkout and one scene folder:
#   benchmarks/gpu.sh SCENE OUT [--device cuda] [--minutes 8.5] [--seconds 20]
# Needs Python with torch, triton, numba, numpy and pillow; downloads and installs nothing.
# JSON and plots land in OUT; docs/gpu.md says what they hold.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ $# -lt 2 ]; then
    sed -n '2,5s/^# \{0,1\}//p' "$0"
    exit 2
fi
scene=$1 out=$2
shift 2
mkdir -p "$out"
python=${PYTHON:-python3}
export PYTHONPATH="$PWD/src${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1

for needed in torch numba numpy PIL; do
    "$python" -c "import importlib.util as u, sys; sys.exit(u.find_spec('$needed') is None)" || {
        echo "gpu.sh: $needed is missing" >&2
        exit 1
    }
done
# Shapes in annotations are checked in tests only; elsewhere any name will do for them.
if ! "$python" -c 'import jaxtyping' 2>/dev/null; then
    bare=$(mktemp -d)
    trap 'rm -rf "$bare"' EXIT
    cat >"$bare/jaxtyping.py" <<'PYTHON'
"""Stands in for jaxtyping where it is not installed: annotations that nobody checks."""


class _Shape:
    def __class_getitem__(cls, item):
        return item[0]


Bool = Float = Float32 = Float64 = Int = Int32 = Int64 = UInt8 = UInt32 = _Shape
PYTHON
    export PYTHONPATH="$PYTHONPATH:$bare"
fi
# What is not done after nine minutes is given up; what was done is on disk.
timeout 535 "$python" benchmarks/gpu.py "$scene" "$out" "$@"
