/**
 * Appends a batch to the stream of all and to those of single backends, in one command. KEYS[1]: the stream of all; the others: those of backends. ARGV: the length to trim to, then
 * three of each event: the number of its backend's key (1: none), its type, itself. Answers with how often a backend's stream could not be appended to, and why first.
 *
 * An error at the stream of all ends it, at its first event usually: nothing was stored then. One at a backend's stream (a key of another type) must not stop the others.
 */
export const PUBLISH_SCRIPT = `
local refused, why = 0, ''
local bad = {}
for i = 2, #ARGV, 3 do
  local added = redis.pcall('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'type', ARGV[i + 1], 'event', ARGV[i + 2])
  if type(added) == 'table' and added.err then return redis.error_reply(added.err) end
  local at = tonumber(ARGV[i])
  if at > 1 then
    if not bad[at] then
      added = redis.pcall('XADD', KEYS[at], 'MAXLEN', '~', ARGV[1], '*', 'type', ARGV[i + 1], 'event', ARGV[i + 2])
      if type(added) == 'table' and added.err then
        bad[at] = true
        if why == '' then why = KEYS[at] .. ': ' .. added.err end
      end
    end
    if bad[at] then refused = refused + 1 end
  end
end
return {refused, why}
`;
