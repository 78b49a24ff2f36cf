"""The script of completion in a real bash."""

import shutil
import subprocess
from pathlib import Path

import pytest

from riemod.cli.commands import COMMANDS
from riemod.cli.completion import completion_script
from riemod.tasks import TASKS

COMPLETE = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
complete -p riemod | grep -q -- '-o default' || exit 1
$(complete -p riemod | sed 's/.*-F \\([^ ]*\\).*/\\1/') riemod "${COMP_WORDS[-1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_bash_completes_commands_tasks_options_and_choices(tmp_path: Path):
    script = tmp_path / "riemod.bash"
    script.write_text(completion_script("bash", COMMANDS))

    def completed(*words: str) -> set[str]:
        command = ["bash", "-c", COMPLETE, "bash", str(script), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return {line.strip() for line in done.stdout.splitlines() if line.strip()}

    assert completed("riemod", "tr") == {"train"}
    assert set(COMMANDS) <= completed("riemod", "")
    assert set(TASKS) <= completed("riemod", "train", "")
    assert completed("riemod", "train", "adding", "--embed") == {"--embedding-learning-rate"}
    assert completed("riemod", "train", "adding", "--manifold", "tor") == {"torus", "torus6"}
    assert completed("riemod", "train", "adding", "--preset", "") == set(TASKS["adding"].presets)
    assert completed("riemod", "lottery", "--in") == {"--initialization"}
