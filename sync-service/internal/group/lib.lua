-- lib.lua goes before each script here and in package consumer: ids of stream entries, and what a group has done.

-- less orders two entry ids. Milliseconds fit a double; a sequence may not, so it is compared as text.
local function less(a, b)
  local ams, aseq = string.match(a, '^(%d+)-?(%d*)$')
  local bms, bseq = string.match(b, '^(%d+)-?(%d*)$')
  if tonumber(ams) ~= tonumber(bms) then return tonumber(ams) < tonumber(bms) end
  if aseq == '' then aseq = '0' end
  if bseq == '' then bseq = '0' end
  if #aseq ~= #bseq then return #aseq < #bseq end
  return aseq < bseq
end

-- group_of returns what a group has of a stream, or nil when either is gone: delivered (the last id
-- delivered), read (entries-read, false when Redis does not know), pending (a count) and lowest (the
-- lowest id pending for any consumer, false for none).
local function group_of(stream, name)
  if redis.call('EXISTS', stream) == 0 then return nil end
  for _, flat in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local group = {}
    for i = 1, #flat, 2 do group[flat[i]] = flat[i + 1] end
    if group['name'] == name then
      local pending = redis.call('XPENDING', stream, name)
      return {
        delivered = group['last-delivered-id'], read = group['entries-read'],
        pending = pending[1], lowest = pending[2],
      }
    end
  end
  return nil
end

-- count_waiting returns how many entries of a stream the group was never given, or nil for more than most.
local function count_waiting(stream, group, most)
  local from, count = group.delivered, 0
  while true do
    local page = redis.call('XRANGE', stream, '(' .. from, '+', 'COUNT', math.min(1000, most + 1 - count))
    count = count + #page
    if count > most then return nil end
    if #page < 1000 then return count end
    from = page[#page][1]
  end
end

-- added_of returns how many entries were ever added to a stream, and the id that it gave last.
local function added_of(stream)
  local info, flat = {}, redis.call('XINFO', 'STREAM', stream)
  for i = 1, #flat, 2 do info[flat[i]] = flat[i + 1] end
  return info['entries-added'], info['last-generated-id']
end

-- right_read returns what entries-read of a group should be, false when that is not known. mirror is the key that
-- mirrors the stream's watermark, nil for none.
--
-- Redis neither replicates entries-read nor writes it to its log of commands: a promoted replica, or a
-- Redis that restarted after BGREWRITEAOF, has the one of an earlier time. It is wrong for sure when
-- nothing waits and it is not entries-added, and when it is below what the mirror has had. Then what waits
-- is counted. A count that would take too long is left for a later call.
local COUNT_AT_MOST = 10000
local function right_read(stream, group, mirror)
  local total, last = added_of(stream)
  local read, mirrored = group.read, -1
  if mirror then mirrored = tonumber(redis.call('HGET', mirror, 'added') or '-1') end
  if group.delivered == last or #redis.call('XRANGE', stream, '(' .. group.delivered, '+', 'COUNT', 1) == 0 then
    return total
  elseif not read or read - group.pending < mirrored then
    local waiting = count_waiting(stream, group, COUNT_AT_MOST)
    return waiting and total - waiting
  end
  return read
end
