"""The kinds of input: how one is written, nearly valid, and everything that is done with a file of that kind."""

import hashlib
import json
import shutil
import tomllib
from pathlib import Path

import numpy as np
import tomli_w

from bundles import contents, manifest_of, write
from dspkd import data, reports
from dspkd.cli.bundle_limits import limited
from dspkd.data import answer_files, artefacts, class_map, decode, split
from dspkd.data.audit import fingerprint
from dspkd.deploy import Predictor
from dspkd.deploy.bundle import limits as bundle_limits
from dspkd.deploy.bundle import preprocess
from dspkd.deploy.bundle.reader import open_bundle
from dspkd.deploy.bundle.spec import Preprocessing
from dspkd.deploy.bundle.verify import verify
from dspkd.deploy.export import golden
from dspkd.deploy.serve import image_checks
from dspkd.deploy.serve.limits import Limits
from dspkd.errors import BundleError, DspkdError
from dspkd.recipes import schema
from dspkd.runs import integrity, validate
from dspkd.runs.run_folder import Run
from fuzz import networks
from fuzz.cases import fault_of
from fuzz.mutations import in_bytes, in_json, in_text, in_values, written
from fuzz.originals import images, write_sets
from fuzz.requests import Requests
from serving import encoded, lesion, make_bundle


class Images:
    """Files in every format that is opened, in several modes, and under any suffix."""

    together = 30

    def __init__(self, folder):
        self.originals = images()

    def write(self, draw, folder):
        path = folder / f"image{draw.choice(['.jpg', '.png', '.webp', '.tif', '.gif', '.bmp', '.avif', '.dcm'])}"
        path.write_bytes(in_bytes(draw.choice(self.originals), draw, self.originals))
        return path

    def use(self, path):
        content = path.read_bytes()
        uses = [
            lambda: decode.decode(path, short_side=32),
            lambda: preprocess.apply(preprocess.decode(path), Preprocessing(37, 32, tuple(artefacts.REMOVERS))),
            lambda: preprocess.decode(content),
            lambda: image_checks.check(content, Limits()),
            lambda: fingerprint.take((path,)),
        ]
        _each(uses)


class Bundles:
    """Bundles: bytes of the file, or a JSON file, a golden case or a network in it with a manifest that fits."""

    together = 30

    def __init__(self, folder):
        path = make_bundle(folder / "model.dspkd", int8=True)
        files = contents(path)
        drawn = {f"golden/{n}.png": lesion(n, size=80 + n) for n in range(2)}
        steps = Preprocessing(37, 32, ())
        pixels = np.stack([preprocess.apply(image, steps) for image in drawn.values()])
        models = {name: files[f"model.{name}.onnx"] for name in ("fp32", "int8")}
        files |= golden.computed(drawn, pixels, models, temperature=1.5)
        share = {"share": 0.5, "low": 0.1, "high": 0.9, "images": 9, "lesions": 8}
        advice = {"recall": {"MEL": share, "BCC": share}, "cancers referred": share, "benign referred": share}
        files["certificate.json"] = json.dumps({"parts": {"test": {"advice": advice}}}).encode()
        self.files = files
        self.whole = write(folder / "whole.dspkd", files).read_bytes()
        self.image = encoded(lesion(), "PNG")
        Predictor(folder / "whole.dspkd").predict(self.image)

    def write(self, draw, folder):
        path, files = folder / "bad.dspkd", dict(self.files)
        where = draw.random()
        if where < 0.15:
            path.write_bytes(in_bytes(self.whole, draw))
            return path
        manifest = None
        if where < 0.6:
            name = draw.choice(["spec.json", "spec.json", "golden/golden.json", "certificate.json"])
            files[name] = in_json(json.loads(files[name]), draw)
        elif where < 0.75:
            name = draw.choice(sorted(files))
            files[name] = in_bytes(files[name], draw)
        else:
            manifest = in_json(json.loads(manifest_of(files)), draw)
        return write(path, files, manifest)

    def use(self, path):
        with limited(path):
            bundle = open_bundle(path)
            uses = [
                bundle.check,
                lambda: bundle_limits.lines(bundle),
                lambda: bundle.read_text("card.md"),
                lambda: Predictor(bundle, "fp32").predict(self.image),
                lambda: Predictor(bundle).predict(self.image),
                lambda: _verified(bundle),
            ]
            _each(uses)


class Networks(Bundles):
    """Bundles with another ONNX graph, and manifest and specification that fit it."""

    def write(self, draw, folder):
        files = dict(self.files)
        name = draw.choice(["model.fp32.onnx", "model.int8.onnx"])
        files[name] = networks.changed(files[name], draw)
        spec = json.loads(files["spec.json"])
        for model in spec["models"].values():
            model["bytes"] = len(files[model["file"]])
        files["spec.json"] = json.dumps(spec).encode()
        return write(folder / "bad.dspkd", files)


class Recipes:
    """Recipes of the library in TOML, and class maps."""

    together = 50

    def __init__(self, folder):
        library = Path(schema.__file__).parent / "library"
        self.texts = [path.read_text() for path in sorted(library.rglob("*.toml")) if "grids" not in path.parts]
        self.maps = ['[classes]\nMEL = ["melanoma", "mel"]\nNV = ["nevus"]\n', 'drop = ["x"]\n[classes]\nA = ["b"]\n']

    def write(self, draw, folder):
        path = folder / draw.choice(["recipe.toml", "recipe.toml", "recipe.toml", "classes.toml"])
        text = draw.choice(self.maps if path.name == "classes.toml" else self.texts)
        if draw.random() < 0.5:
            path.write_bytes(in_text(text, draw))
        else:
            changed = _without_none(in_values(tomllib.loads(text), draw))
            path.write_bytes(written(tomli_w.dumps(changed)))
        return path

    def use(self, path):
        if path.name == "classes.toml":
            class_map.load(path)
            return
        recipe = schema.load(path)
        assert schema.parse(tomllib.loads(schema.dump(recipe))).digest == recipe.digest
        validate.check(recipe)


class Tables:
    """Data sets: a table in CSV, JSON lines, npz or parquet beside images; files of answers; splits."""

    together = 20

    def __init__(self, folder):
        self.folder = folder / "sets"
        write_sets(self.folder)

    def write(self, draw, folder):
        of = draw.choice(sorted(self.folder.iterdir()))
        shutil.copytree(of, copy := folder / of.name)
        path = draw.choice(sorted(each for each in copy.rglob("*") if each.is_file() and each.suffix != ".png"))
        content = path.read_bytes()
        text = path.suffix in {".csv", ".jsonl", ".tab"}
        path.write_bytes(in_text(content.decode(), draw) if text else in_bytes(content, draw))
        return copy

    def use(self, path):
        if path.name == "answers":
            _each([lambda file=file: answer_files.read(file, ("a", "b")) for file in sorted(path.iterdir())])
            return
        read = data.load(path, merge_copies=False)
        _each([lambda: read.card, lambda: data.load(path), lambda: split.load(path / "split.csv", read.table)])


class Runs:
    """Run folders with one file changed, with and without their digests."""

    together = 3

    def __init__(self, folder):
        from dspkd.data.synthetic.dataset import synthesize
        from tiny_runs import recipe, trained

        synthesize(folder / "lesions", images=120, size=32, seed=3)
        self.run = trained(recipe(folder / "lesions"), folder / "run")
        self.names = [path.relative_to(self.run).as_posix() for path in sorted(self.run.rglob("*")) if path.is_file()]

    def write(self, draw, folder):
        shutil.copytree(self.run, copy := folder / "run")
        name = draw.choice([each for each in self.names if not each.endswith((".lock", ".html"))])
        path = copy / name
        content = path.read_bytes()
        if path.suffix == ".json":
            content = in_json(json.loads(content), draw)
        elif path.suffix in {".toml", ".csv", ".jsonl"}:
            content = in_text(content.decode(), draw)
        else:
            content = in_bytes(content, draw)
        path.write_bytes(content)
        files = copy / "files.json"
        if name != files.name and draw.random() < 0.4:
            digests = json.loads(files.read_bytes())
            digests["sha256"][name] = hashlib.sha256(content).hexdigest()
            files.write_text(json.dumps(digests))
        elif draw.random() < 0.5:
            files.unlink()
        return copy

    def use(self, path):
        run = Run(path)
        uses = [
            lambda: integrity.problems(run.files),
            run.require_finished,
            lambda: (run.attributes, run.latency, run.test_evaluations, run.early_evaluations, run.val, run.test),
            lambda: run.model,
        ]
        if not run.files.manifest.exists():  # else damage is found before, and a report takes seconds
            uses.append(lambda: reports.write(path))
        _each(uses)


KINDS = {each.__name__.lower(): each for each in (Images, Bundles, Networks, Recipes, Tables, Runs, Requests)}


def _each(uses):
    """Do all of it; raise the last of our own errors, after any error that is not ours or whose message is unclear."""
    refused = None
    for use in uses:
        try:
            use()
        except DspkdError as error:
            if fault_of(str(error)):
                raise
            refused = error
    if refused is not None:
        raise refused


def _verified(bundle):
    failed = [check for check in verify(bundle) if not check.passed]
    if failed:
        raise BundleError(failed[-1].detail)


def _without_none(value):
    if isinstance(value, dict):
        return {key: _without_none(each) for key, each in value.items() if each is not None}
    return [_without_none(each) for each in value if each is not None] if isinstance(value, list) else value
