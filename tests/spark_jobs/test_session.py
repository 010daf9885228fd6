import pytest

from spark_jobs.session import SparkConfError, read_conf


def test_a_file_of_settings_is_read_as_spark_reads_its_own(tmp_path):
    path = tmp_path / "spark.conf"
    path.write_text("# of our cluster\n\nspark.executor.memory   4g\nspark.a.b=x y=z\n")
    assert read_conf(path) == {"spark.executor.memory": "4g", "spark.a.b": "x y=z"}
    assert read_conf(None) == {}


@pytest.mark.parametrize(
    ("text", "named"),
    [("spark.a 1\nexecutor.memory 4g\n", "line 2"), ("spark.a\n", "line 1"), (None, "cannot be read")],
)
def test_a_file_that_cannot_be_used_is_refused_by_name(tmp_path, text, named):
    path = tmp_path / "spark.conf"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SparkConfError, match=named):
        read_conf(path)
