import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_repo.behavior import FEATURES, SERVICE, SERVICE_FEATURES, VIEW_TTL_S
from feature_repo.definitions.schemas import SCHEMA_FILE, SCHEMAS, ensure_tables
from feature_repo.definitions.tables import ENTITIES, VIEWS
from orchestration.feature_store import REPO


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    from feature_repo.definitions.objects import feast_objects

    lake = tmp_path_factory.mktemp("lake")
    return {(type(o).__name__, o.name): o for o in feast_objects(lake)}


def test_every_declared_feature_is_one_field_with_its_type_unit_and_description(objects):
    fields = {
        f"{name}:{field.name}": field
        for (kind, name), view in objects.items()
        if kind == "FeatureView"
        for field in view.features
    }
    types = {
        "int64": "Int64",
        "float64": "Float64",
        "vector": "Array(Float32)",
        "string": "String",
        "strings": "Array(String)",
    }
    assert len({f.reference for f in FEATURES}) == len(FEATURES)
    for feature in FEATURES:
        field = fields[feature.reference]
        assert str(field.dtype) == types[feature.dtype]
        assert field.description == feature.description
        assert field.tags["unit"] == (feature.unit if feature.dtype != "vector" else "unit vector")


def test_the_service_answers_the_models_input_in_its_order(objects):
    service = objects["FeatureService", SERVICE]
    references = [
        f"{projection.name}:{field.name}"
        for projection in service.feature_view_projections
        for field in projection.features
    ]
    assert references == [f.reference for f in SERVICE_FEATURES]


def test_views_have_the_declared_keys_and_age_limits(objects):
    for view in VIEWS:
        feast_view = objects["FeatureView", view.name]
        assert feast_view.ttl.total_seconds() == (VIEW_TTL_S.get(view.name) or 0)
        assert feast_view.entities == list(view.keys)
        assert feast_view.description and feast_view.owner
    assert {name for kind, name in objects if kind == "Entity"} == set(ENTITIES)


def test_a_sources_table_is_the_lake_folder_of_its_view(objects, tmp_path_factory):
    for view in VIEWS:
        source = objects["SparkSource", f"{view.name}_table"]
        assert source.path.endswith(f"/{view.name}")
        assert {source.timestamp_field, source.created_timestamp_column} <= set(SCHEMAS[view.name].names)


def test_tables_get_their_schema_before_they_have_rows_and_again_when_it_changes(tmp_path):
    ensure_tables(tmp_path)
    for view in VIEWS:
        assert pq.read_schema(tmp_path / view.name / SCHEMA_FILE).equals(SCHEMAS[view.name])
        assert not list((tmp_path / view.name).glob("day=*"))
    path = tmp_path / "user_activity" / SCHEMA_FILE
    written = path.stat().st_mtime_ns
    ensure_tables(tmp_path)
    assert path.stat().st_mtime_ns == written
    pq.write_metadata(pa.schema([pa.field("user_id", pa.string())]), path)
    ensure_tables(tmp_path)
    assert pq.read_schema(path).equals(SCHEMAS["user_activity"])


def test_feast_scans_one_module_and_finds_every_object_in_it(objects, monkeypatch, tmp_path):
    from feast.repo_operations import get_repo_files, parse_repo

    monkeypatch.setenv("INTENT_LAKE", str(tmp_path))
    monkeypatch.chdir(REPO)
    monkeypatch.syspath_prepend(str(REPO))
    assert [path.name for path in get_repo_files(REPO)] == ["repo.py"]
    found = parse_repo(REPO)
    assert {v.name for v in found.feature_views} == {v.name for v in VIEWS}
    assert len(found.data_sources) == len(VIEWS)
    assert {s.name for s in found.feature_services} == {SERVICE}
    assert set(ENTITIES) <= {e.name for e in found.entities}
    assert all(s.path.startswith(str(tmp_path)) for s in found.data_sources)
