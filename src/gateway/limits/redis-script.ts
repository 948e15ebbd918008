/**
 * The token bucket of model/token-bucket.ts inside Redis: one key per bucket, with what is missing from a full one and when that was so (Redis' own
 * clock, so that gateways need not agree on the time). All numbers are whole and below 2^53, which Lua's numbers hold exactly. A bucket that would be
 * full again expires. KEYS: the bucket. ARGV: limit, windowMs, burst, need, more, part. Answers: given, left, waitMs.
 *
 * `more` beyond `need` is only given from a `part` of what is free: the less there is, the smaller the batches, at last single tokens.
 */
export const TAKE_SCRIPT = `
local limit, window, burst = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local need, more, part = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local debt = 0
local kept = redis.call('GET', KEYS[1])
if kept then
  local d, w, at = string.match(kept, '^(%d+):(%d+):(%d+)$')
  if d then
    debt = tonumber(d)
    if tonumber(w) ~= window then debt = math.ceil(debt / tonumber(w) * window) end
    debt = math.max(0, debt - math.max(0, now - tonumber(at)) * limit)
  end
end
local free = math.max(0, math.floor((burst * window - debt) / window))
local given = free
if free > need then given = need + math.min(more, math.floor((free - need) / part)) end
if given > 0 then
  debt = debt + given * window
  redis.call('SET', KEYS[1], string.format('%.0f:%.0f:%.0f', debt, window, now), 'PX', math.ceil(debt / limit))
end
local wait = 0
if given < need then wait = math.ceil((debt - (burst - 1) * window) / limit) end
return {given, free - given, wait}
`;
