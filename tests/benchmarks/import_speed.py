"""How fast a log of each format is imported: `make bench-import`, with ROWS="1000000" FORMATS="otto ubi".

Each log is written here in the format's shape, then taken in by `intent import`'s own path, from opening the
file to the commit, into an empty lake. One line of JSON a format on standard output.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import NamedTuple

from online_api.connection import BlockingRedis
from online_api.epochs import BlockingLedger
from online_api.settings import Settings
from orchestration.importing import Import
from spark_jobs.lake import Lake
from tests.online_api.redis_process import redis_process

START_MS = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp()) * 1_000
SPAN_MS = 30 * 86_400_000
SHOPPERS, ITEMS, CATEGORIES = 200_000, 100_000, 99
OTTO_EVENTS = 10
# In a thousand events: views, additions to the cart, purchases.
KINDS = [0] * 900 + [1] * 70 + [2] * 30
AGENT = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/120.0.0.0 Safari/537.36"


class Row(NamedTuple):
    number: int
    time_ms: int
    user: int
    item: int
    kind: int

    def at(self, layout: str) -> str:
        return datetime.fromtimestamp(self.time_ms / 1_000, UTC).strftime(layout)

    @property
    def session(self) -> int:
        return self.user * 7 + self.time_ms // 3_600_000


def rees46(r: Row) -> str:
    kind = ("view", "cart", "purchase")[r.kind]
    category = f"{2053013555631882655 + r.item % CATEGORIES},electronics.smartphone"
    who = f"{r.user},{r.session:08x}-2bf0-46be-be9b-{r.user:012d}"
    return f"{r.at('%Y-%m-%d %H:%M:%S UTC')},{kind},{r.item},{category},samsung,{r.item % 1_000}.99,{who}"


def native(r: Row) -> str:
    return json.dumps(
        {
            "event_id": f"e{r.number:016x}",
            "user_id": str(r.user),
            "event_type": ("view", "add_to_cart", "purchase")[r.kind],
            "event_time": r.at("%Y-%m-%dT%H:%M:%S.%fZ"),
            "session_id": f"{r.session:x}",
            "item_id": str(r.item),
            "category": "electronics.smartphone",
            "brand": "小米",
            "price": r.item % 100_000,
            "received_at": r.at("%Y-%m-%dT%H:%M:%S.%fZ"),
        },
        ensure_ascii=False,
    )


def retailrocket(r: Row) -> str:
    kind = ("view", "addtocart", "transaction")[r.kind]
    return f"{r.time_ms},{r.user},{kind},{r.item},{r.number if r.kind == 2 else ''}"


def yoochoose_clicks(r: Row) -> str:
    return f"{r.user},{r.at('%Y-%m-%dT%H:%M:%S.%fZ')},{r.item},{('0', 'S', '3', '2089046')[r.number % 4]}"


def yoochoose_buys(r: Row) -> str:
    return f"{r.user},{r.at('%Y-%m-%dT%H:%M:%S.%fZ')},{r.item},{r.item % 5_000},{1 + r.number % 3}"


def taobao(r: Row) -> str:
    return f"{r.user},{r.item},{r.item % 9_000},{('pv', 'cart', 'buy')[r.kind]},{r.time_ms // 1_000}"


def otto(r: Row) -> str:
    kind = ("clicks", "carts", "orders")[r.kind]
    events = [{"aid": r.item + n, "ts": r.time_ms + n * 1_000, "type": kind} for n in range(OTTO_EVENTS)]
    return json.dumps({"session": r.number, "events": events}, separators=(",", ":"))


def ubi(r: Row) -> str:
    seen = {"object": {"object_id": str(r.item), "object_id_field": "asin"}, "position": {"ordinal": 2}}
    return json.dumps(
        {
            "application": "shop",
            "action_name": ("click", "add_to_cart", "purchase")[r.kind],
            "query_id": f"{r.number:x}",
            "session_id": f"{r.session:x}",
            "client_id": str(r.user),
            "timestamp": r.at("%Y-%m-%dT%H:%M:%S.%fZ"),
            "user_query": "ps4",
            "event_attributes": seen,
        }
    )


def access_log(r: Row) -> str:
    paths = (f"/product/{r.item}", f"/search?q=usb+cable+{r.item % 99}", f"/cart/add?item={r.item}")
    path, method = paths[r.number % 3], ("GET", "GET", "POST")[r.number % 3]
    address = f"10.{r.user % 250}.{r.user % 240}.{r.user % 97}"
    return (
        f'{address} - - [{r.at("%d/%b/%Y:%H:%M:%S +0000")}] "{method} {path} HTTP/1.1" 200 5123 "-" "{AGENT}"'
    )


class Shape(NamedTuple):
    line: Callable[[Row], str]
    header: str = ""
    events_a_line: int = 1


SHAPES = {
    "taobao": Shape(taobao),
    "retailrocket": Shape(retailrocket, "timestamp,visitorid,event,itemid,transactionid"),
    "yoochoose_clicks": Shape(yoochoose_clicks),
    "yoochoose_buys": Shape(yoochoose_buys),
    "native": Shape(native),
    "rees46": Shape(
        rees46,
        "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session",
    ),
    "otto": Shape(otto, events_a_line=OTTO_EVENTS),
    "access_log": Shape(access_log),
    "ubi": Shape(ubi),
}


def made_up(rows: int) -> Iterator[Row]:
    chance = Random(5)
    for n in range(rows):
        user, item = 500_000_000 + chance.randrange(SHOPPERS), 1_000_000 + chance.randrange(ITEMS)
        yield Row(n, START_MS + n * SPAN_MS // rows, user, item, KINDS[chance.randrange(1_000)])


def write_log(shape: Shape, rows: int, path: Path) -> None:
    with path.open("w", encoding="utf-8") as log:
        if shape.header:
            log.write(f"{shape.header}\n")
        log.writelines(f"{shape.line(row)}\n" for row in made_up(rows // shape.events_a_line))


def measured(name: str, rows: int, folder: Path) -> dict[str, object]:
    log = folder / name
    write_log(SHAPES[name], rows, log)
    with redis_process(folder) as url:
        settings = Settings(state=folder, lake=folder / f"lake-{name}", redis_url=url)
        ledger = BlockingLedger(BlockingRedis(url), settings)
        now = time.time_ns() // 1_000
        job = Import(Lake(settings.lake), ledger, settings.door, now, settings.clock_max_jump_s)
        before, started = sum(os.times()[:4]), time.perf_counter()
        report = job.run(log)
        seconds, processor_s = time.perf_counter() - started, sum(os.times()[:4]) - before
    return {
        "format": name,
        "rows": report.read,
        "accepted": report.accepted,
        "rows_per_s": round(report.read / seconds),
        "seconds": round(seconds, 1),
        "processor_s": round(processor_s, 1),
        "load_before": round(os.getloadavg()[0], 1),
    }


def main() -> None:
    rows = int(os.environ.get("ROWS") or 1_000_000)
    names = (os.environ.get("FORMATS") or " ".join(SHAPES)).split()
    if unknown := [name for name in names if name not in SHAPES]:
        sys.exit(f"FORMATS: {', '.join(unknown)} is not one of {', '.join(SHAPES)}")
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measured(name, rows, Path(folder))), flush=True)


if __name__ == "__main__":
    main()
