"""Run the command in this process."""

from typer.testing import CliRunner

from dspkd.cli import app


def call(*arguments, code=0):
    """Run a command and return what it printed to standard output and to standard error."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.stdout, result.stderr


def refused(*arguments):
    """Return the error message of a command: one line, on standard error alone."""
    out, err = call(*arguments, code=2)
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith("error: ")
    return line
