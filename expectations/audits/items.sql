-- The features of items at `now`: the tables `expected_stats` and `expected_catalogue`; from `lake` and `words`.

CREATE OR REPLACE TEMP TABLE met AS
SELECT type, item, happened
FROM (
  SELECT DISTINCT ON (sender, event_id) sender, event_id, type, happened, item_id, items
  FROM (
    SELECT coalesce(user_id, anonymous_id) AS sender, event_id, type, epoch_us(occurred_at) AS happened, item_id, items, received_at, partition, "offset"
    FROM lake
    WHERE type IN ('view', 'add_to_cart', 'purchase')
      AND epoch_us(occurred_at) // 3600000000 >= getvariable('now') // 3600000000 - 168
  )
  ORDER BY received_at, partition, try_cast("offset" AS HUGEINT)
), LATERAL (SELECT DISTINCT unnest(CASE WHEN len(items) > 0 THEN [x.item_id FOR x IN items]
                                        WHEN item_id IS NULL THEN [] ELSE [item_id] END) AS item);

CREATE OR REPLACE TEMP TABLE trends AS
SELECT item,
       sum(CASE type WHEN 'view' THEN 1 WHEN 'add_to_cart' THEN 3 ELSE 8 END
           * 2.0 ** (-(getvariable('now') // 3600000000 - happened // 3600000000) / 24.0)) AS trend
FROM met GROUP BY item;

-- The newest word counts, of one moment the larger; what is left out stays as it was.
CREATE OR REPLACE TEMP TABLE described AS
SELECT item,
       arg_max(title, row(happened, title)) FILTER (WHERE title IS NOT NULL) AS title,
       arg_max(url, row(happened, url)) FILTER (WHERE url IS NOT NULL) AS url,
       arg_max(image_url, row(happened, image_url)) FILTER (WHERE image_url IS NOT NULL) AS image_url,
       arg_max(price, row(happened, price::VARCHAR)) FILTER (WHERE price IS NOT NULL) AS price,
       arg_max(struct_pack(v := list_price), row(happened, coalesce(list_price::VARCHAR, 'None')))
         FILTER (WHERE list_price IS NOT NULL OR list_price_removed) AS list_price_word,
       arg_max(currency, row(happened, currency)) FILTER (WHERE currency IS NOT NULL) AS currency,
       arg_max(category, row(happened, category)) FILTER (WHERE category IS NOT NULL) AS category,
       arg_max(brand, row(happened, brand)) FILTER (WHERE brand IS NOT NULL) AS brand,
       coalesce(arg_max(in_stock, row(happened, in_stock::VARCHAR)) FILTER (WHERE in_stock IS NOT NULL), true) AS in_stock,
       coalesce(arg_max(added_at, row(happened, added_at::VARCHAR)) FILTER (WHERE added_at IS NOT NULL), min(happened) // 1000000) AS added_at,
       max(happened) AS newest
FROM words GROUP BY item;

CREATE OR REPLACE TEMP TABLE drops AS
SELECT item, max(happened) // 1000000 AS price_dropped_at
FROM (SELECT item, happened, price, lag(price) OVER (PARTITION BY item ORDER BY happened) AS before
      FROM (SELECT item, happened, max(price) AS price FROM words WHERE price IS NOT NULL GROUP BY item, happened))
WHERE price < before GROUP BY item;

CREATE OR REPLACE TEMP TABLE returns AS
SELECT item, max(happened) // 1000000 AS restocked_at
FROM (SELECT item, happened, in_stock, lag(in_stock) OVER (PARTITION BY item ORDER BY happened) AS before
      FROM (SELECT item, happened, bool_or(in_stock) AS in_stock FROM words WHERE in_stock IS NOT NULL GROUP BY item, happened))
WHERE in_stock AND NOT before GROUP BY item;

CREATE OR REPLACE TEMP TABLE expected_catalogue AS
SELECT item AS id, described.* EXCLUDE (item, list_price_word, newest), list_price_word.v AS list_price,
       price_dropped_at, restocked_at
FROM described LEFT JOIN drops USING (item) LEFT JOIN returns USING (item);
