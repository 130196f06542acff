"""A save during which memory runs out leaves the old save or the new one, whole."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from orefield.config import RunConfig, to_dict

SCRIPT = """
import json, os, random, shutil, sys
from pathlib import Path
from _testcapi import remove_mem_hooks, set_nomemory
from orefield.config import from_dict
from orefield.runs.folder import load_run
from orefield.runs.loop import start_run
from orefield.scenes import open_scene

scene, folder, config = sys.argv[1:]
folder = Path(folder)
run = start_run(open_scene(scene), folder, from_dict(json.loads(config)))
run.trainer.advance()
run.save()
old = {name: (folder / name).read_bytes() for name in ("state.safetensors", "field.safetensors")}
run.trainer.advance()


def save_without_memory(allocation):
    # Python's allocations fail from this one on, for a while; in a child, which may die of it.
    child = os.fork()
    if child == 0:
        try:
            set_nomemory(allocation, allocation + 20)
            run.save()
            remove_mem_hooks()
        except BaseException:
            remove_mem_hooks()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def contents():
    return {name: (folder / name).read_bytes() for name in old}


assert save_without_memory(10**9) == 0  # memory enough
new = contents()
assert all(new[name] != old[name] for name in old)
counts = {"saved": 0, "failed": 0, "died": 0}
draw = random.Random(0)
for allocation in [*range(0, 100, 5), *(draw.randrange(20_000) for _ in range(150))]:
    for name, data in old.items():
        (folder / name).write_bytes(data)
    code = save_without_memory(allocation)
    counts["saved" if code == 0 else "failed" if code == 1 else "died"] += 1
    for name, data in contents().items():
        assert data in (old[name], new[name]), (allocation, name)
        assert code != 0 or data == new[name], (allocation, name)
    load_run(folder)
print(json.dumps(counts))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_allocations_that_fail_leave_one_of_two_saves(
    tmp_path: Path, tiny_folder: Path, tiny_config: RunConfig, record_property
) -> None:
    pytest.importorskip("_testcapi", reason="Python was built without its test hooks")
    words = [str(tiny_folder), str(tmp_path / "run"), json.dumps(to_dict(tiny_config))]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout.splitlines()[-1])
    assert counts["failed"] > 20
    record_property("counts", f"saves with failing allocations: {counts}")
