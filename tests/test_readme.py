"""README's first commands, run in their order as a stranger would: in a clone, with no data beside it.

The published files come from a server on this machine. What would take minutes is small: networks are tiny, whatever
their name, and the pages of single runs are empty.
"""

import dataclasses
import re
import shlex
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from command import call
from dspkd.data.download import catalog
from dspkd.data.download.catalog import Remote
from dspkd.data.synthetic.dataset import synthesize
from dspkd.deploy.bundle.reader import open_bundle
from dspkd.deploy.export import quantise
from dspkd.deploy.serve import server
from dspkd.experiments import single_run
from dspkd.experiments.own_images import rules
from dspkd.models import weights, zoo
from dspkd.runs.run_folder import Run

pytestmark = pytest.mark.clone

ROOT = Path(__file__).resolve().parents[1]
DIAGNOSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")


def commands(section):
    """Return the dspkd commands in the first ```bash block of a section of README, and its text up to the next."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition(f"## {section}\n")[2].partition("\n## ")[0]
    block = re.search(r"```bash\n(.*?)```", text, flags=re.DOTALL)[1]
    return [shlex.split(line, comments=True)[1:] for line in block.splitlines() if line.startswith("dspkd ")]


@pytest.fixture(scope="module")
def drawings(tmp_path_factory):
    """Return a folder of class folders: 70 synthetic images."""
    folder = tmp_path_factory.mktemp("drawings") / "images"
    synthesize(folder, images=70, size=64, layout="folder", classes="common", seed=9)
    return folder


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """Stand in a folder with what of the repository the commands read."""
    (tmp_path / "recipes").symlink_to(ROOT / "recipes", target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    build = zoo._build
    monkeypatch.setattr(zoo, "_build", lambda name, k: build("tiny" if "shuffle" in name else "tiny_wide", k))
    monkeypatch.setattr(weights, "_downloaded", lambda tapped: tapped.library_state())
    monkeypatch.setattr(single_run.reports, "write", lambda out: (out / "report.html").write_text("") and out)
    monkeypatch.setattr(quantise, "SETTINGS", quantise.SETTINGS[:1])
    return tmp_path


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def ham10000(drawings, tmp_path_factory, monkeypatch):
    """Serve the drawings as HAM10000, a table and two zip files, at the addresses of the catalogue."""
    site = tmp_path_factory.mktemp("site")
    images = sorted(path for path in drawings.glob("*/*") if path.suffix in {".jpg", ".png"})
    rows = [f"HAM_{n:07d},ISIC_{n:07d},{DIAGNOSES[n % 7]},histo,60.0,male,back" for n in range(len(images))]
    table = ["lesion_id,image_id,dx,dx_type,age,sex,localization", *rows, ""]
    (site / "HAM10000_metadata.csv").write_text("\n".join(table), encoding="utf-8")
    for part in (0, 1):
        with zipfile.ZipFile(site / f"HAM10000_images_part_{part + 1}.zip", "w") as archive:
            for n in range(part, len(images), 2):
                archive.write(images[n], f"ISIC_{n:07d}{images[n].suffix}")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as http:
        thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        published = catalog.SOURCES["ham10000"]
        remotes = tuple(
            Remote(name=each.name, url=f"http://127.0.0.1:{http.server_port}/{each.name}", folder=each.folder)
            for each in published.files
        )
        monkeypatch.setitem(catalog.SOURCES, "ham10000", dataclasses.replace(published, files=remotes))
        yield
        http.shutdown()
        thread.join()


def test_quickstart_goes_from_the_download_to_a_report(clone, ham10000):
    steps = commands("Quickstart")
    assert [step[0] for step in steps] == ["data", "train", "train", "train", "report", "export"]
    for step in steps:
        call(*step)
    report = steps[-2][steps[-2].index("--out") + 1]
    assert "dsp_kd" in Path(report).read_text(encoding="utf-8")
    assert Run("runs/ham10000/dsp_kd").recipe.teachers == ("runs/ham10000/teacher",)
    assert open_bundle(Path("model.dspkd")).spec.name == "dsp_kd"


def test_three_commands_go_from_a_folder_to_a_page_for_phones(clone, drawings, monkeypatch):
    Path("my_images").symlink_to(drawings, target_is_directory=True)
    for name, value in {"STUDENT": "shufflenet_v2_x1_0", "SEEDS": 1, "epochs": lambda *_, **__: 2}.items():
        monkeypatch.setattr(rules, name, value)
    started = []
    monkeypatch.setattr(server, "run", lambda bundle, **options: started.append((bundle.path, options["host"])))
    steps = commands("Three commands")
    assert [step[0] for step in steps] == ["distill", "serve"]
    for step in steps:
        call(*step)
    assert started == [(Path("runs/mine/model.dspkd"), "0.0.0.0")]
    assert Path("runs/mine/report.html").is_file()
