import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from online_api.app import OPERATIONS
from tests.online_api.events import event

ROOT = Path(__file__).resolve().parents[2]

LIGHT = """
import sys
from pathlib import Path
from online_api.app import create_app
from online_api.settings import Settings
import online_api.epochs, online_api.server
create_app(Settings(state=Path("s"), lake=Path("l"), redis_url="redis://127.0.0.1:1/0"))
heavy = {"feast", "torch", "pyspark", "dagster", "pandas", "pyarrow", "transformers", "sklearn"}
print(sorted(heavy & {name.partition(".")[0] for name in sys.modules}))
"""


def test_api_loads_nothing_heavy():
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    found = subprocess.run(
        [sys.executable, "-c", LIGHT], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert found.stdout.strip() == "[]", found.stderr


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("get", "/nothing", 404, "not_found"),
        ("get", "/v1/score", 405, "method_not_allowed"),
        ("delete", "/healthz", 405, "method_not_allowed"),
    ],
)
def test_unrouted_requests_get_the_same_envelope(client, method, path, status, code):
    response = client.request(method, path)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"", 400, None),
        (b"[]", 422, None),
        (b"{}", 422, "user_id"),
        (b'{"user_id": 1}', 422, "user_id"),
        (b'{"user_id": "u", "colour": 1}', 422, "colour"),
        (b'{"user_id": "u", "scenario": "dreams"}', 422, "scenario"),
        (b'{"user_id": "u", "as_of": "2025-01-01"}', 422, "as_of"),
    ],
)
def test_bad_bodies_name_the_field(client, body, status, field):
    response = client.post("/v1/score", content=body)
    assert response.status_code == status
    assert response.json()["error"].get("field") == field


def test_too_large_a_body_is_refused(client):
    response = client.post("/v1/events", content=b" " * (32 * 2**20 + 1))
    assert (response.status_code, response.json()["error"]["code"]) == (413, "body_too_large")


def test_metrics_count_requests_and_events(client):
    client.post_events(event("e1"), event("e1"), event("e2", currency="EUR"))
    text = client.get("/metrics").text
    for line in (
        'intent_requests_total{path="/v1/events",status="200"}',
        'intent_events_rejected_total{code="currency"}',
        "intent_events_duplicate_total",
        'intent_request_seconds_bucket{le="0.01",path="/v1/events"}',
    ):
        assert line in text


def test_docs_need_nothing_from_elsewhere(client):
    page = client.get("/docs").text
    assert all(operation.path in page for operation in OPERATIONS)
    assert "<script" not in page and "http://" not in page and "https://" not in page


def test_openapi_describes_the_events(client):
    document = client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    assert set(document["paths"]) == {operation.path for operation in OPERATIONS}
    schema = {**schemas["EventBatch"], "components": document["components"]}
    jsonschema.validate({"events": [event("e1", price=5)]}, schema)
    for bad in (event(""), event("e1", "stare"), event("e1", colour="red"), event("e\n")):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"events": [bad]}, schema)
