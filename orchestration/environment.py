"""Keeps what the project and its libraries write inside the checkout, and their telemetry off.

Every entry point calls `confine()` before it imports anything large, because several libraries read
these variables when imported. `python -m orchestration.environment COMMAND...` runs another program
the same way. Only the standard library is used: set-up runs this before anything is installed.
"""

import os
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# A unix socket's path is limited to about 100 bytes; Dagster and multiprocessing use TMPDIR for it.
MAX_TMPDIR_BYTES = 64

TELEMETRY_OFF = {
    "DAGSTER_DISABLE_TELEMETRY": "yes",
    "DO_NOT_TRACK": "true",
    "FEAST_USAGE": "False",
    "GX_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "ORT_DISABLE_TELEMETRY": "1",
}


def confined_environment(root: Path, state_dir: Path) -> dict[str, str]:
    """Absolute paths: lasting state under `state_dir`, what may be lost under `.cache`."""
    cache = root / ".cache"
    temporary = cache / "tmp"
    variables = {
        **TELEMETRY_OFF,
        "INTENT_STATE": str(state_dir),
        "DAGSTER_HOME": str(state_dir / "dagster"),
        "PYTHONPYCACHEPREFIX": str(cache / "bytecode"),
        "PIP_CACHE_DIR": str(cache / "pip"),
        "XDG_CACHE_HOME": str(cache),
        "HF_HOME": str(cache / "huggingface"),
        "TORCH_HOME": str(cache / "torch"),
        "TORCHINDUCTOR_CACHE_DIR": str(cache / "inductor"),
        "TRITON_CACHE_DIR": str(cache / "triton"),
        "MPLCONFIGDIR": str(cache / "matplotlib"),
        "HYPOTHESIS_STORAGE_DIRECTORY": str(cache / "hypothesis"),
    }
    if len(os.fsencode(temporary)) <= MAX_TMPDIR_BYTES:
        variables["TMPDIR"] = str(temporary)
    return variables


def confine() -> None:
    """Sets what is not set already, so that whoever starts the program has the last word."""
    given = os.environ.get("INTENT_STATE")
    state_dir = Path(given).expanduser().absolute() if given else ROOT / ".state"
    for name, value in confined_environment(ROOT, state_dir).items():
        os.environ.setdefault(name, value)
    # Container images often forbid bytecode. Each process would compile some 3,000 modules anew.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode, sys.pycache_prefix = False, os.environ["PYTHONPYCACHEPREFIX"]
    # Dagster refuses a home that is not there, and tempfile looks elsewhere when TMPDIR is not.
    for name in ("DAGSTER_HOME", "TMPDIR"):
        if folder := os.environ.get(name):
            Path(folder).mkdir(parents=True, exist_ok=True)
    # The variable stops Dagster's sending; only its settings file stops the id it keeps in HOME.
    settings = state_dir / "dagster" / "dagster.yaml"
    if settings.parent.is_dir() and not settings.exists():
        settings.write_text(
            "telemetry:\n  enabled: false\nnux:\n  enabled: false\nfreshness:\n  enabled: true\n"
        )


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit("usage: python -m orchestration.environment COMMAND [ARGUMENT...]")
    confine()
    command = sys.argv[1:]
    if shutil.which(command[0]) is None:
        sys.exit(f"{command[0]}: no such command")
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
