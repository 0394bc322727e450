"""The gate of data quality: suites of Great Expectations, and what judges rows by them."""
