import msgspec
import pytest

from feature_repo.behavior import DEFINITIONS_HASH, ITEM, USER
from feature_repo.sequence import step_of
from online_api import keys
from online_api.epochs import BlockingLedger
from online_api.feast_rows import entity_key
from online_api.ledger import (
    LedgerError,
    append,
    append_to_shards,
    item_commands,
    open_ledger,
    recover_pending,
)
from online_api.sessions import step_record
from tests.online_api.events import DAY, HOUR, MINUTE, NOW, SECOND, stamped

SHARDS = 4


def live(server, key):
    return {field.decode(): value.decode() for field, value in server.hgetall(key).items()}


def item_views(server, item_id="lamp"):
    """The item's view counts over hops of a day, in all epochs."""
    tiles = live(server, keys.live_tiles(SHARDS, ITEM, (item_id,)))
    return sum(int(value) for field, value in tiles.items() if ":86400:" in field)


def test_accepts_once_whatever_is_sent_again(blocking, settings):
    first, other = stamped("e1"), stamped("e1", user_id="u2")
    assert blocking.do(append([first, first, other], settings)) == [True, False, True]
    assert blocking.do(append([first, other, stamped("e2")], settings)) == [False, False, True]


def test_first_accepted_wins(blocking, settings, server):
    blocking.do(append([stamped("e1", "view"), stamped("e1", "purchase", price=100)], settings))
    fields = live(server, keys.live_tiles(SHARDS, USER, ("u1",)))
    assert f"1:86400:{NOW // DAY}:0" in fields
    assert not any(field.endswith((":7", ":9")) for field in fields)


def test_log_keeps_the_events_in_order_with_consecutive_numbers(blocking, settings):
    ledger = BlockingLedger(blocking, settings)
    events = [stamped(f"e{i}", event_time=NOW + i, query="台灯", price=2**33) for i in range(5)]
    blocking.do(append(events[:2], settings))
    blocking.do(append(events[2:], settings))
    closed = ledger.close_epoch()
    shard = keys.shard_of("u1", SHARDS)
    found = [entry for chunk in ledger.entries(shard, 0, closed, chunk=2) for entry in chunk]
    assert [entry.event for entry in found] == events
    assert [(entry.seq, entry.epoch, entry.shard) for entry in found] == [(i, 1, shard) for i in range(1, 6)]


def test_live_tiles_are_as_the_contract_says(blocking, settings, server):
    at = NOW + 59 * SECOND
    buy = stamped("e1", "purchase", at, price=250, quantity=4, session_id="s1", item_id="lamp")
    cart = stamped("e2", "add_to_cart", NOW, price=70, session_id="s1")
    blocking.do(append([buy, cart], settings))
    tag = keys.prefix(keys.shard_of("u1", SHARDS))
    tiles = {
        f"1:{hop}:{at // (hop * SECOND)}:{aggregate}": value
        for hop in (60, 900, 86_400)
        for aggregate, value in ((7, "1"), (9, "1000"))
    }
    carts = {f"1:{hop}:{NOW // (hop * SECOND)}:3": "1" for hop in (60, 900, 86_400)}
    last = {"1:newest": str(at), "1:session": f"{at}|s1", "1:seq": "2"}
    assert live(server, f"{tag}{DEFINITIONS_HASH}:user:u1") == {**tiles, **carts, **last}
    assert live(server, f"{tag}{DEFINITIONS_HASH}:s:u1\x1fs1") == {
        "1:0": "2", "1:4": "1", "1:6": "1", "1:8": "70", "1:9": str(NOW), "1:10": str(at),
        "1:steps": "".join(step_record(step_of(e.event_time, e.event_type, e.item_id)) for e in (buy, cart)),
    }  # fmt: skip
    assert live(server, keys.live_tiles(SHARDS, ITEM, ("lamp",))) == {**tiles, "1:newest": str(at)}
    assert int(server.get(keys.CLOCK)) == at


def test_sums_are_exact_beyond_doubles(blocking, settings, server):
    price, quantity = 10**10, 10**4
    events = [
        stamped(f"e{i}", "purchase", price=price - 1, quantity=quantity - 1, item_id="lamp")
        for i in range(199)
    ]
    blocking.do(append(events, settings))
    expected = 199 * (price - 1) * (quantity - 1)
    assert expected > 2**53 and expected % 2  # no double is this number
    for key in (keys.live_tiles(SHARDS, USER, ("u1",)), keys.live_tiles(SHARDS, ITEM, ("lamp",))):
        assert live(server, key)[f"1:86400:{NOW // DAY}:9"] == str(expected)


def test_aggregate_consent_counts_for_the_item_only(blocking, settings, server):
    event = stamped("e1", session_id="s1", item_id="lamp", consent="aggregate")
    blocking.do(append([event], settings))
    assert item_views(server) == 1
    assert not server.exists(keys.live_tiles(SHARDS, USER, ("u1",)), keys.session_state(SHARDS, "u1", "s1"))
    assert server.xlen(keys.log(keys.shard_of("u1", SHARDS))) == 1


def test_newest_session_is_by_event_time_then_name(blocking, settings, server):
    for event_id, time, session in (("1", NOW, "b"), ("2", NOW, "a"), ("3", NOW - 1, "z")):
        blocking.do(append([stamped(event_id, event_time=time, session_id=session)], settings))
    fields = live(server, keys.live_tiles(SHARDS, USER, ("u1",)))
    assert fields["1:session"] == f"{NOW}|b"
    blocking.do(append([stamped("4", event_time=NOW, session_id="é|x")], settings))
    assert live(server, keys.live_tiles(SHARDS, USER, ("u1",)))["1:session"] == f"{NOW}|é|x"


def test_batch_cut_short_after_the_shoppers_is_finished_once(blocking, settings, server):
    events = [stamped("e1", item_id="lamp"), stamped("e2", user_id="u2", item_id="lamp")]
    appended = blocking.do(append_to_shards(events, settings))
    assert item_views(server) == 0
    assert blocking.do(recover_pending(settings)) == len(appended.batches)
    assert item_views(server) == 2
    blocking.run(item_commands(appended.batches, settings))  # the slow request comes through after all
    assert item_views(server) == 2
    assert blocking.do(recover_pending(settings)) == 0
    assert int(server.get(keys.CLOCK)) == NOW


def test_batch_cut_short_between_items_and_clearing_is_finished_once(blocking, settings, server):
    appended = blocking.do(append_to_shards([stamped("e1", item_id="lamp")], settings))
    blocking.run(item_commands(appended.batches, settings))
    blocking.do(open_ledger(settings))
    assert item_views(server) == 1
    assert not server.hlen(keys.pending(keys.shard_of("u1", SHARDS)))


def test_repeat_of_a_pending_batch_is_answered_after_its_items_count(blocking, settings, server):
    event = stamped("e1", item_id="lamp")
    blocking.do(append_to_shards([event], settings))
    assert blocking.do(append([event], settings)) == [False]
    assert item_views(server) == 1


def test_ids_are_remembered_as_long_as_a_retry_is_let_in(blocking, settings, server):
    late, ahead = settings.late_horizon_s * SECOND, settings.ahead_limit_s * SECOND
    # claimed a day ahead of its arrival, sent again when that claim is as late as the door allows
    first = stamped("e1", event_time=NOW, claimed_time=NOW + ahead)
    again = stamped("e1", event_time=NOW + ahead, received_at=NOW + ahead + late)
    assert blocking.do(append([first], settings)) == [True]
    assert blocking.do(append([stamped("e2", received_at=NOW + ahead + late)], settings)) == [True]
    assert blocking.do(append([again], settings)) == [False]
    blocking.do(append([stamped("e3", received_at=NOW + ahead + late + 2 * HOUR)], settings))
    assert server.zscore(keys.ids(keys.shard_of("u1", SHARDS), "u1"), "e1") is None


def test_ids_expire_by_the_wall_clock_only_where_time_is_its(blocking, settings, server):
    key = keys.ids(keys.shard_of("u1", SHARDS), "u1")
    blocking.do(append([stamped("e1")], settings))
    assert server.pttl(key) > settings.id_memory_s * 1_000
    by_event = msgspec.structs.replace(settings, clock="event")
    server.delete(key)
    blocking.do(append([stamped("e2")], by_event))
    assert server.pttl(key) == -1


def test_another_number_of_shards_is_refused(blocking, settings):
    blocking.do(open_ledger(settings))
    other = msgspec.structs.replace(settings, shards=8)
    with pytest.raises(LedgerError, match="has 4 shards and INTENT_SHARDS says 8"):
        blocking.do(open_ledger(other))


def test_shopper_data_finds_every_key_that_names_the_shopper(blocking, settings, server):
    user = "u*[1]"
    mine = stamped("e1", user_id=user, session_id="s1", item_id="lamp")
    others = [
        stamped("e1", user_id="u*[1]x", session_id="s1"),
        stamped("e2", user_id="u1", session_id=user, item_id=user),
    ]
    blocking.do(append([mine, *others], settings))
    BlockingLedger(blocking, settings).claim_imported([stamped("i1", user_id=user)], "file", NOW)
    for entities in ({"user_id": user}, {"user_id": user, "session_id": "s]1"}):
        server.hset(entity_key(entities), "_ts:x", "")
    server.hset(entity_key({"user_id": "u*[1]x", "session_id": "s"}), "_ts:x", "")

    found = set()
    for place in keys.shopper_data(user, SHARDS):
        if place.kind == "key":
            found |= {place.match.encode()} if isinstance(place.match, str) else {place.match}
        elif place.kind == "pattern":
            found |= set(server.scan_iter(place.match))
    shard = keys.shard_of(user, SHARDS)
    assert found == {
        keys.ids(shard, user).encode(),
        keys.live_tiles(SHARDS, USER, (user,)).encode(),
        keys.session_state(SHARDS, user, "s1").encode(),
        entity_key({"user_id": user}),
        entity_key({"user_id": user, "session_id": "s]1"}),
    }
    matched = {place.match for place in keys.shopper_data(user, SHARDS)}
    assert {keys.log(shard), f"{keys.prefix(shard)}import:*"} <= matched


@pytest.mark.parametrize("minutes", [0, 3])
def test_session_state_takes_late_events(blocking, settings, server, minutes):
    times = [NOW + minutes * MINUTE, NOW - MINUTE, NOW]
    for i, time in enumerate(times):
        blocking.do(append([stamped(f"e{i}", event_time=time, session_id="s1")], settings))
    state = live(server, keys.session_state(SHARDS, "u1", "s1"))
    assert (state["1:0"], state["1:9"], state["1:10"]) == ("3", str(min(times)), str(max(times)))
