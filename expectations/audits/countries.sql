-- How each item does in each country at `now`, from `lake`: the table `expected_countries`.
--
-- The items flow does not hold what shoppers did, so all of `lake` counts. An event counts once an item, on its day, today
-- and the seven days before; its weight halves with every day.

CREATE OR REPLACE TEMP TABLE expected_countries AS
WITH told AS (
  SELECT DISTINCT ON (coalesce(user_id, anonymous_id), event_id)
         type, 'country:' || upper(country) AS scope, epoch_us(occurred_at) // 86400000000 AS day, item_id, items
  FROM lake
  WHERE type IN ('view', 'add_to_cart', 'purchase')
    AND epoch_us(occurred_at) // 86400000000 >= getvariable('now') // 86400000000 - 7
  ORDER BY received_at, partition, try_cast("offset" AS HUGEINT)
)
SELECT scope, item, round(sum(weight * 2.0 ** (day - getvariable('now') // 86400000000)), 6) AS score,
       count(*) FILTER (WHERE type = 'purchase') AS bought
FROM (
  SELECT scope, day, type, CASE type WHEN 'view' THEN 1 WHEN 'add_to_cart' THEN 3 ELSE 8 END AS weight,
         unnest(list_distinct(CASE WHEN len(items) > 0 THEN [x.item_id FOR x IN items]
                                   WHEN item_id IS NULL THEN [] ELSE [item_id] END)) AS item
  FROM told WHERE regexp_full_match(scope, 'country:[A-Z]{2}')
)
GROUP BY scope, item;
