import dataclasses

import numpy as np
import pytest
from sklearn.metrics import auc

from dspkd.evaluation.calibration import reliability
from dspkd.evaluation.metrics import summarise
from dspkd.evaluation.selective import risk_coverage
from dspkd.reports import plots
from dspkd.reports import style as paper
from dspkd.reports.comparison import arms
from dspkd.runs import run_folder


@pytest.fixture(scope="module")
def run(whole):
    return run_folder.read(whole)


@pytest.fixture
def axes():
    with paper.style():
        _, (panel,) = paper.sheet()
        yield panel


def test_each_cell_of_the_matrix_is_as_dark_as_its_share_of_the_true_class(axes, run):
    test = summarise(run.predictions("test"))
    plots.confusion(axes, test)
    counts = np.array(test.confusion)
    for cell in axes.patches:
        column, row = np.array(cell.get_xy()) + 0.47
        share = counts[round(row), round(column)] / counts[round(row)].sum()
        assert cell.get_alpha() == pytest.approx(0.05 + 0.67 * share)
    assert len(axes.patches) == counts.size
    for text in axes.texts:
        column, row = text.get_position()
        assert int(text.get_text()) == counts[row, column]


def test_a_matrix_with_an_empty_row_and_many_classes_is_drawn_without_counts(axes, run):
    few = summarise(run.predictions("test"))
    rows = tuple(dataclasses.replace(few.per_class[0], name=str(n)) for n in range(25))
    many = dataclasses.replace(few, per_class=rows, confusion=(*[(1,) * 25] * 24, (0,) * 25))
    plots.confusion(axes, many)
    assert len(axes.patches) == 625
    assert not axes.texts


def test_the_loss_is_drawn_as_logged(axes, run):
    stage = run.result.stages[0]
    history = run.epochs_of(stage)
    plots.loss(axes, history, stage)
    drawn = {line.get_label(): line.get_xydata() for line in axes.lines}
    assert list(drawn) == ["total", "labels", "hierarchical_fusion"]
    for name, points in drawn.items():
        np.testing.assert_allclose(points, [(epoch.epoch, epoch.train[name]) for epoch in history])
    assert axes.get_ylim()[0] == 0


def test_shares_of_the_loss_fill_each_epoch(axes, run):
    stage = run.result.stages[0]
    history = run.epochs_of(stage)
    plots.shares(axes, history, stage)
    labels, fusion = (patch.get_data() for patch in axes.patches)
    np.testing.assert_allclose(labels.values, [e.parts["labels"] / e.train["total"] for e in history])
    np.testing.assert_allclose(fusion.baseline, labels.values)
    np.testing.assert_allclose(fusion.values, 1)
    assert axes.texts[0].get_text() == f"labels, finally {labels.values[-1]:.0%}"


def test_the_kept_epoch_is_marked(axes, run):
    stage = run.result.stages[0]
    plots.validation(axes, run.epochs_of(stage), stage)
    curve, mark = axes.lines
    assert mark.get_xydata().tolist() == [[stage.best_epoch, stage.best_score]]
    assert max(curve.get_ydata()) == stage.best_score
    assert axes.texts[0].get_text() == f"kept: epoch {stage.best_epoch}, {stage.best_score:.3f}"


def test_the_area_under_the_drawn_curve_is_the_auc(axes, run):
    row = summarise(run.predictions("test")).per_class[1]
    plots.roc(axes, run.predictions("test"), 1, row.auc)
    assert auc(*axes.lines[1].get_data()) == pytest.approx(row.auc)
    assert f"AUC {row.auc:.3f}" in [text.get_text() for text in axes.texts]


def test_each_bin_of_confidence_is_a_point_where_it_belongs(axes, run):
    bins = reliability(run.predictions("test"))
    plots.reliability(axes, bins, "as it is")
    (points,) = axes.collections
    np.testing.assert_allclose(points.get_offsets(), [(row.confidence, row.accuracy) for row in bins])
    sizes = points.get_sizes()
    largest = max(range(len(bins)), key=lambda number: bins[number].images)
    assert sizes.argmax() == largest


def test_risk_is_drawn_up_to_full_coverage(axes, run):
    plots.risk_coverage(axes, *risk_coverage(run.predictions("test")))
    (line,) = axes.lines
    assert line.get_xydata()[-1] == pytest.approx([1, 1 - summarise(run.predictions("test")).accuracy])
    assert axes.get_ylim()[1] > max(line.get_ydata())


def test_a_whole_run_is_one_line_over_all_its_stages(axes, run):
    (contender,) = arms([run])
    plots.whole_run(axes, contender)
    line, rule = axes.lines
    assert line.get_ydata().tolist() == [epoch.val["balanced_accuracy"] for epoch in run.history]
    assert line.get_xdata().tolist() == [1, 2, 3, 4]
    assert set(rule.get_xdata()) == {3.5}


def test_colours_have_one_meaning_each_and_both_lights_the_same_roles():
    assert len(set(paper.LIGHT.values())) == len(paper.LIGHT)
    assert list(paper.LIGHT) == list(paper.DARK)


def luminance(colour):
    channels = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return np.dot([0.2126, 0.7152, 0.0722], linear)


def contrast(one, other):
    dark, light = sorted(luminance(colour) for colour in (one, other))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("palette", [paper.LIGHT, paper.DARK], ids=["light", "dark"])
def test_text_has_the_contrast_that_wcag_asks_for(palette):
    pairs = [(ink, ground) for ink in ("ink", "muted", "accent") for ground in ("page", "card")]
    pairs += [("on-series", role) for role in palette if role.startswith("series-")]
    pairs.append(("warn", "warn-card"))
    assert [pair for pair in pairs if contrast(*(palette[role] for role in pair)) < 4.5] == []


@pytest.mark.parametrize("palette", [paper.LIGHT, paper.DARK], ids=["light", "dark"])
def test_ink_can_be_read_on_the_darkest_cell(palette):
    channels = [[int(palette[role][n : n + 2], 16) for n in (1, 3, 5)] for role in ("cell", "card")]
    blend = "#" + "".join(f"{round(0.72 * cell + 0.28 * card):02x}" for cell, card in zip(*channels, strict=True))
    assert contrast(blend, palette["ink"]) >= 4.5
