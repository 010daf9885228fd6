from feature_repo.behavior import ITEM, USER
from online_api import keys
from online_api.epochs import BlockingLedger
from online_api.ledger import append, append_to_shards
from tests.online_api.events import DAY, HOUR, NOW, stamped

SHARDS = 4


def landed(ledger, after, upto):
    return [
        (entry.event.event_id, entry.epoch)
        for shard in range(SHARDS)
        for chunk in ledger.entries(shard, after, upto, chunk=3)
        for entry in chunk
    ]


def test_closed_epochs_take_no_more_events_and_open_ones_are_not_read(blocking, settings):
    ledger = BlockingLedger(blocking, settings)
    blocking.do(append([stamped("e1"), stamped("e2", user_id="u2")], settings))
    closed = ledger.close_epoch()
    blocking.do(append([stamped("e3")], settings))
    assert sorted(landed(ledger, 0, closed)) == [("e1", 1), ("e2", 1)]
    again = ledger.close_epoch()
    assert landed(ledger, closed, again) == [("e3", closed + 1)]


def test_landing_cut_short_anywhere_reads_the_same_again(blocking, settings):
    ledger = BlockingLedger(blocking, settings)
    blocking.do(append([stamped(f"e{i}") for i in range(7)], settings))
    first = ledger.close_epoch()  # and dies before its commit
    closed = ledger.close_epoch()
    assert closed > first
    assert landed(ledger, 0, closed) == [(f"e{i}", 1) for i in range(7)]
    assert landed(ledger, closed, ledger.close_epoch()) == []  # committed, not trimmed
    assert ledger.trim(closed) == 7
    assert ledger.trim(closed) == 0


def test_trim_keeps_later_epochs_and_numbers_go_on(blocking, settings):
    ledger = BlockingLedger(blocking, settings)
    blocking.do(append([stamped("e1")], settings))
    closed = ledger.close_epoch()
    blocking.do(append([stamped("e2")], settings))
    ledger.trim(closed)
    blocking.do(append([stamped("e3")], settings))
    last = ledger.close_epoch()
    shard = keys.shard_of("u1", SHARDS)
    entries = [entry for chunk in ledger.entries(shard, closed, last) for entry in chunk]
    assert [(entry.event.event_id, entry.seq) for entry in entries] == [("e2", 2), ("e3", 3)]


def test_imports_and_landings_never_share_an_epoch(blocking, settings):
    ledger = BlockingLedger(blocking, settings)
    taken = [
        ledger.import_epoch(),
        ledger.close_epoch(),
        ledger.import_epoch(),
        ledger.close_epoch(),
    ]
    assert taken == sorted(set(taken)) and taken[0] > 1
    blocking.do(append([stamped("e1")], settings))
    ((_, live),) = landed(ledger, 0, ledger.close_epoch())
    assert live > taken[-1]


def test_epochs_go_on_above_the_lake_when_redis_lost_its_data(blocking, settings):
    ledger = BlockingLedger(blocking, settings)
    closed = ledger.close_epoch(landed_epoch=41)
    assert closed > 41
    assert ledger.import_epoch(landed_epoch=closed + 10) > closed + 10


def test_events_after_such_a_loss_are_later_than_the_lake(blocking, settings):
    ledger = BlockingLedger(blocking, settings)
    ledger.start_after(41)
    blocking.do(append([stamped("e1")], settings))
    closed = ledger.close_epoch(41)
    assert landed(ledger, 41, closed) == [("e1", closed - 1)]
    ledger.start_after(closed)
    assert ledger.close_epoch() == closed + 2  # nothing was lost, nothing was skipped


def test_closing_counts_what_was_pending(blocking, settings, server):
    ledger = BlockingLedger(blocking, settings)
    blocking.do(append_to_shards([stamped("e1", item_id="lamp")], settings))
    ledger.close_epoch()
    assert server.hget(keys.live_tiles(SHARDS, ITEM, ("lamp",)), f"1:86400:{NOW // DAY}:0") == b"1"
    assert not server.hlen(keys.pending(keys.shard_of("u1", SHARDS)))


def test_prune_drops_covered_live_counts_and_nothing_else(blocking, settings, server):
    ledger = BlockingLedger(blocking, settings)
    old = [stamped("e1", session_id="s1", item_id="lamp"), stamped("e2", user_id="u2")]
    blocking.do(append(old, settings))
    closed = ledger.close_epoch()
    blocking.do(append([stamped("e3", item_id="lamp")], settings))
    before = set(server.hkeys(keys.live_tiles(SHARDS, ITEM, ("lamp",))))
    assert ledger.prune(closed) > 0
    assert not server.exists(keys.live_tiles(SHARDS, USER, ("u2",)), keys.session_state(SHARDS, "u1", "s1"))
    for key in (keys.live_tiles(SHARDS, USER, ("u1",)), keys.live_tiles(SHARDS, ITEM, ("lamp",))):
        left = server.hkeys(key)
        assert left and all(field.startswith(f"{closed + 1}:".encode()) for field in left)
    assert set(server.hkeys(keys.live_tiles(SHARDS, ITEM, ("lamp",)))) < before
    assert not list(server.scan_iter("intent:{*}:applied:1"))
    assert not list(server.scan_iter("intent:{*}:touched:1"))
    assert ledger.prune(closed) == 0


def test_import_recognises_what_the_api_has_and_its_own_earlier_claims(blocking, settings):
    ledger = BlockingLedger(blocking, settings)
    blocking.do(append([stamped("posted")], settings))
    file = [stamped("posted"), stamped("new"), stamped("new", user_id="u2")]
    assert ledger.claim_imported(file, "digest", NOW) == [True, False, False]
    assert ledger.claim_imported(file, "digest", NOW) == [
        True,
        False,
        False,
    ]  # cut short, run again
    assert ledger.claim_imported(file[1:], "other", NOW) == [True, True]
    assert blocking.do(append(file[1:], settings)) == [False, False]
    ledger.forget_claims("digest")
    assert ledger.claim_imported(file, "digest", NOW) == [True, True, True]


def test_import_claims_only_what_the_api_would_still_take(blocking, settings, server):
    ledger = BlockingLedger(blocking, settings)
    old = stamped("old", event_time=NOW - 8 * DAY - HOUR)
    assert ledger.claim_imported([old, stamped("e1")], "digest", NOW) == [False, False]
    assert server.zrange(keys.ids(keys.shard_of("u1", SHARDS), "u1"), 0, -1) == [b"e1"]


def test_clock_moves_forward_only(blocking, settings):
    ledger = BlockingLedger(blocking, settings)
    assert ledger.clock() is None
    assert ledger.advance_clock(NOW) == NOW
    assert ledger.advance_clock(NOW - 1) == NOW
    assert ledger.clock() == NOW
