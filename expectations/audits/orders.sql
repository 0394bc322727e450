-- Orders and what they came to by day (UTC), as events told them: each purchase once, an order without an id by itself.
WITH purchases AS (
  SELECT DISTINCT ON (coalesce(user_id, anonymous_id), event_id)
         event_id, occurred_at, order_id, item_id, items, quantity, price
  FROM counted WHERE type = 'purchase'
  ORDER BY received_at, partition, try_cast("offset" AS HUGEINT)
), amounts AS (
  SELECT occurred_at::DATE AS day, coalesce(order_id, event_id) AS "order",
         CASE WHEN len(items) > 0
              THEN list_sum([coalesce(x.price, 0) * coalesce(nullif(x.quantity, 0), 1) FOR x IN items])
              ELSE coalesce(price, 0) * coalesce(nullif(quantity, 0), 1) END AS amount
  FROM purchases
)
SELECT day, count(DISTINCT "order") AS orders, round(sum(amount), 2) AS total FROM amounts GROUP BY day ORDER BY day;
