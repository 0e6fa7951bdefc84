import numpy as np
import pytest

from dspkd.errors import DataError
from dspkd.evaluation.fidelity import FATES, agreement, by_class, by_value, class_order, listed, tally
from dspkd.evaluation.predictions import Predictions

CLASSES = ("NV", "MEL", "BCC")
NV, MEL, BCC = range(3)
LABELS = [MEL, MEL, MEL, NV, NV, BCC, NV]
TEACHER = [MEL, MEL, NV, NV, BCC, NV, MEL]
STUDENT = [NV, MEL, NV, BCC, NV, MEL, MEL]
WORKED = ["forgotten", "kept", "copied", "forgotten", "corrected", "wrong otherwise", "copied"]


def predictions(predicted, labels=LABELS, ids=None, classes=CLASSES, sure=2.0):
    """Predictions by one-hot logits times how sure."""
    ids = ids or tuple(f"i{n}" for n in range(len(labels)))
    sure_N1 = np.broadcast_to(sure, len(labels))[:, None]
    logits = (np.eye(len(classes))[predicted] * sure_N1).astype(np.float32)
    return Predictions(classes, tuple(ids), tuple(ids), np.array(labels), logits)


@pytest.fixture
def worked():
    """Seven images whose outcomes were worked out by hand."""
    return agreement(predictions(STUDENT), predictions(TEACHER))


def test_each_image_has_the_fate_worked_out_by_hand(worked):
    assert worked.outcomes.tolist() == WORKED
    assert set(WORKED) == set(FATES)
    assert worked.agrees.tolist() == [False, True, True, False, False, False, True]


def test_the_tally_counts_them_and_its_shares_have_the_right_denominators(worked):
    got = tally(worked)
    assert (got.images, got.forgotten, got.copied, got.otherwise, got.corrected, got.kept) == (7, 2, 2, 1, 1, 1)
    assert (got.teacher_right, got.teacher_wrong) == (3, 4)
    assert got.forgets == pytest.approx(2 / 3)  # of the three that the teacher has right
    assert got.copies == pytest.approx(2 / 4)  # of the four that it has wrong
    assert got.corrects == pytest.approx(1 / 4)
    assert got.agreement == pytest.approx(3 / 7)


def test_classes_come_melanoma_first_and_add_up_to_all(worked):
    rows = by_class(worked)
    assert [row.name for row in rows] == ["MEL", "NV", "BCC"]
    assert [(row.images, row.forgotten, row.copied, row.kept) for row in rows] == [
        (3, 1, 1, 1),
        (3, 1, 1, 0),
        (1, 0, 0, 0),
    ]
    assert [row.agreement for row in rows] == pytest.approx([2 / 3, 1 / 3, 0])
    whole = tally(worked)
    for count in ("images", "forgotten", "copied", "otherwise", "corrected", "kept"):
        assert sum(getattr(row, count) for row in rows) == getattr(whole, count)


def test_a_set_without_images_or_without_errors_has_no_shares():
    nothing = by_class(agreement(predictions([MEL], [MEL]), predictions([MEL], [MEL])))[1]
    assert (nothing.images, nothing.forgets, nothing.agreement, nothing.kl) == (0, None, None, None)
    perfect = tally(agreement(predictions([MEL], [MEL]), predictions([MEL], [MEL])))
    assert (perfect.forgets, perfect.copies, perfect.corrects) == (0.0, None, None)


def test_kl_is_of_the_teacher_to_the_student_in_nats():
    """Two classes, teacher (0.8, 0.2), student (0.5, 0.5): 0.8 ln 1.6 + 0.2 ln 0.4."""
    two = ("A", "B")
    teacher = Predictions(two, ("x",), ("x",), np.array([0]), np.log([[0.8, 0.2]]).astype(np.float32))
    student = Predictions(two, ("x",), ("x",), np.array([0]), np.log([[0.5, 0.5]]).astype(np.float32))
    assert agreement(student, teacher).kl == pytest.approx([0.8 * np.log(1.6) + 0.2 * np.log(0.4)], rel=1e-6)
    assert agreement(teacher, student).kl == pytest.approx(
        [0.5 * np.log(0.5 / 0.8) + 0.5 * np.log(0.5 / 0.2)], rel=1e-6
    )


def test_kl_is_finite_not_negative_and_zero_of_oneself(drawn):
    one, other = drawn(1, gain=30.0), drawn(2, gain=30.0)
    other = Predictions(one.classes, one.ids, one.groups, one.labels, other.logits * 50)
    compared = agreement(one, other)
    assert np.isfinite(compared.kl).all()
    assert (compared.kl >= 0).all()
    assert agreement(one, one).kl == pytest.approx(np.zeros(len(one)), abs=1e-12)
    assert set(agreement(one, one).outcomes) <= {"kept", "copied"}


def test_mean_kl_and_agreement_of_a_class_are_means_over_its_images(drawn):
    one, two = drawn(1), drawn(2)
    compared = agreement(one, Predictions(one.classes, one.ids, one.groups, one.labels, two.logits))
    for k, row in zip(class_order(one.classes), by_class(compared), strict=True):
        mine = one.labels == k
        assert row.kl == pytest.approx(compared.kl[mine].mean())
        assert row.agreement == pytest.approx(np.mean(one.predicted[mine] == two.predicted[mine]))


def test_the_order_of_the_teachers_images_does_not_matter(drawn):
    one, two = drawn(1, images=60), drawn(2, images=60)
    rotated = np.arange(60)[::-1]
    teacher = Predictions(
        one.classes,
        tuple(one.ids[row] for row in rotated),
        tuple(one.groups[row] for row in rotated),
        one.labels[rotated],
        two.logits[rotated],
    )
    straight = agreement(one, Predictions(one.classes, one.ids, one.groups, one.labels, two.logits))
    got = agreement(one, teacher)
    assert got.outcomes.tolist() == straight.outcomes.tolist()
    assert np.array_equal(got.kl, straight.kl)
    assert got.teacher.groups == one.groups


def test_a_list_has_melanoma_first_then_classes_then_subgroups_then_the_greatest_drop():
    labels = [BCC, NV, MEL, MEL, MEL]
    teacher = predictions(labels, labels, sure=[4, 4, 1, 4, 4])
    student = predictions([NV, BCC, NV, NV, NV], labels, sure=[4, 4, 1, 4, 4])
    compared = agreement(student, teacher)
    assert listed(compared, "forgotten") == [3, 4, 2, 1, 0]
    assert listed(compared, "forgotten", ["", "", "male", "male", "female"]) == [4, 3, 2, 1, 0]
    assert listed(compared, "copied") == []


def test_the_drop_is_in_the_probability_of_the_true_class():
    compared = agreement(predictions([NV], [MEL]), predictions([MEL], [MEL]))
    high, low = np.exp(2) / (np.exp(2) + 2), 1 / (np.exp(2) + 2)
    assert compared.drop() == pytest.approx([high - low], rel=1e-6)


def test_subgroups_are_tallied_by_value(worked):
    sexes = ["female", "male", "female", "female", "male", "", ""]
    rows = by_value(worked, sexes)
    assert [(row.name, row.images, row.forgotten) for row in rows] == [("", 2, 0), ("female", 3, 2), ("male", 2, 0)]
    with pytest.raises(DataError, match="2 values for 7 images"):
        by_value(worked, ["a", "b"])


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        (
            predictions(TEACHER, classes=("NV", "BCC", "MEL")),
            "student's classes are NV, MEL, BCC, the teacher's NV, BCC, MEL",
        ),
        (
            predictions(TEACHER, ids=[*(f"i{n}" for n in range(6)), "other"]),
            r"no prediction for 1 of the student's 7 images, and 1 for other images, e.g. 'i6'",
        ),
        (predictions(TEACHER[:6], LABELS[:6]), r"1 of the student's 7 images, and 0 for other"),
        (predictions([*TEACHER, NV], [*LABELS, NV]), r"0 of the student's 7 images, and 1 for other images, e.g. 'i7'"),
        (predictions(TEACHER, [NV, *LABELS[1:]]), r"id 'i0': its label is MEL in the student's .* NV in the teacher's"),
    ],
)
def test_predictions_of_other_images_are_refused(teacher, message):
    with pytest.raises(DataError, match=message):
        agreement(predictions(STUDENT), teacher)
