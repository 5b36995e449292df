#!/usr/bin/env bash
# With pytest 9.2 the groups of pytest-xdist are ignored without a word: `--dist loadgroup` gives the tests of one
# `xdist_group` to whichever process is free.
#
# Seen with pytest 9.2.0 and pytest-xdist 3.8.0, the newest of both at that time (PyPI, Python 3.11). xdist marks a
# group by writing "@group" behind a test's private `_nodeid`, from which pytest up to 9.1 makes `nodeid`; pytest 9.2 no
# longer reads it, so the scheduler finds no group in any name. Nothing is reported, all tests pass, and each process
# makes anew what the group was there to share: of a cluster that starts in 20 seconds there were three.
# https://github.com/pytest-dev/pytest-xdist/issues/1386
#
# Output when it was seen:
#   pytest 9.1.1: eight tests of one group ran in 1 process
#   pytest 9.2.0: eight tests of one group ran in 2 processes
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
cd "$folder"
cat > test_group.py <<'PYTHON'
import os
import time
from pathlib import Path

import pytest


@pytest.mark.xdist_group("one")
@pytest.mark.parametrize("number", range(8))
def test_in_a_group(number: int) -> None:
    time.sleep(0.2)
    Path(os.environ["SEEN"], os.environ["PYTEST_XDIST_WORKER"]).touch()
PYTHON
failed=0
for pytest in 9.1.1:1 9.2.0:2; do
  venv/bin/python -m pip install --quiet "pytest==${pytest%:*}" pytest-xdist==3.8.0
  SEEN=$(mktemp -d -p "$folder")
  SEEN=$SEEN venv/bin/python -m pytest -q -n 2 --dist loadgroup -p no:cacheprovider test_group.py > output.txt || { cat output.txt; exit 1; }
  seen=$(find "$SEEN" -type f | wc -l)
  processes=processes; [ "$seen" = 1 ] && processes=process
  echo "pytest ${pytest%:*}: eight tests of one group ran in $seen $processes"
  [ "$seen" = "${pytest#*:}" ] || failed=1
done
[ "$failed" = 0 ] && echo "as it was seen"
exit "$failed"
