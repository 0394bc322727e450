-- What counts for whom: `heard` has each event once for each user of `sampled` that it counts for, first come, first
-- counted; `lines` has what each is about, a row an item.
--
-- Given are `counted`, what whose.sql made, `facts` (what the catalogue said when) and `now` in microseconds. An event whose
-- day lies more than 90 days before the day on which it came is late, unless it only describes. An open or a click that
-- a machine made counts for nobody, and neither does what we served.

CREATE OR REPLACE TEMP TABLE candidates AS
SELECT event_id, type, epoch_us(occurred_at) AS happened, user_id, anonymous_id, item_id, items, quantity, price, order_id,
       country, category, traits::JSON AS traits, properties::JSON AS properties, epoch_us(received_at) AS received,
       row_number() OVER (ORDER BY received_at, partition, try_cast("offset" AS HUGEINT)) AS place
FROM counted
WHERE coalesce(user_id, anonymous_id) IN (SELECT id FROM wanted)
  AND type NOT IN ('item', 'block_served')
  AND (type IN ('sign_up', 'identify', 'profile', 'consent', 'email_complaint', 'email_unsubscribe')
       OR epoch_us(occurred_at) // 86400000000 >= epoch_us(received_at) // 86400000000 - 90);

-- The user of the newest link that is not after the event, else that of the oldest link.
CREATE OR REPLACE TEMP TABLE owned AS
SELECT coalesce(user_id, anonymous_id) AS owner, place FROM candidates
UNION
SELECT coalesce(
         arg_max(links.user_id, row(links.happened, links.user_id)) FILTER (WHERE links.happened <= candidates.happened),
         arg_max(links.user_id, row(-links.happened, links.user_id))
       ), place
FROM candidates JOIN links ON candidates.user_id IS NULL AND links.device = candidates.anonymous_id
GROUP BY place;

CREATE OR REPLACE TEMP TABLE heard AS
SELECT reach.user_id AS who, candidates.* EXCLUDE (user_id, anonymous_id)
FROM reach
JOIN owned ON owned.owner = reach.part
JOIN candidates USING (place)
QUALIFY row_number() OVER (PARTITION BY reach.user_id, event_id ORDER BY place) = 1;

DELETE FROM heard
WHERE type IN ('email_open', 'email_click') AND coalesce(properties ->> '$.machine', '') = 'true';

-- Prices and categories that an event does not say are those of the catalogue when the event came.
CREATE OR REPLACE TEMP TABLE lines AS
WITH each_line AS (
  SELECT who, event_id, type, happened, received, order_id, category AS said, line.item_id AS item, line.quantity AS quantity, line.price AS price
  FROM (
    SELECT who, event_id, type, happened, received, order_id, category,
           unnest(CASE WHEN len(items) > 0 THEN items
                       WHEN item_id IS NULL THEN []
                       ELSE [{item_id: item_id, quantity: quantity, price: price}] END) AS line
    FROM heard
  )
)
SELECT each_line.* EXCLUDE (said, price),
       coalesce(each_line.price, facts.price) AS price,
       coalesce(nullif(said, ''), facts.category) AS category
FROM each_line ASOF LEFT JOIN facts ON facts.item = each_line.item AND facts.received <= each_line.received;
