"""Collective calls: which rank works, which gets the result or the error, which writes. Nothing is trained here."""

import errno
import os
import subprocess
import sys
import time

import pytest

from dspkd.errors import DataError, RankError
from dspkd.runtime import distributed
from together import together


def test_one_rank_of_each_machine_works_before_its_other_ranks(tmp_path):
    """Three ranks as if on one machine, and four as if on two."""
    for count, machines in ((3, 1), (4, 2)):
        log = tmp_path / f"{machines}.log"

        def work(world, log=log):
            def note():
                if world.local_rank == 0:
                    time.sleep(0.3)  # the others would have finished if they did not wait
                with log.open("a") as file:
                    file.write(f"{world.local_rank}\n")
                return world.rank

            return world.rank_zero_first(note)

        assert together(count, work, tmp_path, machines=machines) == list(range(count))
        order = log.read_text().split()
        assert order[:machines] == ["0"] * machines
        assert "0" not in order[machines:]


def test_all_ranks_get_the_result_or_the_error_of_rank_0(tmp_path):
    def work(world):
        result = world.on_rank_zero(lambda: f"done by {world.rank}")

        def fail():
            raise DataError("no such folder")

        try:
            world.on_rank_zero(fail)
        except (DataError, RankError) as error:
            return result, type(error), str(error)

    first, *others = together(3, work, tmp_path)
    assert first == ("done by 0", DataError, "no such folder")
    assert others == [("done by 0", RankError, "rank 0: no such folder")] * 2


def test_rank_0_raises_its_own_error_or_the_first_other_with_rank_and_machine(tmp_path):
    def work(world):
        errors = []
        for failing in ({0, 2}, {1, 2}):

            def fail(failing=failing):
                if world.rank in failing:
                    raise DataError(f"broken on {world.rank}")

            try:
                world.on_all(fail)
            except (DataError, RankError) as error:
                errors.append((type(error), str(error).replace(os.uname().nodename, "HERE")))
        return errors

    first, second, third = together(3, work, tmp_path)
    assert first == [(DataError, "broken on 0"), (DataError, "rank 1 on HERE: broken on 1")]
    assert second == third == [(RankError, "rank 0 on HERE: broken on 0"), (RankError, "rank 1 on HERE: broken on 1")]


def test_rank_0_and_one_rank_of_each_machine_with_its_own_disk_write(tmp_path):
    """Ranks 0 and 2 are on one machine, 1 and 3 on the other."""
    for name in ("shared", "0", "1"):
        (tmp_path / name).mkdir()

    def work(world):
        return world.writes(tmp_path / "shared"), world.writes(tmp_path / str(world.rank % 2))

    by_rank = together(4, work, tmp_path, machines=2)
    assert [shared for shared, _ in by_rank] == [True, False, False, False]
    assert [own for _, own in by_rank] == [True, True, False, False]
    assert not list((tmp_path / "shared").iterdir())


@pytest.mark.parametrize("machines", [1, 2])
def test_where_rank_0_may_only_read_one_rank_of_each_machine_counts_as_writing(tmp_path, machines):
    def work(world):
        def refuse(**_):
            raise OSError(errno.EROFS, "Read-only file system")

        distributed.tempfile.NamedTemporaryFile = refuse
        return world.writes(tmp_path)

    assert together(2, work, tmp_path, machines=machines) == [True, machines == 2]


def test_exit_without_teardown_flushes_output_and_keeps_the_exit_code():
    """Connections of two ranks that are stopped would wait for each other in their destructors."""
    script = (
        "import atexit, time; atexit.register(time.sleep, 500); from dspkd.runtime import distributed; "
        "print('printed'); distributed._skip_teardown_at_exit(7)"
    )
    command = [sys.executable, "-c", script]
    ended = subprocess.run(command, check=False, capture_output=True, timeout=400)
    assert (ended.returncode, ended.stdout) == (7, b"printed\n")
