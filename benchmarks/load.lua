-- Sends usage events as fast as answers come back. Ids rise with time, as a UUIDv7 does.
-- Arguments: run, events per request, key, and a file with one customer id per line.
local customers, run, size, key, at = {}, "", 1, "", os.date("!%Y-%m-%dT%H:%M:%SZ")
local number = 0
local headers = { ["Content-Type"] = "application/json" }

function init(arguments)
   run, size, key = arguments[1], tonumber(arguments[2]), arguments[3]
   headers["X-CREDYT-API-KEY"] = key
   for line in io.lines(arguments[4]) do customers[#customers + 1] = line end
end

local EVENT = '{"id":"%s-%024d","event_type":"completion","occurred_at":"%s",' ..
   '"data":{"model":"large","output_tokens":%d}}'

function request()
   local customer = customers[number % #customers + 1]
   local events = {}
   for index = 1, size do
      number = number + 1
      events[index] = EVENT:format(run, number, at, 1000 + number % 7)
   end
   return wrk.format("POST", "/v1/events", headers,
      '{"customer_id":"' .. customer .. '","events":[' .. table.concat(events, ",") .. "]}")
end

function done(summary, latency, requests)
   local errors = summary.errors
   io.write(string.format(
      'RESULT {"requests": %d, "microseconds": %d, "errors": %d, "p50": %d, "p99": %d}\n',
      summary.requests, summary.duration,
      errors.connect + errors.read + errors.write + errors.status + errors.timeout,
      latency:percentile(50), latency:percentile(99)))
end
