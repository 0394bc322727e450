-- What the catalogue said of each item when: `facts` has a row a word of it, with what was known from then on.

CREATE OR REPLACE TEMP TABLE words AS
SELECT item_id AS item, epoch_us(occurred_at) AS happened, epoch_us(received_at) AS received, title, url, image_url, price,
       list_price, coalesce(list_price_removed, false) AS list_price_removed, currency, category, brand, in_stock,
       epoch_us(added_at) // 1000000 AS added_at
FROM counted
WHERE type = 'item' AND item_id IS NOT NULL;

CREATE OR REPLACE TEMP TABLE facts AS
SELECT item, received,
       arg_max(price, row(happened, price::VARCHAR)) FILTER (WHERE price IS NOT NULL) OVER past AS price,
       arg_max(category, row(happened, category)) FILTER (WHERE category IS NOT NULL) OVER past AS category
FROM words
WINDOW past AS (PARTITION BY item ORDER BY received RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW);
