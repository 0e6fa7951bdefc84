"""Missing packages, errors of the system, and a lack of memory."""

import errno
import io
import os
import sys

import pytest
import torch
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


@pytest.mark.parametrize(
    ("number", "remedy"), [(errno.EACCES, "--out"), (errno.EROFS, "--out"), (errno.ENOSPC, "room")]
)
def test_an_error_of_the_system_names_place_and_remedy(number, remedy, capsys):
    with pytest.raises(typer.Exit) as ended, one_line_errors():
        raise OSError(number, os.strerror(number), "runs/mine")
    assert ended.value.exit_code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: runs/mine: {os.strerror(number)}; ")
    assert remedy in line.partition(";")[2]


def test_the_name_of_a_file_hides_nothing_in_the_message_and_does_not_fill_the_screen(capsys):
    with pytest.raises(typer.Exit), one_line_errors():
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), "\x1b[2J" + "x" * 10_000)
    message = capsys.readouterr().err
    assert message.startswith("error: \\x1b[2Jxxx")
    assert message.endswith("File name too long; choose a shorter one\n")
    assert len(message) < 2200


def test_a_full_disk_without_a_name_is_one_line_and_other_errors_without_one_keep_their_traceback(capsys):
    for number in (errno.ENOSPC, errno.EFBIG):
        with pytest.raises(typer.Exit), one_line_errors():
            raise OSError(number, os.strerror(number))
        assert capsys.readouterr().err.startswith(f"error: {os.strerror(number)}; make room")
    with pytest.raises(OSError, match="Input/output"), one_line_errors():
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_folder_that_a_file_stands_in_the_way_of_is_refused_with_the_remedy(tmp_path, capsys):
    (tmp_path / "file").touch()
    with pytest.raises(typer.Exit), one_line_errors():
        (tmp_path / "file" / "out").mkdir(parents=True)
    assert "another name for --out" in capsys.readouterr().err


@pytest.mark.parametrize(("encoding", "shown"), [("utf-8", "näv\\udce4"), ("ascii", "n\\xe4v\\udce4")])
def test_a_message_is_printed_on_a_strict_terminal(encoding, shown, monkeypatch):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    monkeypatch.setattr(sys, "stderr", terminal)
    with pytest.raises(typer.Exit), one_line_errors():
        raise OSError(errno.EACCES, "no", "näv\udce4")
    terminal.flush()
    assert terminal.buffer.getvalue().decode(encoding).startswith(f"error: {shown}: no; ")


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore"), "a smaller train.batch_size"),
        (MemoryError(), "a smaller train.batch_size"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "machine.workers = 0"),
        (RuntimeError("DataLoader worker (pid 12) is killed by signal: Killed. "), "machine.workers = 0"),
        (RuntimeError("DataLoader worker (pid(s) 12, 13) exited unexpectedly"), "machine.workers = 0"),
    ],
)
def test_a_lack_of_memory_is_one_line_with_what_helps(error, remedy, capsys):
    with pytest.raises(typer.Exit) as ended, one_line_errors():
        raise error
    assert ended.value.exit_code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert remedy in line
    assert "the same command goes on" in line


@pytest.mark.parametrize("text", ["Caught ValueError in DataLoader worker process 0.", "size mismatch"])
def test_another_error_of_torch_keeps_its_traceback(text):
    with pytest.raises(RuntimeError, match=r"worker process|size"), one_line_errors():
        raise RuntimeError(text)
