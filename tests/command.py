"""The command as tests give it, in this process."""

from typer.testing import CliRunner

from dspkd.cli import app


def call(*arguments, code=0):
    """Run a command and return what it printed to standard output and to standard error."""
    told = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if told.exception is not None and not isinstance(told.exception, SystemExit):
        raise told.exception
    assert told.exit_code == code, told.output
    return told.stdout, told.stderr


def refused(*arguments):
    """Return the message with which a command is refused: one line, on standard error alone."""
    out, err = call(*arguments, code=2)
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith("error: ")
    return line
