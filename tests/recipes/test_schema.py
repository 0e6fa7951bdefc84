import dataclasses
import hashlib
import json

import pytest

from dspkd.errors import RecipeError
from dspkd.recipes import schema
from dspkd.recipes.stage import RampConfig

GOOD = """
name = "dsp_kd"
teacher = "runs/teacher"
[data]
path = "data"
[model]
name = "shufflenet_v2_x1_0"
[[stages]]
name = "features"
epochs = 2
lr = 1e-3
terms = [{ method = "labels" }, { method = "mgd", weight = 7e-5, options = { mask_ratio = 0.15 } }]
[[stages]]
name = "logits"
epochs = 3
lr = 1e-4
terms = [{ method = "normkd" }]
"""


@pytest.fixture
def good(tmp_path):
    path = tmp_path / "good.toml"
    path.write_text(GOOD)
    return path


def test_a_recipe_is_read_from_a_file(good):
    read = schema.load(good)
    assert [stage.name for stage in read.stages] == ["features", "logits"]
    assert read.stages[0].terms[1].options == {"mask_ratio": 0.15}
    assert read.epochs == 5
    assert read.split == schema.SplitConfig()


@pytest.mark.parametrize(
    ("overrides", "decay"),
    [
        ([], 0.05),
        (["stages.1.optimizer='sgd'"], 1e-4),
        (["stages.1.optimizer='sgd'", "stages.1.weight_decay=0.05"], 0.05),
        (["stages.1.weight_decay=0.05", "stages.1.optimizer='sgd'"], 0.05),
        (["stages.1.weight_decay=0.0"], 0.0),
    ],
)
def test_the_default_weight_decay_is_that_of_the_optimizer(good, tmp_path, overrides, decay):
    first, second = schema.load(good, overrides).stages
    assert (first.weight_decay, second.weight_decay) == (0.05, decay)
    assert dataclasses.replace(second, lr=0.1).weight_decay == decay
    (written_out := tmp_path / "written_out.toml").write_text(schema.dump(schema.load(good)))
    assert schema.load(written_out, overrides).stages == (first, second)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stages.0.epochs='3'", r"stages\.0\.epochs: .*integer.*'3'"),
        ("stages.0.epochs=0", r"stages\.0\.epochs: .*greater than 0"),
        ("stages.0.epochs=true", r"stages\.0\.epochs: .*integer"),
        ("stages.1.epoch=3", r"stages\.1\.epoch: no such key; did you mean 'epochs'"),
        ("stages.1.terms.0.wieght=3", r"stages\.1\.terms\.0\.wieght: no such key; did you mean 'weight'"),
        ("images.randaugment.magnitud=3", r"images\.randaugment\.magnitud: .*'magnitude'"),
        ("data.columns.lables=['x']", r"data\.columns\.lables: no such key; did you mean 'label"),
        ("techer='x'", r"techer: no such key; did you mean 'teacher'"),
        ("qqq=1", r"qqq: no such key; known: name, data"),
        ("stages.1.start='best'", r"stages\.1\.start: .*'previous'"),
        ("stages.1.name='features'", r"stage names must differ"),
        ("stages.1.name='a/b'", r"stages\.1\.name: .*pattern"),
        ("stages.0.keep='first'", r"stages\.0\.keep: .*'best' or 'last'"),
        ("stages.0.terms.1.ramp={epoch=3}", r"terms\.1\.ramp\.epoch: no such key; did you mean 'epochs'"),
        ("stages.0.terms.1.ramp={epochs=1, shape='cosine'}", r"terms\.1\.ramp\.shape: .*'linear' or 'sigmoid'"),
        ("stages.0.terms.1={method='mgd', weight=2.0, share=0.4}", r"terms\.1: weight 2 and share 0\.4 exclude"),
        ("stages.0.terms.1={method='mgd', share=0.4, ramp={epochs=1}}", r"terms\.1: a share .*leave out ramp"),
        ("stages.0.terms.1={method='mgd', share=1.0}", r"terms\.1\.share: .*less than 1"),
        ("stages.0.terms=[{method='mgd', share=0.4}]", r"stages\.0: each term has a share.* weight"),
        (
            "stages.0.terms=[{method='labels'}, {method='mgd', share=0.6}, {method='at', share=0.4}]",
            r"stages\.0: shares sum to 1,",
        ),
        ("split.val=1.0", r"split\.val: .*less than 1"),
        ("split.test=0", r"split\.test: .*greater than 0"),
        ("split.test=0.9", r"split: val 0\.15 and test 0\.9 "),
        ("split.waiver=' '", r"split: waiver is empty"),
        ("split.waiver=true", r"split\.waiver: .*valid string"),
        ("split={file='a', column='b'}", r"split: file and column"),
        ("train.balance=2", r"train\.balance: .*less than or equal to 1"),
        ("train.ema=1.0", r"train\.ema: .*less than 1"),
        ("teacher=5", r"teacher: write a run folder or a list .*got 5"),
        ("teacher=['a', 5]", r"teacher: write a run folder or a list .*5"),
        ("teacher=[]", r"teacher: write a run folder or a list .*\[\]"),
        ("teacher={}", r"teacher: name either a run folder"),
        ("teacher={run='a', answers='b.csv'}", r"teacher: name either a run folder"),
        ("teacher={answers='b.csv', views=8}", r"teacher: views is for a teacher that is run"),
        ("teacher.run=true", r"teacher\.run: write a run folder or a list .*True"),
        ("teacher.run=['a', 'a']", r"teacher\.run: a run folder is named twice.*'a'"),
        ("teacher.cross_fit=1", r"teacher\.cross_fit: .*greater than or equal to 2.*1"),
        ("teacher.views=4", r"teacher\.views: .*1, 2 or 8.*4"),
        ("teacher.size=0", r"teacher\.size: .*greater than 0.*0"),
        ("teacher.weights='median'", r"teacher\.weights: .*'mean', 'agreement' or 'label'.*'median'"),
        (
            "teacher={run=['a', 'b'], weights='agreement'}",
            r"teacher: .*needs three teachers, got 2.*'label' or 'mean'|\"label\"",
        ),
        ("teacher={run='a', weights='label'}", r"teacher: .*run names one; name two or more"),
        ("teacher.ran='a'", r"teacher\.ran: no such key; did you mean 'run'"),
        ("seed=2020-01-01", r"dates and times"),
        ("images.size=1e9", r"images\.size: .*integer"),
        ("images.size=1000000000", r"images\.size: .*less than or equal to 4096"),
        ("images.views=1000000000", r"images\.views.*less than or equal"),
        ("train.batch_size=1000000000", r"train\.batch_size: .*less than or equal"),
        ("teacher={run='a', size=1000000000}", r"teacher\.size: .*less than or equal"),
        ("stages.0.lr=inf", r"stages\.0\.lr: .*finite.*inf"),
        ("stages.0.lr=nan", r"stages\.0\.lr: "),
        ("stages.0.terms.1={method='mgd', weight=inf}", r"terms\.1\.weight: .*finite"),
        ("stages.0.terms.1.options={lambda=inf}", r"options: lambda: must be a finite number"),
        ("stages.0.terms.1.options={width=1000000000}", r"options: width: .*at most 1,000,000"),
        ("train.clip=inf", r"train\.clip: .*finite"),
        ("seed=" + "9" * 5000, r"--set seed=9+: .*not a TOML value"),
        ("seed=0x" + "f" * 5000, r"too many digits"),
        ("name=" + "[" * 5000 + "]" * 5000, r"--set name=.*not a TOML value"),
        ("stages.9.lr=1.0", r"stages\.9\.lr=1\.0: .*2"),
        ("seed", r"key=value"),
        *(
            (f"{key}='{'é' * 130}'", rf"{key}: too long for the path .*130 characters")
            for key in (
                "data.path",
                "data.classes",
                "data.unlabelled",
                "split.file",
                "teacher.answers",
                "model.weights",
            )
        ),
        ("teacher='runs/" + "a" * 256 + "'", r"teacher\.run\.0: too long"),
        ("data.path='" + "a/" * 1600 + "'", r"data\.path: too long .*3,200 characters"),
        ("data.path=images", r"--set 'data\.path=\"images\"'"),
        ("name.x.y=1", r"'x' in 'dsp_kd'"),
    ],
)
def test_an_invalid_value_is_refused_by_place(good, override, message):
    with pytest.raises(RecipeError, match=message):
        schema.load(good, [override])


def test_a_misspelt_required_key_gives_two_lines(tmp_path):
    (tmp_path / "r.toml").write_text(GOOD.replace("epochs = 2", "epoch = 2"))
    with pytest.raises(RecipeError) as raised:
        schema.load(tmp_path / "r.toml")
    lines = sorted(line.split(": ", 1)[1] for line in str(raised.value).splitlines())
    assert lines[0].startswith("stages.0.epoch: no such key; did you mean 'epochs'")
    assert lines[1].startswith("stages.0.epochs: Field required")
    assert len(lines) == 2


@pytest.mark.parametrize(("old", "new"), [("pictures", "images"), ("bank", "teacher_cache")])
def test_an_old_key_is_refused_in_one_line_with_the_new_one(good, old, new):
    with pytest.raises(RecipeError, match=rf"^[^\n]*: {old}: renamed; write {new}$"):
        schema.load(good, [f"{old}={{}}"])


def test_a_missing_file_and_one_that_is_not_toml_are_refused_by_name(tmp_path):
    with pytest.raises(RecipeError, match=r"none\.toml: "):
        schema.load(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("a = = 1")
    with pytest.raises(RecipeError, match=r"bad\.toml: not TOML: .*line 1"):
        schema.load(tmp_path / "bad.toml")


def test_overrides_may_set_keys_that_the_file_leaves_out(good):
    read = schema.load(good, ["images.randaugment.num_ops=0", "stages.1.terms.0.options.t_norm=2.0", "seed=7"])
    assert read.images.randaugment.num_ops == 0
    assert read.stages[1].terms[0].options == {"t_norm": 2.0}
    assert read.seed == 7


@pytest.mark.parametrize("runs", [["runs/a"], ["runs/a", "runs/b"]])
def test_a_teacher_is_a_run_several_runs_or_a_table_and_they_mean_the_same(good, runs):
    written = [f"teacher={runs}", f"teacher={{run={runs}}}", f"teacher.run={runs}"]
    if len(runs) == 1:
        written += ["teacher='runs/a'", "teacher={run='runs/a'}", "teacher.run='runs/a'"]
    recipes = [schema.load(good, [override]) for override in written]
    assert all(recipe.teachers == tuple(runs) for recipe in recipes)
    assert len({recipe.digest for recipe in recipes}) == 1
    assert recipes[0].digest != schema.load(good).digest
    assert schema.load(good).with_teachers(runs) == recipes[0]


def test_other_teachers_keep_the_settings_and_too_few_for_them_are_refused(good):
    recipe = schema.load(good, ["teacher={run=['a', 'b', 'c'], weights='agreement', views=2}"])
    other = recipe.with_teachers(["d", "e", "f"])
    assert other.teachers == ("d", "e", "f")
    assert (other.teacher.weights, other.teacher.views) == ("agreement", 2)
    with pytest.raises(RecipeError, match=r"^dsp_kd: teacher: .*needs three teachers, got 1"):
        recipe.with_teachers(["d"])


def test_a_recipe_without_a_teacher_has_none(tmp_path):
    (tmp_path / "plain.toml").write_text(GOOD.replace('teacher = "runs/teacher"', ""))
    assert schema.load(tmp_path / "plain.toml").teachers == ()


def test_a_dumped_recipe_reads_back_as_the_same(good):
    import tomllib

    read = schema.load(good)
    again = schema.parse(tomllib.loads(schema.dump(read)))
    assert again == read
    assert again.digest == read.digest


def test_the_digest_changes_with_any_setting_but_the_machine_and_the_advice(good):
    digest = schema.load(good).digest
    for override in (
        "seed=1",
        "stages.1.lr=2e-4",
        "train.balance=0.5",
        "split.seed=1",
        "stages.0.terms.1.options.tap='x'",
        "teacher.cross_fit=2",
        "teacher.views=2",
        "teacher.size=300",
        "teacher={run=['runs/teacher', 'b'], weights='label'}",
    ):
        assert schema.load(good, [override]).digest != digest, override
    advice = ("data.malignant=['x']", "data.benign=['x']", "model.partial_weights=true")
    for override in ("machine.workers=3", "machine.device='cuda'", "machine.threads=1", *advice):
        assert schema.load(good, [override]).digest == digest, override


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("folds=1 fold=0", r"split\.folds: .*greater than or equal to 2, got 1"),
        ("folds=5", r"5 folds are numbered 0 to 4, but no fold is given; choose one"),
        ("folds=5 fold=5", r"numbered 0 to 4, but fold is 5"),
        ("folds=5 fold=-1", r"split\.fold: .*greater than or equal to 0, got -1"),
        ("fold=1", r"fold 1 of how many\? Set folds too"),
        ("folds=5 fold=0 file='a.csv'", r"file and folds both define the parts; keep one"),
        ("folds=5 fold=0 column='part'", r"column and folds both define the parts; keep one"),
        ("folds=2 fold=0 val=0.5", r"val 0\.5 and one of 2 folds leave nothing to train on"),
        ("folds=5 fold=0 test=0.3", r"test is 0\.3, but with folds .* one of 5; leave test out"),
    ],
)
def test_a_wrong_fold_is_refused_with_the_right_ones(good, settings, message):
    with pytest.raises(RecipeError, match=message):
        schema.load(good, [f"split.{setting}" for setting in settings.split()])


def test_each_fold_has_its_digest_and_a_recipe_without_folds_that_of_before(good):
    digests = {schema.load(good, ["split.folds=5", f"split.fold={fold}"]).digest for fold in range(5)}
    assert len(digests | {schema.load(good, ["split.folds=4", "split.fold=0"]).digest, schema.load(good).digest}) == 7
    settings = dataclasses.asdict(schema.load(good))
    del settings["machine"], settings["model"]["partial_weights"]
    for key in ("malignant", "benign", "columns", "licences"):
        del settings["data"][key]
    for key in ("waiver", "folds", "fold", "labelled"):
        del settings["split"][key]
    before = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
    assert schema.load(good).digest == before


def test_the_order_of_class_names_is_part_of_the_digest_and_recipes_with_names_can_be_keys(good):
    """Names are in the order of the outputs: a run that resumed with another one would exchange its classes."""
    one, other = (
        schema.load(good, [f"data.columns.names={names}"])
        for names in ("{ 0='benign', 1='malignant' }", "{ 1='malignant', 0='benign' }")
    )
    assert one.digest != other.digest
    assert len({one.data: 1, schema.load(good).data: 2, one.data: 3}) == 2


@pytest.mark.parametrize(("shape", "shares"), [("linear", [0, 0.25, 1, 1]), ("sigmoid", [0.006738, 0.060055, 1, 1])])
def test_a_ramp_rises_to_one_and_stays_there(shape, shares):
    ramp = RampConfig(epochs=4, shape=shape)
    assert [ramp.share(elapsed) for elapsed in (0, 1, 4, 7.5)] == pytest.approx(shares, rel=1e-4)


def test_terms_of_one_method_are_numbered(good):
    terms = "[{method='kd'}, {method='labels'}, {method='kd'}, {method='kd', ramp={epochs=2}}]"
    stage = schema.load(good, [f"stages.1.terms={terms}"]).stages[1]
    assert stage.part_names == ("kd", "labels", "kd#2", "kd#3")
    assert stage.terms[3].ramp == RampConfig(epochs=2, shape="linear")


def test_no_torch_is_needed_to_read_a_recipe():
    import subprocess
    import sys

    code = "import sys, dspkd.recipes.schema, dspkd.recipes.catalog, dspkd.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
