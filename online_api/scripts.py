"""The Lua scripts: what has to happen in Redis at once or not at all.

Each touches the keys of one hash tag only, named by the first key it is given; the others are built from
it. Sums go through HINCRBY as text, so they are exact beyond the 2^53 of Lua's numbers; event times in
microseconds are below it and are compared as numbers. Nothing newer than Redis 6.2 is used.
"""

from feature_repo.sequence import STEP_LIMIT
from feature_repo.sketch import HASH_HEX_DIGITS, K
from online_api.connection import script
from online_api.sessions import STEP_BYTES, STEPS

_COUNT = (
    f"local record_bytes, record_limit = {HASH_HEX_DIGITS}, {K}"
    + """
local function bytes_greater(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = a:byte(i), b:byte(i)
    if x ~= y then return x > y end
  end
  return #a > #b
end

local function with_record(records, new)
  local at = records:find(new, 1, true)
  while at and (at - 1) % record_bytes ~= 0 do at = records:find(new, at + 1, true) end
  if at then return records end
  records = records .. new
  if #records <= 2 * record_limit * record_bytes then return records end
  local sorted = {}
  for i = 1, #records, record_bytes do sorted[#sorted + 1] = records:sub(i, i + record_bytes - 1) end
  table.sort(sorted, function(a, b) return bytes_greater(b, a) end)
  return table.concat(sorted, '', 1, record_limit)
end

local merge = {
  ['<'] = function(known, new) return tonumber(new) < tonumber(known) and new or known end,
  ['>'] = function(known, new) return tonumber(new) > tonumber(known) and new or known end,
  ['@'] = function(known, new) return bytes_greater(new, known) and new or known end,
  ['#'] = with_record,
}

local function set_newest(key, field, time)
  local known = redis.call('HGET', key, field)
  if not known or tonumber(time) > tonumber(known) then redis.call('HSET', key, field, time) end
end

-- added: field, number, ...; merged: field, how, text, ...
local function count(key, epoch, time, added, merged)
  for i = 1, #added, 2 do redis.call('HINCRBY', key, epoch .. ':' .. added[i], added[i + 1]) end
  if #merged > 0 then
    local fields, changed = {}, {}
    for i = 1, #merged, 3 do fields[#fields + 1] = epoch .. ':' .. merged[i] end
    local known = redis.call('HMGET', key, unpack(fields))
    for i, field in ipairs(fields) do
      local how, new = merged[3 * i - 1], merged[3 * i]
      local value = known[i] and merge[how](known[i], new) or new
      if value ~= known[i] then
        changed[#changed + 1] = field
        changed[#changed + 1] = value
      end
    end
    if #changed > 0 then redis.call('HSET', key, unpack(changed)) end
  end
  set_newest(key, epoch .. ':newest', time)
end
"""
)

# Appends one shard's part of a request: recognises repeats, writes the log, counts for shoppers and their
# sessions, and notes the batch as pending until its items are counted.
#   KEYS[1] meta; ARGV: key prefix, definitions' hash, oldest arrival to remember (ms), expiry of ids in
#   ms or 0, events in MessagePack: [user, event id, arrival ms, event time, session or "", personal 0/1,
#   [[entity, [field, number, ...], [field, how, text, ...]], ...], [session position, value, ...],
#   [min positions], [max positions], step], and then each event's log entry (the server's MessagePack
#   reads no binary).
# A session's steps are records of one length, whose order as text is that of the steps; they are cut to the
# greatest once there are twice as many as are kept.
# Answers {epoch, first seq, last seq (0, 0: none), "1" or "0" per event, {other pending batches}};
# the last only when there was a repeat.
APPEND = script(
    _COUNT
    + f"local step_bytes, step_limit, steps_field = {STEP_BYTES}, {STEP_LIMIT}, ':{STEPS}'"
    + """
local function add_steps(key, field, new)
  local steps = (redis.call('HGET', key, field) or '') .. new
  if #steps > 2 * step_limit * step_bytes then
    local records = {}
    for at = 1, #steps, step_bytes do records[#records + 1] = steps:sub(at, at + step_bytes - 1) end
    table.sort(records)
    steps = table.concat(records, '', #records - step_limit + 1)
  end
  redis.call('HSET', key, field, steps)
end

local function set_session(key, field, time, session)
  local known = redis.call('HGET', key, field)
  if known then
    local bar = known:find('|', 1, true)
    local before = tonumber(known:sub(1, bar - 1))
    if tonumber(time) < before then return end
    if tonumber(time) == before and not bytes_greater(session, known:sub(bar + 1)) then return end
  end
  redis.call('HSET', key, field, time .. '|' .. session)
end

local prefix, hash, oldest, expiry = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local events = cmsgpack.unpack(ARGV[5])
local epoch = redis.call('HGET', KEYS[1], 'epoch') or '1'
local first, last, repeated, flags, users, steps, touched = 0, 0, false, {}, {}, {}, {}
for i, event in ipairs(events) do
  local user, id, arrival, time, session = event[1], event[2], event[3], event[4], event[5]
  local ids = prefix .. 'ids:' .. user
  if redis.call('ZSCORE', ids, id) then
    repeated = true
    flags[i] = '0'
  else
    flags[i] = '1'
    users[ids] = true
    redis.call('ZADD', ids, arrival, id)
    local seq = redis.call('HINCRBY', KEYS[1], 'seq', 1)
    if first == 0 then first = seq end
    last = seq
    redis.call('XADD', prefix .. 'log', epoch .. '-' .. string.format('%.0f', seq), 'e', ARGV[5 + i])
    if event[6] == 1 then
      for _, entity in ipairs(event[7]) do
        local key = prefix .. hash .. ':' .. entity[1]
        count(key, epoch, time, entity[2], entity[3])
        touched[key] = true
      end
      local key = prefix .. hash .. ':user:' .. user
      redis.call('HSET', key, epoch .. ':seq', string.format('%.0f', seq))
      touched[key] = true
      if session ~= '' then
        set_session(key, epoch .. ':session', time, session)
        local state = prefix .. hash .. ':s:' .. user .. '\\31' .. session
        local sums = event[8]
        for j = 1, #sums, 2 do redis.call('HINCRBY', state, epoch .. ':' .. sums[j], sums[j + 1]) end
        for _, position in ipairs(event[9]) do
          local field = epoch .. ':' .. position
          local known = redis.call('HGET', state, field)
          if not known or tonumber(time) < tonumber(known) then redis.call('HSET', state, field, time) end
        end
        for _, position in ipairs(event[10]) do set_newest(state, epoch .. ':' .. position, time) end
        steps[state] = (steps[state] or '') .. event[11]
        touched[state] = true
      end
    end
  end
end
for key in pairs(touched) do redis.call('SADD', prefix .. 'touched:' .. epoch, key) end
for state, new in pairs(steps) do add_steps(state, epoch .. steps_field, new) end
for ids in pairs(users) do
  redis.call('ZREMRANGEBYSCORE', ids, '-inf', '(' .. oldest)
  if expiry > 0 then redis.call('PEXPIRE', ids, expiry) end
end
local others = {}
if repeated then others = redis.call('HKEYS', prefix .. 'pending') end
if first > 0 then
  local batch = epoch .. '-' .. string.format('%.0f', first) .. '-' .. string.format('%.0f', last)
  redis.call('HSET', prefix .. 'pending', batch, '')
end
return {epoch, string.format('%.0f', first), string.format('%.0f', last), table.concat(flags), others}
"""
)

# Counts batches of events for the items of one shard, each batch once however often it comes.
#   KEYS[1] meta of the items' shard; ARGV: key prefix, definitions' hash, and batches in MessagePack:
#   [batch, epoch, [[entity, event time, [field, number, ...], [field, how, text, ...]], ...]]
# Answers how many of the batches were new.
COUNT_ITEMS = script(
    _COUNT
    + """
local prefix, hash, new = ARGV[1], ARGV[2], 0
for _, batch in ipairs(cmsgpack.unpack(ARGV[3])) do
  local epoch = batch[2]
  if redis.call('SADD', prefix .. 'applied:' .. epoch, batch[1]) == 1 then
    new = new + 1
    for _, event in ipairs(batch[3]) do
      local key = prefix .. hash .. ':' .. event[1]
      count(key, epoch, event[2], event[3], event[4])
      redis.call('SADD', prefix .. 'touched:' .. epoch, key)
    end
  end
end
return new
"""
)

# Raises a number to at least ARGV[1]; answers what it is now.
RAISE = script(
    """
local known = redis.call('GET', KEYS[1])
if known and tonumber(known) >= tonumber(ARGV[1]) then return known end
redis.call('SET', KEYS[1], ARGV[1])
return ARGV[1]
"""
)

# Takes the next ARGV[1] epochs, none of which is below ARGV[2]; answers the last. Epoch 1 is the log's first.
TAKE_EPOCHS = script(
    """
local taken = math.max(tonumber(redis.call('GET', KEYS[1]) or '1'), tonumber(ARGV[2]) - 1)
redis.call('SET', KEYS[1], string.format('%.0f', taken + tonumber(ARGV[1])))
return taken + tonumber(ARGV[1])
"""
)

# Opens epoch ARGV[1] in a shard; never goes back.
OPEN_EPOCH = script(
    """
local open = tonumber(redis.call('HGET', KEYS[1], 'epoch') or '1')
if open < tonumber(ARGV[1]) then redis.call('HSET', KEYS[1], 'epoch', ARGV[1]) end
return 1
"""
)

# Remembers the ids of an import's recent events. KEYS[1] meta; ARGV: key prefix, owner, events in
# MessagePack: [user, event id, arrival ms], and expiry of ids in ms or 0. Answers "1" per event whose id
# somebody else had, else "0".
CLAIM = script(
    """
local prefix, flags = ARGV[1], {}
local claims = prefix .. 'import:' .. ARGV[2]
for i, event in ipairs(cmsgpack.unpack(ARGV[3])) do
  local ids, mine = prefix .. 'ids:' .. event[1], event[1] .. '\\31' .. event[2]
  if redis.call('ZSCORE', ids, event[2]) and redis.call('SISMEMBER', claims, mine) == 0 then
    flags[i] = '1'
  else
    flags[i] = '0'
    redis.call('ZADD', ids, event[3], event[2])
    redis.call('SADD', claims, mine)
    if tonumber(ARGV[4]) > 0 then redis.call('PEXPIRE', ids, ARGV[4]) else redis.call('PERSIST', ids) end
  end
end
return table.concat(flags)
"""
)

# Removes from a live key the fields of epochs up to ARGV[1]; answers how many.
PRUNE = script(
    """
local covered, gone = tonumber(ARGV[1]), {}
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if tonumber(field:sub(1, field:find(':', 1, true) - 1)) <= covered then gone[#gone + 1] = field end
end
for i = 1, #gone, 1000 do redis.call('HDEL', KEYS[1], unpack(gone, i, math.min(i + 999, #gone))) end
return #gone
"""
)

# Keeps a correction unless its id is known; forgets ids older than are remembered.
#   KEYS[1] stream; ARGV: key of the ids (of the same slot), id, arrival ms, oldest arrival to remember
#   (ms), the entry. Answers 1 if it was kept, 0 if its id was known.
APPEND_FEEDBACK = script("""
redis.call('ZREMRANGEBYSCORE', ARGV[1], '-inf', '(' .. ARGV[4])
if redis.call('ZADD', ARGV[1], 'NX', ARGV[3], ARGV[2]) == 0 then return 0 end
redis.call('XADD', KEYS[1], '*', 'e', ARGV[5])
return 1
""")
