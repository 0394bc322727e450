"""The HTTP service: takes events in, and answers with the blocks of a mail."""
