-- Whose an event is: `reach` says for each user of `sampled` the ids whose events count for them.
--
-- Given are `counted` (the rows of events/ but for what the gate held, as a view) and `sampled` (user_id). An `identify`, `sign_up` or `email_click`
-- that names a user and a device links them; an `identify` whose `previous_id` names another id makes that an alias.
-- What a machine opened or clicked links nothing.

CREATE OR REPLACE TEMP TABLE linking AS
SELECT type, epoch_us(occurred_at) AS happened, user_id, anonymous_id,
       coalesce(properties::JSON ->> '$.previous_id', traits::JSON ->> '$.previous_id') AS previous_id
FROM counted
WHERE type IN ('identify', 'sign_up', 'email_click') AND user_id IS NOT NULL
  AND NOT (type = 'email_click' AND coalesce(properties::JSON ->> '$.machine', '') = 'true');

CREATE OR REPLACE TEMP TABLE links AS
SELECT DISTINCT anonymous_id AS device, happened, user_id FROM linking WHERE anonymous_id IS NOT NULL;

CREATE OR REPLACE TEMP TABLE aliases AS
SELECT DISTINCT user_id, previous_id AS part
FROM linking
WHERE type = 'identify' AND previous_id <> '' AND length(previous_id) <= 200 AND previous_id <> user_id;

CREATE OR REPLACE TEMP TABLE reach AS
WITH RECURSIVE found(user_id, part) AS (
  SELECT user_id, user_id FROM sampled
  UNION
  SELECT found.user_id, aliases.part FROM found JOIN aliases ON aliases.user_id = found.part
)
SELECT user_id, part FROM found;

CREATE OR REPLACE TEMP TABLE wanted AS
SELECT part AS id FROM reach
UNION
SELECT device FROM links JOIN reach ON links.user_id = reach.part;
