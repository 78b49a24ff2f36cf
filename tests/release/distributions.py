"""Builds wheel and sdist, installs the wheel into an empty environment, and tries it there.

`python -m tests.release.distributions DIR` does all of it, as `make dist` does. Nothing is downloaded: the build takes
hatchling from this environment, and the new environment, which holds the wheel alone, sees this one's libraries.
"""

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TRIAL = """
import riemod, torch
layer = torch.nn.RNN(2, 16)
moduli = riemod.ModuliRegularizer(layer, riemod.manifolds.Torus(2), strength=0.1, learn=True)
moduli().backward()
assert layer.weight_hh_l0.grad.isfinite().all()
print(riemod.__file__)
"""


def build(out: Path) -> tuple[Path, Path]:
    """Build the sdist, and the wheel from it, into a folder; return wheel and sdist."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the build failed:\n{done.stdout}{done.stderr}")
    (wheel,), (sdist,) = out.glob("riemod-*.whl"), out.glob("riemod-*.tar.gz")
    return wheel, sdist


def install(wheel: Path, folder: Path) -> Path:
    """Install a wheel into a new environment that sees this one's libraries, not its riemod; return its programs."""
    venv.create(folder, with_pip=False)
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    pip = [sys.executable, "-m", "pip", "--python", str(programs / "python"), "install", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--quiet", str(wheel)], check=True)
    (site,) = folder.rglob("site-packages")
    # A line of a .pth file is a folder to search; the .pth files in that folder, an editable riemod's, are not read.
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return programs


def run(program: Path, *arguments: str, folder: Path) -> str:
    """Run a program of the new environment in a folder outside of the checkout; return what it printed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(program), *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with status {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def files_of_wheel(wheel: Path) -> set[str]:
    """Return the names of the files in a wheel."""
    with zipfile.ZipFile(wheel) as file:
        return set(file.namelist())


def files_of_sdist(sdist: Path) -> set[str]:
    """Return the names of the files in an sdist, without its top folder."""
    with tarfile.open(sdist) as file:
        return {name.partition("/")[2] for name in file.getnames()}


def main(out: Path) -> None:
    """Build into a folder, try what was built, and say so."""
    out.mkdir(parents=True, exist_ok=True)
    wheel, sdist = build(out)
    folder = out / "trial"
    programs = install(wheel, folder)
    version = run(programs / "riemod", "--version", folder=folder).strip()
    place = run(programs / "python", "-c", TRIAL, folder=folder).strip()
    if not Path(place).is_relative_to(folder.resolve()):
        raise RuntimeError(f"riemod must come from the wheel, got {place}")
    for path in (wheel, sdist):
        sys.stdout.write(f"{path} {path.stat().st_size / 1024:.0f} KiB\n")
    sys.stdout.write(f"{version} from the wheel trains in an environment of its own\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
