"""The API in this process, over its ASGI interface, with a clock that the test sets."""

from collections.abc import Iterator
from contextlib import contextmanager

from starlette.testclient import TestClient

from online_api.app import create_app
from online_api.settings import Settings
from tests.online_api.events import NOW


class Client(TestClient):
    now = NOW

    def ok(self, path: str, body: dict) -> dict:
        response = self.post(path, json=body)
        assert response.status_code == 200, response.text
        return response.json()

    def post_events(self, *events: dict) -> dict:
        return self.ok("/v1/events", {"events": list(events)})

    def feature(self, reference: str, as_of: str | None = None, **entities: str):
        """The value and status of one feature of one entity."""
        body = {"features": [reference], "entities": {k: [v] for k, v in entities.items()}}
        if as_of:
            body["as_of"] = as_of
        (result,) = self.ok("/v1/features", body)["results"]
        return result["values"][0], result["statuses"][0]


@contextmanager
def running(settings: Settings) -> Iterator[Client]:
    clients: list[Client] = []
    app = create_app(settings, clock=lambda: clients[0].now)
    clients.append(Client(app, raise_server_exceptions=False))
    with clients[0] as client:
        yield client
