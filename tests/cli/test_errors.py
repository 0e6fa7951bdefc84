"""How a missing package is told."""

import pytest
import typer

from dspkd.cli.errors import one_line_errors


@pytest.mark.parametrize(("package", "extra"), [("torch", "train"), ("onnxruntime", "runtime"), ("fastapi", "serve")])
def test_a_missing_package_is_told_with_the_extra_that_brings_it(package, extra, capsys):
    with pytest.raises(typer.Exit) as ended, one_line_errors():
        raise ModuleNotFoundError(f"No module named '{package}.nn'", name=f"{package}.nn")
    assert ended.value.exit_code == 2
    assert capsys.readouterr().err == f"error: {package} is not installed; pip install 'dspkd[{extra}]' brings it\n"


def test_a_missing_module_of_our_own_keeps_its_traceback():
    with pytest.raises(ModuleNotFoundError), one_line_errors():
        raise ModuleNotFoundError("No module named 'dspkd.nowhere'", name="dspkd.nowhere")
