"""What is written live is written to terminals alone."""

import pytest

from segtune.commands.shared import plain_console


@pytest.mark.parametrize("stderr", [False, True])
def test_colour_that_is_forced_makes_no_terminal_of_a_file(
    stderr: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Jupyter sets both for the commands of a notebook."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("CLICOLOR_FORCE", "1")
    assert not plain_console(stderr=stderr).is_terminal
