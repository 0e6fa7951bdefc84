"""Missing packages."""

import pytest
import typer

from dspkd.cli.errors import one_line_errors


@pytest.mark.parametrize(("package", "extra"), [("torch", "train"), ("onnxruntime", "runtime"), ("fastapi", "serve")])
def test_a_missing_package_is_reported_with_the_extra_to_install(package, extra, capsys):
    with pytest.raises(typer.Exit) as ended, one_line_errors():
        raise ModuleNotFoundError(f"No module named '{package}.nn'", name=f"{package}.nn")
    assert ended.value.exit_code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {package} ")
    assert f"pip install 'dspkd[{extra}]'" in line


def test_a_missing_module_of_dspkd_keeps_its_traceback():
    with pytest.raises(ModuleNotFoundError), one_line_errors():
        raise ModuleNotFoundError("No module named 'dspkd.nowhere'", name="dspkd.nowhere")
