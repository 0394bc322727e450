-- The features of each user of `sampled` at `now`, from `heard` and `lines`: the table `expected_users`.

CREATE OR REPLACE TEMP TABLE moments AS
SELECT who,
       max(happened) FILTER (WHERE type = 'view') // 1000000 AS last_view_at,
       max(happened) FILTER (WHERE type = 'add_to_cart') // 1000000 AS last_cart_at,
       max(happened) FILTER (WHERE type = 'purchase') // 1000000 AS last_purchase_at,
       max(happened) FILTER (WHERE type = 'email_open') // 1000000 AS last_email_open_at,
       max(happened) FILTER (WHERE type = 'email_click') // 1000000 AS last_email_click_at,
       min(happened) // 1000000 AS first_seen_at,
       max(happened) AS newest
FROM heard GROUP BY who;

-- Orders: what was bought on which day, less what was given back of the same order; money in ten-thousandths.
CREATE OR REPLACE TEMP TABLE bought AS
WITH of_lines AS (
  SELECT who, event_id, sum(round(coalesce(price, 0) * coalesce(nullif(quantity, 0), 1) * 10000)) AS amount, count(*) AS many
  FROM lines WHERE type IN ('purchase', 'refund') GROUP BY who, event_id
)
SELECT who, event_id, type, happened // 86400000000 AS day, order_id, coalesce(order_id, event_id) AS "order",
       coalesce(many, 0) AS many, price,
       CASE WHEN many > 0 THEN amount
            WHEN price IS NULL THEN 0
            WHEN type = 'purchase' THEN round(price * coalesce(nullif(quantity, 0), 1) * 10000)
            ELSE round(price * 10000) END AS amount
FROM heard LEFT JOIN of_lines USING (who, event_id)
WHERE type IN ('purchase', 'refund');

CREATE OR REPLACE TEMP TABLE given_back AS
SELECT who, "order", sum(amount) AS amount, bool_or(many = 0 AND price IS NULL) AS whole
FROM bought WHERE type = 'refund' AND order_id IS NOT NULL GROUP BY who, "order";

CREATE OR REPLACE TEMP TABLE spending AS
WITH of_order AS (
  SELECT who, "order",
         sum(amount) FILTER (WHERE day >= getvariable('now') // 86400000000 - 30) AS amount_30d,
         sum(amount) FILTER (WHERE day >= getvariable('now') // 86400000000 - 90) AS amount_90d,
         max(day) AS newest_day
  FROM bought WHERE type = 'purchase' GROUP BY who, "order"
)
SELECT who,
       sum(greatest(0, coalesce(amount_30d, 0) - coalesce(given_back.amount, 0))) / 10000 AS spend_30d,
       sum(greatest(0, coalesce(amount_90d, 0) - coalesce(given_back.amount, 0))) / 10000 AS spend_90d,
       count(*) FILTER (WHERE newest_day >= getvariable('now') // 86400000000 - 90) AS orders_90d
FROM of_order LEFT JOIN given_back USING (who, "order")
WHERE NOT coalesce(whole, false)
GROUP BY who;

-- What was looked at: of each item the newest view.
CREATE OR REPLACE TEMP TABLE viewed AS
SELECT who, item, happened, price, category, max(happened) OVER (PARTITION BY who) AS newest
FROM (
  SELECT who, item, happened, nullif(price, -1) AS price, nullif(category, '') AS category
  FROM (SELECT who, item, happened, coalesce(price, -1) AS price, coalesce(category, '') AS category FROM lines WHERE type = 'view')
  QUALIFY row_number() OVER (PARTITION BY who, item ORDER BY happened DESC, price DESC, category DESC) = 1
)
QUALIFY row_number() OVER (PARTITION BY who ORDER BY happened DESC, item) <= 30;

CREATE OR REPLACE TEMP TABLE recency AS
SELECT who, list(item ORDER BY happened DESC, item) AS recent_items, list(happened // 1000000 ORDER BY happened DESC, item) AS recent_at,
       median(price) AS typical_price
FROM viewed GROUP BY who;

CREATE OR REPLACE TEMP TABLE tastes AS
WITH weights AS (
  SELECT who, category, sum(2.0 ** (-(newest - happened) / 604800000000.0)) AS weight
  FROM viewed WHERE category IS NOT NULL GROUP BY who, category
), shares AS (
  SELECT who, category, weight / sum(weight) OVER (PARTITION BY who) AS share FROM weights
  QUALIFY row_number() OVER (PARTITION BY who ORDER BY weight DESC, category) <= 5
)
SELECT who, list(category ORDER BY share DESC, category) AS top_categories,
       list(share ORDER BY share DESC, category) AS top_category_weights
FROM shares GROUP BY who;

-- The cart: the changes of an item in order of time, never below 0; additions of one moment first. Nothing before what
-- takes everything out matters; after it, the quantity is the sum of the changes, lifted by as much as it would have
-- fallen below 0.
CREATE OR REPLACE TEMP TABLE changes AS
SELECT who, item, happened,
       CASE WHEN type = 'add_to_cart' THEN coalesce(nullif(quantity, 0), 1)
            WHEN type = 'remove_from_cart' AND quantity > 0 THEN -quantity END AS step
FROM lines WHERE type IN ('add_to_cart', 'remove_from_cart', 'purchase');

CREATE OR REPLACE TEMP TABLE carts AS
WITH since AS (
  SELECT changes.* FROM changes
  JOIN (SELECT who, item, coalesce(max(happened) FILTER (WHERE step IS NULL), -1) AS emptied FROM changes GROUP BY who, item)
  USING (who, item)
  WHERE happened > emptied
), sums AS (
  SELECT who, item, happened, step, sum(step) OVER (PARTITION BY who, item ORDER BY happened, step DESC ROWS UNBOUNDED PRECEDING) AS total FROM since
), held AS (
  SELECT who, item, sum(step) - least(0, min(total)) AS quantity, max(happened) FILTER (WHERE step > 0) AS added
  FROM sums GROUP BY who, item
), kept AS (
  SELECT * FROM held WHERE quantity > 1e-9
  QUALIFY row_number() OVER (PARTITION BY who ORDER BY added DESC, item) <= 50
)
SELECT who, list(item ORDER BY added DESC, item) AS cart_items FROM kept GROUP BY who;

CREATE OR REPLACE TEMP TABLE cart_moments AS
SELECT who, max(happened) // 1000000 AS cart_updated_at FROM changes GROUP BY who;

CREATE OR REPLACE TEMP TABLE wishes AS
WITH wished AS (
  SELECT who, item, max(happened) FILTER (WHERE type = 'add_to_wishlist') AS kept,
         coalesce(max(happened) FILTER (WHERE type = 'remove_from_wishlist'), -1) AS given_up
  FROM lines WHERE type IN ('add_to_wishlist', 'remove_from_wishlist') GROUP BY who, item
)
SELECT who, list(item ORDER BY kept DESC, item) AS wishlist_items
FROM (SELECT * FROM wished WHERE kept > given_up
      QUALIFY row_number() OVER (PARTITION BY who ORDER BY kept DESC, item) <= 100)
GROUP BY who;

CREATE OR REPLACE TEMP TABLE purchased AS
WITH items AS (
  SELECT who, item, max(happened) FILTER (WHERE type = 'purchase') AS kept,
         coalesce(max(happened) FILTER (WHERE type = 'refund'), -1) AS given_up,
         arg_max(coalesce(order_id, event_id), happened) FILTER (WHERE type = 'purchase') AS "order"
  FROM lines WHERE type IN ('purchase', 'refund') GROUP BY who, item
)
SELECT who, list(item ORDER BY kept DESC, item) AS purchased_items
FROM (
  SELECT items.* FROM items LEFT JOIN given_back USING (who, "order")
  WHERE kept > given_up AND NOT coalesce(whole, false)
  QUALIFY row_number() OVER (PARTITION BY who ORDER BY kept DESC, item) <= 200
) GROUP BY who;

-- What was said: the newest word counts, of one moment the larger.
CREATE OR REPLACE TEMP TABLE said AS
SELECT who, name, arg_max(word, row(happened, word)) AS word
FROM (
  SELECT who, happened, 'country' AS name, country AS word FROM heard WHERE country <> ''
  UNION ALL
  SELECT who, happened, name, left(coalesce(source ->> name, ''), 200)
  FROM (SELECT who, happened, unnest([properties, traits]) AS source FROM heard WHERE type IN ('sign_up', 'identify', 'profile', 'consent')),
       (SELECT unnest(['country', 'locale', 'timezone', 'first_name']) AS name)
  WHERE json_type(source, '$.' || name) = 'VARCHAR' AND source ->> name <> ''
  UNION ALL
  SELECT who, happened, name, CASE source ->> name WHEN 'true' THEN 'True' ELSE 'False' END
  FROM (SELECT who, happened, unnest([properties, traits]) AS source FROM heard WHERE type IN ('sign_up', 'identify', 'profile', 'consent')),
       (SELECT unnest(['email_allowed', 'profile_allowed']) AS name)
  WHERE json_type(source, '$.' || name) = 'BOOLEAN'
  UNION ALL
  SELECT who, happened, 'email_allowed', 'False' FROM heard WHERE type IN ('email_complaint', 'email_unsubscribe')
)
GROUP BY who, name;

CREATE OR REPLACE TEMP TABLE profiles AS
SELECT who,
       any_value(word) FILTER (WHERE name = 'country') AS country,
       any_value(word) FILTER (WHERE name = 'locale') AS locale,
       any_value(word) FILTER (WHERE name = 'timezone') AS timezone,
       any_value(word) FILTER (WHERE name = 'first_name') AS first_name,
       any_value(word = 'True') FILTER (WHERE name = 'email_allowed') AS email_allowed,
       any_value(word = 'True') FILTER (WHERE name = 'profile_allowed') AS profile_allowed
FROM said GROUP BY who;

CREATE OR REPLACE TEMP TABLE lifecycles AS
SELECT who,
       CASE WHEN today - first_seen_at // 86400 <= 7 THEN 'new'
            WHEN today - active // 86400 <= 30 THEN 'active'
            WHEN today - active // 86400 <= 90 THEN 'lapsing'
            ELSE 'lapsed' END AS lifecycle
FROM (SELECT who, first_seen_at, getvariable('now') // 86400000000 AS today,
             greatest(last_view_at, last_cart_at, last_purchase_at, last_email_click_at, first_seen_at) AS active
      FROM moments);
