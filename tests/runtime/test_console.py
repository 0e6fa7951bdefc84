import io
import re
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from dspkd.cli import tables
from dspkd.evaluation.metrics import summarise
from dspkd.evaluation.predictions import Predictions
from dspkd.runs.explain import Facts, NetworkFacts, StageFacts, TermFacts
from dspkd.runtime.console import ConsoleProgress, terminal


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=80, markup=False, emoji=False, highlight=False)


def printed(console):
    return console.file.getvalue().splitlines()


def row(console, name):
    """Return the cells of the row of a table whose first cell is `name`."""
    lines = [[cell.strip() for cell in re.split("[│┃]", line)[1:-1]] for line in printed(console)]
    (cells,) = [cells for cells in lines if cells[:1] == [name]]
    return cells


def record(epoch, **changes):
    epoch_record = {
        "stage": "features", "epoch": epoch, "train": {"total": 2.5, "labels": 2.0, "hierarchical_fusion": 0.5},
        "val": {"balanced_accuracy": 0.125, "accuracy": 0.25}, "best": False,
    }  # fmt: skip
    return {**epoch_record, **changes}


def test_counts_have_a_row_per_class_and_a_total_of_images(console):
    ConsoleProgress(console).data(
        {"train": {"MEL": [21, 8], "[red]": [2, 1]}, "test": {"MEL": [3, 2], "[red]": [0, 0]}}
    )
    assert row(console, "class") == ["class", "train", "test"]
    assert row(console, "MEL") == ["MEL", "21 (8)", "3 (2)"]
    assert row(console, "[red]") == ["[red]", "2 (1)", "0 (0)"]
    assert row(console, "all") == ["all", "23", "3"]


def test_an_epoch_is_one_line_and_the_best_so_far_has_a_star(console):
    listener = ConsoleProgress(console)
    with listener:
        listener.step("features", 1, 1, 2)
        listener.epoch(record(1, best=True))
        listener.step("features", 2, 1, 2)
        listener.epoch(record(2))
    first, second = printed(console)
    assert first == (
        "features epoch 1  loss 2.5 (labels 2  hierarchical_fusion 0.5)  "
        "val balanced accuracy 0.125  accuracy 0.250  * kept"
    )
    assert second.startswith("features epoch 2 ")
    assert "*" not in second


def test_on_a_terminal_a_bar_shows_the_running_epoch_and_is_removed_at_its_end():
    on_terminal = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    listener = ConsoleProgress(on_terminal)
    with listener:
        listener.step("features", 1, 3, 7)
        listener._progress.refresh()
        assert "3/7" in on_terminal.file.getvalue()
        listener.epoch(record(1))
        assert listener._progress.tasks == []
        listener.step("features", 2, 1, 7)
        listener.step("features", 2, 2, 7)
        assert [(task.description, task.completed) for task in listener._progress.tasks] == [("features epoch 2", 2)]


def test_bars_show_the_runs_of_a_comparison_and_the_epochs_of_all_stages():
    listener = ConsoleProgress(Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None))

    def bars():
        return {task.description: (task.completed, task.total) for task in listener._progress.tasks}

    with listener:
        listener.runs(0, 6)
        listener.run("kd", 3)
        listener.epoch(record(1))  # of an earlier, interrupted call
        listener.step("logits", 1, 1, 4)
        assert bars() == {"runs": (0, 6), "kd: epochs": (1.25, 3), "logits epoch 1": (1, 4)}
        listener.epoch(record(1, stage="logits"))
        listener.runs(1, 6)
        assert bars() == {"runs": (1, 6), "kd: epochs": (2, 3)}
        listener.run("mgd", 5)
        assert bars() == {"runs": (1, 6), "mgd: epochs": (0, 5)}


def test_a_summary_has_a_row_per_class_and_no_recall_for_a_class_without_images(console):
    labels = np.array([0, 0, 1], dtype=np.int64)
    logits = np.array([[2, 1, 0], [1, 2, 0], [0, 3, 1]], dtype=np.float32)
    predictions = Predictions(("MEL", "[NV]", "DF"), ("a", "b", "c"), ("x", "x", "y"), labels, logits)
    tables.print_summary(console, summarise(predictions), predictions.groups)
    assert printed(console)[0].strip() == "3 images of 2 lesions or patients"
    assert row(console, "MEL") == ["MEL", "2", "0.500", "1.000", "1.000", "0.667", "1.000"]
    assert row(console, "[NV]") == ["[NV]", "1", "1.000", "0.500", "0.500", "0.667", "1.000"]
    assert row(console, "DF") == ["DF", "0", "\N{EN DASH}", "0.000", "1.000", "\N{EN DASH}", "\N{EN DASH}"]
    assert printed(console)[-2:] == [
        "balanced accuracy 0.750  macro F1 0.667  accuracy 0.667  AUC 1.000",
        "no image of DF: left out of the means",
    ]
    tables.print_results(console, [("a run", 58772, summarise(predictions))])
    assert row(console, "a run") == ["a run", "58,772", "0.750", "0.667", "0.667"]


def test_facts_are_printed_with_shapes_sizes_and_small_shares(console):
    network = NetworkFacts("tiny", 58772, {"last": (96, 1, 1), "pooled": (96,)})
    terms = (TermFacts("labels", 1.0, 2.1, 0.99996, 0), TermFacts("hierarchical_fusion", 1e-3, 7e-4, 4e-5, 706177))
    stages = (StageFacts("features", 2, 764949, terms), StageFacts("logits", 1, 58772, terms[:1]))
    tables.print_facts(console, Facts("abc", 143, 32, network, None, stages))
    text = console.file.getvalue()
    assert "recipe abc: 143 training images, batches of 32" in text
    assert "student tiny: 58,772 parameters\n  last 96x1x1  pooled 96\n" in text
    assert "teacher" not in text
    assert "stage features: 2 epochs, 764,949 parameters trained" in text
    assert "stage logits: 1 epoch, 58,772 parameters trained" in text
    assert row(console, "hierarchical_fusion") == ["hierarchical_fusion", "0.001", "0.0007", "0.004%", "706,177"]
    assert max(map(len, printed(console))) < 100


def network(name, library, parameters, paper, note):
    return SimpleNamespace(name=name, library=library, parameters=parameters, paper_millions=paper, note=note)


def test_models_fit_80_columns(console):
    tiny = network("tiny", "dspkd", {8: 58772, 1000: 154996}, None, "for tests only")
    longest = network("shufflenet_v2_x1_0", "torchvision", {8: 87574664, 1000: 88591464}, 87.575, "")
    tables.print_models(console, [tiny, longest])
    assert "…" not in console.file.getvalue()
    assert row(console, "tiny") == ["tiny", "dspkd", "58,772", "154,996", ""]
    assert row(console, longest.name) == [longest.name, "torchvision", "87,574,664", "88,591,464", "87.575 M"]
    assert printed(console)[-1] == "tiny: for tests only"


def test_the_console_on_standard_output_prints_brackets_literally(capsys):
    terminal().print("runs/[bold]x[/y] :smile:")
    assert capsys.readouterr().out == "runs/[bold]x[/y] :smile:\n"
