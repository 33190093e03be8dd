"""Command lines that run in the process of the tests."""

from simplepose.cli.main import main


def run(capsys, *arguments):
    """Exit code, stdout and stderr of a command line."""
    capsys.readouterr()
    try:
        code = main([str(a) for a in arguments])
    except SystemExit as end:
        code = end.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err
