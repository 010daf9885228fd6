import os
import subprocess
import sys
from pathlib import Path

import pytest

from spark_jobs import toolchain
from spark_jobs.toolchain import JavaUnavailable, java_home, packaged_java, spark_environment

COUNT = """
import os, sys
from pathlib import Path
from spark_jobs.toolchain import spark_environment
os.environ.update(spark_environment(Path(sys.argv[1])))
from pyspark.sql import SparkSession
spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
def double(batches):
    for batch in batches:
        yield batch
print(spark.range(1000).mapInArrow(double, "id long").count())
print(spark._jvm.System.getProperty("java.home"))
print(spark._jvm.System.getProperty("java.io.tmpdir"))
"""


def made_java(folder: Path, version: str) -> Path:
    """A stand-in for an installed Java that can tell its version and home and nothing else."""
    java = folder / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(
        "#!/bin/sh\n"
        f"echo '    java.home = {folder}' >&2\n"
        f"echo '    java.specification.version = {version}' >&2\n"
    )
    java.chmod(0o755)
    return folder


def test_java_home_comes_first_then_the_path_then_the_packaged_one(tmp_path):
    state = tmp_path / "state"
    given, found = made_java(tmp_path / "given", "17"), made_java(tmp_path / "found", "21")
    both = {"JAVA_HOME": str(given), "PATH": str(found / "bin")}
    assert java_home(state, both) == given
    assert java_home(state, {"PATH": str(found / "bin")}) == found
    assert java_home(state, {"PATH": str(tmp_path)}) == state / "java"


@pytest.mark.parametrize("version", ["1.8", "11", "16", "99"])
def test_java_that_spark_does_not_run_on_is_passed_over(tmp_path, version):
    unsuited = made_java(tmp_path / "unsuited", version)
    environment = {"JAVA_HOME": str(unsuited), "PATH": str(unsuited / "bin")}
    assert java_home(tmp_path / "state", environment) == tmp_path / "state" / "java"


def test_no_java_is_one_clear_line(tmp_path):
    unsuited = made_java(tmp_path / "unsuited", "11")
    with pytest.raises(JavaUnavailable, match="needs Java 17 or 21") as caught:
        java_home(tmp_path, {"JAVA_HOME": str(unsuited), "PATH": ""}, package="not_installed")
    assert str(unsuited) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_packaged_java_is_one_that_spark_runs_on(tmp_path):
    home = java_home(tmp_path, {"PATH": ""})
    found = toolchain.probe(home / "bin" / "java")
    assert found and found[0] in toolchain.SUPPORTED_JAVA


def test_wrapper_drops_one_argument_and_keeps_the_others_whole(tmp_path):
    runtime = tmp_path / "it's a runtime"
    (runtime / "bin").mkdir(parents=True)
    (runtime / "bin" / "java").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (runtime / "bin" / "java").chmod(0o755)
    java = toolchain.wrapped_java(runtime, tmp_path / "home") / "bin" / "java"
    arguments = ["-cp", "a b", toolchain.VECTOR_MODULE, "--add-modules=other", "*", "Main", ""]
    answer = subprocess.run([java, *arguments], capture_output=True, text=True, check=True)
    arguments.remove(toolchain.VECTOR_MODULE)
    assert answer.stdout.split("\n")[:-1] == arguments


def test_users_own_settings_stay(tmp_path):
    given = {"SPARK_LOCAL_IP": "10.0.0.7", "PYSPARK_PYTHON": "python3", "PYTHONPATH": "a:b"}
    chosen = spark_environment(tmp_path, {**given, "PATH": "", "TMPDIR": str(tmp_path)})
    assert chosen["SPARK_LOCAL_IP"] == "10.0.0.7"
    assert chosen["PYSPARK_PYTHON"] == "python3"
    assert chosen["PYSPARK_DRIVER_PYTHON"] == sys.executable
    assert chosen["PYTHONPATH"].split(os.pathsep) == [str(toolchain.REPOSITORY), "a", "b"]
    assert spark_environment(tmp_path, {"PATH": ""})["SPARK_LOCAL_IP"] == "127.0.0.1"


def test_spark_counts_on_the_packaged_java(tmp_path):
    scratch = tmp_path / "scratch folder"
    scratch.mkdir()
    # The tools Spark's start script calls, and no java.
    tools = tmp_path / "bin"
    tools.mkdir()
    for folder in ("/usr/bin", "/bin"):
        for name in ("bash", "sh", "env", "dirname", "readlink", "cat", "ps", "id", "uname", "tr"):
            if Path(folder, name).exists() and not (tools / name).exists():
                (tools / name).symlink_to(Path(folder, name))
    environment = {
        "PATH": str(tools),
        "PYTHONPATH": str(toolchain.REPOSITORY),
        "TMPDIR": str(scratch),
        "HOME": str(tmp_path),
    }
    answer = subprocess.run(
        [sys.executable, "-c", COUNT, tmp_path / "state"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert answer.returncode == 0, answer.stderr[-2000:]
    count, home, temporary = answer.stdout.split("\n")[:3]
    assert count == "1000"
    assert Path(home).resolve() == packaged_java().resolve()
    assert temporary == str(scratch)
