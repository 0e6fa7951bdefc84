"""How ranks talk: who does what, who is told, who writes. Nothing is trained here."""

import os
import subprocess
import sys
import time

from dspkd.errors import DataError, RankError
from together import together


def test_one_rank_of_each_machine_works_first_and_the_others_after_it(tmp_path):
    """Three ranks as if on one machine, and four as if on two."""
    for count, machines in ((3, 1), (4, 2)):
        log = tmp_path / f"{machines}.log"

        def work(mine, log=log):
            def note():
                if mine.local_rank == 0:
                    time.sleep(0.3)  # the others would be done by now if they did not wait
                with log.open("a") as file:
                    file.write(f"{mine.local_rank}\n")
                return mine.rank

            return mine.rank_zero_first(note)

        assert together(count, work, tmp_path, machines=machines) == list(range(count))
        order = log.read_text().split()
        assert order[:machines] == ["0"] * machines
        assert "0" not in order[machines:]


def test_what_rank_0_alone_does_all_get_and_its_mistake_ends_all(tmp_path):
    def work(mine):
        said = mine.on_rank_zero(lambda: f"done by {mine.rank}")

        def fail():
            raise DataError("no such folder")

        try:
            mine.on_rank_zero(fail)
        except (DataError, RankError) as error:
            return said, type(error), str(error)

    first, *others = together(3, work, tmp_path)
    assert first == ("done by 0", DataError, "no such folder")
    assert others == [("done by 0", RankError, "rank 0: no such folder")] * 2


def test_rank_0_tells_its_own_mistake_or_that_of_the_first_other_and_where_it_was(tmp_path):
    def work(mine):
        told = []
        for failing in ({0, 2}, {1, 2}):

            def fail(failing=failing):
                if mine.rank in failing:
                    raise DataError(f"broken on {mine.rank}")

            try:
                mine.on_all(fail)
            except (DataError, RankError) as error:
                told.append((type(error), str(error).replace(os.uname().nodename, "HERE")))
        return told

    first, second, third = together(3, work, tmp_path)
    assert first == [(DataError, "broken on 0"), (DataError, "rank 1 on HERE: broken on 1")]
    assert second == third == [(RankError, "rank 0 on HERE: broken on 0"), (RankError, "rank 1 on HERE: broken on 1")]


def test_rank_0_writes_and_one_rank_of_each_machine_that_has_a_folder_of_its_own(tmp_path):
    """Ranks 0 and 2 are on one machine, 1 and 3 on the other."""
    for name in ("shared", "0", "1"):
        (tmp_path / name).mkdir()

    def work(mine):
        return mine.writes(tmp_path / "shared"), mine.writes(tmp_path / str(mine.rank % 2))

    said = together(4, work, tmp_path, machines=2)
    assert [shared for shared, _ in said] == [True, False, False, False]
    assert [own for _, own in said] == [True, True, False, False]
    assert not list((tmp_path / "shared").iterdir())


def test_a_rank_that_ends_waits_for_nobody_and_what_it_said_is_read():
    """Connections of two ranks that are stopped would wait for each other when they are taken down."""
    script = (
        "import atexit, time; atexit.register(time.sleep, 500); from dspkd.runtime import distributed; print('said');"
    )
    command = [sys.executable, "-c", f"{script} distributed._end_at_once(7)"]
    ended = subprocess.run(command, check=False, capture_output=True, timeout=400)
    assert (ended.returncode, ended.stdout) == (7, b"said\n")
